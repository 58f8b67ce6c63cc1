"""What the timer function `rotate_due` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from shared import wiring
from shared.fan_out import queue_message, who_is_queued
from shared.fan_out.dispatch import dispatch
from shared.functions.invocation import failing_as, summary
from shared.model.request import Request
from shared.rotation.heartbeat import opening
from shared.rotation.run import run
from shared.rotation.threads import Threads, nothing
from shared.settings import ROOT
from shared.telemetry import event, quieten, with_run_id
from shared.wiring import Deployment, MakeWorld

Send = Callable[[list[str]], None]
"""Hands messages to an output binding: the host sends them when the function returns, and not when it raises."""


class RunFailed(Exception):
    """The run did all it could, and something needs a person: fails the invocation, so that alerts see it."""


def rotate_due(
    *,
    past_due: bool = False,
    send: Send | None = None,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
    make_world: MakeWorld = wiring.world,
    enter: Callable[[], None] = nothing,
) -> None:
    """One run over everything that is due; `enter` prepares each thread.

    Above FAN_OUT_ABOVE technical users it plans, and `send` gets one message for each that has something to do: then
    it returns whatever failed, because a failed invocation sends nothing. Else raises RunFailed after doing all it can.
    """
    quieten()
    if past_due:
        event("schedule.late")
    request = Request(door="timer")
    with failing_as(RunFailed):
        with opening("run", event, request):
            tell = with_run_id(event, request.run_id)
            patrol = wiring.open(environ, root, make_world=make_world, tell=tell)
        if send is not None and _fans_out(patrol):
            planned = dispatch(patrol.inventory, patrol.world, patrol.settings.mark, request)
            if planned.messages:
                send([queue_message.write(message) for message in planned.messages])
            return
        threads = Threads(patrol.settings.parallel_users, enter)
        report = run(patrol.inventory, patrol.world, patrol.settings.mark, request, threads)
        if report.exit_code():
            raise RunFailed(summary(report))


def _fans_out(patrol: Deployment) -> bool:
    settings = patrol.settings
    return settings.has_queue and who_is_queued.above(len(patrol.inventory.users), settings.fan_out_above)
