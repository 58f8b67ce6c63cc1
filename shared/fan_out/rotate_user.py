"""One message of the queue, done: a technical user's share of a run, its part of the report, and whether to try again.

A message is a pointer: what to do is its order, which the planner kept in the host's storage. It may come twice, late,
out of order, or after the same work was done elsewhere: the plan is made again from what is seen, so nothing is done
twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.fan_out.queue_message import MOST_DELIVERIES, Message, NotAMessage
from shared.fan_out.tell_run import tell_run
from shared.model.clock import MOST_SKEW
from shared.model.errors import Code, PatrolError, Unclear, defect
from shared.model.items import Inventory, Item, User
from shared.model.request import Request
from shared.model.tags import Mark
from shared.report.kept_run import KeptRun, MessageDone
from shared.report.order import Order
from shared.report.report import WELL, Failure, Leftover, Outcome, Row
from shared.report.rows import counts, in_vault, left
from shared.rotation.run import remember_looks, run_user
from shared.rotation.threads import Threads
from shared.rotation.world import UserShare, World
from shared.telemetry import with_run_id

PASSING = frozenset(
    {
        Code.IDENTITY_UNAVAILABLE,
        Code.VAULT_UNREACHABLE,
        Code.CLOCK_SKEW,
        Code.SIGN_IN_UNAVAILABLE,
        Code.SIGN_IN_UNCLEAR,
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

SHORTEST = timedelta(minutes=1)
"""What is begun shortly before its deadline may work so long."""

_ROWS_IN_A_BLOCK = 2000


class TryAgain(Exception):
    """Fails the invocation, so that the host delivers the message again after its visibility delay."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message. `number` counts from 1.

    `order`: the planner's; without one, what the message itself says of work that is due, which is no full look.
    `reported`: whether its part belongs into the run's report, which is so unless the order could not be read.
    """

    message: Message
    number: int
    order: Order
    reported: bool = True


def do_message(message: Message, number: int, inventory: Inventory, world: World, mark: Mark, threads: Threads) -> None:
    """Do the work, add its part to the run's report, and tell `user.finished`.

    Raises TryAgain when it may pass, and as `_opened` does.
    """
    world = replace(world, tell=with_run_id(world.tell, message.run_id))
    delivery = _opened(message, number, world)
    order = delivery.order
    user = _user(order, inventory)
    if user is None:
        world.tell("message.dropped", username=order.username, part=message.part)
        last = _add(delivery, world, True, (), (), None)
    elif world.clock.now() >= order.deadline:
        world.tell("message.late", username=user.username, part=message.part)
        last = _add(delivery, world, True, _left(order, user, inventory, world), (), None)
    else:
        last = _work(delivery, user, inventory, world, mark, threads)
    if last is not None:
        tell_run(last, order.names is None, inventory, world, mark, threads)


def not_attempted(message: Message, number: int, world: World, failure: PatrolError) -> None:
    """End a message without its inventory: the run's report says why, and waits for this part no longer.

    Raises as `do_message` does.
    """
    world = replace(world, tell=with_run_id(world.tell, message.run_id))
    delivery = _opened(message, number, world)
    error = Failure.of(failure)
    _finished(delivery, world, "failed", (), error, says=str(failure))
    # Nobody knows whom to tell: the end of a later run does, once pats.yaml can be read.
    _add(delivery, world, True, (), (), error)


def _opened(message: Message, number: int, world: World) -> Delivery:
    """The message with its order.

    Where nothing is kept of it, and where the storage does not answer, work that is due is done all the same: rotation
    matters more than its report. For all other work raises NotAMessage where nothing is kept, TryAgain where the
    storage does not answer, and NotDone where it refuses.
    """
    due = None if message.due is None else Order(message.due.username, message.due.deadline, message.of)
    try:
        order = world.runs.order(message.run_id, message.part)
    except PatrolError as failure:
        if due is not None:
            world.tell("report.failed", says=str(failure))
            return Delivery(message, number, due, reported=False)
        if isinstance(failure, Unclear):
            raise _not_ordered(message, number, world, failure) from None
        raise
    if order is None:
        if due is None:
            raise NotAMessage("it points to an order that is not kept; what was asked for is to be asked for again")
        return Delivery(message, number, due)
    if order.published_before is not None and order.published_before > world.clock.now() + 2 * MOST_SKEW:
        # What is forced would rotate again at every delivery until then (rule 8).
        raise NotAMessage("its order acts on what is published before an instant in the future")
    return Delivery(message, number, order)


def _not_ordered(message: Message, number: int, world: World, failure: Unclear) -> TryAgain:
    """Tell of a delivery whose order the storage did not give, and that it is worth another."""
    world.tell(
        "user.finished",
        part=message.part,
        delivery=number,
        outcome="set-aside" if number >= MOST_DELIVERIES else "again",
        code=failure.code,
        says=str(failure),
    )
    return TryAgain(f"run {message.run_id}, part {message.part}: {_delivered(number, failure.code)}")


def _work(
    delivery: Delivery, user: User, inventory: Inventory, world: World, mark: Mark, threads: Threads
) -> KeptRun | None:
    """Gives the run where this was its end."""
    order = delivery.order
    error: Failure | None = None
    rows: tuple[Row, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    looked_at: tuple[User, ...] = ()
    try:
        request = _request(delivery, user, inventory)
        share = UserShare(user, order.organizations, order.full_look, older_versions=order.full_look)
        report, looked_at = run_user(inventory, _in_time(world, order), mark, request, share, threads)
        rows, leftovers, error = report.items, report.leftovers, report.misconfigured
    except PatrolError as failure:
        error = Failure.of(failure)
    except Exception as failure:  # noqa: BLE001  # told in the report, which would wait for this part for hours
        error = Failure.of(defect(failure))
    again = _again(order, world, rows, error)
    final = not again or delivery.number >= MOST_DELIVERIES
    well = error is None and all(row.outcome in WELL for row in rows)
    outcome = "succeeded" if well else "failed" if not again else "set-aside" if final else "again"
    _finished(delivery, world, outcome, rows, error)
    ended = _add(delivery, world, final, rows, leftovers, error)
    if again:
        if ended is not None:
            tell_run(ended, order.names is None, inventory, world, mark, threads)
        raise TryAgain(_says(delivery, rows, error))
    if error is None:
        remember_looks(world, looked_at)
    return ended


def _in_time(world: World, order: Order) -> World:
    """The world of a run that begins nothing after the deadline of its order."""
    longest = max(order.deadline - world.clock.now(), SHORTEST)
    return replace(world, deadline=world.deadline.within(longest))


def _finished(
    delivery: Delivery, world: World, outcome: str, rows: Iterable[Row], error: Failure | None, says: str | None = None
) -> None:
    world.tell(
        "user.finished",
        username=delivery.order.username,
        part=delivery.message.part,
        delivery=delivery.number,
        outcome=outcome,
        code=error.code if error else None,
        says=says,
        **counts(rows),
    )


def _user(order: Order, inventory: Inventory) -> User | None:
    """Whom the order is about, if pats.yaml still has it."""
    return next((user for user in inventory.users if user.key == order.username.casefold()), None)


def _items(order: Order, user: User) -> list[Item]:
    places = None if order.names is None else {name.casefold() for name in order.names}
    return [item for item in user.items if places is None or item.place in places]


def _left(order: Order, user: User, inventory: Inventory, world: World) -> list[Row]:
    return [in_vault(left(one), one.vault, world.host_of(one.vault), inventory) for one in _items(order, user)]


def _request(delivery: Delivery, user: User, inventory: Inventory) -> Request:
    """A name that is no longer this user's is left out: pats.yaml may have changed since it was asked for."""
    order = delivery.order
    return Request(
        names=None if order.names is None else tuple(map(inventory.called, _items(order, user))),
        force=order.force,
        dry_run=order.dry_run,
        published_before=order.published_before,
        arrived_at=order.published_before,
        run_id=delivery.message.run_id,
        door="queue",
    )


