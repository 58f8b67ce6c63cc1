"""Rows of the report for one item, as every door and the dispatcher tell them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.model.clock import instant
from shared.model.errors import Busy, Code, PatrolError, defect
from shared.model.items import InvalidItem, Inventory, Item, Named
from shared.model.ports import (
    Events,
)
from shared.model.steps import (
    Because,
    Decommission,
    Mend,
    Recover,
    Renew,
    Rotate,
    Step,
    Wait,
)
from shared.model.vaults import VaultAddress
from shared.report.report import Failure, Outcome, Row, Verb

_NOW_AND_THEN = {
    Because.NOTHING_PUBLISHED: ("no value is published", "no value was published"),
    Because.NEAR_EXPIRY: ("the PAT is near expiry", "the PAT was near expiry"),
    Because.EXPIRED: ("the PAT has expired", "the PAT had expired"),
    Because.GONE: ("the PAT no longer exists", "the PAT no longer existed"),
    Because.MISNAMED: (
        "the value is not the PAT that its tags name",
        "the value was not the PAT that its tags named",
    ),
    Because.MAX_AGE: ("the value has reached its max_age", "the value had reached its max_age"),
    Because.SCOPES_CHANGED: ("the scopes in pats.yaml changed",) * 2,
    Because.ORGANIZATION_CHANGED: ("the organization in pats.yaml changed",) * 2,
    Because.USER_CHANGED: ("the technical user in pats.yaml changed",) * 2,
    Because.ADOPTED: ("pats.yaml says to adopt it",) * 2,
    Because.TAKEN_BACK: ("it is taken back from whoever edited it", "it was taken back after somebody edited it"),
    Because.FORCED: ("it is asked for", "it was asked for"),
    Because.EMERGENCY: ("of an emergency",) * 2,
    Because.RENEWING_NO_LONGER_HELPS: ("renewing no longer helps", "renewing no longer helped"),
    Because.DIED_WHILE_PUBLISHED: ("the value died while it was published",) * 2,
    Because.DELETED: ("the secret is soft-deleted", "the secret was soft-deleted"),
    Because.DECOMMISSIONED: ("pats.yaml says to decommission it",) * 2,
}
_OF_A_TOKEN = {
    Because.NEAR_EXPIRY: ("little of its life is left", "little of its life was left"),
    Because.EXPIRED: ("the token has expired", "the token had expired"),
    Because.USER_CHANGED: ("the service principal in pats.yaml changed",) * 2,
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


def of_step(
    item: Item,
    verb: Verb,
    because: Because,
    says: str,
    ends: datetime | None = None,
    outcome: Outcome = Outcome.DONE,
) -> Row:
    """One step of an item; `says`: without its name."""
    return Row(item.secret, item.username, item.organization, verb, outcome, because, f"{item.secret}: {says}", ends)


def in_overlap(item: Item, until: datetime) -> Row:
    """What was asked for while a predecessor is in overlap (rule 7)."""
    cause = f"A predecessor is still in overlap until {instant(until)}, so consumers may still use it."
    remedy = "Ask again after that; for a leaked PAT use emergency."
    row = of_step(item, Verb.ROTATE, Because.IN_OVERLAP, f"{cause} {remedy}", None, Outcome.BUSY)
    return replace(row, error=Failure(Code.IN_OVERLAP, cause, remedy), again_at=until)


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


def why_now(because: Because, *, of_token: bool = False) -> str:
    """Ends a sentence about what is to be done: `..., because the PAT is near expiry`."""
    return _why(because, of_token=of_token)[0]


def why_then(because: Because, *, of_token: bool = False) -> str:
    """Ends a sentence about what was done."""
    return _why(because, of_token=of_token)[1]


def _why(because: Because, *, of_token: bool) -> tuple[str, str]:
    found = _OF_A_TOKEN.get(because) if of_token else None
    return found or _NOW_AND_THEN.get(because) or (because.value, because.value)


def would(step: Step, *, of_token: bool = False) -> str:
    """A planned step as a sentence, without its item."""
    match step:
        case Mend():
            return "its tags would carry the new names."
        case Renew():
            done = "renewed"
        case Decommission():
            done = "decommissioned"
        case Recover():
            done = "recovered in the vault, and looked at again"
        case _:
            done = "rotated"
    return f"would be {done}, because {why_now(step.because, of_token=of_token)}."


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows of each outcome."""
    found = Counter(row.outcome.value for row in rows)
    return {outcome.value: found[outcome.value] for outcome in Outcome}


def invalid_row(item: InvalidItem) -> Row:
    """An item that pats.yaml spoilt."""
    problem = PatrolError(item.code, item.problem, item.remedy or CORRECT)
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


def in_vault(row: Row, address: VaultAddress, host: str, inventory: Inventory) -> Row:
    """The row as one of this vault; where several have a secret of its name, it is called by its label as well."""
    if row.secret.casefold() not in inventory.in_several:
        return replace(row, vault=host)
    called = inventory.written(address.key_of(row.secret))
    return replace(
        row,
        vault=host,
        called=called,
        says=renamed(row.says, row.secret, called),
        error=None if row.error is None else replace(row.error, remedy=renamed(row.error.remedy, row.secret, called)),
    )


def renamed(text: str, secret: str, called: str) -> str:
    """The text with `called` for the secret's name where it begins with it, and in the commands that it names."""
    word = re.compile(rf"(?<![\w/-]){re.escape(secret)}(?![\w-])")
    text = re.sub(r"`[^`\n]+`", lambda command: word.sub(called, command[0]), text)
    return f"{called}: {text.removeprefix(f'{secret}: ')}" if text.startswith(f"{secret}: ") else text


def tell_row(tell: Events, row: Row) -> None:
    """Log one row, unless it is held."""
    # What is held is in the report; a line for each of thousands of healthy PATs on every run would be noise.
    if row.outcome is Outcome.HELD:
        return
    code = row.error.code if row.error else None
    name = f"item.{row.outcome}"
    tell(
        name,
        secret=row.secret,
        vault=row.vault or None,
        step=row.step,
        because=row.because,
        code=code,
        expires=row.expires_on,
        says=row.says,
    )
