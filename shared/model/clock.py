"""Time as an argument: rules take `now`, what does things takes a `Clock`, read at each step."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

from shared.model.errors import Code, Misconfigured


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def elapsed(self) -> timedelta:
        """Since some moment, whatever the wall clock is set to meanwhile: what a duration is measured by."""
        ...

    def sleep(self, duration: timedelta) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> timedelta:
        # Linux has a clock that counts while the machine sleeps as well: a process that was suspended must notice.
        clock = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC
        return timedelta(seconds=time.clock_gettime(clock))

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

    def elapsed(self) -> timedelta:
        return self.clock.elapsed()

    def sleep(self, duration: timedelta) -> None:
        self.clock.sleep(duration)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was begun, by both clocks of this machine."""

    at: datetime
    elapsed: timedelta

    @classmethod
    def now(cls, clock: Clock) -> Moment:
        return cls(clock.now(), clock.elapsed())

    def age(self, clock: Clock) -> timedelta:
        """By the one that says more: a wall clock may be set back, and the other may stand still with the machine."""
        return max(clock.now() - self.at, clock.elapsed() - self.elapsed)


GRACE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a run stops starting work; what is under way then has `grace` to end well.

    `at`: by `clock.elapsed()`, so that a wall clock that is set neither ends a run nor stretches it.
    """

    clock: Clock
    at: timedelta
    grace: timedelta = GRACE

    @classmethod
    def after(cls, clock: Clock, budget: timedelta, grace: timedelta = GRACE) -> Deadline:
        return cls(clock, clock.elapsed() + budget, grace)

    def within(self, longest: timedelta) -> Deadline:
        """The same, or `longest` from now if that is sooner."""
        return replace(self, at=min(self.at, self.clock.elapsed() + longest))

    def ahead(self) -> timedelta:
        """How long until nothing new may be started; negative once that is so."""
        return self.at - self.clock.elapsed()

    def passed(self) -> bool:
        """Whether nothing new may be started."""
        return self.ahead() <= timedelta(0)

    def left(self) -> timedelta:
        """What a call that is under way may still take."""
        return self.ahead() + self.grace


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


def is_skewed(ahead: timedelta) -> bool:
    """Whether this machine's clock differs too much from a vault's."""
    return abs(ahead) > MOST_SKEW


def check_clock(ahead: timedelta) -> None:
    """Stop a machine with a wrong clock before it rotates the estate (rule 15). Raises Misconfigured.

    `ahead`: the vault's clock minus ours.
    """
    if is_skewed(ahead):
        minutes = round(abs(ahead).total_seconds() / 60)
        much = f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
        side = "behind" if ahead > timedelta(0) else "ahead of"
        raise Misconfigured(
            Code.CLOCK_SKEW,
            f"This machine's clock is {much} {side} Key Vault's; nothing was attempted.",
            "Set the clock (time synchronisation), then run again.",
        )
