"""Time by two clocks: the wall's, which somebody sets, and one that only runs (rules 2 and 15)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from shared.model.clock import Clock, Deadline, Moment, SystemClock, VaultTime
from shared.model.single_flight import ask_until

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
JUMPS = pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(0), timedelta(days=1)], ids=str)


@dataclass
class SetClock:
    """Runs when it sleeps; `wall` is set at will."""

    wall: datetime = NOON
    ran: timedelta = timedelta(0)

    def now(self) -> datetime:
        return self.wall

    def elapsed(self) -> timedelta:
        return self.ran

    def sleep(self, duration: timedelta) -> None:
        self.wall += duration
        self.ran += duration


@JUMPS
def test_rule_15_a_wall_clock_that_is_set_neither_ends_a_run_nor_stretches_it(jump: timedelta) -> None:
    clock = SetClock()
    deadline = Deadline.after(clock, 20 * MINUTE, grace=2 * MINUTE)
    clock.wall += jump
    clock.sleep(20 * MINUTE - timedelta(seconds=1))
    assert not deadline.passed()
    assert deadline.ahead() == timedelta(seconds=1)
    clock.sleep(timedelta(seconds=1))
    assert deadline.passed()
    assert deadline.left() == 2 * MINUTE, "what is under way may still end well"


@JUMPS
def test_rule_15_nobody_waits_for_a_turn_longer_or_shorter_because_a_clock_was_set(jump: timedelta) -> None:
    clock = SetClock()
    until = Deadline.after(clock, 20 * MINUTE).within(MINUTE)

    def ask() -> None:
        clock.wall += jump

    assert ask_until(clock, until, ask) is None
    assert clock.ran == MINUTE


def test_what_is_waited_for_never_outlasts_the_run() -> None:
    clock = SetClock()
    run = Deadline.after(clock, MINUTE)
    assert run.within(timedelta(hours=1)) == run
    assert run.within(timedelta(0)).passed()
    assert run.within(timedelta(0)).left() == run.grace


@pytest.mark.parametrize(
    ("wall", "ran", "age"),
    [
        (6 * MINUTE, 6 * MINUTE, 6 * MINUTE),
        (-60 * MINUTE, 6 * MINUTE, 6 * MINUTE),
        (6 * MINUTE, timedelta(0), 6 * MINUTE),
        (-60 * MINUTE, timedelta(0), timedelta(0)),
    ],
    ids=["both run", "the wall clock was set back", "the other stood still with its machine", "no time passed"],
)
def test_rule_2_how_long_ago_something_began_is_what_the_later_of_two_clocks_says(
    wall: timedelta, ran: timedelta, age: timedelta
) -> None:
    clock = SetClock()
    begun = Moment.now(clock)
    clock.wall += wall
    clock.ran += ran
    assert begun.age(clock) == age


def test_the_system_s_clock_runs_on_and_vault_time_runs_with_it() -> None:
    clock: Clock = SystemClock()
    before = clock.elapsed()
    clock.sleep(timedelta(milliseconds=1))
    assert before < clock.elapsed() <= VaultTime(clock, timedelta(hours=1)).elapsed()
