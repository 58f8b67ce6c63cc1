"""Reports that outlive their run, and how a run's parts become one report. Pure.

A run over the queue is worked on by many instances at once. Its head says what waits, each message adds its part, and
whoever reads puts both together: nothing is ever read, changed and written back, so nothing can be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.model.clock import instant, read_instant
from shared.model.steps import Because
from shared.report.report import (
    Failure,
    Leftover,
    Outcome,
    Report,
    Row,
    Verb,
    failure_json,
    in_order,
    leftover_json,
    read_failure,
    read_leftover,
    read_recipient,
    read_row,
    row_json,
)

KEPT_DAYS = 30
"""The rule of the storage account deletes reports this long after they were last written (infra/)."""

GIVEN_UP = timedelta(minutes=30)
"""After the deadline nothing is begun; what was begun just before it ends within the host's `functionTimeout`."""


@dataclass(frozen=True, slots=True)
class MessageOpen:
    """What one message is to do; `items` as (secret, organization, host of its vault, what rows call it)."""

    username: str
    items: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run's report as it is kept, and the `door` it came in by: timer, http or command-line.

    `running`: messages do its work; then the report is as far as it came, and ends with its beginning. `waiting[n - 1]`
    is part n's. `deadline`: when messages are no longer worked on.
    """

    report: Report
    door: str
    dry_run: bool = False
    running: bool = False
    waiting: tuple[MessageOpen, ...] = ()
    deadline: datetime | None = None
    messages: int = 0
    messages_done: int = 0

    @property
    def run_id(self) -> str:
        return self.report.run_id

    @property
    def finished_at(self) -> datetime | None:
        """None as long as it runs."""
        return None if self.running else self.report.finished_at

    @property
    def outcome(self) -> str:
        return "running" if self.running else self.report.outcome


@dataclass(frozen=True, slots=True)
class MessageDone:
    """What one delivery of one message did, or a portion of it (the portions of a delivery end at one instant).

    `final`: the message is not delivered again as far as we can tell.
    """

    part: int
    delivery: int
    final: bool
    finished_at: datetime
    items: tuple[Row, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    error: Failure | None = None


def put_together(head: KeptRun, parts: Iterable[MessageDone], now: datetime) -> KeptRun:
    """The report of a run over the queue: running while a message is open, and its deadline has not long passed."""
    if not head.running or head.deadline is None:
        return head
    done: dict[int, list[MessageDone]] = {}
    for part in parts:
        done.setdefault(part.part, []).append(part)
    over = now >= head.deadline + GIVEN_UP
    works = [_work(waiting, done.get(number, []), over) for number, waiting in enumerate(head.waiting, start=1)]
    ends = [work.ended_at for work in works if work.ended_at is not None]
    finished = head.deadline if over else None
    if len(ends) == len(works):
        finished = max(ends, default=head.report.started_at)
    leftovers = {*head.report.leftovers, *(leftover for work in works for leftover in work.leftovers)}
    errors = [work.error for work in works if work.error is not None]
    report = replace(
        head.report,
        # What several parts tell alike, such as a client secret near its expiry, stands there once.
        items=in_order(dict.fromkeys([*head.report.items, *(row for work in works for row in work.rows)])),
        leftovers=tuple(
            sorted(leftovers, key=lambda leftover: (leftover.secret.casefold(), leftover.authorization_id))
        ),
        misconfigured=head.report.misconfigured or next(iter(errors), None),
        finished_at=finished or head.report.started_at,
    )
    return replace(
        head,
        report=report,
        running=finished is None,
        messages=len(works),
        messages_done=len(ends),
        waiting=() if finished else head.waiting,
    )


@dataclass(frozen=True, slots=True)
class _MessageWork:
    """What is known of one message's work. `ended_at` is None as long as it may be delivered again."""

    rows: tuple[Row, ...]
    leftovers: tuple[Leftover, ...] = ()
    error: Failure | None = None
    ended_at: datetime | None = None


def _work(waiting: MessageOpen, parts: Iterable[MessageDone], over: bool) -> _MessageWork:
    """The last delivery's word counts: it saw what all others had done, in whatever order they were told."""
    deliveries: dict[tuple[datetime, int], list[MessageDone]] = {}
    for part in sorted(parts, key=lambda part: (part.finished_at, part.delivery, part.final)):
        deliveries.setdefault((part.finished_at, part.delivery), []).append(part)
    portions = list(deliveries.values())
    last = portions[-1] if portions else []
    rows = _rows(portions)
    error = next((part.error for part in last if part.error is not None), None)
    ended_at = max((part.finished_at for mine in portions for part in mine if part.final), default=None)
    has = {(vault, row.secret.casefold()) for row in rows for vault in (row.vault, "")}
    untold = [item for item in waiting.items if ("".join(item[2:3]), item[0].casefold()) not in has]
    rows += [_untold(waiting.username, item, error, ended=ended_at is not None, over=over) for item in untold]
    return _MessageWork(tuple(rows), tuple(leftover for part in last for leftover in part.leftovers), error, ended_at)


