"""Which live PAT with our mark belongs to nothing and may end (rule 4). In doubt it lives, and the report says why.

Tags come from people and tools too. So that a PAT may count as nobody's it is not enough that no version names it: no
version may be able to hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.model.clock import MOST_SKEW
from shared.model.consumers import Taker
from shared.model.pats import Pat, PatId
from shared.model.secret_state import Nothing, Published, Secret, Unmarked, VersionListing, VersionSeen, is_ours
from shared.model.tags import Mark, Stamp
from shared.rules.overlap import left_with_consumer

# A PAT younger than this may still be on its way into the vault: publishing is allowed for 5 minutes after minting.
ORPHAN_AGE = timedelta(hours=2)

Known = Mapping[PatId, Pat]
"""PATs that a listing or Get showed, dead ones included: what explains the version that names one of them."""


class Standing(StrEnum):
    """What a PAT with our mark is that neither is current nor stands in the tag `predecessors`."""

    KEEP = "keep"
    """Young, in overlap, or its secret may come back: a later run looks again."""
    OVER = "over"
    """Nobody's, or its overlap is over."""
    HELD = "held"
    """A version may hold its value, whatever its tags say."""
    UNNAMED = "unnamed"
    """pats.yaml has no such item, and no version says that the PAT was ever replaced."""
    WITH_CONSUMER = "with-consumer"
    """A consumer was given it and nothing newer, and pats.yaml does not say how to give it the current value."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an orphan is judged by. `managed`: pats.yaml has an item of that name; `overlap`: how long its lasts.

    `given_first`: the consumers that are given the current value before anything ends. `waits_for_nobody`: it is an
    emergency.
    """

    secret: Secret
    overlap: timedelta
    managed: bool
    mark: Mark
    given_first: frozenset[Taker] = frozenset()
    waits_for_nobody: bool = False


def is_candidate(pat: Pat, secret: Secret, now: datetime) -> bool:
    """A live PAT with our mark that the current version does not name, old enough to judge."""
    if isinstance(secret, Published):
        named = {secret.stamp.authorization_id, *(predecessor.id for predecessor in secret.stamp.predecessors)}
        if pat.id in named:
            return False
    # A deleted secret may be recovered, and its PAT is in use meanwhile; where nobody can tell, neither is it ended.
    if isinstance(secret, Nothing) and secret.deleted is not False:
        return False
    return now - pat.validity.starts >= ORPHAN_AGE


def is_under_way(pat: Pat, versions: VersionListing) -> bool:
    """Whether a PAT may be on its way into the vault: young, and named by no version that was listed after it.

    Another run that has minted it publishes it within minutes (rule 2).
    """
    return pat.validity.starts > versions.at - ORPHAN_AGE and not any(version.names(pat.id) for version in versions)


def may_have_leaked(pat: Pat, versions: VersionListing, known: Known) -> bool:
    """Whether a version may hold what else seems to be on its way into the vault: its tags were wiped or changed."""
    return any(_may_be_in(version, pat, versions, known) for version in versions)


def _after(version: VersionSeen, pat: Pat) -> bool:
    """Whether the version is not older than the PAT: the clocks of the two services may differ by minutes."""
    return version.created >= pat.validity.starts - MOST_SKEW


