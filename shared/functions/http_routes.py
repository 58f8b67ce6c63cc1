"""The doors of the HTTP API. Each answers in time and in JSON, and no answer ever carries a PAT (promise 7)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from shared import settings, wiring
from shared.fan_out.dispatch import Dispatched, dispatch, dispatch_named
from shared.fan_out.queue_message import write
from shared.functions.http_answers import (
    SOON,
    Answer,
    not_allowed,
    of_error,
    of_failure,
    of_queued,
    of_report,
    of_run,
    of_unknown_run,
    problem,
)
from shared.functions.http_requests import BadBody, Call, check_query, prefers_async, read_emergency, read_rotate
from shared.functions.http_roles import NotSignedIn, RoleMissing, check
from shared.functions.rotation_timer import Send
from shared.functions.time_limit import NotInTime, within
from shared.inventory import pats_yaml
from shared.model.clock import check_clock
from shared.model.errors import Code, Misconfigured, PatrolError, Unclear, place_of
from shared.model.items import Inventory, Named
from shared.model.request import Request, check_names
from shared.model.run_ids import is_id
from shared.report.kept_run import put_together
from shared.report.report import Failure, Report, Row, in_order
from shared.report.rows import left
from shared.rotation.run import names_tokens, run_all
from shared.rotation.status import status
from shared.rotation.threads import Threads
from shared.rotation.world import World
from shared.settings import Settings
from shared.telemetry import event, quieten

# After the budget nothing new starts; what is under way has this long to end well, and then the answer goes out.
GRACE = timedelta(seconds=5)
ANSWER_AFTER = GRACE + timedelta(seconds=1)
MOST_RUNS = 50

MakeWorld = Callable[[Settings, timedelta], World]


def _real_world(known: Settings, budget: timedelta) -> World:
    return wiring.world(known, budget, grace=GRACE)


def _now() -> datetime:
    return datetime.now(UTC)


def nothing() -> None:
    """Most threads need no preparation."""


@dataclass(frozen=True, slots=True)
class App:
    """What the doors work with. `enter` prepares a thread that the doors start, so that its log lines are ours."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    root: Path = settings.ROOT
    make_world: MakeWorld = _real_world
    enter: Callable[[], None] = nothing
    now: Callable[[], datetime] = _now
    answer_after: timedelta = ANSWER_AFTER
    send: Send | None = None


def rotate(call: Call, app: App) -> Answer:
    """`POST /api/rotate`: what is due, or the named secrets, due or not with `force`.

    With `Prefer: respond-async` the work goes over the queue, where there is one (RFC 7240: a preference).
    """

    arrived = app.now()

    def work(known: Settings) -> Answer:
        request = read_rotate(call.body, call.query, arrived)
        queued = known.has_queue and prefers_async(call.headers)
        # A message is for one technical user; a token is done in a moment anyway.
        if queued and app.send is not None and not names_tokens(pats_yaml.load_file(known.pats_file), request):
            return _queue(known, app, request, app.send)
        return _run(known, app, request)

    return _answered("rotate", "POST", "Pats.Rotate", call, app, work)


def emergency(call: Call, app: App) -> Answer:
    """`POST /api/emergency`: replace leaked PATs and end the old ones at once."""

    arrived = app.now()

    def work(known: Settings) -> Answer:
        return _run(known, app, read_emergency(call.body, call.query, arrived))

    return _answered("emergency", "POST", "Pats.Emergency", call, app, work)


def pats(call: Call, app: App) -> Answer:
    """`GET /api/pats`: the state of every item, from the vault alone."""

    def look(known: Settings) -> Answer:
        estate = pats_yaml.load_file(known.pats_file)
        world = app.make_world(known, known.http_budget)
        listing = world.vault.listing()
        check_clock(listing.ahead)
        seen = status(estate, listing, world.vault, known.mark, world.clock.now() + listing.ahead)
        return Answer(HTTPStatus.OK, seen.to_json())

    return _read("pats", call, app, look)


def runs(call: Call, app: App) -> Answer:
    """`GET /api/runs`: the latest runs; `GET /api/runs/{run_id}`: one of them with its report."""

    def look(known: Settings) -> Answer:
        kept = app.make_world(known, known.http_budget).runs
        if call.run_id is None:
            return Answer(HTTPStatus.OK, {"runs": [one.to_json() for one in kept.latest(MOST_RUNS)]})
        run_id = call.run_id.lower()
        found = kept.read(run_id) if is_id(run_id) else None
        return of_unknown_run() if found is None else of_run(found)

    return _read("runs", call, app, look)


