"""What the HTTP API answers: the report, or a problem (RFC 9457) that carries it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from shared.functions.http_call import BadRequest
from shared.functions.http_roles import NotSignedIn, RoleMissing
from shared.model.errors import Code, NotDone, PatrolError, Unclear, defect
from shared.report.kept_run import KEPT_DAYS, KeptRun, shown
from shared.report.report import Failure, Outcome, Report, Row

JSON, PROBLEM = "application/json", "application/problem+json"
# A lease that nobody renews is free after half a minute; what a budget did not reach may be asked for at once.
HELD_FOR, SOON = 30, 5
POLL_AFTER = 10
"""Seconds between two looks at a run that waits for its messages."""
_FAILED = (Outcome.FAILED, Outcome.BLOCKED)
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is a JSON object. Nothing is ever cached."""

    status: HTTPStatus
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def mimetype(self) -> str:
        return JSON if self.status < HTTPStatus.BAD_REQUEST else PROBLEM

    @property
    def text(self) -> str:
        """In ASCII: a tag may hold what no encoding takes, such as half of a surrogate pair."""
        return json.dumps(self.body)


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """An answer that is no JSON: a document for people, or text of another format."""

    status: HTTPStatus
    text: str
    mimetype: str
    headers: Mapping[str, str] = field(default_factory=dict)


