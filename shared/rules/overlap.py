"""The rules about earlier PATs of an item: how long an overlap lasts, and what becomes of each.

Pure, as plan.py is. Rules are numbered as in docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.model.clock import whole_seconds
from shared.model.consumers import Consumer, Taker, has_taken, keeps_copy, taker, takers
from shared.model.items import Item
from shared.model.pats import Minted, Pat, PatId
from shared.model.secret_state import Published, Secret, VersionSeen
from shared.model.steps import Because
from shared.model.tags import MOST_PREDECESSORS, Mark, Predecessor, Stamp, scopes_text


def retire_at(item: Item, ends: datetime | None, now: datetime) -> datetime:
    """When the overlap of the PAT that is current until `now` ends: at its own expiry at the latest (rule 6)."""
    over = now + item.overlap
    return whole_seconds(min(over, ends) if ends else over)


def overlap_end(predecessor: Predecessor, secret: Published, overlap: timedelta) -> datetime:
    """When a predecessor's overlap is over: never before its successor has been current for the whole of it.

    The tag is written before the vault stamps `created`, and the network may deliver a write hours later: the overlap
    of the PAT that was current last counts from the vault's word. An emergency's is over at once, because it says so.
    """
    newest = max((other.retire_at for other in secret.stamp.predecessors), default=predecessor.retire_at)
    if predecessor.at_once or predecessor.retire_at < newest:
        return predecessor.retire_at
    return max(predecessor.retire_at, secret.created + overlap)


def may_be_held_until(item: Item, secret: Published, now: datetime) -> datetime | None:
    """Until when the predecessor that ends first may be held for its readers at most (rule 18); None: nobody holds it.

    By the vault alone, which names no reader: whether somebody does is the run's to find out.
    """
    ends = [(overlap_end(old, secret, item.overlap), old.at_once) for old in secret.stamp.predecessors]
    over, at_once = min(ends, default=(now, True))
    until = over + item.hold_for_readers
    return None if at_once or until <= max(over, now) else until


def overlap_of(item: Item | None, secret: Published, current: Pat | None, default: timedelta) -> timedelta:
    """How long the overlap lasts. Of a secret that left pats.yaml what was promised when its current PAT was made."""
    if item is not None:
        return item.overlap
    if current is None:
        return default
    promised = [predecessor.retire_at - current.validity.starts for predecessor in secret.stamp.predecessors]
    return max([default, *promised])


def owes_push(item: Item, secret: Secret) -> bool:
    """Whether a consumer of the item has not taken the current value yet."""
    return bool(owed(item, secret))


def owed(item: Item, secret: Secret) -> tuple[Consumer, ...]:
    """The item's consumers that have not taken the current value yet: another consumer's name is none of their own.

    A decommissioned item owes nothing: nobody is to use its value, and its secret is disabled.
    """
    if item.decommission or not isinstance(secret, Published):
        return ()
    return tuple(to for to in item.then if not has_taken(secret.stamp.pushed_to, to))


def given_first(item: Item | None) -> frozenset[Taker]:
    """Who is given the current value before anything of the item ends."""
    return frozenset() if item is None else frozenset(taker(to) for to in item.then)


def waits_for_consumers(predecessor: Predecessor, item: Item | None) -> bool:
    """Whether a predecessor lives until the item's consumers have the current value: not in an emergency (rule 8)."""
    return item is not None and bool(item.then) and not predecessor.at_once


def left_with_consumer(
    pat: PatId, versions: Iterable[VersionSeen], given_first: frozenset[Taker], holding: Iterable[VersionSeen] = ()
) -> bool:
    """Whether a consumer that is none of `given_first` was given this PAT and nothing newer, by all versions.

    `holding`: the versions that may hold it, whatever id they say; tags that somebody took off one may have said so. Of
    a secret that no version says was ever given to one, none is believed.
    """
    held = tuple(holding)
    stamped = [(version, takers(version.stamp.pushed_to)) for version in versions if version.stamp is not None]
    stray = {one for _, named in stamped for one in named if keeps_copy(one)} - given_first
    last = {one: max(version.created for version, named in stamped if one in named) for one in stray}
    holders = [(version, named) for version, named in stamped if version.names(pat) or version in held]
    if any(last[one] == version.created for version, named in holders for one in named & stray):
        return True
    return any(version.stamp is None and version.created > at for version in held for at in last.values())


def stays_with_consumer(
    predecessor: Predecessor, secret: Published, versions: Iterable[VersionSeen], item: Item | None
) -> bool:
    """The same of a predecessor that a consumer was given. Where its version's tags were taken off nobody can tell
    which one: then something newer, given to any, is what counts.
    """
    listed, first = tuple(versions), given_first(item)
    if not any(version.names(predecessor.id) for version in listed):
        return not first and not secret.stamp.pushed_to
    return left_with_consumer(predecessor.id, listed, first)


