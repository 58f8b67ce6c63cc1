"""What runs that meet are asked for, and what they find (tests/lab/interleave.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.lab.consumers import KINDS as CONSUMERS
from tests.lab.consumers import SERVICE_CONNECTION, SONARQUBE, WEBHOOK
from tests.lab.consumers import Kind as Consumer
from tests.lab.lab import Lab, days, hours

SECRET = "build-pat"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a runner is asked for. `keys`: what its pats.yaml says of the item; `moved`: it names another user;
    `then`: it names these consumers instead of the moment's.
    """

    name: str
    asks: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    queued: bool = False
    moved: bool = False
    then: tuple[Consumer, ...] = ()

    def __str__(self) -> str:
        return self.name


SCHEDULED = Kind("scheduled")
QUEUED = Kind("queued", queued=True)
FORCE = Kind("force", {"force": True})
QUEUED_FORCE = Kind("queued force", {"force": True}, queued=True)
EMERGENCY = Kind("emergency", {"emergency": True})
REVOKE_FIRST = Kind("revoke first", {"emergency": True, "revoke_first": True})
RENEW = Kind("renew", keys={"strategy": "renew"})
DECOMMISSION = Kind("decommission", keys={"decommission": True})
MOVED = Kind("another user", moved=True)
TAKE_BACK = Kind("take back", {"force": True, "adopt": True})
KINDS = (
    SCHEDULED,
    QUEUED,
    FORCE,
    QUEUED_FORCE,
    EMERGENCY,
    REVOKE_FIRST,
    RENEW,
    DECOMMISSION,
    MOVED,
    TAKE_BACK,
)

LESS = Kind("one consumer less", then=(SERVICE_CONNECTION, WEBHOOK))
ALONE = Kind("one consumer alone", then=(WEBHOOK,))
EMERGENCY_LESS = Kind("emergency, one consumer less", {"emergency": True}, then=LESS.then)
OF_LISTS = (SCHEDULED, QUEUED, FORCE, EMERGENCY, REVOKE_FIRST, RENEW, LESS, ALONE, EMERGENCY_LESS)
"""Of an item with several consumers."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the runners find. `then`: the kinds of consumers that have a copy; `refuses`: which of them takes nothing
    while they meet; `enrolled`: nobody has a password.
    """

    name: str
    make: Callable[[Lab], None] = lambda _: None
    then: tuple[Consumer, ...] = ()
    refuses: Consumer | None = None
    enrolled: bool = False

    def __str__(self) -> str:
        return self.name


def _due(lab: Lab) -> None:
    lab.run()
    lab.wait(days(24))


def _in_overlap(lab: Lab) -> None:
    _due(lab)
    lab.run()
    lab.wait(hours(3))


def _over(lab: Lab) -> None:
    _due(lab)
    lab.run()
    lab.wait(hours(25))


def _gone(lab: Lab) -> None:
    lab.run()
    lab.wait(days(3))
    lab.cloud.pats.revoke_as_person(lab.live(SECRET)[0].authorization_id)


def _edited(lab: Lab) -> None:
    """A tool wrote the same value again, without tags."""
    lab.run()
    lab.wait(days(3))
    lab.vault.set_secret(SECRET, lab.current(SECRET).value)
    lab.wait(hours(1))


MOMENTS = (
    Moment("nothing"),
    Moment("due", _due),
    Moment("in overlap", _in_overlap),
    Moment("over", _over),
    Moment("gone", _gone),
    Moment("edited", _edited),
    Moment("due, with a consumer", _due, then=(SONARQUBE,)),
    Moment("over, with a consumer", _over, then=(SONARQUBE,)),
    Moment("over, with a service connection", _over, then=(SERVICE_CONNECTION,)),
    Moment("over, with a webhook", _over, then=(WEBHOOK,)),
    Moment("due, enrolled", _due, enrolled=True),
)
LISTS = (
    Moment("due, with three consumers", _due, then=CONSUMERS),
    Moment("over, with three consumers", _over, then=CONSUMERS),
    *(Moment(f"over, and {one} of three refuses", _over, then=CONSUMERS, refuses=one) for one in CONSUMERS),
)
"""With a list of consumers of every kind."""
