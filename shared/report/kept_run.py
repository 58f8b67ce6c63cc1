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
    WELL,
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
    read_row,
    row_json,
)

KEPT_DAYS = 30
"""The rule of the storage account deletes reports this long after they were last written (infra/)."""

GIVEN_UP = timedelta(minutes=30)
"""After the deadline nothing is begun; what was begun just before it ends within the host's `functionTimeout`."""


@dataclass(frozen=True, slots=True)
class MessageOpen:
    """What one message is to do; `items` as (secret, organization)."""

    username: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run's report as it is kept. While it waits for messages `finished_at` is None; `waiting[n - 1]` is part n.

    `door`: timer, http or command-line. `deadline`: when messages are no longer worked on.
    """

    run_id: str
    started_at: datetime
    door: str
    dry_run: bool = False
    finished_at: datetime | None = None
    items: tuple[Row, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    unmanaged: tuple[str, ...] = ()
    error: Failure | None = None
    waiting: tuple[MessageOpen, ...] = ()
    deadline: datetime | None = None
    messages: int = 0
    messages_done: int = 0

    @classmethod
    def of(cls, report: Report, door: str, dry_run: bool) -> KeptRun:
        return cls(
            report.run_id,
            report.started_at,
            door,
            dry_run,
            report.finished_at,
            report.items,
            report.leftovers,
            report.unmanaged,
            report.misconfigured,
        )

    @property
    def report(self) -> Report:
        """The report so far; as long as the run goes on, it ends with its beginning."""
        ended = self.finished_at or self.started_at
        return Report(self.run_id, self.started_at, ended, self.items, self.leftovers, self.unmanaged, self.error)

    @property
    def outcome(self) -> str:
        return "running" if self.finished_at is None else self.report.outcome


MOST_ORGANIZATIONS = 100
"""Each costs a listing with the user's own rate."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one of `of` messages of a run is to do, as whoever planned the run wrote it down: the message points to it.

    `names`: only these secrets of the user; None: whatever is due. `organizations`: where else tags in the vault say
    that the user minted. `deadline`: after it the work is left.
    """

    username: str
    deadline: datetime
    of: int = 1
    names: tuple[str, ...] | None = None
    force: bool = False
    dry_run: bool = False
    published_before: datetime | None = None
    organizations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.force and (self.names is None or self.published_before is None):
            raise ValueError("what is forced has names and an instant: delivered twice it would rotate twice (rule 8)")
        if len(self.organizations) > MOST_ORGANIZATIONS:
            raise ValueError(f"an order has {MOST_ORGANIZATIONS} organizations at most")


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
    if head.finished_at is not None or head.deadline is None:
        return head
    done: dict[int, list[MessageDone]] = {}
    for one in parts:
        done.setdefault(one.part, []).append(one)
    over = now >= head.deadline + GIVEN_UP
    shares = [_share(waiting, done.get(number, []), over) for number, waiting in enumerate(head.waiting, start=1)]
    ends = [one.ended_at for one in shares if one.ended_at is not None]
    finished = head.deadline if over else None
    if len(ends) == len(shares):
        finished = max(ends, default=head.started_at)
    leftovers = {*head.leftovers, *(one for share in shares for one in share.leftovers)}
    errors = [share.error for share in shares if share.error is not None]
    return replace(
        head,
        # What several parts tell alike, such as a client secret near its expiry, stands there once.
        items=in_order(dict.fromkeys([*head.items, *(row for share in shares for row in share.rows)])),
        leftovers=tuple(sorted(leftovers, key=lambda one: (one.secret.casefold(), one.authorization_id))),
        error=head.error or next(iter(errors), None),
        finished_at=finished,
        messages=len(shares),
        messages_done=len(ends),
        waiting=() if finished else head.waiting,
    )


@dataclass(frozen=True, slots=True)
class _Share:
    """What is known of one message's work. `ended_at` is None as long as it may be delivered again."""

    rows: tuple[Row, ...]
    leftovers: tuple[Leftover, ...] = ()
    error: Failure | None = None
    ended_at: datetime | None = None