def _rows(portions: list[list[MessageDone]]) -> list[Row]:
    """What the last delivery says, and what earlier ones did: a redelivered message finds its work done."""
    if not portions:
        return []
    *earlier, last = [[row for part in mine for row in part.items] for mine in portions]
    did = [row for rows in earlier for row in rows if row.outcome is Outcome.DONE]
    changed = {(row.vault, row.secret) for row in did}
    return [*did, *(row for row in last if row.outcome is not Outcome.HELD or (row.vault, row.secret) not in changed)]


def _untold(username: str, item: tuple[str, ...], error: Failure | None, *, ended: bool, over: bool) -> Row:
    """The row of an item of which no delivery says anything."""
    secret, organization, vault, called = (*item, "", "")[:4]
    told = (Outcome.LEFT, Because.QUEUED)
    known = error if ended else None
    if known is not None:
        says, told = f"{known.message} {known.remedy}", (Outcome.FAILED, Because.NOT_SEEN)
    elif ended:
        says = "it was not this user's in pats.yaml any more when its turn came; nothing was done."
    elif over:
        says = "its message was not worked off in time; nothing was told of it. The next run looks at it again."
    else:
        says = "waits in the queue."
    row = Row(secret, username, organization, Verb.HOLD, *told, f"{called or secret}: {says}", error=known)
    return replace(row, vault=vault, called=called)


# --- as JSON ----------------------------------------------------------------------------------------------------------


def run_json(run: KeptRun) -> dict[str, object]:
    """As it is kept."""
    return {
        **_facts(run),
        "waiting": [
            {"username": message.username, "items": [list(item) for item in message.items]} for message in run.waiting
        ],
        "deadline": instant(run.deadline),
        "messages": run.messages,
        "messages_done": run.messages_done,
    }


def read_run(found: Mapping[str, Any]) -> KeptRun:
    """What `run_json` made. Raises KeyError, TypeError or ValueError for anything else."""
    started = read_instant(found["started_at"])
    if started is None:
        raise ValueError("a run has begun")
    finished = read_instant(found["finished_at"])
    report = Report(
        run_id=found["run_id"],
        started_at=started,
        finished_at=finished or started,
        items=tuple(read_row(row) for row in found["items"]),
        leftovers=tuple(read_leftover(leftover) for leftover in found["leftovers"]),
        unmanaged=tuple(found["unmanaged"]),
        recipients=tuple(read_recipient(row) for row in found.get("recipients", ())),
        misconfigured=read_failure(found["error"]),
    )
    return KeptRun(
        report,
        door=found["door"],
        dry_run=found["dry_run"],
        running=finished is None,
        waiting=tuple(
            MessageOpen(message["username"], tuple((item[0], item[1], *item[2:]) for item in message["items"]))
            for message in found["waiting"]
        ),
        deadline=read_instant(found["deadline"]),
        messages=found["messages"],
        messages_done=found["messages_done"],
    )


def part_json(part: MessageDone) -> dict[str, object]:
    """What came of a message, as it is kept."""
    return {
        "part": part.part,
        "delivery": part.delivery,
        "final": part.final,
        "finished_at": instant(part.finished_at),
        "items": [row_json(row) for row in part.items],
        "leftovers": [leftover_json(leftover) for leftover in part.leftovers],
        "error": failure_json(part.error),
    }


def read_part(found: Mapping[str, Any]) -> MessageDone:
    """What `part_json` made; raises as `read_run` does."""
    finished = read_instant(found["finished_at"])
    if finished is None:
        raise ValueError("a part has ended")
    return MessageDone(
        part=found["part"],
        delivery=found["delivery"],
        final=found["final"],
        finished_at=finished,
        items=tuple(read_row(row) for row in found["items"]),
        leftovers=tuple(read_leftover(leftover) for leftover in found["leftovers"]),
        error=read_failure(found["error"]),
    )


def shown(run: KeptRun, status: int | None) -> dict[str, object]:
    """What `GET /api/runs/{run_id}` answers; `status`: what the request would have been answered at its end."""
    progress = {"messages": run.messages, "finished": run.messages_done}
    return {**_facts(run), "status": status, "progress": progress}


def _facts(run: KeptRun) -> dict[str, object]:
    return {
        **run.report.to_json(),
        "door": run.door,
        "dry_run": run.dry_run,
        "finished_at": instant(run.finished_at),
        "outcome": run.outcome,
        "error": failure_json(run.report.misconfigured),
    }