def stamp_after(
    item: Item,
    because: Because,
    minted: Minted,
    secret: Secret,
    old: Pat | None,
    now: datetime,
    mark: Mark,
    *,
    given: bool = False,
) -> Stamp:
    """Our facts on the version that publishes `minted`. `old`: the live PAT it succeeds; `now` in vault time; `given`:
    a consumer has taken `old`, also where `secret` does not say so.
    """
    earlier: tuple[Predecessor, ...] = ()
    if isinstance(secret, Published):
        # From here on another PAT's overlap counts from `created`: what counted until now is written down.
        earlier = tuple(_settled(predecessor, secret, item) for predecessor in secret.stamp.predecessors)
    given = given or (isinstance(secret, Published) and any(map(keeps_copy, takers(secret.stamp.pushed_to))))
    first = None
    if old is not None:
        first = Predecessor(old.id, retire_at(item, old.validity.ends, now), pushed=given)
    elif isinstance(secret, Published) and because in (Because.USER_CHANGED, Because.ORGANIZATION_CHANGED):
        # The old owner's listing was not read: the PAT is taken to live until its owner's listing says otherwise.
        first = Predecessor(secret.stamp.authorization_id, retire_at(item, secret.expires_on, now), pushed=given)
    elif isinstance(secret, Published) and because is Because.EMERGENCY:
        # Its owner's listing was not read either, and what leaked must not drop out of sight.
        first = Predecessor(secret.stamp.authorization_id, whole_seconds(now), pushed=given)
    if because is Because.EMERGENCY:
        first = first and _at_once(first, now)
        earlier = tuple(_at_once(predecessor, now) for predecessor in earlier)
    return Stamp(
        managed_by=mark.text,
        authorization_id=minted.pat.id,
        organization=item.organization,
        organization_id=minted.pat.organization_id or "",
        username=item.username,
        scopes=scopes_text(item.scopes),
        predecessors=generations(first, earlier, minted.pat.id),
    )


def _settled(predecessor: Predecessor, secret: Published, item: Item) -> Predecessor:
    return replace(predecessor, retire_at=whole_seconds(overlap_end(predecessor, secret, item.overlap)))


def _at_once(predecessor: Predecessor, now: datetime) -> Predecessor:
    return replace(predecessor, retire_at=min(predecessor.retire_at, whole_seconds(now)), at_once=True)


def generations(first: Predecessor | None, earlier: Iterable[Predecessor], current: PatId) -> tuple[Predecessor, ...]:
    """The `predecessors` tag of a new version: the one it succeeds, then the newest, three in all (rule 7).

    Never the current one (rule 9). One that no longer fits is found again by rule 4: an older version names it.
    """
    by_id = {predecessor.id: predecessor for predecessor in earlier}
    if first is not None:
        by_id.pop(first.id, None)
    by_id.pop(current, None)
    newest = sorted(by_id.values(), key=lambda predecessor: (predecessor.retire_at, predecessor.id), reverse=True)
    own = [first] if first is not None and first.id != current else []
    return tuple([*own, *newest][:MOST_PREDECESSORS])


class Fate(StrEnum):
    """What becomes of an id in the tag `predecessors`."""

    KEEP = "keep"
    REVOKE = "revoke"
    FORGET = "forget"
    LOOK = "look"
    STRANGER = "stranger"
    PUSHED = "pushed"


def fate(
    predecessor: Predecessor,
    secret: Published,
    listed: Pat | None,
    item: Item | None,
    name: str,
    mark: Mark,
    overlap: timedelta,
    now: datetime,
) -> Fate:
    """Decide on one predecessor of the secret `name`, whose overlap lasts `overlap`.

    Only our mark for this very secret, or `adopt`, lets a PAT be ended (rule 7). LOOK: it is not listed, which proves
    nothing yet (rule 5). PUSHED: over as well, and a consumer was given it: the versions tell whether that one has
    nothing newer and pats.yaml no longer says how to give it the current value.
    """
    if predecessor.id == secret.stamp.authorization_id:
        return Fate.FORGET
    if listed is None:
        return Fate.LOOK
    named = item is not None and item.adopt == predecessor.id
    if mark.secret_of(listed.display_name) != name.casefold() and not named:
        return Fate.STRANGER
    if now < overlap_end(predecessor, secret, overlap):
        return Fate.KEEP
    return Fate.PUSHED if predecessor.pushed and not predecessor.at_once else Fate.REVOKE
