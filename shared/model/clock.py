"""Time as an argument: rules take `now`, what does things takes a `Clock`, read at each step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

from shared.model.errors import Code, Misconfigured


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def sleep(self, duration: timedelta) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, duration: timedelta) -> None:
        time.sleep(max(0.0, duration.total_seconds()))


VaultInstant = NewType("VaultInstant", datetime)
"""Aware UTC by the vault's clock, as `created` is: this machine's clock may differ, and may step during a run."""


@dataclass(frozen=True, slots=True)
class VaultTime:
    """A clock that shows the vault's time, so that what is compared with `created` is read off the same clock."""

    clock: Clock
    ahead: timedelta

    def now(self) -> VaultInstant:
        return VaultInstant(self.clock.now() + self.ahead)

    def sleep(self, duration: timedelta) -> None:
        self.clock.sleep(duration)


GRACE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a run stops starting work; what is under way then has `grace` to end well.

    Wall clock: a process that was suspended must notice.
    """

    clock: Clock
    at: datetime
    grace: timedelta = GRACE

    @classmethod
    def after(cls, clock: Clock, budget: timedelta, grace: timedelta = GRACE) -> Deadline:
        return cls(clock, clock.now() + budget, grace)

    def passed(self) -> bool:
        """Whether nothing new may be started."""
        return self.clock.now() >= self.at

    def left(self) -> timedelta:
        """What a call that is under way may still take."""
        return self.at + self.grace - self.clock.now()


def whole_seconds(instant: datetime) -> datetime:
    """Cut to whole seconds, in UTC: Key Vault keeps no finer ones, Azure DevOps rounds to 1/300 s."""
    return instant.astimezone(UTC).replace(microsecond=0)


def instant(at: datetime | None) -> str | None:
    """As a report, an answer and a log write it: ISO 8601 in UTC with `Z`, whole seconds; None stays None."""
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def read_instant(text: str | None) -> datetime | None:
    """What `instant` wrote. Raises ValueError for anything else."""
    return None if text is None else datetime.fromisoformat(text)


MOST_SKEW = timedelta(minutes=5)


def check_clock(ahead: timedelta) -> None:
    """Stop a machine with a wrong clock before it rotates the estate (rule 15). Raises Misconfigured.

    `ahead`: the vault's clock minus ours.
    """
    if abs(ahead) > MOST_SKEW:
        minutes = round(abs(ahead).total_seconds() / 60)
        side = "behind" if ahead > timedelta(0) else "ahead of"
        raise Misconfigured(
            Code.CLOCK_SKEW,
            f"This machine's clock is {minutes} minutes {side} Key Vault's; nothing was attempted.",
            "Set the clock (time synchronisation), then run again.",
        )
