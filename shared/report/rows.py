"""Rows of the report for one item, as every door and the dispatcher tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from shared.model.clock import instant
from shared.model.errors import Busy, Code, PatrolError, defect
from shared.model.items import InvalidItem, Item, Named
from shared.model.ports import (
    Events,
)
from shared.model.steps import (
    Because,
    Decommission,
    Recover,
    Renew,
    Rotate,
    Step,
    Wait,
)
from shared.report.report import Failure, Outcome, Row, Verb

WHY = {
    Because.NOTHING_PUBLISHED: "no value was published",
    Because.NEAR_EXPIRY: "the PAT was near expiry",
    Because.EXPIRED: "the PAT had expired",
    Because.GONE: "the PAT no longer existed",
    Because.MAX_AGE: "the value reached its max_age",
    Because.SCOPES_CHANGED: "the scopes in pats.yaml changed",
    Because.ORGANIZATION_CHANGED: "the organization in pats.yaml changed",
    Because.USER_CHANGED: "the technical user in pats.yaml changed",
    Because.ADOPTED: "pats.yaml says to adopt it",
    Because.TAKEN_BACK: "it was taken back after somebody edited it",
    Because.FORCED: "it was asked for",
    Because.EMERGENCY: "of an emergency",
    Because.RENEWING_NO_LONGER_HELPS: "renewing no longer helped",
    Because.DIED_WHILE_PUBLISHED: "the value died while it was published",
}

CORRECT = "Correct pats.yaml; `patrol check` shows the line."


def held(item: Item, because: Because, until: datetime | None, ends: datetime | None) -> Row:
    """An item that needs nothing now; `ends` is its PAT's expiry."""
    says = {
        Because.FRESH: f"works until {instant(ends)}; next due at {instant(until)}.",
        Because.PAUSED: "paused in pats.yaml; nothing was done.",
        Because.ALREADY_REPLACED: "was already replaced after this was asked for.",
        Because.DECOMMISSIONED: "is decommissioned: its PAT has ended, the secret is disabled.",
        Because.NOTHING_TO_END: "has nothing of patrol's to decommission.",
        Because.DELETED: "was recovered; the next run looks at it.",
    }[because]
    sentence = f"{item.secret}: {says}"
    return Row(item.secret, item.username, item.organization, Verb.HOLD, Outcome.HELD, because, sentence, ends)


def failed(
    item: Named,
    because: Because,
    failure: PatrolError,
    outcome: Outcome = Outcome.FAILED,
    verb: Verb = Verb.HOLD,
) -> Row:
    """An item whose step failed, with cause and remedy."""
    says = f"{item.secret}: {failure.cause} {failure.remedy}"
    return Row(item.secret, item.username, item.organization, verb, outcome, because, says, error=Failure.of(failure))


def held_elsewhere(item: Item, step: Step, busy: Busy) -> Row:
    """An item that another runner worked on for as long as could be waited."""
    return failed(item, Because.ROTATED_ELSEWHERE, busy, Outcome.BUSY, verb_of(step))


def left(item: Named) -> Row:
    """An item that the time budget did not reach; the next run begins with the most urgent."""
    says = f"{item.secret}: not reached before the time was over; the next run goes on with the most urgent."
    return Row(item.secret, item.username, item.organization, Verb.HOLD, Outcome.LEFT, Because.OUT_OF_TIME, says)


def unexpected(item: Named, failure: Exception) -> Row:
    """An item that a defect of patrol ended."""
    return failed(item, Because.UNEXPECTED, defect(failure))


def verb_of(step: Step) -> Verb:
    """What a report calls the step; what only looks is held."""
    match step:
        case Rotate() | Wait() | Recover():
            return Verb.ROTATE
        case Renew():
            return Verb.RENEW
        case Decommission():
            return Verb.DECOMMISSION
        case _:
            return Verb.HOLD


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows of each outcome."""
    found = Counter(row.outcome.value for row in rows)
    return {outcome.value: found[outcome.value] for outcome in Outcome}


def invalid_row(item: InvalidItem) -> Row:
    """An item that pats.yaml spoilt."""
    problem = PatrolError(Code.ITEM_INVALID, item.problem, CORRECT)
    says = f"{item.secret}: {problem.cause} {problem.remedy}"
    return Row(
        item.secret,
        item.username,
        item.organization,
        Verb.HOLD,
        Outcome.FAILED,
        Because.INVALID,
        says,
        error=Failure.of(problem),
    )


def tell_row(tell: Events, row: Row) -> None:
    """Log one row, unless it is held."""
    # What is held is in the report; a line for each of thousands of healthy PATs on every run would be noise.
    if row.outcome is Outcome.HELD:
        return
    code = row.error.code if row.error else None
    name = f"item.{row.outcome}"
    tell(name, secret=row.secret, step=row.step, because=row.because, code=code, expires=row.expires_on, says=row.says)
