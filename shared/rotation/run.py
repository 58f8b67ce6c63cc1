"""One whole run: observe, plan, do, report. Every door uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from shared.model import tags, token_tags
from shared.model.clock import VaultTime, check_clock
from shared.model.errors import Code, PatrolError, defect
from shared.model.items import Inventory, Item, User
from shared.model.ports import (
    Events,
)
from shared.model.request import Request, check_names
from shared.model.secret_state import (
    VaultListing,
    is_ours,
)
from shared.model.tags import BLOCKED_PREFIX, Mark
from shared.report.kept_run import KeptRun
from shared.report.report import Failure, Leftover, Report, Row, in_order
from shared.report.rows import counts, invalid_row, tell_row
from shared.rotation.consumers import Consumers
from shared.rotation.item import Shared
from shared.rotation.observe import look_up
from shared.rotation.retire import Handover
from shared.rotation.rotate import Breaker
from shared.rotation.threads import Threads, nothing
from shared.rotation.user import Part, UserWork
from shared.rotation.world import UserShare, World, asked_of
from shared.rules.due import expiring


def run(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    threads: Threads | None = None,
    watch: Callable[[Row], None] = nothing,
) -> Report:
    """Do one run and tell what happened; `watch` sees each row as soon as it is one.

    Raises Misconfigured when nothing could be attempted.
    """
    run_id = request.run_id
    started = world.clock.now()
    world.tell("run.started", run_id=run_id, dry_run=request.dry_run)
    try:
        report = _run(inventory, world, mark, request, threads or Threads(), watch, started)
    except PatrolError as failure:
        world.tell("run.finished", run_id=run_id, outcome="failed", code=failure.code, says=str(failure))
        world.runs.keep(_broken_off(request, started, world.clock.now(), Failure.of(failure)))
        raise
    except Exception as failure:
        world.tell("run.finished", run_id=run_id, outcome="failed", code=Code.UNEXPECTED, says=type(failure).__name__)
        world.runs.keep(_broken_off(request, started, world.clock.now(), Failure.of(defect(failure))))
        raise
    code = report.misconfigured.code if report.misconfigured else None
    world.tell("run.finished", run_id=run_id, outcome=report.outcome, code=code, **counts(report.items))
    world.runs.keep(KeptRun.of(report, request.door, request.dry_run))
    return report


def run_user(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    share: UserShare,
    threads: Threads,
) -> Report:
    """One technical user's share of a run, from what the vault has of this user alone.

    Tells of items, not of the run. Raises Misconfigured when nothing could be attempted.
    """
    return _run(inventory, world, mark, request, threads, nothing, world.clock.now(), share)


def _run(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    threads: Threads,
    watch: Callable[[Row], None],
    started: datetime,
    share: UserShare | None = None,
) -> Report:
    check_names(inventory, request)
    wanted = None if request.names is None else frozenset(name.casefold() for name in request.names)
    listing = world.vault.listing() if share is None else look_up(share.user, wanted, world.vault, threads)
    check_clock(listing.ahead)
    clock = VaultTime(world.clock, listing.ahead)
    sign_ins = world.sign_ins(inventory.sign_in, listing, clock, mark)
    managed = inventory.managed()

    def told(row: Row) -> None:
        watch(row)
        tell_row(world.tell, row)

    minted_in = minted(listing, mark)
    if share is not None:
        minted_in[share.user.key] = (*minted_in.get(share.user.key, ()), *share.organizations)
    shared = Shared(
        inventory=inventory,
        listing=listing,
        looked_at=started + listing.ahead,
        managed=managed,
        minted_in=minted_in,
        sign_ins=sign_ins,
        vault=world.vault,
        verifier=world.verifier,
        clock=clock,
        deadline=world.deadline,
        flight=world.flight,
        mark=mark,
        tell=world.tell,
        breaker=Breaker(),
        consumers=Consumers(world.consumer, world.credentials),
        asked=asked_of(request, (request.arrived_at or started) + listing.ahead),
        wanted=wanted,
        dry_run=request.dry_run,
        told=told,
        threads=threads,
    )
    users = _most_urgent_first(inventory.users, listing) if share is None else [share.user]
    works = [UserWork(user, shared) for user in users]
    parts = threads.side_by_side([work.do for work in works if work.anything()])
    handovers = [one for part in parts for one in part.handovers]
    if share is not None:
        works = [UserWork(user, shared) for user in inventory.users]
    if not request.dry_run:
        parts += threads.side_by_side([job for work in works for job in _former(work, handovers)])
    invalid = [invalid_row(one) for one in inventory.invalid if share is None and (wanted is None or one.key in wanted)]
    for row in invalid:
        told(row)
    rows = [*(row for part in parts for row in part.rows), *sign_ins.warnings(), *invalid]
    if wanted is None and not request.dry_run:
        # Of one user's share, what was looked at: nothing is looked up for this.
        known = VaultListing(dict(listing.secrets), listing.ahead)
        tell_expiring(world.tell, (item for user in users for item in user.items), known, rows, mark, clock.now())
    leftovers = [one for part in parts for one in part.leftovers]
    leftovers += [_ownerless(one) for one in handovers if not any(work.owns(one) for work in works)]
    return Report(
        run_id=request.run_id,
        started_at=started,
        finished_at=world.clock.now(),
        items=in_order(rows),
        leftovers=tuple(sorted(leftovers, key=lambda one: (one.secret.casefold(), one.authorization_id))),
        unmanaged=unmanaged(listing, mark, managed) if wanted is None and share is None else (),
        misconfigured=None if sign_ins.refused is None else Failure.of(sign_ins.refused),
    )


def _former(work: UserWork, handovers: list[Handover]) -> list[Callable[[], Part]]:
    mine = [one for one in handovers if one.due and work.owns(one)]
    return [lambda: work.end_former(mine)] if mine else []


def tell_expiring(
    tell: Events, items: Iterable[Item], listing: VaultListing, rows: Iterable[Row], mark: Mark, now: datetime
) -> None:
    """Say which PATs are about to expire although a run has just done all it could. `rows`: of this run."""
    ends_now = {row.secret.casefold(): row.expires_on for row in rows if row.expires_on is not None}
    for item, ends in expiring(items, listing, ends_now, mark, now):
        tell("pat.expiring", secret=item.secret, username=item.username, expires=ends)


def _broken_off(request: Request, started: datetime, now: datetime, failure: Failure) -> KeptRun:
    return KeptRun(request.run_id, started, request.door, request.dry_run, now, error=failure)


def _most_urgent_first(users: Iterable[User], listing: VaultListing) -> list[User]:
    def first_expiry(user: User) -> tuple[int, float]:
        rows = [listing.secrets.get(item.key) for item in user.items]
        if any(row is None for row in rows):
            return (0, 0.0)
        ends = [row.expires_on.timestamp() for row in rows if row is not None and row.expires_on is not None]
        return (1, min(ends, default=0.0))

    return sorted(users, key=first_expiry)


def minted(listing: VaultListing, mark: Mark) -> dict[str, tuple[str, ...]]:
    """The organizations in which our tags say that a user minted what is current, by casefolded username."""
    found: dict[str, set[str]] = {}
    for row in listing.secrets.values():
        stamp = tags.read(row.tags)
        if stamp is not None and is_ours(row.tags, mark):
            found.setdefault(stamp.username.casefold(), set()).add(stamp.organization)
    return {username: tuple(sorted(names)) for username, names in found.items()}


def unmanaged(listing: VaultListing, mark: Mark, managed: frozenset[str]) -> tuple[str, ...]:
    names = [
        row.name
        for key, row in listing.secrets.items()
        if (is_ours(row.tags, mark) or token_tags.is_ours(row.tags, mark))
        and key not in managed
        and not key.startswith(BLOCKED_PREFIX)
    ]
    return tuple(sorted(names, key=str.casefold))


def _ownerless(one: Handover) -> Leftover:
    says = (
        f"{one.secret}: its predecessor belongs to {one.owner.username}, who is not in pats.yaml. Put the user back "
        "under `users:` with `pats: []` until it has ended, or revoke it by hand."
    )
    return Leftover(one.secret, one.predecessor.id, one.owner.username, one.owner.organization, says)
