"""What the doors of the Functions host do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared import settings, wiring
from shared.fan_out import queue_message, who_is_queued
from shared.fan_out.dispatch import Dispatched, dispatch
from shared.fan_out.queue_message import Message, NotAMessage
from shared.fan_out.rotate_user import TryAgain, do_message, not_attempted
from shared.inventory import pats_yaml
from shared.model.errors import Code, PatrolError, place_of
from shared.model.request import Request
from shared.report.report import WELL, Report
from shared.rotation.run import run
from shared.rotation.threads import Threads
from shared.rotation.world import World
from shared.services.rate_limits import VERSIONS
from shared.settings import ROOT, Settings
from shared.telemetry import event, quieten

MakeWorld = Callable[[Settings, timedelta], World]

MOST_SHOWN = 16_000
"""Each of its characters takes three bytes at most."""

SIDE_BY_SIDE = 4
"""Items of the one user of a message that are worked on at once: an instance has several messages in hand."""


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


def rotate_user(
    body: bytes,
    delivery: int,
    set_aside: Callable[[str], None],
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
    make_world: MakeWorld | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    enter: Callable[[], None] = lambda: None,
) -> None:
    """One message of the queue; `delivery` counts from 1. Raises TryAgain when it is worth another delivery.

    What is no message of ours is handed to `set_aside` at its first delivery. A lasting failure is told and not raised:
    the next run finds what is due.
    """
    quieten()
    try:
        message = queue_message.read(body)
    except NotAMessage as wrong:
        event("message.refused", says=f"A message of the queue is not patrol's, and was set aside: {wrong}.")
        set_aside(_as_text(body))
        return
    try:
        known = settings.read(environ, root)
        budget = min(known.run_budget, max(message.deadline - now(), timedelta(minutes=1)))
        world = (make_world or _one_of(sharers(known, message)))(known, budget)
        try:
            estate = pats_yaml.load_file(known.pats_file)
        except PatrolError as failure:
            not_attempted(message, delivery, world, failure)
            return
        threads = Threads(min(known.parallel_users, SIDE_BY_SIDE), enter)
        do_message(message, delivery, estate, world, known.mark, threads)
    except TryAgain as again:
        raise TryAgain(str(again)) from None
    except PatrolError as failure:
        _not_worked_on(message, delivery, failure.code, str(failure))
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        _not_worked_on(message, delivery, Code.UNEXPECTED, f"patrol itself failed: {place_of(failure)}.")


def _not_worked_on(message: Message, delivery: int, code: Code, says: str) -> None:
    """Tell the end of a message, as `do_message` does where it gets to work."""
    event(
        "user.finished",
        run_id=message.run_id,
        username=message.username,
        part=message.part,
        delivery=delivery,
        outcome="failed",
        code=code,
        says=says,
    )


def _send(done: Dispatched, send: Send) -> None:
    if done.messages:
        send([queue_message.write(one) for one in done.messages])


def sharers(known: Settings, message: Message) -> int:
    """How many instances may work on the message's run at once: no more than it has messages.

    Among more than 300 a turn to write would come later than five minutes after the PAT was minted (rule 2).
    """
    return min(known.queue_instances, message.of, VERSIONS.most)


def _as_text(body: bytes) -> str:
    """A message as it stood; of one that is no text what can be shown of it, within the 48 KB that a message holds."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace")[:MOST_SHOWN]


def _one_of(instances: int) -> MakeWorld:
    """A world that takes its share of the vault's limit, and leaves their shares to the other instances."""
    return lambda known, budget: wiring.world(known, budget, processes=instances)


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
