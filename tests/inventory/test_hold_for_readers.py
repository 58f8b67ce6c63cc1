"""`hold_for_readers` in pats.yaml: of the defaults or an item, and never longer than a PAT lives."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.inventory import pats_yaml
from tests.lab.lab import Lab, item


@pytest.mark.parametrize(
    ("defaults", "own", "hold"),
    [
        ({}, {}, timedelta(0)),
        ({"hold_for_readers": "7d"}, {}, timedelta(days=7)),
        ({"hold_for_readers": "7d"}, {"hold_for_readers": "12h"}, timedelta(hours=12)),
        ({"hold_for_readers": "7d"}, {"hold_for_readers": "0d"}, timedelta(0)),
    ],
)
def test_rule_18_an_item_says_how_long_readers_may_hold_it(
    defaults: dict[str, str], own: dict[str, str], hold: timedelta
) -> None:
    (found,) = Lab([item(**own)], defaults=defaults).inventory().items()
    assert found.hold_for_readers == hold


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("31d", "is 31d and must not be longer than lifetime, 30d: no PAT is kept past its own expiry"),
        ("a week", "is not a duration"),
        ("-1d", "is not a duration"),
    ],
)
def test_promise_8_a_time_that_cannot_be_is_told_with_its_line(text: str, says: str) -> None:
    problems = pats_yaml.check(Lab([item(hold_for_readers=text)]).pats_yaml())
    assert [says in problem.says for problem in problems] == [True]
