"""Time as an argument: rules take `now`, what does things takes a `Clock`, read at each step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


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


@dataclass(frozen=True, slots=True)
class VaultTime:
    """A clock that shows the vault's time, so that what is compared with `created` is read off the same clock."""

    clock: Clock
    ahead: timedelta

    def now(self) -> datetime:
        return self.clock.now() + self.ahead

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
