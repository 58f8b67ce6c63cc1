"""Every odd answer to a push, of every kind of consumer: asked again within the run, or told, and nothing dies of it.

What tests/promises/test_lost_answers.py asks of the services that patrol itself lives on.
"""

from __future__ import annotations

import pytest

from shared.model.errors import Code
from shared.report.report import Outcome
from tests.lab.consumers import KINDS, SONARQUBE, WEBHOOK, Kind
from tests.lab.lab import hours
from tests.lab.scenarios import BY_NAME, SECRET
from tests.promises.test_lost_answers import FAULTS, disturbed
from tests.promises.test_promise_3_stop_anywhere import assert_converges, consumer_works, copies_work


def scenario_of(kind: Kind) -> str:
    return "rotation with a consumer" if kind is SONARQUBE else f"rotation with a {kind}"


BELIEVED = ("sign-in page", "garbage", "a page under 200")
"""A 2xx is all that a webhook says, so one of somebody in between is taken for its own: docs/consumers.md says so."""
CASES = [
    pytest.param(
        kind,
        call,
        fault,
        times,
        id=f"{call}, {fault}, {times or 'always'}",
        marks=() if times else pytest.mark.exhaustive,
    )
    for kind in KINDS
    for call in kind.calls
    for fault in FAULTS
    for times in (1, 0)
    if kind is not WEBHOOK or fault not in BELIEVED
]


@pytest.mark.parametrize(("kind", "call", "fault", "times"), CASES)
def test_promises_1_and_8_an_odd_answer_of_a_consumer_is_retried_or_told(
    kind: Kind, call: str, fault: str, times: int
) -> None:
    lab, report = disturbed(BY_NAME[scenario_of(kind)], call, FAULTS[fault], times)
    assert consumer_works(lab)
    assert copies_work(lab)
    assert report is not None
    for row in report.items:
        if row.outcome is Outcome.FAILED:
            assert row.error is not None
            assert row.error.code in (Code.CONSUMER_REFUSED, Code.CONSUMER_UNREACHABLE), row.says
            assert SECRET in row.says
            assert row.error.remedy
    assert len([one for one in lab.cloud.calls("pats.create") if one.effect]) == 1, "no push mints anything"
    lab.wait(hours(24))
    assert_converges(lab, BY_NAME[scenario_of(kind)])


@pytest.mark.parametrize("fault", BELIEVED)
def test_a_2xx_of_somebody_in_between_is_taken_for_a_webhook_s(fault: str) -> None:
    lab, report = disturbed(BY_NAME[scenario_of(WEBHOOK)], "notice.webhook", FAULTS[fault], 1)
    assert report is not None
    assert report.exit_code() == 0
    assert lab.current(SECRET).tags["pushed-to"] == "webhook restart-url"
