"""The end of a run over the queue, told once, however many instances see it (rule 19)."""

from __future__ import annotations

from dataclasses import replace

from shared.model.errors import PatrolError
from shared.model.items import Inventory
from shared.model.tags import Mark
from shared.report.kept_run import KeptRun
from shared.report.met import Happened
from shared.rotation import notices
from shared.rotation.estate import look_at
from shared.rotation.notices import Standing
from shared.rotation.run import expiring_soon
from shared.rotation.threads import Threads
from shared.rotation.world import World


def tell_run(
    run: KeptRun, whole: bool, inventory: Inventory, world: World, mark: Mark, threads: Threads | None = None
) -> None:
    """Tell recipients of a run that has ended, after those before it whose end nobody saw. Never raises.

    `whole`: it was over everything that is due.
    """
    to = notices.audience(inventory, mark, world)
    if not to or run.dry_run:
        return
    standing = _standing(inventory, world, mark, threads or Threads(1))
    for run_id in notices.overdue(world, to):
        if run_id != run.run_id and (lost := _read(world, run_id)) is not None:
            # What it was asked is not known any more, so nothing counts as well again because of it.
            _tell(lost, False, inventory, world, mark, Standing())
    _tell(run, whole, inventory, world, mark, standing)


def _tell(run: KeptRun, whole: bool, inventory: Inventory, world: World, mark: Mark, standing: Standing) -> None:
    happened = Happened(
        run.report,
        "run",
        whole=whole,
        ends=standing.ends,
        soon=standing.soon,
        managed=inventory.nameable(),
        owners=inventory.owners(),
        home=world.vault_host,
    )
    to = notices.audience(inventory, mark, world)
    rows = notices.tell_end(world, to, happened, waits=False, queued=True)
    if rows:
        world.runs.keep(replace(run, report=replace(run.report, recipients=rows)))


def _read(world: World, run_id: str) -> KeptRun | None:
    try:
        run = world.runs.read(run_id)
    except PatrolError:
        return None
    return run if run is not None and run.finished_at is not None else None


def _standing(inventory: Inventory, world: World, mark: Mark, threads: Threads) -> Standing:
    """As the vaults list it now: no part of a run knows of the others' secrets."""
    try:
        listings, _ = look_at(world, inventory.vaults(), threads)
    except PatrolError:
        return Standing()
    return Standing.of(inventory, listings, expiring_soon(world, inventory.items(), listings, mark))
