"""One message of the queue, done: a technical user's share of a run, its part of the report, and whether to try again.

A message may come twice, late, out of order, or after the same work was done elsewhere: the plan is made again from
what is seen, so nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from shared.fan_out.queue_message import MOST_DELIVERIES, Message
from shared.model.errors import Code, PatrolError, defect
from shared.model.items import Inventory, Item, User
from shared.model.request import Request
from shared.model.tags import Mark
from shared.report.kept_run import MessageDone
from shared.report.report import WELL, Failure, Leftover, Outcome, Row
from shared.report.rows import counts, left
from shared.rotation.run import run_user
from shared.rotation.threads import Threads
from shared.rotation.world import UserShare, World

PASSING = frozenset(
    {
        Code.IDENTITY_UNAVAILABLE,
        Code.VAULT_UNREACHABLE,
        Code.CLOCK_SKEW,
        Code.SIGN_IN_UNAVAILABLE,
        Code.DEVOPS_UNAVAILABLE,
        Code.DEVOPS_UNCLEAR,
        Code.ROTATED_ELSEWHERE,
        Code.MINT_UNCLEAR,
        Code.VERIFY_UNCLEAR,
        Code.PUBLISH_UNCLEAR,
        Code.PUBLISH_LATE,
        Code.REVOKE_UNCLEAR,
        Code.VAULT_UNCLEAR,
    }
)
"""Failures that may be over in some minutes. All others stay until somebody acts: trying again would only cost calls,
and a refused sign-in must not be repeated (promise 6)."""

_ROWS_IN_A_BLOCK = 2000


class TryAgain(Exception):
    """Fails the invocation, so that the host delivers the message again after its visibility delay."""


def do_message(
    message: Message, delivery: int, inventory: Inventory, world: World, mark: Mark, threads: Threads
) -> None:
    """Do the work, add its part to the run's report, and tell `user.finished`. Raises TryAgain when it may pass."""
    user = _user(message, inventory)
    if user is None:
        world.tell("message.dropped", run_id=message.run_id, username=message.username, part=message.part)
        _add(world, message, delivery, True, (), (), None)
        return
    if world.clock.now() >= message.deadline:
        world.tell("message.late", run_id=message.run_id, username=user.username, part=message.part)
        _add(world, message, delivery, True, [left(item) for item in _items(message, user)], (), None)
        return
    error: Failure | None = None
    rows: tuple[Row, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    try:
        request = _request(message, user)
        report = run_user(inventory, world, mark, request, UserShare(user, message.organizations), threads)
        rows, leftovers, error = report.items, report.leftovers, report.misconfigured
    except PatrolError as failure:
        error = Failure.of(failure)
    except Exception as failure:  # noqa: BLE001  # told in the report, which would wait for this part for hours
        error = Failure.of(defect(failure))
    again = _again(message, world, rows, error)
    final = not again or delivery >= MOST_DELIVERIES
    well = error is None and all(row.outcome in WELL for row in rows)
    world.tell(
        "user.finished",
        run_id=message.run_id,
        username=user.username,
        part=message.part,
        delivery=delivery,
        outcome="succeeded" if well else "failed" if not again else "set-aside" if final else "again",
        code=error.code if error else None,
        **counts(rows),
    )
    _add(world, message, delivery, final, rows, leftovers, error)
    if again:
        raise TryAgain(_says(message, delivery, rows, error))
    if message.looks_at_all and error is None:
        world.runs.looked(user)


def not_attempted(message: Message, delivery: int, world: World, failure: PatrolError) -> None:
    """End a message without its inventory: the run's report says why, and waits for this part no longer."""
    world.tell(
        "user.finished",
        run_id=message.run_id,
        username=message.username,
        part=message.part,
        delivery=delivery,
        outcome="failed",
        code=failure.code,
        says=str(failure),
    )
    _add(world, message, delivery, True, (), (), Failure.of(failure))


def _user(message: Message, inventory: Inventory) -> User | None:
    """Whom the message names, if pats.yaml still has it."""
    return next((user for user in inventory.users if user.key == message.username.casefold()), None)


def _items(message: Message, user: User) -> list[Item]:
    names = None if message.names is None else {name.casefold() for name in message.names}
    return [item for item in user.items if names is None or item.key in names]


def _request(message: Message, user: User) -> Request:
    """A name that is no longer this user's is left out: pats.yaml may have changed since it was asked for."""
    names = None if message.names is None else tuple(item.secret for item in _items(message, user))
    return Request(
        names=names,
        force=message.force,
        dry_run=message.dry_run,
        published_before=message.published_before,
        arrived_at=message.published_before,
        run_id=message.run_id,
    )


def _again(message: Message, world: World, rows: Iterable[Row], error: Failure | None) -> bool:
    if world.clock.now() >= message.deadline:
        return False
    codes = {row.error.code for row in rows if row.error is not None} | ({error.code} if error else set())
    return bool(codes & PASSING) or any(row.outcome is Outcome.LEFT for row in rows)


def _says(message: Message, delivery: int, rows: Iterable[Row], error: Failure | None) -> str:
    wrong = [row for row in rows if row.outcome not in WELL]
    codes = sorted({row.error.code if row.error else row.because for row in wrong} | ({error.code} if error else set()))
    told = f"run {message.run_id}, {message.username}: not done yet ({', '.join(codes)})"
    if delivery >= MOST_DELIVERIES:
        return f"{told}; this was delivery {delivery}, so the host sets the message aside (docs/operations.md)."
    return f"{told}; this was delivery {delivery} of {MOST_DELIVERIES}, and the host delivers it again."


def _add(
    world: World,
    message: Message,
    delivery: int,
    final: bool,
    rows: Iterable[Row],
    leftovers: Iterable[Leftover],
    error: Failure | None,
) -> None:
    """Add the part; whoever adds the last one keeps the report as a whole."""
    told, now = list(rows), world.clock.now()
    part = MessageDone(message.part, delivery, False, now)
    while len(told) > _ROWS_IN_A_BLOCK:
        world.runs.add(message.run_id, replace(part, items=tuple(told[:_ROWS_IN_A_BLOCK])), message.of)
        del told[:_ROWS_IN_A_BLOCK]
    last = replace(part, final=final, items=tuple(told), leftovers=tuple(leftovers), error=error)
    if world.runs.add(message.run_id, last, message.of):
        _complete(world, message.run_id)


def _complete(world: World, run_id: str) -> None:
    """Keep the report as a whole, if all parts are there. Never raises: a reader puts it together as well."""
    try:
        run = world.runs.read(run_id)
    except PatrolError:
        return
    if run is not None and run.finished_at is not None:
        world.tell("run.completed", run_id=run_id, outcome=run.outcome, messages=run.messages, **counts(run.items))
        world.runs.keep(run)
