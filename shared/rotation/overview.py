"""What is known of the estate without a sign-in: its state by the vault's listing, and what is kept of its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.model.errors import PatrolError
from shared.model.items import Inventory
from shared.model.secret_state import VaultListing
from shared.model.steps import Because
from shared.model.tags import Mark
from shared.report.brief import Brief
from shared.report.history import History
from shared.report.kept_run import KeptRun
from shared.report.report import Failure
from shared.rotation.looked import look
from shared.rotation.status import Status
from shared.rotation.threads import Threads
from shared.rotation.world import World

LATEST = 30
"""Runs that are listed: a week of four a day."""
MOST_REPORTS = 8
"""Reports that are read for since when something is in the way; each costs a call."""
MOST_ROWS = 20_000
"""Rows of all reports that are read: of a large estate the last run alone."""

ENDINGS: Mapping[Because, str] = {
    Because.CREDENTIAL_NEAR_EXPIRY: "credential",
    Because.ENROLLMENT_NEAR_END: "enrollment",
}
"""What a run warns of, by the reason of its row."""


@dataclass(frozen=True, slots=True)
class Runs:
    """`latest`: the last runs, latest first. `reports`: of those that were meant, back to one in which all was well.

    `unknown`: why nothing is known of them; None where it is.
    """

    latest: tuple[Brief, ...] = ()
    reports: tuple[KeptRun, ...] = ()
    unknown: Failure | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that patrol signs in or pushes with, and cannot make longer itself. `what`: a noun."""

    what: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """`endings`: as far as this vault and the last run tell of them."""

    status: Status
    runs: Runs
    endings: tuple[Ending, ...] = ()


def overview(inventory: Inventory, world: World, mark: Mark, threads: Threads | None = None) -> Overview:
    """Raises Misconfigured: no vault that can be read, a wrong clock. What the storage keeps silent about is told."""
    found = look(inventory, world, mark, threads or Threads())
    runs = kept_runs(world.runs, len(inventory.items()))
    return Overview(found.status, runs, endings(inventory, found.home, runs))


def endings(inventory: Inventory, listing: VaultListing, runs: Runs) -> tuple[Ending, ...]:
    """Credentials and enrollments with an end that is known: in this vault, or because the last run warned of it."""
    rows = runs.reports[0].report.items if runs.reports else ()
    found = {
        row.secret.casefold(): Ending(ENDINGS[row.because], row.secret, row.expires_on)
        for row in rows
        if row.because in ENDINGS and row.expires_on is not None
    }
    for name in inventory.credential_names():
        seen = listing.secrets.get(name)
        if seen is not None and seen.expires_on is not None:
            found[name] = Ending("credential", seen.name, seen.expires_on)
    return tuple(sorted(found.values(), key=lambda ending: ending.at))


def kept_runs(history: History, items: int) -> Runs:
    """`items`: how many a whole run has. Never raises: the state of every item is known all the same."""
    try:
        latest = history.latest(LATEST)
        return Runs(latest, tuple(_reports(latest, history.read, items)))
    except PatrolError as failure:
        return Runs(unknown=Failure.of(failure))


def _reports(latest: tuple[Brief, ...], read: Callable[[str], KeptRun | None], items: int) -> list[KeptRun]:
    found: list[KeptRun] = []
    rows = 0
    for brief in latest:
        if brief.dry_run or brief.finished_at is None:
            continue
        rows += brief.items
        if found and rows > MOST_ROWS:
            break
        run = read(brief.run_id)
        if run is not None:
            found.append(run)
        # A run over named secrets alone says nothing of the others.
        if (brief.outcome == "succeeded" and brief.items >= items) or len(found) >= MOST_REPORTS:
            break
    return found
