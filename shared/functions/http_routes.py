"""The doors of the HTTP API. Each answers in time and in JSON, and no answer ever carries a PAT (promise 7)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from shared import wiring
from shared.fan_out.dispatch import Dispatched, dispatch, dispatch_named
from shared.fan_out.queue_message import write
from shared.functions.http_answers import (
    Answer,
    not_allowed,
    of_failure,
    of_queued,
    of_report,
    of_run,
    of_unknown_run,
    out_of_time,
)
from shared.functions.http_call import Call, check_query, prefers_async
from shared.functions.http_requests import read_emergency, read_rotate
from shared.functions.http_roles import check
from shared.functions.rotation_timer import Send
from shared.functions.time_limit import NotInTime, within
from shared.model.errors import Code, PatrolError, Unclear
from shared.model.items import Inventory, Named
from shared.model.ports import Events
from shared.model.request import Request, places
from shared.model.run_ids import is_id
from shared.report.kept_run import put_together
from shared.report.report import Report, Row, in_order, owned
from shared.report.rows import in_vault, left
from shared.rotation.enroll import EnrollmentSeen, enrollments
from shared.rotation.looked import look as look_at_status
from shared.rotation.looked import with_enrollments
from shared.rotation.run import names_tokens, run_all
from shared.rotation.threads import Threads, nothing
from shared.rotation.world import World
from shared.settings import ROOT, Settings
from shared.settings import read as read_settings
from shared.telemetry import event, quieten, with_run_id
from shared.wiring import Deployment, MakeWorld

# After the budget nothing new starts; what is under way has this long to end well, and then the answer goes out.
GRACE = timedelta(seconds=5)
ANSWER_AFTER = GRACE + timedelta(seconds=1)
MOST_RUNS = 50

Shown = TypeVar("Shown")
"""What a door answers when all is well."""


def _real_world(settings: Settings, budget: timedelta, tell: Events) -> World:
    return wiring.world(settings, budget, tell, grace=GRACE)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class App:
    """What the doors work with. `enter` prepares a thread that the doors start, so that its log lines are ours."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    root: Path = ROOT
    make_world: MakeWorld = _real_world
    enter: Callable[[], None] = nothing
    now: Callable[[], datetime] = _now
    answer_after: timedelta = ANSWER_AFTER
    send: Send | None = None

    def open(self, settings: Settings, run_id: str) -> Deployment:
        """Raises Misconfigured for an inventory that cannot be used."""
        tell = with_run_id(event, run_id)
        return wiring.open_with(settings, settings.http_budget, make_world=self.make_world, tell=tell)


def rotate(call: Call, app: App) -> Answer:
    """`POST /api/rotate`: what is due, or the named secrets, due or not with `force`.

    With `Prefer: respond-async` the work goes over the queue, where there is one (RFC 7240: a preference).
    """

    arrived = app.now()

    def work(settings: Settings) -> Answer:
        request = read_rotate(call.body, call.query, arrived)
        queued = settings.has_queue and prefers_async(call.headers)
        return _run(settings, app, request, app.send if queued else None)

    return answered("rotate", "POST", "Pats.Rotate", call, app, work)


def emergency(call: Call, app: App) -> Answer:
    """`POST /api/emergency`: replace leaked PATs and end the old ones at once."""

    arrived = app.now()

    def work(settings: Settings) -> Answer:
        return _run(settings, app, read_emergency(call.body, call.query, arrived))

    return answered("emergency", "POST", "Pats.Emergency", call, app, work)


def pats(call: Call, app: App) -> Answer:
    """`GET /api/pats`: the state of every item, from the vault alone."""

    def look(settings: Settings) -> Answer:
        patrol = wiring.open_with(settings, settings.http_budget, make_world=app.make_world)
        threads = Threads(settings.parallel_users, app.enter)
        seen = look_at_status(patrol.inventory, patrol.world, settings.mark, threads).status
        return Answer(HTTPStatus.OK, with_enrollments(seen, _enrollments(patrol)).to_json())

    return read_only("pats", call, app, look)


def _enrollments(patrol: Deployment) -> tuple[EnrollmentSeen, ...]:
    """None of them where the credentials' vault does not say: the rest is known all the same."""
    try:
        return enrollments(patrol.inventory, patrol.world)
    except PatrolError as failure:
        event("enrollments.unknown", code=failure.code, says=str(failure))
        return ()


