"""What is not documented about the services is a switch of the sandbox; patrol works on every side of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.report.report import WELL
from tests.lab.scenarios import ALONE, SCENARIOS, Scenario
from tests.promises.test_promise_3_stop_anywhere import assert_converges, consumer_works

SIDES: tuple[dict[str, Any], ...] = (
    {"second_revoke": "404"},
    {"get_revoked": "returned"},
    {"revoke_status": 200},
    {"pat_error_status": 400},
    {"body_mark": True},
    {"page_size_limit": 1, "empty_pat_pages": True},
    {"unknown_get": "404", "unknown_update": "404", "unknown_revoke": "204"},
    {"unknown_revoke": "authorizationNotFound"},
    {"update_revoked": "tokenNotFound"},
    {"sign_in_page": "203"},
    {"scope_echo": "sorted"},
    {"default_sort": "displayName"},
    {"new_pat_refusals": 3},
    {"needs_both_permissions": True},
    {"expired_can_be_extended": True},
    {"missing_scope_status": 403},
    {"vault_page_size": 1},
)


STEPS = [
    pytest.param(ALONE, id="steps"),
    pytest.param(SCENARIOS[len(ALONE) :], id="steps with consumers", marks=pytest.mark.exhaustive),
]
"""No switch is a consumer's."""


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("side", SIDES, ids=str)
def test_each_kind_of_step_works_on_this_side_of_the_unknown(side: dict[str, Any], steps: tuple[Scenario, ...]) -> None:
    for scenario in steps:
        lab = scenario.prepare()
        lab.cloud.switches.set(side)
        report = lab.run(*scenario.names, **scenario.asks)
        assert {row.outcome for row in report.items} <= WELL, (scenario, report.to_json())
        assert scenario.ends or consumer_works(lab)
        assert_converges(lab, scenario)


@pytest.mark.parametrize("seconds", [-240, -3, 3, 240])
def test_rule_15_a_clock_that_is_some_minutes_off_does_no_harm(seconds: int) -> None:
    for scenario in SCENARIOS:
        lab = scenario.prepare()
        lab.skew = timedelta(seconds=seconds)
        report = lab.run(*scenario.names, **scenario.asks)
        assert {row.outcome for row in report.items} <= WELL, (scenario, report.to_json())
        assert scenario.ends or consumer_works(lab)
        assert_converges(lab, scenario)