def _share(waiting: MessageOpen, parts: Iterable[MessageDone], over: bool) -> _Share:
    """The last delivery's word counts: it saw what all others had done, in whatever order they were told."""
    deliveries: dict[tuple[datetime, int], list[MessageDone]] = {}
    for part in sorted(parts, key=lambda one: (one.finished_at, one.delivery, one.final)):
        deliveries.setdefault((part.finished_at, part.delivery), []).append(part)
    portions = list(deliveries.values())
    last = portions[-1] if portions else []
    rows = _rows(portions)
    error = next((one.error for one in last if one.error is not None), None)
    ended_at = max((one.finished_at for mine in portions for one in mine if one.final), default=None)
    told = {row.secret.casefold() for row in rows}
    untold = [item for item in waiting.items if item[0].casefold() not in told]
    rows += [_untold(waiting.username, *item, error, ended=ended_at is not None, over=over) for item in untold]
    return _Share(tuple(rows), tuple(leftover for one in last for leftover in one.leftovers), error, ended_at)


def _rows(portions: list[list[MessageDone]]) -> list[Row]:
    """What the last delivery says, and what earlier ones did: a redelivered message finds its work done."""
    if not portions:
        return []
    *earlier, last = [[row for one in mine for row in one.items] for mine in portions]
    did = [row for rows in earlier for row in rows if row.outcome is Outcome.DONE]
    changed = {row.secret.casefold() for row in did}
    return [*did, *(row for row in last if row.outcome is not Outcome.HELD or row.secret.casefold() not in changed)]


def _untold(username: str, secret: str, organization: str, error: Failure | None, *, ended: bool, over: bool) -> Row:
    """The row of an item of which no delivery says anything."""
    if ended and error is not None:
        says = f"{secret}: {error.message} {error.remedy}"
        return Row(secret, username, organization, Verb.HOLD, Outcome.FAILED, Because.NOT_SEEN, says, error=error)
    if ended:
        says = "it was not this user's in pats.yaml any more when its turn came; nothing was done."
    elif over:
        says = "its message was not worked off in time; nothing was told of it. The next run looks at it again."
    else:
        says = "waits in the queue."
    return Row(secret, username, organization, Verb.HOLD, Outcome.LEFT, Because.QUEUED, f"{secret}: {says}")


# --- as JSON ----------------------------------------------------------------------------------------------------------


def run_json(run: KeptRun) -> dict[str, object]:
    """As it is kept."""
    return {
        **_facts(run),
        "waiting": [{"username": one.username, "items": [list(item) for item in one.items]} for one in run.waiting],
        "deadline": instant(run.deadline),
        "messages": run.messages,
        "messages_done": run.messages_done,
    }


def read_run(found: Mapping[str, Any]) -> KeptRun:
    """What `run_json` made. Raises KeyError, TypeError or ValueError for anything else."""
    started = read_instant(found["started_at"])
    if started is None:
        raise ValueError("a run has begun")
    return KeptRun(
        run_id=found["run_id"],
        started_at=started,
        door=found["door"],
        dry_run=found["dry_run"],
        finished_at=read_instant(found["finished_at"]),
        items=tuple(read_row(one) for one in found["items"]),
        leftovers=tuple(read_leftover(one) for one in found["leftovers"]),
        unmanaged=tuple(found["unmanaged"]),
        error=read_failure(found["error"]),
        waiting=tuple(
            MessageOpen(one["username"], tuple((item[0], item[1]) for item in one["items"])) for one in found["waiting"]
        ),
        deadline=read_instant(found["deadline"]),
        messages=found["messages"],
        messages_done=found["messages_done"],
    )


