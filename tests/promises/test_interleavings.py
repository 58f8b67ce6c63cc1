"""Two runs of every two kinds on one secret, the second starting at every call of the first (rules 2, 4, 7, 8 and 13).

Values judge, after every call: what is published is live, what it replaced is for the whole overlap, what a consumer
has is; an emergency that says done has ended what leaked; and two runs later nothing is left over.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest

from tests.lab.consumers import SONARQUBE
from tests.lab.interleave import GAPS, Schedule, calls_alone, play
from tests.lab.moments import EMERGENCY, FORCE, KINDS, MOMENTS, QUEUED, SCHEDULED, Kind, Moment
from tests.lab.what_ran import TRIED

Count = Callable[[str, object], None]

AT_ONCE, SECONDS, LATE, TOO_LATE = GAPS
DUE = next(moment for moment in MOMENTS if moment.name == "due")
OVER = next(moment for moment in MOMENTS if moment.name == "over, with a consumer")
ENROLLED = next(moment for moment in MOMENTS if moment.enrolled)
DRAWN = 20_000


def every_call(
    moment: Moment,
    first: Kind,
    second: Kind,
    gaps: Iterable[timedelta],
    *,
    leases: bool = False,
    killed: Iterable[str] = ("",),
) -> Iterable[Schedule]:
    """The second starts at every call of the first and runs to its end."""
    for at in range(1, calls_alone(moment, first, second, leases=leases) + 1):
        for gap in gaps:
            for who in killed:
                yield Schedule(at, None, gap, leases, who)


def play_all(moment: Moment, first: Kind, second: Kind, schedules: Iterable[Schedule]) -> int:
    """How many were played."""
    many = 0
    for schedule in schedules:
        try:
            play(moment, first, second, schedule)
        except AssertionError as broken:
            raise AssertionError(f"{first} and {second}, {moment}, {schedule}: {broken}") from broken
        many += 1
    return many


def play_killed_or_not(
    moment: Moment, first: Kind, seconds: Iterable[Kind], gaps: Iterable[timedelta], *, leases: bool
) -> int:
    """With each of `seconds`, once with the first killed where the second begins; how many were played."""
    gaps = tuple(gaps)
    return sum(
        play_all(moment, first, second, every_call(moment, first, second, gaps, leases=leases, killed=("", "first")))
        for second in seconds
    )


@pytest.mark.parametrize("first", KINDS, ids=str)
def test_promises_1_2_3_and_4_two_runs_at_one_moment(first: Kind, record_property: Count) -> None:
    many = sum(play_all(DUE, first, second, every_call(DUE, first, second, [AT_ONCE])) for second in KINDS)
    assert many > 80
    record_property(f"{TRIED}schedules of two runs", many)


@pytest.mark.parametrize("first", [SCHEDULED, FORCE, EMERGENCY], ids=str)
def test_promise_1_a_consumer_s_copy_lives_while_two_runs_meet(first: Kind, record_property: Count) -> None:
    seconds = (SCHEDULED, FORCE, EMERGENCY)
    many = sum(play_all(OVER, first, second, every_call(OVER, first, second, [LATE])) for second in seconds)
    assert many > 20
    record_property(f"{TRIED}schedules of two runs", many)


@pytest.mark.parametrize("leases", [False, True], ids=["no leases", "leases"])
@pytest.mark.parametrize("second", [SCHEDULED, QUEUED, EMERGENCY], ids=str)
def test_rule_16_two_runs_that_redeem_one_refresh_token_at_one_moment(
    second: Kind, leases: bool, record_property: Count
) -> None:
    """Also between redeeming and keeping what came of it; and where the first one is killed there."""
    schedules = every_call(ENROLLED, SCHEDULED, second, [AT_ONCE], leases=leases, killed=("", "first"))
    record_property(f"{TRIED}schedules of two runs", play_all(ENROLLED, SCHEDULED, second, schedules))


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", KINDS, ids=str)
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_promises_1_2_3_and_4_two_runs_minutes_apart(moment: Moment, first: Kind, record_property: Count) -> None:
    """That the second comes over the queue is how it begins; how a user signs in, or another kind of consumer takes a
    value, knows no kind of run: there it is the one that minds others most, and the one that minds them least.
    """
    whole = not moment.enrolled and moment.then in ((), (SONARQUBE,))
    seconds = tuple(kind for kind in KINDS if not kind.queued) if whole else (SCHEDULED, EMERGENCY)
    many = sum(play_all(moment, first, second, every_call(moment, first, second, [LATE])) for second in seconds)
    record_property(f"{TRIED}schedules of two runs", many)


@pytest.mark.chaos
@pytest.mark.parametrize("leases", [False, True], ids=["no leases", "leases"])
@pytest.mark.parametrize("first", KINDS, ids=str)
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_promises_1_2_3_and_4_two_runs_and_the_first_is_killed(
    moment: Moment, first: Kind, leases: bool, record_property: Count
) -> None:
    record_property(f"{TRIED}schedules of two runs", play_killed_or_not(moment, first, KINDS, GAPS, leases=leases))


@pytest.mark.chaos
@pytest.mark.parametrize("leases", [False, True], ids=["no leases", "leases"])
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_promises_1_2_3_and_4_two_runs_that_take_turns_and_either_is_killed(
    moment: Moment, leases: bool, record_property: Count
) -> None:
    """Of the product of both runs' calls some thousand schedules, others each time."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    many = DRAWN // len(MOMENTS) // 2
    calls = {(first, second): calls_alone(moment, first, second, leases=leases) for first in KINDS for second in KINDS}
    for _ in range(many):
        first, second = chance.choice(KINDS), chance.choice(KINDS)
        schedule = Schedule(
            chance.randint(1, calls[first, second]),
            chance.randint(1, calls[second, first]),
            chance.choice(GAPS),
            leases,
            chance.choice(("", "second")),
        )
        play_all(moment, first, second, [schedule])
    record_property(f"{TRIED}schedules of two runs", many)
