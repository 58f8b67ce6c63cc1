"""One whole run: observe, plan, do, report. Every door uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from shared.model.errors import PatrolError
from shared.model.items import Inventory, Item, User
from shared.model.request import Request, places_of
from shared.model.secret_state import Nothing, VaultListing
from shared.model.steps import Because
from shared.model.tags import Mark
from shared.model.vaults import VaultAddress
from shared.report.report import Failure, Leftover, Report, Row, in_order, owned
from shared.report.rows import failed, in_vault, invalid_row, tell_row
from shared.rotation.canary import are_listed
from shared.rotation.ended import Handover
from shared.rotation.estate import observe, observe_user
from shared.rotation.former_owners import look_for_former_owners
from shared.rotation.heartbeat import heartbeat
from shared.rotation.notices import Standing
from shared.rotation.observe import secret_seen
from shared.rotation.run_context import Run, WholeRun
from shared.rotation.still_read import still_read
from shared.rotation.threads import Threads, nothing
from shared.rotation.tokens import refresh
from shared.rotation.user import UserWork, UserWorkDone, circumstances
from shared.rotation.world import UserShare, World
from shared.rules.due import expiring
from shared.rules.orphans import Circumstances, is_candidate

Watch = Callable[[Row], None]


def run(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    threads: Threads | None = None,
    watch: Watch = nothing,
) -> Report:
    """One run over the PATs; `watch` sees each row as soon as it is one. Tells `run.finished` whatever the outcome.

    Raises Misconfigured when nothing could be attempted.
    """
    with heartbeat("run", world, inventory, mark, request) as beat:
        threads = threads or Threads()
        observed = observe(beat.world, inventory, mark, request, threads)
        done = _work(WholeRun.begin(observed, beat.world, request, threads, watch), beat.started_at)
        remember_looks(beat.world, done.looked_at)
        return beat.end(done.report, done.standing)


def run_user(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    share: UserShare,
    threads: Threads,
) -> tuple[Report, tuple[User, ...]]:
    """One technical user's share of a run, from what the vault has of this user alone; and whose full look was done.

    Tells of items, not of the run. Raises Misconfigured when nothing could be attempted.
    """
    started = world.clock.now()
    observed = observe_user(world, inventory, mark, request, share, threads)
    done = _work(WholeRun.begin(observed, world, request, threads, nothing), started)
    return done.report, done.looked_at


def run_all(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    threads: Threads | None = None,
    watch: Watch = nothing,
) -> Report:
    """A run over what `request` names, a refresh over the tokens among it, one report.

    Without names: the PATs only, because tokens have a timer of their own, and both for a dry run. Raises as `run`.
    """
    if request.names is None:
        report = run(inventory, world, mark, request, threads, watch)
        if not (request.dry_run and inventory.token_places()):
            return report
        return _together(report, refresh(inventory, world, mark, request, threads, watch))
    at, tokens = places_of(inventory, request.names), inventory.token_places()
    named = tuple(name for name in request.names if at[name] in tokens)
    others = tuple(name for name in request.names if at[name] not in tokens)
    if not named:
        return run(inventory, world, mark, request, threads, watch)
    refreshed = refresh(inventory, world, mark, replace(request, names=named), threads, watch)
    if not others:
        return refreshed
    return _together(run(inventory, world, mark, replace(request, names=others), threads, watch), refreshed)


def names_tokens(inventory: Inventory, request: Request) -> bool:
    """Whether tokens are asked for by name. Raises as `places`."""
    return not inventory.token_places().isdisjoint(places_of(inventory, request.names or ()).values())


def _together(report: Report, refreshed: Report) -> Report:
    """Begun when the first one began; what says that the deployment is misconfigured comes from the run."""
    return replace(
        report,
        started_at=min(report.started_at, refreshed.started_at),
        finished_at=max(report.finished_at, refreshed.finished_at),
        items=in_order((*report.items, *refreshed.items)),
        recipients=(*report.recipients, *refreshed.recipients),
    )


def remember_looks(world: World, users: Iterable[User]) -> None:
    """Note whose full look was done, so that the next one is a day later."""
    for user in users:
        world.runs.looked(user)


@dataclass(frozen=True, slots=True)
class _Done:
    """The report, whose full look was done, and how published values stand."""

    report: Report
    looked_at: tuple[User, ...]
    standing: Standing


def _work(whole: WholeRun, started: datetime) -> _Done:
    run, observed = whole.any, whole.observed
    rows = _unseen(whole)
    works = [UserWork(user, whole) for user in observed.users]
    parts = run.threads.side_by_side([work.do for work in works if work.anything()])
    handovers = [handover for part in parts for handover in part.handovers]
    owners = [UserWork(user, whole) for user in observed.inventory.users]
    if not run.dry:
        parts += _ended_afterwards(whole, parts, owners, handovers)
    rows += [row for part in parts for row in part.rows]
    rows += run.sign_ins.warnings()
    rows += _invalid(whole)
    rows += [row for one in whole.each.values() for row in _still_read(one)]
    # Of one user's share, what was looked at: nothing is looked up for this.
    listings = {
        address: VaultListing(dict(one.listing.secrets), one.listing.ahead) for address, one in whole.each.items()
    }
    soon: list[tuple[Item, datetime]] = []
    if observed.wanted is None and not run.dry:
        for address, one in whole.each.items():
            mine = [item for user in observed.users for item in user.items if item.vault == address]
            soon += tell_expiring(one, mine, listings[address], rows)
    leftovers = {leftover for part in parts for leftover in part.leftovers}
    leftovers |= {
        _ownerless(handover, whole) for handover in handovers if not any(owner.owns(handover) for owner in owners)
    }
    refused = run.sign_ins.refused
    report = Report(
        run_id=run.request.run_id,
        started_at=started,
        finished_at=run.world.clock.now(),
        items=in_order(owned(rows, observed.inventory.owners())),
        leftovers=tuple(
            sorted(leftovers, key=lambda leftover: (leftover.secret.casefold(), leftover.authorization_id))
        ),
        unmanaged=_unmanaged(whole),
        misconfigured=None if refused is None else Failure.of(refused),
    )
    return _Done(report, _looked_at(whole, parts), Standing.of(observed.inventory, listings, soon))


def _still_read(run: Run) -> list[Row]:
    """What a run over everything warns of in a vault; over the queue the dispatcher does."""
    if run.estate.wanted is not None or run.dry or not run.estate.whole:
        return []
    inventory, host = run.estate.inventory, run.estate.host
    found = still_read(inventory, run.listing, run.world, run.mark, run.logs, run.clock.now(), run.vault, host)
    return [run.tell_row(row) for row in found]


def _unseen(whole: WholeRun) -> list[Row]:
    """Rows of the items in vaults that could not be looked at: nothing of them was touched (rule 5)."""
    observed, run = whole.observed, whole.any
    rows = []
    mine = {item.place for user in observed.users for item in user.items}
    for address, failure in observed.unseen.items():
        items = [item for item in observed.inventory.items() if item.vault == address and item.place in mine]
        host = run.world.host_of(address)
        for item in filter(observed.is_wanted, items):
            row = in_vault(failed(item, Because.NOT_SEEN, failure), address, host, observed.inventory)
            run.watch(row)
            tell_row(run.world.tell, row)
            rows.append(row)
    return rows


def _invalid(whole: WholeRun) -> list[Row]:
    """Rows of what pats.yaml spoilt, in whatever vault it is."""
    observed, run = whole.observed, whole.any
    rows = []
    for item in filter(observed.is_wanted, observed.inventory.invalid if run.estate.whole else ()):
        row = in_vault(invalid_row(item), item.vault, run.world.host_of(item.vault), observed.inventory)
        run.watch(row)
        tell_row(run.world.tell, row)
        rows.append(row)
    return rows


def _unmanaged(whole: WholeRun) -> tuple[str, ...]:
    """Of the vault of KEY_VAULT_URL by their names, of others with the label."""
    found = [one.estate.address.written(name) for one in whole.each.values() for name in one.estate.unmanaged()]
    return tuple(sorted(found, key=str.casefold))


def _ended_afterwards(
    whole: WholeRun, parts: list[UserWorkDone], owners: list[UserWork], handovers: list[Handover]
) -> list[UserWorkDone]:
    """After everybody's work: orphans, and what only a former owner can end."""
    threads = whole.any.threads
    listed = [*parts, *look_for_former_owners(parts, whole)]
    judged = {address: _judged(listed, run) for address, run in whole.each.items()}
    orphans = [
        partial(UserWork(part.user, whole).end_orphans, part, judged)
        for part in listed
        if any(_has_orphans(part, judged[address], run) for address, run in whole.each.items())
    ]
    ended = threads.side_by_side(orphans)
    return ended + threads.side_by_side([job for owner in owners for job in _former(owner, handovers)])


