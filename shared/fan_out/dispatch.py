"""The dispatcher: observes the vault's listing, plans, and says which technical user's work goes over the queue.

It signs nobody in and changes nothing. What needs no message stands in the report at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from shared.fan_out import who_is_queued
from shared.fan_out.queue_message import DueWork, Message
from shared.fan_out.who_is_queued import WORTH_WHILE, PlannedItem
from shared.model.clock import VaultTime, check_clock
from shared.model.errors import PatrolError
from shared.model.items import Inventory, Item, User
from shared.model.request import Request, check_names
from shared.model.secret_state import Published
from shared.model.steps import Because, Fail, Hold
from shared.model.tags import Mark
from shared.report.kept_run import GIVEN_UP, KeptRun, MessageOpen, Order
from shared.report.report import Report, Row, in_order, owned
from shared.report.rows import failed, held, invalid_row, tell_row
from shared.rotation import notices
from shared.rotation.estate import minted_in as minted
from shared.rotation.estate import organizations, unmanaged
from shared.rotation.heartbeat import heartbeat
from shared.rotation.notices import Standing
from shared.rotation.observe import look_up, secret_seen
from shared.rotation.readers import LogsOfRun
from shared.rotation.run import tell_soon
from shared.rotation.still_read import still_read
from shared.rotation.threads import Threads
from shared.rotation.world import World
from shared.rules.due import expiring
from shared.rules.full_look import look_is_due
from shared.telemetry import with_run_id


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The run as it stands after the dispatcher, and the messages that do the rest of it, each with its order.

    `kept`: whether its report and the orders are kept, so that somebody can look for them.
    """

    run: KeptRun
    messages: tuple[Message, ...]
    orders: tuple[Order, ...]
    kept: bool = False


@dataclass(frozen=True, slots=True)
class _Draft:
    """What differs between the messages of one run."""

    user: User
    names: tuple[str, ...] | None = None
    organizations: tuple[str, ...] = ()
    full_look: bool = False


def dispatch(inventory: Inventory, world: World, mark: Mark, request: Request) -> Dispatched:
    """Plan everything that is due, and keep the head of the run. Raises Misconfigured when nothing could be seen.

    Tells `run.finished` whatever the outcome: the heartbeat that alerts watch is the dispatcher's.
    """
    with heartbeat("run", world, inventory, mark, request) as beat:
        done, standing = _dispatch(inventory, beat.world, mark, request, beat.started_at)
        return replace(done, kept=beat.hand_over(done.run, done.orders, standing))


def dispatch_named(
    inventory: Inventory, world: World, mark: Mark, request: Request, names: tuple[str, ...]
) -> Dispatched:
    """Queue what was asked for by name, without a look at any of it.

    Raises Misconfigured for an unknown secret, and for a vault that cannot be asked for its time.
    """
    check_names(inventory, request)
    started, tell = world.clock.now(), with_run_id(world.tell, request.run_id)
    wanted = {name.casefold() for name in names}
    rows = [invalid_row(item) for item in inventory.invalid if item.key in wanted]
    for row in rows:
        tell_row(tell, row)
    parts = who_is_queued.by_user(inventory, names)
    if request.force and request.published_before is None and parts:
        request = replace(request, published_before=_arrival(request, started, parts[0][0], world))
    waiting = []
    for user, mine in parts:
        keys = {name.casefold() for name in mine}
        waiting.append(_waiting(user, [item for item in user.items if item.key in keys]))
    drafts = [_Draft(user, names=mine) for user, mine in parts]
    done = _put_together(request, started, world.clock.now(), owned(rows, inventory.owners()), (), waiting, drafts)
    kept = world.runs.keep(done.run, done.orders)
    if kept and done.messages and done.run.deadline is not None and not request.dry_run:
        to = notices.audience(inventory, mark, world)
        notices.expect_end(world, to, request.run_id, done.run.deadline + GIVEN_UP)
    # The caller is refused, and nothing is sent, where its report is not kept: no alert waits for it.
    tell("run.queued", door=request.door, queued=len(done.messages) if kept else 0)
    return replace(done, kept=kept)


def _arrival(request: Request, started: datetime, user: User, world: World) -> datetime:
    """When it was asked for in the vault's time, in which whoever gets the message compares (rule 8)."""
    ahead = look_up(user, frozenset(), world.vault, Threads(1)).ahead
    check_clock(ahead)
    return (request.arrived_at or started) + ahead