def _read(door: str, call: Call, app: App, look: Callable[[Settings], Answer]) -> Answer:
    """A door that only looks."""

    def work(known: Settings) -> Answer:
        check_query(call.query)
        try:
            return within(known.http_budget + app.answer_after, lambda: look(known), app.enter)
        except NotInTime:
            return _out_of_time()

    return _answered(door, "GET", "Pats.Read", call, app, work)


def _answered(door: str, method: str, role: str, call: Call, app: App, work: Callable[[Settings], Answer]) -> Answer:
    """Let the caller in, do the work, and put whatever goes wrong into an answer."""
    quieten()
    if call.method != method and not (method == "GET" and call.method == "HEAD"):
        return not_allowed(method)
    try:
        known = settings.read(app.environ, app.root)
        caller = check(known, call.headers, role)
        event("request.received", door=door, caller=caller.id or None)
        return work(known)
    except NotSignedIn as failure:
        answer = of_error(HTTPStatus.UNAUTHORIZED, failure, **{"WWW-Authenticate": "Bearer"})
    except RoleMissing as failure:
        answer = of_error(HTTPStatus.FORBIDDEN, failure)
    except BadBody as failure:
        answer = _bad(failure)
    except PatrolError as failure:
        answer = of_failure(failure)
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        defect = Misconfigured(
            Code.UNEXPECTED, f"patrol itself failed: {place_of(failure)}.", "Report this as a defect of patrol."
        )
        answer = of_error(HTTPStatus.INTERNAL_SERVER_ERROR, defect)
    event("request.refused", door=door, status=int(answer.status), code=answer.body["code"])
    return answer


def _queue(known: Settings, app: App, request: Request, send: Send) -> Answer:
    """Plan, hand the messages to the host, and say where to look."""

    def work() -> Dispatched:
        estate = pats_yaml.load_file(known.pats_file)
        check_names(estate, request)
        world = app.make_world(known, known.http_budget)
        if request.names is None:
            return dispatch(estate, world, known.mark, request)
        return dispatch_named(estate, world, request, request.names)

    try:
        done = within(known.http_budget + app.answer_after, work, app.enter)
    except NotInTime:
        return _out_of_time()
    if not done.kept:
        raise Unclear(
            Code.REPORT_UNREADABLE,
            "The report of the run could not be kept, so there would be nothing to poll; nothing was queued.",
            "Send the request without `Prefer: respond-async`; the event report.failed says what the storage lacks.",
        )
    if done.messages:
        send([write(one) for one in done.messages])
    return of_queued(put_together(done.run, (), app.now()))


@dataclass(slots=True)
class _Progress:
    """What is known of a run while it works, for the answer that cannot wait for its end."""

    started: datetime
    estate: Inventory | None = None
    rows: list[Row] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, row: Row) -> None:
        with self.lock:
            self.rows.append(row)

    def report(self, request: Request, now: datetime) -> Report | None:
        """The report so far: what has no row yet is left. None before pats.yaml was read."""
        if self.estate is None:
            return None
        with self.lock:
            told = tuple(self.rows)
        has = {row.secret.casefold() for row in told}
        wanted = None if request.names is None else {name.casefold() for name in request.names}
        items: list[Named] = [one for one in self.estate.items() if wanted is None or one.key in wanted]
        items += [one for one in self.estate.tokens if one.key in (wanted or ())]
        rest = [left(one) for one in items if one.key not in has]
        return Report(request.run_id, self.started, now, in_order([*told, *rest]))


def _run(known: Settings, app: App, request: Request) -> Answer:
    progress = _Progress(app.now())

    def work() -> Report:
        estate = pats_yaml.load_file(known.pats_file)
        check_names(estate, request)
        world = app.make_world(known, known.http_budget)
        progress.estate = estate
        return run_all(estate, world, known.mark, request, Threads(known.parallel_users, app.enter), progress.add)

    try:
        return of_report(within(known.http_budget + app.answer_after, work, app.enter), app.now())
    except NotInTime:
        event("request.abandoned", run_id=request.run_id)
    report = progress.report(request, app.now())
    return _out_of_time() if report is None else of_report(report, app.now(), ended=False)


def _out_of_time() -> Answer:
    failure = Failure(
        Code.TIME_OVER,
        "The time of the request (HTTP_BUDGET) was over before Key Vault had answered.",
        "Send the same request again; if it persists, look at the vault's health and the network.",
    )
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, failure, headers={"Retry-After": str(SOON)})


def _bad(failure: BadBody) -> Answer:
    wrong = [{"field": one.field, "says": one.says} for one in failure.problems]
    remedy = "Correct the request (docs/openapi.yaml)."
    told = Failure(Code.BODY_INVALID, f"{failure}. Nothing was attempted.", remedy)
    return problem(HTTPStatus.BAD_REQUEST, told, errors=wrong)
