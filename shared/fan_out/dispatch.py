"""The dispatcher: observes the vault's listing, plans, and says which technical user's work goes over the queue.

It signs nobody in and changes nothing. What needs no message stands in the report at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.fan_out import who_is_queued
from shared.fan_out.queue_message import DueWork, Message
from shared.fan_out.who_is_queued import WORTH_WHILE, PlannedItem
from shared.model.clock import VaultInstant, VaultTime, check_clock
from shared.model.errors import PatrolError
from shared.model.items import Inventory, Item, Named, User
from shared.model.request import Request, places_of
from shared.model.secret_state import Published, VaultListing
from shared.model.steps import Because, Fail, Hold
from shared.model.tags import Mark
from shared.model.vaults import HOME, VaultAddress
from shared.report.kept_run import GIVEN_UP, KeptRun, MessageOpen
from shared.report.order import Order
from shared.report.report import Report, Row, in_order, owned
from shared.report.rows import failed, held, in_vault, invalid_row, tell_row
from shared.rotation import notices
from shared.rotation.estate import look_at, organizations, unmanaged
from shared.rotation.estate import minted_in as minted
from shared.rotation.heartbeat import heartbeat
from shared.rotation.notices import Standing
from shared.rotation.observe import look_up, secret_seen
from shared.rotation.readers import LogsOfRun
from shared.rotation.run import expiring_soon, tell_soon
from shared.rotation.still_read import still_read
from shared.rotation.threads import Threads
from shared.rotation.world import World
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


def dispatch(
    inventory: Inventory, world: World, mark: Mark, request: Request, threads: Threads | None = None
) -> Dispatched:
    """Plan everything that is due, and keep the head of the run. Raises Misconfigured when nothing could be seen.

    Tells `run.finished` whatever the outcome: the heartbeat that alerts watch is the dispatcher's.
    """
    with heartbeat("run", world, inventory, mark, request) as beat:
        listings, unseen = look_at(beat.world, inventory.vaults(), threads or Threads())
        done, standing = _Planner(inventory, beat.world, mark, listings, unseen).dispatched(request, beat.started_at)
        return replace(done, kept=beat.hand_over(done.run, done.orders, standing))


def dispatch_named(
    inventory: Inventory, world: World, mark: Mark, request: Request, names: tuple[str, ...]
) -> Dispatched:
    """Queue what was asked for by name, without a look at any of it.

    Raises Misconfigured for an unknown secret, and for a vault that cannot be asked for its time.
    """
    wanted = frozenset(places_of(inventory, names).values())
    started, tell = world.clock.now(), with_run_id(world.tell, request.run_id)
    rows = [
        in_vault(invalid_row(item), item.vault, world.host_of(item.vault), inventory)
        for item in inventory.invalid
        if item.place in wanted
    ]
    for row in rows:
        tell_row(tell, row)
    parts = who_is_queued.by_user(inventory, wanted)
    if request.force and request.published_before is None and parts:
        request = replace(request, published_before=_arrival(request, started, parts[0][0], world))
    waiting = []
    for user, mine in parts:
        places = {name.casefold() for name in mine}
        waiting.append(_waiting(user, [item for item in user.items if item.place in places], world, inventory))
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
    """When it was asked for in a vault's time, in which whoever gets the message compares (rule 8)."""
    ahead = look_up(user, HOME, frozenset(), world.vault, Threads(1)).ahead
    check_clock(ahead)
    return (request.arrived_at or started) + ahead


@dataclass(frozen=True, slots=True)
class _Planner:
    """What the listings show. `unseen`: vaults that gave none, and why."""

    inventory: Inventory
    world: World
    mark: Mark
    listings: Mapping[VaultAddress, VaultListing]
    unseen: Mapping[VaultAddress, PatrolError]

    def dispatched(self, request: Request, started: datetime) -> tuple[Dispatched, Standing]:
        inventory, world = self.inventory, self.world
        looks, minted_in = world.runs.looks(), minted(self.listings, self.mark)
        everywhere = organizations(inventory, minted_in)
        rows: list[Row] = [self._row(invalid_row(item), item) for item in inventory.invalid]
        waiting, drafts, quiet = [], [], []
        now = self._now(next(iter(self.listings)))
        for user in inventory.users:
            planned, unseen = self._plan(user)
            # A former owner has no items, and is looked for all the same (rule 13).
            full_look = bool(everywhere) and look_is_due(user.username, looks.get(user.digest), now)
            if full_look or who_is_queued.has_work(planned, now):
                waiting.append(_waiting(user, user.items, world, inventory))
                others = everywhere.values() if full_look else ()
                places = who_is_queued.elsewhere(user, minted_in.get(user.key, ()), others, now)
                drafts.append(_Draft(user, organizations=places, full_look=full_look))
            else:
                quiet += [item.item for item in planned]
                rows += [*unseen, *(self._row(_row(item), item.item) for item in planned)]
        if not request.dry_run:
            rows += self._still_read()
        for row in rows:
            tell_row(world.tell, row)
        soon = expiring_soon(world, quiet, self.listings, self.mark)
        tell_soon(world, soon)
        rows, names = owned(rows, inventory.owners()), self._unmanaged()
        done = _put_together(request, started, world.clock.now(), rows, names, waiting, drafts)
        return done, Standing.of(inventory, self.listings, soon)

    def _now(self, address: VaultAddress) -> VaultInstant:
        return VaultTime(self.world.clock, self.listings[address].ahead).now()

    def _row(self, row: Row, item: Named) -> Row:
        return in_vault(row, item.vault, self.world.host_of(item.vault), self.inventory)

    def _plan(self, user: User) -> tuple[list[PlannedItem], list[Row]]:
        """What the listings show of a user's items, and rows of those that none shows."""
        planned, unseen = [], []
        for item in user.items:
            try:
                if item.vault in self.unseen:
                    raise self.unseen[item.vault]
                listing, vault = self.listings[item.vault], self.world.vault_at(item.vault)
                mark = self.mark.in_vault(item.vault)
                secret = secret_seen(item.secret, listing, vault, mark, look_for_deleted=False)
            except PatrolError as failure:
                unseen.append(self._row(failed(item, Because.NOT_SEEN, failure), item))
            else:
                planned.append(PlannedItem.of(item, secret, self._now(item.vault)))
        return planned, unseen

    def _still_read(self) -> list[Row]:
        """What a whole run warns of in each vault."""
        logs, rows, parts = LogsOfRun(self.world.logs), list[Row](), self.inventory.by_vault()
        for address, listing in self.listings.items():
            mark, vault, host = self.mark.in_vault(address), self.world.vault_at(address), self.world.host_of(address)
            part, now = parts[address], self._now(address)
            found = still_read(part, listing, self.world, mark, logs, now, vault, host)
            rows += [in_vault(row, address, host, part) for row in found]
        return rows

    def _unmanaged(self) -> tuple[str, ...]:
        parts = self.inventory.by_vault()
        found = [
            address.written(name)
            for address, listing in self.listings.items()
            for name in unmanaged(listing, self.mark.in_vault(address), parts[address])
        ]
        return tuple(sorted(found, key=str.casefold))


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


def _waiting(user: User, items: Iterable[Item], world: World, inventory: Inventory) -> MessageOpen:
    def facts(item: Item) -> tuple[str, ...]:
        called = (inventory.called(item),) if item.key in inventory.in_several else ()
        return item.secret, item.organization, world.host_of(item.vault), *called

    return MessageOpen(user.username, tuple(map(facts, items)))


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