def runs(call: Call, app: App) -> Answer:
    """`GET /api/runs`: the latest runs; `GET /api/runs/{run_id}`: one of them with its report."""

    def look(settings: Settings) -> Answer:
        history = app.make_world(settings, settings.http_budget, event).runs
        if call.run_id is None:
            return Answer(HTTPStatus.OK, {"runs": [brief.to_json() for brief in history.latest(MOST_RUNS)]})
        run_id = call.run_id.lower()
        run = history.read(run_id) if is_id(run_id) else None
        return of_unknown_run() if run is None else of_run(run)

    return read_only("runs", call, app, look)


def read_only(
    door: str, call: Call, app: App, look: Callable[[Settings], Shown], parameters: Iterable[str] = ()
) -> Shown | Answer:
    """A door that only looks, and takes these parameters of the query."""

    def work(settings: Settings) -> Shown | Answer:
        check_query(call.query, parameters)
        try:
            return within(settings.http_budget + app.answer_after, lambda: look(settings), app.enter)
        except NotInTime:
            return out_of_time()

    return answered(door, "GET", "Pats.Read", call, app, work)


def answered(
    door: str, method: str, role: str, call: Call, app: App, work: Callable[[Settings], Shown]
) -> Shown | Answer:
    """Let the caller in, do the work, and put whatever goes wrong into an answer."""
    quieten()
    if call.method != method and not (method == "GET" and call.method == "HEAD"):
        return not_allowed(method)
    try:
        settings = read_settings(app.environ, app.root)
        caller = check(settings, call.headers, role)
        event("request.received", door=door, caller=caller.id or None)
        return work(settings)
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        answer = of_failure(failure)
    event("request.refused", door=door, status=int(answer.status), code=answer.body["code"])
    return answer


@dataclass(slots=True)
class _Progress:
    """What is known of a run while it works, for the answer that cannot wait for its end."""

    started: datetime
    home: str
    inventory: Inventory | None = None
    rows: list[Row] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, row: Row) -> None:
        with self.lock:
            self.rows.append(row)

    def report(self, request: Request, now: datetime) -> Report | None:
        """The report so far: what has no row yet is left. None before pats.yaml was read."""
        if self.inventory is None:
            return None
        with self.lock:
            rows = tuple(self.rows)
        inventory, wanted = self.inventory, places(self.inventory, request)
        has = {row.name.casefold() for row in rows}
        items: list[Named] = [item for item in inventory.items() if wanted is None or item.place in wanted]
        items += [token for token in inventory.tokens if token.place in (wanted or ())]
        rest = [
            in_vault(left(item), item.vault, item.vault.host or self.home, inventory)
            for item in items
            if inventory.called(item).casefold() not in has
        ]
        return Report(request.run_id, self.started, now, in_order(owned([*rows, *rest], inventory.owners())))


def _run(settings: Settings, app: App, request: Request, send: Send | None = None) -> Answer:
    """Do what is asked for and wait for it; with `send` only plan it, and say where to look."""
    progress = _Progress(app.now(), settings.vault_host)

    def work() -> Report | Dispatched:
        patrol = app.open(settings, request.run_id)
        # A message is for one technical user; a token is done in a moment anyway.
        if send is not None and not names_tokens(patrol.inventory, request):
            return _planned(patrol, request)
        progress.inventory = patrol.inventory
        threads = Threads(settings.parallel_users, app.enter)
        return run_all(patrol.inventory, patrol.world, settings.mark, request, threads, progress.add)

    try:
        done = within(settings.http_budget + app.answer_after, work, app.enter)
    except NotInTime:
        event("request.abandoned", run_id=request.run_id)
        report = progress.report(request, app.now())
        return out_of_time() if report is None else of_report(report, app.now(), ended=False)
    return of_report(done, app.now()) if isinstance(done, Report) else _queued(done, send, app.now())


def _planned(patrol: Deployment, request: Request) -> Dispatched:
    if request.names is None:
        return dispatch(patrol.inventory, patrol.world, patrol.settings.mark, request)
    return dispatch_named(patrol.inventory, patrol.world, patrol.settings.mark, request, request.names)


def _queued(planned: Dispatched, send: Send | None, now: datetime) -> Answer:
    """Hand the messages to the host, and say where to look."""
    if not planned.kept:
        raise Unclear(
            Code.REPORT_UNREADABLE,
            "The report of the run could not be kept, so there would be nothing to poll; nothing was queued.",
            "Send the request without `Prefer: respond-async`; the event report.failed says what the storage lacks.",
        )
    if planned.messages and send is not None:
        send([write(message) for message in planned.messages])
    return of_queued(put_together(planned.run, (), now))
