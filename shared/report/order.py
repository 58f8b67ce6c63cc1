"""What a run over the queue asks of each of its messages, and how that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.model.clock import instant, read_instant

MOST_ORGANIZATIONS = 100
"""Each costs a listing with the user's own rate."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one of `of` messages of a run is to do, as whoever planned the run wrote it down: the message points to it.

    `names`: only these secrets of the user; None: whatever is due. `organizations`: where else to look for PATs of the
    user. `full_look`: it is the user's daily full look (rule 13). `deadline`: after it the work is left.
    """

    username: str
    deadline: datetime
    of: int = 1
    names: tuple[str, ...] | None = None
    force: bool = False
    dry_run: bool = False
    published_before: datetime | None = None
    organizations: tuple[str, ...] = ()
    full_look: bool = False

    def __post_init__(self) -> None:
        if self.force and (self.names is None or self.published_before is None):
            raise ValueError("what is forced has names and an instant: delivered twice it would rotate twice (rule 8)")
        if len(self.organizations) > MOST_ORGANIZATIONS:
            raise ValueError(f"an order has {MOST_ORGANIZATIONS} organizations at most")


def order_json(order: Order) -> dict[str, object]:
    """What a message is to do, as it is kept."""
    return {
        "username": order.username,
        "deadline": instant(order.deadline),
        "of": order.of,
        "secrets": None if order.names is None else list(order.names),
        "force": order.force,
        "dry_run": order.dry_run,
        # To the microsecond: whole seconds would be an earlier instant.
        "published_before": None if order.published_before is None else order.published_before.isoformat(),
        "organizations": list(order.organizations),
        "full_look": order.full_look,
    }


def read_order(found: Mapping[str, Any]) -> Order:
    """What `order_json` made. Raises KeyError, TypeError or ValueError for anything else."""
    deadline = read_instant(found["deadline"])
    if deadline is None:
        raise ValueError("an order has a deadline")
    return Order(
        username=found["username"],
        deadline=deadline,
        of=found["of"],
        names=None if found["secrets"] is None else tuple(found["secrets"]),
        force=found["force"],
        dry_run=found["dry_run"],
        published_before=read_instant(found["published_before"]),
        organizations=tuple(found["organizations"]),
        # Of an older version's order it cannot be told, so the next run looks.
        full_look=found.get("full_look") is True,
    )
