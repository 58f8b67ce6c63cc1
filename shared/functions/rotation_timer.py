"""What the timer function `rotate_due` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from shared import settings, wiring
from shared.fan_out import queue_message, who_is_queued
from shared.fan_out.dispatch import Dispatched, dispatch
from shared.inventory import pats_yaml
from shared.model.errors import Code, PatrolError, place_of
from shared.model.request import Request
from shared.report.report import WELL, Report
from shared.rotation.run import run
from shared.rotation.threads import Threads
from shared.settings import ROOT
from shared.telemetry import event, quieten
from shared.wiring import MakeWorld


class RunFailed(Exception):
    """The run did all it could, and something needs a person: fails the invocation, so that alerts see it."""


Send = Callable[[list[str]], None]
"""Hands messages to an output binding: the host sends them when the function returns, and not when it raises."""


def rotate_due(
    *,
    past_due: bool = False,
    send: Send | None = None,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
    make_world: MakeWorld = wiring.world,
    enter: Callable[[], None] = lambda: None,
) -> None:
    """One run over everything that is due; `enter` prepares each thread.

    Above FAN_OUT_ABOVE technical users it plans, and `send` gets one message for each that has something to do: then
    it returns whatever failed, because a failed invocation sends nothing. Else raises RunFailed after doing all it can.
    """
    quieten()
    if past_due:
        event("schedule.late")
    try:
        known = settings.read(environ, root)
        estate = pats_yaml.load_file(known.pats_file)
        world = make_world(known, known.run_budget)
    except PatrolError as failure:
        raise _not_started(failure.code, f"failed ({failure.code}): {failure}") from None
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        raise _not_started(Code.UNEXPECTED, f"failed ({Code.UNEXPECTED}): {place_of(failure)}") from None
    request = Request(door="timer")
    try:
        # From here on the run itself tells `run.finished`, whatever happens.
        if send is not None and known.has_queue and who_is_queued.above(len(estate.users), known.fan_out_above):
            _send(dispatch(estate, world, known.mark, request), send)
            return
        report = run(estate, world, known.mark, request, Threads(known.parallel_users, enter))
    except PatrolError as failure:
        raise RunFailed(f"failed ({failure.code}): {failure}") from None
    except Exception as failure:  # noqa: BLE001  # as above
        raise RunFailed(f"failed ({Code.UNEXPECTED}): {place_of(failure)}") from None
    if report.exit_code():
        raise RunFailed(summary(report))


def _send(done: Dispatched, send: Send) -> None:
    if done.messages:
        send([queue_message.write(one) for one in done.messages])


def _not_started(code: Code, says: str) -> RunFailed:
    """Tell the heartbeat that alerts watch: it comes out whatever the outcome."""
    event("run.finished", door="timer", outcome="failed", code=code, says=says)
    return RunFailed(says)


def summary(report: Report) -> str:
    """One line for the host's log of a failed invocation."""
    if report.misconfigured is not None:
        failure = report.misconfigured
        return f"run {report.run_id} {report.outcome} ({failure.code}): {failure.message} {failure.remedy}"
    wrong = [row for row in report.items if row.outcome not in WELL]
    codes = sorted({row.error.code if row.error else row.because for row in wrong})
    told = f"{len(wrong)} of {len(report.items)} steps not done ({', '.join(codes)})"
    return f"run {report.run_id} {report.outcome}: {told}; see the events item.* of this run."
