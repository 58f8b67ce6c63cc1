"""Evidence: what may be ended, changed or disabled, and why. Values that nothing but these rules can make.

What cannot be undone goes through `rotation/gate.py`, which demands one of them. A tag, a name or a time alone is a
hint; here is where hints become evidence or do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.model.clock import VaultInstant, whole_seconds
from shared.model.errors import NotDone
from shared.model.items import Item
from shared.model.pats import Minted, Owner, Pat, PatId
from shared.model.secret_state import Current, Published, VersionListing, VersionSeen, is_ours
from shared.model.steps import Because
from shared.model.tags import CANARY, Mark, Predecessor
from shared.rules.orphans import Circumstances, Known, Standing, is_under_way, standing
from shared.rules.overlap import Fate, fate, stays_with_consumer

_MADE_HERE = object()


@dataclass(frozen=True, slots=True)
class _Evidence:
    _made: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._made is not _MADE_HERE:
            raise TypeError(f"{type(self).__name__} is made by the rules of may_end.py alone")


@dataclass(frozen=True, slots=True)
class MayEnd(_Evidence):
    """Why this PAT may end. `at`: vault time of the answer that was read just before; `versions`: what it showed."""

    pat: PatId
    owner: Owner
    secret: str
    because: Because | None
    at: VaultInstant
    versions: tuple[VersionSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class MayExtend(_Evidence):
    """Why this PAT may be given a later expiry: it carries our mark for this very secret, or a person named it."""

    pat: PatId
    owner: Owner
    display_name: str


@dataclass(frozen=True, slots=True)
class MayDisable(_Evidence):
    """Why this version may be disabled."""

    secret: str
    version: str


def unpublished(minted: Minted, owner: Owner, secret: str, refusal: NotDone | None, at: VaultInstant) -> MayEnd:
    """A PAT that this very process made and that nobody can read.

    Its value was not sent to the vault (`refusal` None), or the vault refused it in its own words. Doubt is no refusal.
    """
    if refusal is not None and not isinstance(refusal, NotDone):
        raise TypeError("a write in doubt may have happened")
    return MayEnd(_MADE_HERE, minted.pat.id, owner, secret, None, at)


def predecessor_over(
    predecessor: Predecessor,
    secret: Published,
    listed: Pat,
    item: Item | None,
    name: str,
    owner: Owner,
    mark: Mark,
    overlap: timedelta,
    current: VersionSeen,
    at: VaultInstant,
    because: Because,
    versions: VersionListing | None = None,
) -> MayEnd | None:
    """A predecessor whose overlap is over by the vault's own clock, while the version that `secret` was read from still
    is the current one; None when it is not. One that a consumer was given needs all `versions`: they say who has
    nothing newer.
    """
    if not current.names(secret.stamp.authorization_id) or listed.id != predecessor.id:
        return None
    over = fate(predecessor, secret, listed, item, name, mark, overlap, at)
    if over is Fate.PUSHED and (versions is None or stays_with_consumer(predecessor, secret, versions, item)):
        return None
    if over not in (Fate.REVOKE, Fate.PUSHED):
        return None
    return MayEnd(_MADE_HERE, listed.id, owner, name, because, at, (current,))


def orphan(
    pat: Pat, name: str, owner: Owner, of: Circumstances, listing: VersionListing, known: Known
) -> MayEnd | Standing:
    """A PAT with our mark for this secret that no version names or can hold; else what it is instead."""
    if of.mark.secret_of(pat.display_name) != name.casefold():
        return Standing.KEEP
    what = standing(pat, of, listing, known)
    if what is not Standing.OVER:
        return what
    return MayEnd(_MADE_HERE, pat.id, owner, name, Because.ORPHAN, listing.at, listing.versions)


def replaced_generation(
    pat: Pat,
    name: str,
    owner: Owner,
    mark: Mark,
    published: Current,
    made_before: datetime,
    versions: VersionListing,
    *,
    adopted: bool = False,
) -> MayEnd | None:
    """In an emergency: a PAT of this item made before `made_before` (in doubt: in its second) that is not published.

    `versions`: listed after the PATs; `published`: what consumers read, read after the versions.
    """
    if pat.validity.starts > whole_seconds(made_before) or published.version.names(pat.id):
        return None
    return given_up(pat, name, owner, mark, versions, Because.EMERGENCY, adopted=adopted)


def given_up(
    pat: Pat,
    name: str,
    owner: Owner,
    mark: Mark,
    versions: VersionListing,
    because: Because,
    *,
    adopted: bool = False,
) -> MayEnd | None:
    """A PAT of an item whose value nobody is to use any more: decommissioned, leaked, or to be ended first.

    Not one that may be on its way into the vault: a rotation under way made it, nobody can have read it, and its end
    would make a dead value current. Where an administrator's listing shows no display names, two witnesses stand in for
    the mark: a version of ours names it as its owner's, and ends when it does. `adopted`: pats.yaml names it to be
    ended, and a version says that it was replaced.
    """
    if adopted:
        return MayEnd(_MADE_HERE, pat.id, owner, name, because, versions.at, versions.versions)
    ours = mark.secret_of(pat.display_name) == name.casefold()
    if not (ours or (not pat.display_name and _witnessed(pat, owner, mark, versions))) or is_under_way(pat, versions):
        return None
    return MayEnd(_MADE_HERE, pat.id, owner, name, because, versions.at, versions.versions)


def _witnessed(pat: Pat, owner: Owner, mark: Mark, versions: VersionListing) -> bool:
    stamps = ((version.stamp, version) for version in versions if version.names(pat.id) and is_ours(version.tags, mark))
    return any(
        stamp is not None
        and Owner(stamp.username, stamp.organization).same(owner)
        and version.expires_on == pat.validity.ends
        for stamp, version in stamps
    )


def canary(pat: Pat, owner: Owner, mark: Mark, versions: VersionListing) -> MayEnd | None:
    """A PAT that was made to be ended at once, so that nobody has its value: our mark, of the name that no secret may
    have. `versions`: of a secret of that name; where a person made one all the same, its tags may say anything.
    """
    if mark.secret_of(pat.display_name) != CANARY or versions.versions:
        return None
    return MayEnd(_MADE_HERE, pat.id, owner, CANARY, Because.ORPHAN, versions.at)


def named_by_a_person(pat: PatId, owner: Owner, at: VaultInstant) -> MayEnd:
    """A person gave this very id on the command line and agreed to its end."""
    return MayEnd(_MADE_HERE, pat, owner, "", None, at)


def renewal(pat: Pat, secret: Published, name: str, owner: Owner, mark: Mark) -> MayExtend | None:
    """The PAT that the current version names, if it carries our mark for this secret and ends when the version does.

    Two witnesses, or none: a renewal that was killed half-way has moved one of them, and then only a rotation is safe.
    """
    if pat.id != secret.stamp.authorization_id or mark.secret_of(pat.display_name) != name.casefold():
        return None
    if secret.expires_on != pat.validity.ends:
        return None
    return MayExtend(_MADE_HERE, pat.id, owner, mark.display_name(name))


def extension_by_a_person(pat: Pat, owner: Owner) -> MayExtend:
    """A person asked for it by id on the command line; the PAT keeps its name."""
    return MayExtend(_MADE_HERE, pat.id, owner, pat.display_name)


def older_version(version: VersionSeen, name: str, current: Current) -> MayDisable | None:
    """A version on which `current` lies, which was read after `version` was listed; None where it is the newest.

    Of versions of one second the listing does not tell which came last; the vault's own word of what is current does.
    """
    if version.version == current.version.version or version.created > current.version.created:
        return None
    return MayDisable(_MADE_HERE, name, version.version)


def replaced_token(version: str, name: str, current: str) -> MayDisable | None:
    """A version of a token that is not the current one."""
    return None if version.casefold() == current.casefold() else MayDisable(_MADE_HERE, name, version)


def decommissioned(current: VersionSeen, item: Item) -> MayDisable | None:
    """The current version of an item that pats.yaml decommissions: the one way that the newest is disabled."""
    return MayDisable(_MADE_HERE, item.secret, current.version) if item.decommission else None
