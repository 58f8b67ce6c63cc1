"""Every odd answer to a notice, of every kind of recipient: no item fails of it, and it is told later (rule 19).

What tests/promises/test_lost_answers.py asks of the services that patrol lives on.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from sandbox.cloud.recipients import KINDS, Recipient
from shared.report.report import Report
from tests.lab.fakes import FakeTold
from tests.lab.lab import Lab, days, hours, item, outcomes
from tests.promises.test_lost_answers import FAULTS, LOST

TAKEN = {
    "webhook": ("sign-in page", "garbage", "a page under 200"),
    "teams": ("sign-in page", "garbage", "a page under 200"),
    "teams-card": ("sign-in page", "garbage", "a page under 200"),
    "slack": (),
}
"""What of somebody in between is taken for the recipient's own 2xx; Slack alone says `ok`."""


def marks(kind: str, fault: str, times: int) -> tuple[pytest.MarkDecorator, ...]:
    """`make test`: answers that are lost after the effect, to one kind; every one to the others: `make chaos`."""
    if not times or (kind != "webhook" and fault not in LOST):
        return (pytest.mark.chaos,)
    return () if kind == "webhook" and fault in LOST else (pytest.mark.exhaustive,)


CASES = [
    pytest.param(
        kind,
        fault,
        times,
        id=f"{kind}, {fault}, {times or 'always'}",
        marks=marks(kind, fault, times),
    )
    for kind in KINDS
    for fault in FAULTS
    for times in (1, 0)
]


def met(fault: dict[str, Any] | None, kind: str, times: int) -> tuple[Lab, Recipient, Report]:
    """A run that meets a refused mint of the one item and rotates the other, and a fault on its notice."""
    lab = Lab([item(), item("other-pat")], told_before=FakeTold())
    lab.run()
    one = lab.recipient(kind)
    lab.wait(days(24))
    lab.cloud.pats.organization("contoso").policies.creation_restricted = True
    if fault is not None:
        details = {key: value for key, value in fault.items() if key != "kind"}
        lab.cloud.add_fault(f"notice.{kind}", fault["kind"], call=1 if times else None, **details)
    report = lab.run()
    lab.cloud.faults.clear()
    return lab, one, report


@cache
def undisturbed(kind: str) -> list[str]:
    return outcomes(met(None, kind, 1)[2].items)


@pytest.mark.parametrize(("kind", "fault", "times"), CASES)
def test_rule_19_and_promise_5_an_odd_answer_to_a_notice_fails_no_item_and_is_told_later(
    kind: str, fault: str, times: int
) -> None:
    lab, one, report = met(FAULTS[fault], kind, times)
    assert outcomes(report.items) == undisturbed(kind)
    assert report.exit_code() == 1, "for the items alone"
    lab.later(hours(6))
    lab.later(hours(6))
    if fault not in TAKEN[kind]:
        assert one.received, "told in this run, or by a later one"
    lab.cloud.pats.organization("contoso").policies.creation_restricted = False
    assert lab.later(hours(6)).exit_code() == 0
    assert all(row.error is None for row in lab.reports[-1].recipients)