def standing(pat: Pat, of: Circumstances, listing: VersionListing, known: Known) -> Standing:
    """What a candidate is by all versions of its secret, at the time of their listing.

    Named by an older version, or held by it for all that is known, it is a predecessor: its overlap began when the next
    version was created. On a secret that somebody edited nothing ends.
    """
    if not is_candidate(pat, of.secret, listing.at):
        return Standing.KEEP
    if (isinstance(of.secret, Unmarked) and of.secret.edited) or _is_edited(of.secret, listing.versions, of.mark):
        return Standing.HELD
    holding = [one for one in listing if one.names(pat.id) or _may_be_in(one, pat, listing, known)]
    if not holding:
        return Standing.OVER if of.managed else Standing.UNNAMED
    last = max(holding, key=lambda version: version.created)
    others = [version for version in listing if version not in holding]
    # Of versions of one second nobody can tell which came first: a certain successor goes before a tie. What no version
    # names may be what is current, unless the vault says that another one of that second is.
    ties = [
        one for one in others if one.created == last.created and (last.names(pat.id) or _is_current(one, of.secret))
    ]
    later = [one.created for one in others if one.created > last.created] or [one.created for one in ties]
    if not later:
        return Standing.KEEP if last.names(pat.id) else Standing.HELD
    if listing.at < min(min(later) + of.overlap, pat.validity.ends):
        return Standing.KEEP
    stays = not of.waits_for_nobody and left_with_consumer(pat.id, listing, of.given_first, holding)
    return Standing.WITH_CONSUMER if stays else Standing.OVER


def _is_current(version: VersionSeen, secret: Secret) -> bool:
    return isinstance(secret, Published) and version.names(secret.stamp.authorization_id)


def may_hold(version: VersionSeen, pat: Pat, known: Known) -> bool:
    """Whether a version may have been published with this PAT's value, whatever its tags say.

    Not if it is older than the PAT (the clocks of the two services may differ by minutes), and not if it names another
    PAT of the same name that is known and ends when the version does: patrol writes `validTo` as `expires_on`, so there
    are two witnesses.
    """
    if not _after(version, pat):
        return False
    stamp = version.stamp
    other = known.get(stamp.authorization_id) if stamp is not None and stamp.authorization_id != pat.id else None
    return not _explains(other, version.expires_on, pat)


def _explains(named: Pat | None, expires_on: datetime | None, pat: Pat) -> bool:
    """Whether what a version names is what it holds, and not `pat`: PATs of one run may all end in the same second."""
    if named is None or named.validity.ends != expires_on:
        return False
    return named.display_name.casefold() == pat.display_name.casefold()


def _may_be_in(version: VersionSeen, pat: Pat, listing: VersionListing, known: Known) -> bool:
    return may_hold(version, pat, known) or (_after(version, pat) and _again(version, listing))


def _again(version: VersionSeen, listing: Iterable[VersionSeen]) -> bool:
    """Whether an older version says the same of itself: a PAT explains one version, and facts put back none."""
    stamp = version.stamp
    return stamp is not None and any(
        other.created < version.created and other.names(stamp.authorization_id) for other in listing
    )


def unexplained(pat: Pat, listing: Iterable[VersionSeen], known: Known) -> tuple[Stamp, ...]:
    """What versions name that nobody has seen yet, and that would say whether they can hold `pat`."""
    stamps = [
        version.stamp
        for version in listing
        if version.stamp is not None and not version.names(pat.id) and may_hold(version, pat, known)
    ]
    return tuple(stamp for stamp in stamps if stamp.authorization_id not in known)


def held_by_current(
    created: datetime, expires_on: datetime | None, current: Pat | None, named: Iterable[PatId], ours: Iterable[Pat]
) -> Pat | None:
    """The live PAT that a current version may hold although its tags say something else; None: there is none.

    `current`: the PAT that the tags name, as Get showed it, dead or alive; None when it is not known at all. `named`:
    the predecessors. `ours`: live PATs with our mark for this very secret.
    """
    names = frozenset(named)
    suspects = [
        pat
        for pat in ours
        if pat.id not in names
        and created >= pat.validity.starts - MOST_SKEW
        and not _explains(current, expires_on, pat)
    ]
    return max(suspects, key=lambda pat: pat.validity.starts, default=None)


def _is_edited(secret: Secret, versions: tuple[VersionSeen, ...], mark: Mark) -> bool:
    """Whether a version that is not ours lies on top of ours. Versions of one second tie: the listing decides then."""
    newest = max((version.created for version in versions), default=None)
    on_top = [is_ours(version.tags, mark) for version in versions if version.created == newest]
    if all(on_top) or not any(is_ours(version.tags, mark) for version in versions):
        return False
    return not (any(on_top) and isinstance(secret, Published))