def _dispatch(
    inventory: Inventory, world: World, mark: Mark, request: Request, started: datetime
) -> tuple[Dispatched, Standing]:
    listing = world.vault.listing()
    check_clock(listing.ahead)
    now = VaultTime(world.clock, listing.ahead).now()
    looks, minted_in = world.runs.looks(), minted(listing, mark)
    everywhere = organizations(inventory, minted_in)
    rows: list[Row] = [invalid_row(item) for item in inventory.invalid]
    waiting, drafts, quiet = [], [], []
    for user in inventory.users:
        planned, unseen = [], []
        for item in user.items:
            try:
                secret = secret_seen(item.secret, listing, world.vault, mark, look_for_deleted=False)
            except PatrolError as failure:
                unseen.append(failed(item, Because.NOT_SEEN, failure))
            else:
                planned.append(PlannedItem.of(item, secret, now))
        # A former owner has no items, and is looked for all the same (rule 13).
        full_look = bool(everywhere) and look_is_due(user.username, looks.get(user.digest), now)
        if full_look or who_is_queued.has_work(planned, now):
            waiting.append(_waiting(user, user.items))
            others = everywhere.values() if full_look else ()
            places = who_is_queued.elsewhere(user, minted_in.get(user.key, ()), others, now)
            drafts.append(_Draft(user, organizations=places, full_look=full_look))
        else:
            quiet += [item.item for item in planned]
            rows += [*unseen, *(_row(item) for item in planned)]
    if not request.dry_run:
        rows += still_read(inventory, listing, world, mark, LogsOfRun(world.logs), now)
    for row in rows:
        tell_row(world.tell, row)
    soon = expiring(quiet, listing, {}, mark, now)
    tell_soon(world, soon)
    names, rows = unmanaged(listing, mark, inventory), owned(rows, inventory.owners())
    done = _put_together(request, started, world.clock.now(), rows, names, waiting, drafts)
    return done, Standing.of(listing, soon)


def _put_together(
    request: Request,
    started: datetime,
    now: datetime,
    rows: list[Row],
    unmanaged_names: tuple[str, ...],
    waiting: list[MessageOpen],
    drafts: list[_Draft],
) -> Dispatched:
    deadline = started + WORTH_WHILE
    orders = _orders(request, deadline, drafts)
    messages = tuple(
        Message(request.run_id, number, order.of, _due(order)) for number, order in enumerate(orders, start=1)
    )
    report = Report(
        run_id=request.run_id,
        started_at=started,
        finished_at=started if messages else now,
        items=in_order(rows),
        unmanaged=unmanaged_names,
    )
    run = KeptRun(
        report,
        request.door,
        request.dry_run,
        running=bool(messages),
        waiting=tuple(waiting),
        deadline=deadline if messages else None,
        messages=len(messages),
    )
    return Dispatched(run, messages, orders)


def _orders(request: Request, deadline: datetime, drafts: list[_Draft]) -> tuple[Order, ...]:
    return tuple(
        Order(
            username=draft.user.username,
            deadline=deadline,
            of=len(drafts),
            names=draft.names,
            force=request.force,
            dry_run=request.dry_run,
            published_before=request.published_before if request.force else None,
            organizations=draft.organizations,
            full_look=draft.full_look and not request.dry_run,
        )
        for draft in drafts
    )


def _due(order: Order) -> DueWork | None:
    """What a message may say itself: that everything of a user is looked at, which does no more than the next run."""
    return DueWork(order.username, deadline=order.deadline) if order.names is None and not order.dry_run else None


def _waiting(user: User, items: Iterable[Item]) -> MessageOpen:
    return MessageOpen(user.username, tuple((item.secret, item.organization) for item in items))


def _row(planned: PlannedItem) -> Row:
    item, step = planned.item, planned.step
    ends = planned.secret.expires_on if isinstance(planned.secret, Published) else None
    match step:
        case Hold(because=because, until=until):
            return held(item, because, until, ends)
        case Fail():
            return failed(item, step.because, PatrolError(step.code, step.cause, step.remedy))
    # Only a request by name waits for an overlap, and it is not planned from the listing.
    raise AssertionError(step)
