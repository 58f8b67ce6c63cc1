"""What the doors of the Functions host do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from shared import inventory, settings, wiring
from shared.errors import Code, PatrolError
from shared.report import WELL, Report
from shared.run import Request, Threads, World, run
from shared.secrecy import place_of
from shared.settings import Settings
from shared.telemetry import event, quieten

ROOT = Path(__file__).resolve().parent.parent


class RunFailed(Exception):
    """The run did all it could, and something needs a person: fails the invocation, so that alerts see it."""


def rotate_due(
    *,
    past_due: bool = False,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
    make_world: Callable[[Settings, timedelta], World] = wiring.world,
    enter: Callable[[], None] = lambda: None,
) -> None:
    """One run over everything that is due; `enter` prepares each thread. Raises RunFailed after doing all it can."""
    quieten()
    if past_due:
        event("schedule.late")
    try:
        known = settings.read(environ, root)
        estate = inventory.load_file(known.pats_file)
        world = make_world(known, known.run_budget)
    except PatrolError as failure:
        raise _not_started(failure.code, f"failed ({failure.code}): {failure}") from None
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        raise _not_started(Code.UNEXPECTED, f"failed ({Code.UNEXPECTED}): {place_of(failure)}") from None
    try:
        # From here on the run itself tells `run.finished`, whatever happens.
        report = run(estate, world, known.mark, Request(), Threads(known.parallel_users, enter))
    except PatrolError as failure:
        raise RunFailed(f"failed ({failure.code}): {failure}") from None
    except Exception as failure:  # noqa: BLE001  # as above
        raise RunFailed(f"failed ({Code.UNEXPECTED}): {place_of(failure)}") from None
    if report.exit_code():
        raise RunFailed(_summary(report))


def _not_started(code: Code, says: str) -> RunFailed:
    """Tell the heartbeat that alerts watch: it comes out whatever the outcome."""
    event("run.finished", outcome="failed", code=code, says=says)
    return RunFailed(says)


def _summary(report: Report) -> str:
    if report.misconfigured is not None:
        failure = report.misconfigured
        return f"run {report.run_id} {report.outcome} ({failure.code}): {failure.message} {failure.remedy}"
    wrong = [row for row in report.items if row.outcome not in WELL]
    codes = sorted({row.error.code if row.error else row.because for row in wrong})
    told = f"{len(wrong)} of {len(report.items)} steps not done ({', '.join(codes)})"
    return f"run {report.run_id} {report.outcome}: {told}; see the events item.* of this run."
