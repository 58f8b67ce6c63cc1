"""Two runs at one moment on an item with a consumer of another kind, or with three: what they use lives (promise 1)."""

from __future__ import annotations

import pytest

from tests.lab.moments import EMERGENCY, FORCE, LESS, LISTS, MOMENTS, OF_LISTS, SCHEDULED, Kind, Moment
from tests.lab.what_ran import TRIED
from tests.promises.test_interleavings import AT_ONCE, LATE, Count, every_call, play_all, play_killed_or_not

OTHERS = [moment for moment in MOMENTS if moment.name in ("over, with a service connection", "over, with a webhook")]


@pytest.mark.parametrize("first", [SCHEDULED, FORCE, EMERGENCY], ids=str)
@pytest.mark.parametrize("moment", OTHERS, ids=str)
def test_promise_1_what_a_consumer_uses_lives_while_two_runs_meet(
    moment: Moment, first: Kind, record_property: Count
) -> None:
    seconds = (SCHEDULED, FORCE, EMERGENCY)
    many = sum(play_all(moment, first, second, every_call(moment, first, second, [LATE])) for second in seconds)
    assert many > 20
    record_property(f"{TRIED}schedules of two runs", many)


@pytest.mark.parametrize("moment", OTHERS, ids=str)
def test_promise_3_the_first_of_two_runs_is_killed_at_any_call(moment: Moment, record_property: Count) -> None:
    schedules = every_call(moment, SCHEDULED, FORCE, [LATE], killed=("first",))
    record_property(f"{TRIED}schedules of two runs", play_all(moment, SCHEDULED, FORCE, schedules))


@pytest.mark.parametrize("second", [SCHEDULED, LESS], ids=str)
def test_promise_1_what_three_consumers_use_lives_while_two_runs_meet(second: Kind, record_property: Count) -> None:
    """Also where one of them takes nothing meanwhile, and where the other run's pats.yaml names two of them."""
    refused = next(moment for moment in LISTS if moment.refuses is not None)
    many = play_all(refused, SCHEDULED, second, every_call(refused, SCHEDULED, second, [LATE]))
    assert many > 5
    record_property(f"{TRIED}schedules of two runs", many)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", [SCHEDULED, LESS, EMERGENCY], ids=str)
@pytest.mark.parametrize("moment", LISTS, ids=str)
def test_promises_1_2_3_and_4_two_runs_of_every_kind_and_three_consumers(
    moment: Moment, first: Kind, record_property: Count
) -> None:
    many = sum(play_all(moment, first, second, every_call(moment, first, second, [LATE])) for second in OF_LISTS)
    record_property(f"{TRIED}schedules of two runs", many)


@pytest.mark.chaos
@pytest.mark.parametrize("leases", [False, True], ids=["no leases", "leases"])
@pytest.mark.parametrize("first", OF_LISTS, ids=str)
@pytest.mark.parametrize("moment", LISTS, ids=str)
def test_promise_3_the_first_of_two_runs_is_killed_and_there_are_three_consumers(
    moment: Moment, first: Kind, leases: bool, record_property: Count
) -> None:
    many = play_killed_or_not(moment, first, OF_LISTS, [AT_ONCE, LATE], leases=leases)
    record_property(f"{TRIED}schedules of two runs", many)
