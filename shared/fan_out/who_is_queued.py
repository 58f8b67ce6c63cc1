"""Who is queued: pure decisions of the dispatcher (docs/performance.md says when it takes over from one machine)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.fan_out.queue_message import MOST_NAMES, ORGANIZATION
from shared.model.items import Inventory, Item, User
from shared.model.secret_state import Secret, Seen
from shared.model.steps import Step
from shared.report.kept_run import MOST_ORGANIZATIONS
from shared.rules.full_look import look_is_due
from shared.rules.plan import plan, rests

WORTH_WHILE = timedelta(hours=4)
"""How long a message may wait: later, another run has looked at its user again."""


def above(users: int, fan_out_above: int | None) -> bool:
    """Whether the queue takes over; `fan_out_above` None: never."""
    return fan_out_above is not None and users > fan_out_above


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One item as the vault's listing alone shows it."""

    item: Item
    secret: Secret
    step: Step

    @classmethod
    def of(cls, item: Item, secret: Secret, now: datetime) -> PlannedItem:
        return cls(item, secret, plan(item, Seen(secret), now))


def is_queued(
    user: User, planned: Iterable[PlannedItem], minted: bool, last_look: datetime | None, now: datetime
) -> bool:
    """Whether the user gets a message. `minted`: tags in the vault say that the user has PATs of ours."""
    if not all(rests(of.item, of.secret, of.step, now) for of in planned):
        return True
    return (bool(user.items) or minted) and look_is_due(user.username, last_look, now)


def by_user(inventory: Inventory, names: Iterable[str]) -> list[tuple[User, tuple[str, ...]]]:
    """The named items by the user they belong to, split so that each part fits into one message."""
    wanted = {name.casefold() for name in names}
    parts = []
    for user in inventory.users:
        mine = [item.secret for item in user.items if item.key in wanted]
        parts += [(user, part) for part in _split(mine)]
    return parts


def elsewhere(user: User, minted_in: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Organizations in which the user minted what is current, and in which none of its items is.

    Tags are for anyone to write who may write secrets: what cannot be an organization's name is left out.
    """
    own = {item.organization.casefold() for item in user.items}
    found = (name for name in minted_in.get(user.key, ()) if ORGANIZATION.fullmatch(name))
    return tuple(name for name in found if name.casefold() not in own)[:MOST_ORGANIZATIONS]


def _split(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(names[first : first + MOST_NAMES]) for first in range(0, len(names), MOST_NAMES)]
