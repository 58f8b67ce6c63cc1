"""Rows of the report for one item."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.model.errors import Code
from shared.report.report import Outcome, Verb
from shared.report.rows import in_overlap
from tests.lab.lab import Lab, item


def test_rule_7_what_is_refused_in_overlap_says_until_when_and_what_else_there_is() -> None:
    (mine,) = Lab([item()]).inventory().items()
    until = datetime(2026, 3, 2, 12, tzinfo=UTC)
    row = in_overlap(mine, until)
    assert (row.step, row.outcome, row.again_at) == (Verb.ROTATE, Outcome.BUSY, until)
    assert row.error is not None
    assert row.error.code is Code.IN_OVERLAP
    assert row.says == f"build-pat: {row.error.message} {row.error.remedy}"
    assert "2026-03-02T12:00:00Z" in row.says
    assert "emergency" in row.says
