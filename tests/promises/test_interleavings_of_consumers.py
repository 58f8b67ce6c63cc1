"""Two runs at one moment on an item with a consumer of each other kind: what it uses lives (promise 1)."""

from __future__ import annotations

import pytest

from tests.lab.interleave import EMERGENCY, FORCE, MOMENTS, SCHEDULED, Kind, Moment
from tests.lab.what_ran import TRIED
from tests.promises.test_interleavings import LATE, Count, every_call, play_all

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
