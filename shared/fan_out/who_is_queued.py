"""Who is queued: pure decisions of the dispatcher (docs/performance.md says when it takes over from one machine)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.fan_out.queue_message import MOST_NAMES, ORGANIZATION
from shared.model.items import Inventory, Item, User
from shared.model.secret_state import Secret, Seen
from shared.model.steps import Step
from shared.report.order import MOST_ORGANIZATIONS
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
        """What the plan says of it with nobody signed in."""
        return cls(item, secret, plan(item, Seen(secret), now))


def has_work(planned: Iterable[PlannedItem], now: datetime) -> bool:
    """Whether a user gets a message although it is not time for its full look."""
    return not all(rests(of.item, of.secret, of.step, now) for of in planned)


def by_user(inventory: Inventory, wanted: Container[str]) -> list[tuple[User, tuple[str, ...]]]:
    """The items at the places wanted by the user they belong to, split so that each part fits into one message.

    Elsewhere than in the vault of KEY_VAULT_URL their names have the vault's label before them.
    """
    parts = []
    for user in inventory.users:
        mine = [item.vault.written(item.secret) for item in user.items if item.place in wanted]
        parts += [(user, part) for part in _split(mine)]
    return parts


def elsewhere(user: User, minted_in: Iterable[str], others: Iterable[str], now: datetime) -> tuple[str, ...]:
    """Organizations to look in besides those of the user's items: where its current PATs are, and `others`.

    Tags are for anyone to write who may write secrets: what cannot be an organization's name is left out. Of more
    `others` than an order takes, each day has its own, in turns.
    """
    own = {item.organization.casefold() for item in user.items}
    first = _without(own, minted_in)[:MOST_ORGANIZATIONS]
    rest = _without(own | {name.casefold() for name in first}, others)
    room = MOST_ORGANIZATIONS - len(first)
    if len(rest) > room:
        begin = (now.toordinal() * room) % len(rest)
        rest = [*rest[begin:], *rest[:begin]][:room]
    return (*first, *rest)


def _without(taken: Container[str], names: Iterable[str]) -> list[str]:
    """What can be an organization's name and is not `taken`, each once, in an order that all machines agree on."""
    found = {name.casefold(): name for name in sorted(names, reverse=True) if ORGANIZATION.fullmatch(name)}
    return [found[key] for key in sorted(found) if key not in taken]


def _split(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(names[first : first + MOST_NAMES]) for first in range(0, len(names), MOST_NAMES)]
