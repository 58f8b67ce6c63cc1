"""The rules about earlier PATs of an item: how long an overlap lasts, what may be ended, what is an orphan.

Pure, as planning.py is. Rules are numbered as in docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from shared.model.items import CONTENT_TYPE, Item, Pat, PatId, SonarQube, VersionSeen, whole_seconds
from shared.model.secret_state import Nothing, Published, Secret, is_ours
from shared.model.tags import MOST_PREDECESSORS, Mark, Predecessor, fitting, read

# A PAT younger than this may still be on its way into the vault: publishing is allowed for 5 minutes after minting.
ORPHAN_AGE = timedelta(hours=2)


def retire_at(item: Item, ends: datetime | None, now: datetime) -> datetime:
    """When the overlap of the PAT that is current until `now` ends: at its own expiry at the latest (rule 6)."""
    over = now + item.overlap
    return whole_seconds(min(over, ends) if ends else over)


def overlap_end(one: Predecessor, secret: Published, item: Item | None) -> datetime:
    """When a predecessor's overlap is over: never before its successor has been current for the whole of it.

    The tag is written before the vault stamps `created`; what lies between the two is given back here. An end at or
    before `created` was an emergency's: at once.
    """
    newest = max((other.retire_at for other in secret.stamp.predecessors), default=one.retire_at)
    if item is None or one.retire_at < newest or ends_at_once(one, secret):
        return one.retire_at
    return max(one.retire_at, secret.created + item.overlap)


def ends_at_once(one: Predecessor, secret: Published) -> bool:
    """Whether an emergency wrote this predecessor: its versions are disabled too (rule 8)."""
    return one.retire_at <= secret.created


def owes_push(item: Item, secret: Secret) -> bool:
    """Whether the item's consumer has not taken the current value yet: another consumer's name is none of its own."""
    return item.then is not None and isinstance(secret, Published) and secret.stamp.pushed_to != pushed_to(item.then)


def pushed_to(consumer: SonarQube) -> str:
    """The tag `pushed-to` once this consumer has taken the value."""
    return fitting(f"sonarqube {consumer.url} {consumer.alm_setting}")


def waits_for_consumer(one: Predecessor, secret: Published, item: Item | None) -> bool:
    """Whether a predecessor lives on until the item's consumer has the current value: not in an emergency (rule 8)."""
    return item is not None and item.then is not None and not ends_at_once(one, secret)


def generations(first: Predecessor | None, known: Iterable[Predecessor], current: PatId) -> tuple[Predecessor, ...]:
    """The `predecessors` tag of a new version: the newest three, never the current one (rules 7 and 9).

    One that no longer fits is found again by rule 4: an older version names it.
    """
    by_id = {one.id: one for one in known}
    if first is not None:
        by_id[first.id] = first
    by_id.pop(current, None)
    return tuple(sorted(by_id.values(), key=lambda one: (one.retire_at, one.id), reverse=True)[:MOST_PREDECESSORS])


class Fate(StrEnum):
    """What becomes of an id in the tag `predecessors`."""

    KEEP = "keep"
    REVOKE = "revoke"
    FORGET = "forget"
    LOOK = "look"
    STRANGER = "stranger"


def fate(
    one: Predecessor, secret: Published, listed: Pat | None, item: Item | None, owner: str, mark: Mark, now: datetime
) -> Fate:
    """Decide on one predecessor of the secret named `owner`.

    Only our mark for this very secret, or `adopt`, lets a PAT be ended (rule 7). LOOK: it is not listed, which proves
    nothing yet (rule 5).
    """
    if one.id == secret.stamp.authorization_id:
        return Fate.FORGET
    if listed is None:
        return Fate.LOOK
    named = item is not None and item.adopt == one.id
    if mark.secret_of(listed.display_name) != owner.casefold() and not named:
        return Fate.STRANGER
    return Fate.REVOKE if now >= overlap_end(one, secret, item) else Fate.KEEP


def is_orphan_candidate(pat: Pat, secret: Secret, now: datetime) -> bool:
    """A live PAT with our mark that the current version does not name, old enough to judge (rule 4)."""
    if isinstance(secret, Published):
        named = {secret.stamp.authorization_id, *(one.id for one in secret.stamp.predecessors)}
        if pat.id in named:
            return False
    # A deleted secret may be recovered, and its PAT is in use meanwhile; where nobody can tell, neither is it ended.
    if isinstance(secret, Nothing) and secret.deleted is not False:
        return False
    return now - pat.validity.starts >= ORPHAN_AGE


def orphan_over(
    pat: Pat, secret: Secret, versions: Iterable[VersionSeen], overlap: timedelta, mark: Mark, now: datetime
) -> bool:
    """Whether an orphan candidate may be revoked, judged by all versions of its secret (rule 4).

    Named by an older version it is a predecessor: its overlap began when the next version was created. Named by the
    newest, or on a secret that somebody edited, it is left alone.
    """
    known = list(versions)
    if _is_edited(secret, known, mark):
        return False
    naming = [version for version in known if _names(version, pat.id) or _may_hold(version, pat)]
    if not naming:
        return True
    last = max(naming, key=lambda version: version.created)
    others = [version.created for version in known if version.version != last.version]
    # Of versions of one second nobody can tell which came first: a certain successor goes before a tie.
    later = [at for at in others if at > last.created] or [at for at in others if at == last.created]
    return bool(later) and now >= min(min(later) + overlap, pat.validity.ends)


def _is_edited(secret: Secret, versions: list[VersionSeen], mark: Mark) -> bool:
    """Whether a version that is not ours lies on top of ours. Versions of one second tie: the listing decides then."""
    newest = max((version.created for version in versions), default=None)
    on_top = [is_ours(version.tags, mark) for version in versions if version.created == newest]
    if all(on_top) or not any(is_ours(version.tags, mark) for version in versions):
        return False
    return not (any(on_top) and isinstance(secret, Published))


def _may_hold(version: VersionSeen, pat: Pat) -> bool:
    """Whether a version of ours that lost its tags may have been published with this PAT."""
    lost = version.content_type == CONTENT_TYPE and read(version.tags) is None
    return lost and pat.validity.starts <= version.created


def _names(version: VersionSeen, pat: PatId) -> bool:
    stamp = read(version.tags)
    return stamp is not None and stamp.authorization_id == pat