def _looked_at(whole: WholeRun, parts: Iterable[UserWorkDone]) -> tuple[User, ...]:
    """Whose full look was done: nowhere but where all vaults could be looked at."""
    run, observed = whole.any, whole.observed
    if run.dry or observed.wanted is not None or observed.unseen:
        return ()
    listed = {part.user.key for part in parts if part.listed}
    return tuple(user for user in observed.users if run.estate.is_full_look(user) and user.key in listed)


def _former(owner: UserWork, handovers: Iterable[Handover]) -> list[Callable[[], UserWorkDone]]:
    mine = [handover for handover in handovers if handover.due and owner.owns(handover)]
    return [partial(owner.end_former, mine)] if mine else []


def _judged(parts: Iterable[UserWorkDone], run: Run) -> dict[str, Circumstances]:
    """What each secret of a vault is now; of one that another user's work has (or will have), what the vault shows."""
    parts, address = list(parts), run.estate.address
    judged = {name: of for part in parts for name, of in part.judged.get(address, {}).items()}
    if run.estate.wanted is not None:
        return judged
    items = run.estate.inventory.by_key()
    # An item that was worked on and is not judged is in doubt, or another runner's.
    shares = run.estate.shares.values()
    worked = {item.key for share in shares for item in share.user.items if item.vault == address}
    for name in _marked(parts, run) - worked - judged.keys():
        item = items.get(name)
        if item is None or item.paused:
            continue
        try:
            secret = secret_seen(name, run.listing, run.vault, run.mark)
        except PatrolError as failure:
            run.tell("secret.failed", secret=name, code=failure.code)
            continue
        if not isinstance(secret, Nothing):  # it may be deleted, and not settled
            judged[name] = circumstances(item, secret, run)
    return judged


