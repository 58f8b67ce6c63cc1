"""One whole run: observe, plan, do, report. Every door uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from shared.model.errors import PatrolError
from shared.model.items import Inventory, Item, User
from shared.model.request import Request, check_names
from shared.model.secret_state import Nothing, VaultListing
from shared.model.tags import Mark
from shared.report.report import Failure, Leftover, Report, Row, in_order, owned
from shared.report.rows import invalid_row
from shared.rotation.canary import are_listed
from shared.rotation.estate import observe, observe_user
from shared.rotation.former_owners import look_for_former_owners
from shared.rotation.heartbeat import heartbeat
from shared.rotation.notices import Standing
from shared.rotation.observe import secret_seen
from shared.rotation.retire import Handover
from shared.rotation.run_context import Run
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
        estate = observe(beat.world, inventory, mark, request)
        work = Run.begin(estate, beat.world, request, threads or Threads(), watch)
        done = _work(work, beat.started_at)
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
    estate = observe_user(world, inventory, mark, request, share, threads)
    done = _work(Run.begin(estate, world, request, threads, nothing), started)
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
    check_names(inventory, request)
    tokens = inventory.token_keys()
    if request.names is None:
        report = run(inventory, world, mark, request, threads, watch)
        if not (request.dry_run and tokens):
            return report
        return _together(report, refresh(inventory, world, mark, request, threads, watch))
    named = tuple(name for name in request.names if name.casefold() in tokens)
    others = tuple(name for name in request.names if name.casefold() not in tokens)
    if not named:
        return run(inventory, world, mark, request, threads, watch)
    refreshed = refresh(inventory, world, mark, replace(request, names=named), threads, watch)
    if not others:
        return refreshed
    return _together(run(inventory, world, mark, replace(request, names=others), threads, watch), refreshed)


def names_tokens(inventory: Inventory, request: Request) -> bool:
    """Whether tokens are asked for by name."""
    return any(name.casefold() in inventory.token_keys() for name in request.names or ())


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


def _work(run: Run, started: datetime) -> _Done:
    works = [UserWork(user, run) for user in run.estate.users]
    parts = run.threads.side_by_side([work.do for work in works if work.anything()])
    handovers = [handover for part in parts for handover in part.handovers]
    owners = [UserWork(user, run) for user in run.estate.inventory.users]
    if not run.dry:
        listed = [*parts, *look_for_former_owners(parts, run)]
        judged = _judged(listed, run)
        orphans = [
            partial(UserWork(part.user, run).end_orphans, part, judged)
            for part in listed
            if _has_orphans(part, judged, run)
        ]
        parts += run.threads.side_by_side(orphans)
        parts += run.threads.side_by_side([job for owner in owners for job in _former(owner, handovers)])
    wanted = run.estate.wanted
    invalid = [item for item in run.estate.inventory.invalid if wanted is None or item.key in wanted]
    rows = [*(row for part in parts for row in part.rows), *run.sign_ins.warnings()]
    rows += [run.tell_row(invalid_row(item)) for item in invalid if run.estate.whole]
    rows += _still_read(run)
    soon: list[tuple[Item, datetime]] = []
    # Of one user's share, what was looked at: nothing is looked up for this.
    listing = VaultListing(dict(run.listing.secrets), run.listing.ahead)
    if wanted is None and not run.dry:
        soon = tell_expiring(run, (item for user in run.estate.users for item in user.items), listing, rows)
    leftovers = {leftover for part in parts for leftover in part.leftovers}
    leftovers |= {_ownerless(handover) for handover in handovers if not any(owner.owns(handover) for owner in owners)}
    refused = run.sign_ins.refused
    report = Report(
        run_id=run.request.run_id,
        started_at=started,
        finished_at=run.world.clock.now(),
        items=in_order(owned(rows, run.estate.inventory.owners())),
        leftovers=tuple(
            sorted(leftovers, key=lambda leftover: (leftover.secret.casefold(), leftover.authorization_id))
        ),
        unmanaged=run.estate.unmanaged(),
        misconfigured=None if refused is None else Failure.of(refused),
    )
    return _Done(report, _looked_at(run, parts), Standing.of(listing, soon))


def _still_read(run: Run) -> list[Row]:
    """What a run over everything warns of; over the queue the dispatcher does."""
    if run.estate.wanted is not None or run.dry or not run.estate.whole:
        return []
    found = still_read(run.estate.inventory, run.listing, run.world, run.mark, run.logs, run.clock.now())
    return [run.tell_row(row) for row in found]


def _looked_at(run: Run, parts: Iterable[UserWorkDone]) -> tuple[User, ...]:
    if run.dry or run.estate.wanted is not None:
        return ()
    listed = {part.user.key for part in parts if part.listed}
    return tuple(user for user in run.estate.users if run.estate.is_full_look(user) and user.key in listed)


def _former(owner: UserWork, handovers: Iterable[Handover]) -> list[Callable[[], UserWorkDone]]:
    mine = [handover for handover in handovers if handover.due and owner.owns(handover)]
    return [partial(owner.end_former, mine)] if mine else []


def _judged(parts: Iterable[UserWorkDone], run: Run) -> dict[str, Circumstances]:
    """What each secret is now. Of a secret that another user's work has (or will have), what the vault shows of it."""
    parts = list(parts)
    judged = {name: of for part in parts for name, of in part.judged.items()}
    if run.estate.wanted is not None:
        return judged
    items = {item.key: item for item in run.estate.inventory.items()}
    # An item that was worked on and is not judged is in doubt, or another runner's.
    worked = {item.key for user in run.estate.users for item in user.items}
    for name in _marked(parts, run) - worked - judged.keys():
        item = items.get(name)
        if item is None or item.paused:
            continue
        try:
            secret = secret_seen(name, run.listing, run.world.vault, run.mark)
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
    """Say which PATs are about to expire although a run has just done all it could. `rows`: of this run."""
    ends_now = {row.secret.casefold(): row.expires_on for row in rows if row.expires_on is not None}
    found = expiring(items, listing, ends_now, run.mark, run.clock.now())
    tell_soon(run.world, found)
    return found


def tell_soon(world: World, found: Iterable[tuple[Item, datetime]]) -> None:
    """Log what expires soon, so that alerts see it before it happens."""
    for item, ends in found:
        world.tell("pat.expiring", secret=item.secret, username=item.username, expires=ends)


def _ownerless(handover: Handover) -> Leftover:
    owner = handover.owner
    says = (
        f"{handover.secret}: its predecessor belongs to {owner.username}, who is not in pats.yaml. Put the user back "
        "under `users:` with `pats: []` until it has ended, or revoke it by hand."
    )
    return Leftover(handover.secret, handover.predecessor.id, owner.username, owner.organization, says)