def problem(
    status: HTTPStatus,
    failure: Failure,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> Answer:
    """RFC 9457; `code` for programs, `remedy` says what to do next."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": failure.message,
        "code": failure.code.value,
        "remedy": failure.remedy,
    }
    return Answer(status, {**body, **members}, headers or {})


def of_failure(failure: Exception) -> Answer:
    """What ended a request before there was a report: 400, 401, 403, 404, 503 where asking again may help, else 500."""
    match failure:
        case BadRequest():
            return _bad(failure)
        case NotSignedIn():
            return _of_error(HTTPStatus.UNAUTHORIZED, failure, **{"WWW-Authenticate": "Bearer"})
        case RoleMissing():
            return _of_error(HTTPStatus.FORBIDDEN, failure)
        case PatrolError(code=Code.SECRET_UNKNOWN):
            return _of_error(HTTPStatus.NOT_FOUND, failure)
        case NotDone(code=Code.LOGS_UNREADABLE) | Unclear(code=Code.LOGS_UNREADABLE):
            return _of_error(HTTPStatus.BAD_GATEWAY, failure)
        case PatrolError(code=Code.SECRET_AMBIGUOUS):
            wrong = [{"field": "secrets", "says": failure.cause}]
            return problem(HTTPStatus.BAD_REQUEST, Failure.of(failure), errors=wrong)
        case Unclear(code=Code.REPORT_UNREADABLE):
            return _of_error(HTTPStatus.SERVICE_UNAVAILABLE, failure, **{"Retry-After": str(SOON)})
        case PatrolError():
            return _of_error(HTTPStatus.INTERNAL_SERVER_ERROR, failure)
        case _:
            return _of_error(HTTPStatus.INTERNAL_SERVER_ERROR, defect(failure))


def _of_error(status: HTTPStatus, error: PatrolError, **headers: str) -> Answer:
    return problem(status, Failure.of(error), headers=headers)


def _bad(failure: BadRequest) -> Answer:
    wrong = [{"field": mistake.field, "says": mistake.says} for mistake in failure.mistakes]
    remedy = "Correct the request (docs/openapi.yaml)."
    error = Failure(Code.BODY_INVALID, f"{failure}. Nothing was attempted.", remedy)
    return problem(HTTPStatus.BAD_REQUEST, error, errors=wrong)


def out_of_time() -> Answer:
    """503: nothing is known yet of what was asked for."""
    failure = Failure(
        Code.TIME_OVER,
        "The time of the request (HTTP_BUDGET) was over before Key Vault had answered.",
        "Send the same request again; if it persists, look at the vault's health and the network.",
    )
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, failure, headers={"Retry-After": str(SOON)})


def not_allowed(method: str) -> Answer:
    """405: the route takes `method` alone."""
    failure = Failure(Code.METHOD_UNKNOWN, f"This route takes {method} alone.", f"Send the request with {method}.")
    return problem(HTTPStatus.METHOD_NOT_ALLOWED, failure, headers={"Allow": method})


def of_report(report: Report, now: datetime, *, ended: bool = True) -> Answer:
    """200 only when everything that was asked for holds. Else, in this order: 500, 502, 409, 503.

    `ended`: whether the run did; while it works on, even an item that is done may have old values to end.
    """
    failed = [row for row in report.items if row.outcome in _FAILED]
    busy = [row for row in report.items if row.outcome is Outcome.BUSY]
    left = [row for row in report.items if row.outcome is Outcome.LEFT]
    shown_report = report.to_json()
    if report.misconfigured is not None:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, report.misconfigured, report=shown_report)
    if failed:
        failure = Failure(Code.ITEMS_FAILED, _named("Failed", failed), "See `error.remedy` of each in `report.items`.")
        return problem(HTTPStatus.BAD_GATEWAY, failure, report=shown_report)
    if busy:
        wait = max(_seconds(row, now) for row in busy)
        remedy = "Ask again after the seconds of Retry-After; for a leaked PAT use POST /api/emergency."
        code = busy[0].error.code if busy[0].error else Code.IN_OVERLAP
        held = sorted({row.error.message for row in busy if row.error})
        failure = Failure(code, f"{_named('Could not be rotated now', busy)} {' '.join(held[:_SHOWN])}", remedy)
        return problem(HTTPStatus.CONFLICT, failure, headers={"Retry-After": str(wait)}, report=shown_report)
    if left or not ended:
        rest = f"; {_named('left', left)}" if left else ", and some of it is still under way."
        failure = Failure(
            Code.TIME_OVER,
            f"The time of the request (HTTP_BUDGET) was over before all was done{rest}",
            "Send the same request again: what was done is not done twice.",
        )
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, failure, headers={"Retry-After": str(SOON)}, report=shown_report)
    return Answer(HTTPStatus.OK, shown_report)


def of_queued(run: KeptRun) -> Answer:
    """202: the work goes over the queue; poll `Location` after `Retry-After` seconds."""
    headers = {
        "Location": f"/api/runs/{run.run_id}",
        "Retry-After": str(POLL_AFTER if run.finished_at is None else 1),
        "Preference-Applied": "respond-async",
    }
    return Answer(HTTPStatus.ACCEPTED, shown(run, _status(run)), headers)


def of_run(run: KeptRun) -> Answer:
    """One run as it stands. `status` is what a request that waited would have been answered; null while it runs."""
    again = {"Retry-After": str(POLL_AFTER)} if run.finished_at is None else {}
    return Answer(HTTPStatus.OK, shown(run, _status(run)), again)


def of_unknown_run() -> Answer:
    """404: never kept, or deleted since."""
    failure = Failure(
        Code.RUN_UNKNOWN,
        f"No report is kept under this id: reports are deleted after {KEPT_DAYS} days.",
        "Take an id from GET /api/runs, or from the answer of the request.",
    )
    return problem(HTTPStatus.NOT_FOUND, failure)


def _status(run: KeptRun) -> int | None:
    """None as long as the run goes on."""
    return None if run.finished_at is None else int(of_report(run.report, run.finished_at).status)


def _named(what: str, rows: Iterable[Row]) -> str:
    names = sorted({row.secret for row in rows}, key=str.casefold)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{what}: {', '.join(names[:_SHOWN])}{more}."


def _seconds(row: Row, now: datetime) -> int:
    if row.again_at is None:
        return HELD_FOR
    return max(1, round((row.again_at - now).total_seconds()))
