"""What the doors of the Functions host do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from shared import inventory, settings, wiring
from shared.errors import PatrolError
from shared.report import WELL, Report
from shared.run import Request, run
from shared.telemetry import event, quieten

ROOT = Path(__file__).resolve().parent.parent


class RunFailed(Exception):
    """The run did all it could, and something needs a person: fails the invocation, so that alerts see it."""


def rotate_due(*, past_due: bool = False, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> None:
    """One run over everything that is due. Raises RunFailed after finishing all it can."""
    quieten()
    if past_due:
        event("schedule.late")
    try:
        known = settings.read(environ, root)
        estate = inventory.load_file(known.pats_file)
    except PatrolError as failure:
        # The heartbeat that alerts watch comes out whatever the outcome.
        event("run.finished", outcome="failed", code=failure.code, says=str(failure))
        raise RunFailed(str(failure)) from None
    try:
        report = run(estate, wiring.world(known, known.run_budget), known.mark, Request(), known.parallel_users)
    except PatrolError as failure:
        raise RunFailed(str(failure)) from None
    if report.exit_code():
        raise RunFailed(_summary(report))


def _summary(report: Report) -> str:
    if report.misconfigured is not None:
        return f"run {report.run_id}: {report.misconfigured.message} {report.misconfigured.remedy}"
    wrong = [row for row in report.items if row.outcome not in WELL]
    codes = sorted({row.error.code if row.error else row.because for row in wrong})
    return f"run {report.run_id}: {len(wrong)} of {len(report.items)} steps not done ({', '.join(codes)}); see the log."
