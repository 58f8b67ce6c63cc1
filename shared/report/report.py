"""What a run tells, the same at every door: one row per item and step that did something, at least one per item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.model.clock import instant, read_instant
from shared.model.errors import Code, PatrolError
from shared.model.items import Owners
from shared.model.steps import (
    Because,
)


class Verb(StrEnum):
    HOLD = "hold"
    ROTATE = "rotate"
    RENEW = "renew"
    RETIRE = "retire"
    DECOMMISSION = "decommission"


class Outcome(StrEnum):
    DONE = "done"
    HELD = "held"
    PLANNED = "planned"
    LEFT = "left"
    BUSY = "busy"
    FAILED = "failed"
    BLOCKED = "blocked"


WELL = frozenset({Outcome.DONE, Outcome.HELD, Outcome.PLANNED})


@dataclass(frozen=True, slots=True)
class Failure:
    code: Code
    message: str
    remedy: str

    @classmethod
    def of(cls, error: PatrolError) -> Failure:
        return cls(error.code, error.cause, error.remedy)


@dataclass(frozen=True, slots=True)
class Row:
    secret: str
    username: str
    organization: str
    step: Verb
    outcome: Outcome
    because: Because
    says: str
    expires_on: datetime | None = None
    error: Failure | None = None
    again_at: datetime | None = None
    """From when a busy item may be asked for again, where that is known; not part of the report."""
    version: str = ""
    """The version of the secret that the step wrote, or gave a later expiry; "" where it did neither."""
    owner: str = ""
    """Whom the item belongs to, where pats.yaml says so."""
    vault: str = ""
    """The host of the secret's vault; "" for what is no item's."""
    called: str = ""
    """`label/name` where several vaults have a secret of that name: how people and commands name it."""

    @property
    def name(self) -> str:
        """As tables and commands name it."""
        return self.called or self.secret


@dataclass(frozen=True, slots=True)
class Leftover:
    """A live PAT that patrol made, or was told to end, and cannot end by itself."""

    secret: str
    authorization_id: str
    username: str
    organization: str
    says: str
    vault: str = ""
    """The host of the secret's vault."""


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """What one recipient was told of a run. `waiting`: notices that it did not take, and is told later.

    Never an item's: no exit code and no outcome depends on it (rule 19).
    """

    recipient: str
    kind: str
    told: int
    waiting: int
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Report:
    run_id: str
    started_at: datetime
    finished_at: datetime
    items: tuple[Row, ...]
    leftovers: tuple[Leftover, ...] = ()
    unmanaged: tuple[str, ...] = ()
    recipients: tuple[RecipientRow, ...] = ()
    misconfigured: Failure | None = None
    """Set when a refusal of the tenant or the client ended the run early (exit 2)."""

    @property
    def outcome(self) -> str:
        """`succeeded`: all well; `failed`: nothing was; `partial`: some."""
        well = sum(row.outcome in WELL for row in self.items)
        if well == len(self.items) and self.misconfigured is None:
            return "succeeded"
        return "partial" if well else "failed"

    def exit_code(self) -> int:
        """0 all well, 2 misconfigured, 3 a blocked user needs a person, 1 an item failed, was left or is busy."""
        if self.misconfigured is not None:
            return 2
        outcomes = {row.outcome for row in self.items}
        if Outcome.BLOCKED in outcomes:
            return 3
        return 0 if outcomes <= WELL else 1

    def to_json(self) -> dict[str, object]:
        """The shape of docs/report.md; instants as ISO 8601 with Z."""
        return {
            "run_id": self.run_id,
            "started_at": instant(self.started_at),
            "finished_at": instant(self.finished_at),
            "outcome": self.outcome,
            "items": [row_json(row) for row in self.items],
            "leftovers": [leftover_json(leftover) for leftover in self.leftovers],
            "unmanaged": list(self.unmanaged),
            "recipients": [recipient_json(row) for row in self.recipients],
        }


def in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    """What needs a person first, then what changed, then the rest, by name: a stable order for people and diffs."""
    rank = {
        Outcome.BLOCKED: 0,
        Outcome.FAILED: 1,
        Outcome.BUSY: 2,
        Outcome.LEFT: 3,
        Outcome.DONE: 4,
        Outcome.PLANNED: 4,
    }
    # Sorting is stable, so the steps of one item stay in the order in which they happened.
    return tuple(sorted(rows, key=lambda row: (rank.get(row.outcome, 5), row.secret.casefold())))


def owned(rows: Iterable[Row], owners: Owners) -> list[Row]:
    """Rows with whom they belong to."""
    return [replace(row, owner=", ".join(owners.of(row.name, row.username))) for row in rows]


def row_json(row: Row) -> dict[str, object]:
    """A row as every report's JSON has it."""
    return {
        "secret": row.secret,
        "vault": row.vault or None,
        **({"called": row.called} if row.called else {}),
        "username": row.username,
        "organization": row.organization,
        "step": row.step.value,
        "outcome": row.outcome.value,
        "because": row.because.value,
        "says": row.says,
        "expires_on": instant(row.expires_on),
        "version": row.version or None,
        "owner": row.owner or None,
        "error": failure_json(row.error),
    }


def read_row(found: Mapping[str, Any]) -> Row:
    """What `row_json` made. Raises KeyError, TypeError or ValueError for anything else."""
    return Row(
        secret=found["secret"],
        username=found["username"],
        organization=found["organization"],
        step=Verb(found["step"]),
        outcome=Outcome(found["outcome"]),
        because=Because(found["because"]),
        says=found["says"],
        expires_on=read_instant(found["expires_on"]),
        error=read_failure(found["error"]),
        # Older reports name none of these.
        version=found.get("version") or "",
        vault=found.get("vault") or "",
        called=found.get("called") or "",
        owner=found.get("owner") or "",
    )


def recipient_json(row: RecipientRow) -> dict[str, object]:
    """What a recipient was told, as every report's JSON has it."""
    return {
        "recipient": row.recipient,
        "kind": row.kind,
        "told": row.told,
        "waiting": row.waiting,
        "error": failure_json(row.error),
    }


def read_recipient(found: Mapping[str, Any]) -> RecipientRow:
    """What `recipient_json` made; raises as `read_row` does."""
    return RecipientRow(
        found["recipient"], found["kind"], found["told"], found["waiting"], read_failure(found["error"])
    )


def leftover_json(leftover: Leftover) -> dict[str, object]:
    """A leftover as every report's JSON has it."""
    return {
        "secret": leftover.secret,
        "vault": leftover.vault or None,
        "authorization_id": leftover.authorization_id,
        "username": leftover.username,
        "organization": leftover.organization,
        "says": leftover.says,
    }


def read_leftover(found: Mapping[str, Any]) -> Leftover:
    """What `leftover_json` made; raises as `read_row` does."""
    return Leftover(
        found["secret"],
        found["authorization_id"],
        found["username"],
        found["organization"],
        found["says"],
        found.get("vault") or "",
    )


def failure_json(failure: Failure | None) -> dict[str, object] | None:
    """A failure as every report's JSON has it; None stays None."""
    if failure is None:
        return None
    return {"code": failure.code.value, "message": failure.message, "remedy": failure.remedy}


def read_failure(found: Mapping[str, Any] | None) -> Failure | None:
    """What `failure_json` made; raises as `read_row` does."""
    return None if found is None else Failure(Code(found["code"]), found["message"], found["remedy"])