def order_json(order: Order) -> dict[str, object]:
    return {
        "username": order.username,
        "deadline": instant(order.deadline),
        "of": order.of,
        "secrets": None if order.names is None else list(order.names),
        "force": order.force,
        "dry_run": order.dry_run,
        # To the microsecond: whole seconds would be an earlier instant.
        "published_before": None if order.published_before is None else order.published_before.isoformat(),
        "organizations": list(order.organizations),
    }


def read_order(found: Mapping[str, Any]) -> Order:
    """What `order_json` made; raises as `read_run` does."""
    deadline = read_instant(found["deadline"])
    if deadline is None:
        raise ValueError("an order has a deadline")
    return Order(
        username=found["username"],
        deadline=deadline,
        of=found["of"],
        names=None if found["secrets"] is None else tuple(found["secrets"]),
        force=found["force"],
        dry_run=found["dry_run"],
        published_before=read_instant(found["published_before"]),
        organizations=tuple(found["organizations"]),
    )


def part_json(part: MessageDone) -> dict[str, object]:
    return {
        "part": part.part,
        "delivery": part.delivery,
        "final": part.final,
        "finished_at": instant(part.finished_at),
        "items": [row_json(one) for one in part.items],
        "leftovers": [leftover_json(one) for one in part.leftovers],
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
        items=tuple(read_row(one) for one in found["items"]),
        leftovers=tuple(read_leftover(one) for one in found["leftovers"]),
        error=read_failure(found["error"]),
    )


def shown(run: KeptRun, status: int | None) -> dict[str, object]:
    """What `GET /api/runs/{run_id}` answers; `status`: what the request would have been answered at its end."""
    progress = {"messages": run.messages, "finished": run.messages_done}
    return {**_facts(run), "status": status, "progress": progress}


def _facts(run: KeptRun) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "door": run.door,
        "dry_run": run.dry_run,
        "started_at": instant(run.started_at),
        "finished_at": instant(run.finished_at),
        "outcome": run.outcome,
        "items": [row_json(one) for one in run.items],
        "leftovers": [leftover_json(one) for one in run.leftovers],
        "unmanaged": list(run.unmanaged),
        "error": failure_json(run.error),
    }


@dataclass(frozen=True, slots=True)
class Brief:
    """One row of `GET /api/runs`. `not_well`: how many of the rows need somebody, or another run."""

    run_id: str
    door: str
    dry_run: bool
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    items: int
    not_well: int

    @classmethod
    def of(cls, run: KeptRun) -> Brief:
        not_well = sum(row.outcome not in WELL for row in run.items)
        started, ended = run.started_at, run.finished_at
        return cls(run.run_id, run.door, run.dry_run, started, ended, run.outcome, len(run.items), not_well)

    @classmethod
    def of_facts(cls, run_id: str, facts: Mapping[str, str]) -> Brief:
        """What `facts` made. Raises KeyError or ValueError for anything else."""
        started = read_instant(facts["started_at"])
        if started is None:
            raise ValueError("a run has begun")
        return cls(
            run_id,
            facts["door"],
            facts["dry_run"] == "true",
            started,
            read_instant(facts.get("finished_at")),
            facts["outcome"],
            int(facts["items"]),
            int(facts["not_well"]),
        )

    def facts(self) -> dict[str, str]:
        """As text, kept beside the report so that a list of runs reads no report."""
        told = {**self.to_json(), "dry_run": str(self.dry_run).lower()}
        return {key: str(value) for key, value in told.items() if key != "run_id" and value is not None}

    def to_json(self) -> dict[str, object]:
        """One entry of `GET /api/runs`."""
        return {
            "run_id": self.run_id,
            "door": self.door,
            "dry_run": self.dry_run,
            "started_at": instant(self.started_at),
            "finished_at": instant(self.finished_at),
            "outcome": self.outcome,
            "items": self.items,
            "not_well": self.not_well,
        }


def last_run(latest: Iterable[Brief]) -> Brief | None:
    """The last of these runs that was meant: a dry run rotates nothing."""
    return max((one for one in latest if not one.dry_run), key=lambda one: one.run_id, default=None)