def _again(order: Order, world: World, rows: Iterable[Row], error: Failure | None) -> bool:
    if world.clock.now() >= order.deadline:
        return False
    codes = {row.error.code for row in rows if row.error is not None} | ({error.code} if error else set())
    return bool(codes & PASSING) or any(row.outcome is Outcome.LEFT for row in rows)


def _says(delivery: Delivery, rows: Iterable[Row], error: Failure | None) -> str:
    wrong = [row for row in rows if row.outcome not in WELL]
    codes = sorted({row.error.code if row.error else row.because for row in wrong} | ({error.code} if error else set()))
    return f"run {delivery.message.run_id}, {delivery.order.username}: {_delivered(delivery.number, *codes)}"


def _delivered(number: int, *codes: str) -> str:
    said = f"not done yet ({', '.join(codes)})"
    if number >= MOST_DELIVERIES:
        return f"{said}; this was delivery {number}, so the host sets the message aside (docs/operations.md)."
    return f"{said}; this was delivery {number} of {MOST_DELIVERIES}, and the host delivers it again."


def _add(
    delivery: Delivery,
    world: World,
    final: bool,
    rows: Iterable[Row],
    leftovers: Iterable[Leftover],
    error: Failure | None,
) -> KeptRun | None:
    """Add the part; whoever adds the last one keeps the report as a whole, and is given it."""
    if not delivery.reported:
        return None
    run_id, of = delivery.message.run_id, delivery.order.of
    rest, now = list(rows), world.clock.now()
    part = MessageDone(delivery.message.part, delivery.number, False, now)
    while len(rest) > _ROWS_IN_A_BLOCK:
        world.runs.add(run_id, replace(part, items=tuple(rest[:_ROWS_IN_A_BLOCK])), of)
        del rest[:_ROWS_IN_A_BLOCK]
    last = replace(part, final=final, items=tuple(rest), leftovers=tuple(leftovers), error=error)
    return _complete(world, run_id) if world.runs.add(run_id, last, of) else None


def _complete(world: World, run_id: str) -> KeptRun | None:
    """Keep the report as a whole, if all parts are there. Never raises: a reader puts it together as well."""
    try:
        run = world.runs.read(run_id)
    except PatrolError:
        return None
    if run is None or run.finished_at is None:
        return None
    many = counts(run.report.items)
    world.tell("run.completed", door=run.door, outcome=run.outcome, messages=run.messages, **many)
    world.runs.keep(run)
    return run