def _has_orphans(part: UserWorkDone, judged: Mapping[str, Circumstances], run: Run) -> bool:
    """Whether a live PAT of the user carries our mark and is not named where it should be."""
    if any(are_listed(listed.values(), run.mark) for listed in part.listed.values()):
        return True
    now = run.clock.now()
    pats = (pat for listed in part.listed.values() for pat in listed.values())
    marked = ((pat, run.mark.secret_of(pat.display_name)) for pat in pats)
    return any(name in judged and is_candidate(pat, judged[name].secret, now) for pat, name in marked if name)


def _marked(parts: Iterable[UserWorkDone], run: Run) -> set[str]:
    """Secrets that PATs with our mark were made for."""
    pats = (pat for part in parts for listed in part.listed.values() for pat in listed.values())
    return {name for pat in pats if (name := run.mark.secret_of(pat.display_name)) is not None}


def tell_expiring(
    run: Run, items: Iterable[Item], listing: VaultListing, rows: Iterable[Row]
) -> list[tuple[Item, datetime]]:
    """Say which PATs of a vault are about to expire although a run has just done all it could. `rows`: of this run."""
    mine = [row for row in rows if row.vault in ("", run.estate.host)]
    ends_now = {row.secret.casefold(): row.expires_on for row in mine if row.expires_on is not None}
    found = expiring(items, listing, ends_now, run.mark, run.clock.now())
    tell_soon(run.world, found)
    return found


def expiring_soon(
    world: World, items: Iterable[Item], listings: Mapping[VaultAddress, VaultListing], mark: Mark
) -> list[tuple[Item, datetime]]:
    """What the listings alone show of PATs that are about to expire."""
    items, found = tuple(items), list[tuple[Item, datetime]]()
    for address, listing in listings.items():
        mine, now = [item for item in items if item.vault == address], world.clock.now() + listing.ahead
        found += expiring(mine, listing, {}, mark.in_vault(address), now)
    return found


def tell_soon(world: World, found: Iterable[tuple[Item, datetime]]) -> None:
    """Log what expires soon, so that alerts see it before it happens."""
    for item, ends in found:
        vault = world.host_of(item.vault)
        world.tell("pat.expiring", secret=item.secret, vault=vault, username=item.username, expires=ends)


def _ownerless(handover: Handover, whole: WholeRun) -> Leftover:
    owner, host = handover.owner, whole.each[handover.vault].estate.host
    says = (
        f"{handover.secret}: its predecessor belongs to {owner.username}, who is not in pats.yaml. Put the user back "
        "under `users:` with `pats: []` until it has ended, or revoke it by hand."
    )
    return Leftover(handover.secret, handover.predecessor.id, owner.username, owner.organization, says, host)
