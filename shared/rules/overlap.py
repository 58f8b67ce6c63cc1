"""The rules about earlier PATs of an item: how long an overlap lasts, what may be ended, what is an orphan.

Pure, as planning.py is. Rules are numbered as in docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from shared.model.clock import whole_seconds
from shared.model.items import Item, SonarQube
from shared.model.pats import Pat, PatId
from shared.model.secret_state import Published, Secret
from shared.model.tags import MOST_PREDECESSORS, Mark, Predecessor, fitting


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
