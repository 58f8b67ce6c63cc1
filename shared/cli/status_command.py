"""`status`: the state of every item, or of the named ones, as the vault's listing alone shows it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from shared import __version__
from shared.cli import files
from shared.cli.command import HUMAN, NOT_DONE, WELL, Terminal
from shared.cli.names import check_secrets
from shared.cli.tables import show_explained, show_last_run, show_status
from shared.cli.watching import watch
from shared.model.errors import PatrolError
from shared.model.items import Inventory
from shared.model.request import places_of
from shared.report.brief import Brief, last_run
from shared.rotation.enroll import EnrollmentSeen, enrollments
from shared.rotation.looked import Looked, look, with_enrollments
from shared.rotation.overview import Overview, endings, kept_runs
from shared.rotation.status import ItemStatus, Status
from shared.rotation.threads import Threads
from shared.rotation.who_reads import readers_of_one
from shared.rotation.world import World
from shared.settings import Settings
from shared.views import page
from shared.views.attention import is_alarming, trouble_of
from shared.views.page import Facts, Wanted
from shared.wiring import Deployment

LOOK_BACK = 10
"""Runs among which one was not dry."""


def status(terminal: Terminal) -> int:
    """Gives the exit code. `--state` says what is shown, and changes nothing in the exit code.

    Raises Misconfigured: an unknown secret, a vault that cannot be read, a wrong clock.
    """
    return watch(terminal, _once) if terminal.options.watch else _once(terminal, terminal.open())


def _once(terminal: Terminal, patrol: Deployment) -> int:
    options = terminal.options
    settings, inventory, world = patrol.settings, patrol.inventory, patrol.world
    check_secrets(inventory, options.secrets)
    looked = look(inventory, world, settings.mark, Threads(settings.parallel_users))
    found = with_enrollments(looked.status, _enrollments(inventory, world, terminal))
    if options.secrets:
        found = _named(found, frozenset(places_of(inventory, options.secrets).values()))
    shown = tuple(row for row in found.pats if not options.state or row.state in options.state)
    if options.html is not None:
        kept = kept_runs(world.runs, len(inventory.items()))
        seen = Overview(found, kept, endings(inventory, looked.home, kept))
        files.save(Path(options.html), _document(patrol, seen, options), "--html")
        terminal.errors.line(f"Wrote {options.html}.")
    if options.json:
        terminal.screen.json({**replace(found, pats=shown).to_json(), **_kept_json(settings, world, terminal)})
    elif options.html is None:
        _show(terminal, patrol, looked, found, shown)
    if found.needs_a_person:
        return HUMAN
    return NOT_DONE if any(is_alarming(row) for row in found.pats) else WELL


def _show(terminal: Terminal, patrol: Deployment, looked: Looked, found: Status, shown: tuple[ItemStatus, ...]) -> None:
    """In words: one secret that was named alone, or the table."""
    troubles = {row.key: trouble for row in shown if (trouble := trouble_of(row))}
    if len(terminal.options.secrets) == 1 and shown:
        (row,) = shown
        show_explained(terminal.screen, row, patrol.inventory, looked.seen(row), troubles.get(row.key), found.as_of)
        return
    show_status(terminal.screen, found, shown, troubles)
    if patrol.settings.storage is not None and not terminal.options.secrets:
        show_last_run(terminal.screen, _last_run(patrol.world, terminal), found.as_of)


def _document(patrol: Deployment, seen: Overview, options: argparse.Namespace) -> str:
    """The page as a file: of the whole estate, or of one secret that was named alone."""
    settings = patrol.settings
    facts = Facts(__version__, settings.deployment_name, settings.vault_host, settings.pats_file.name)
    if len(options.secrets) == 1:
        (row,) = seen.status.pats
        versions = patrol.world.vault_at(row.address).versions(row.secret).versions
        readers = readers_of_one(patrol.inventory, patrol.world, settings.mark, row)
        return page.one_pat(seen, row, versions, patrol.inventory, facts, page.no_links, readers)
    wanted = Wanted(frozenset(options.state or ()), rows=page.ROWS_OF_A_FILE)
    return page.estate(seen, facts, wanted=wanted)


def _named(found: Status, wanted: frozenset[str]) -> Status:
    """Of the secrets at these places alone, and of the users that they have."""
    rows = tuple(row for row in found.pats if row.place in wanted)
    users = {row.username.casefold() for row in rows}
    return replace(
        found,
        pats=rows,
        blocks={user: block for user, block in found.blocks.items() if user in users},
        enrollments=tuple(known for known in found.enrollments if known.username.casefold() in users),
    )


def _kept_json(settings: Settings, world: World, terminal: Terminal) -> dict[str, object]:
    """The last run, where reports are kept; else the document is the one of `GET /api/pats`."""
    if settings.storage is None:
        return {}
    last = _last_run(world, terminal)
    return {"last_run": None if last is None else last.to_json()}


def _enrollments(inventory: Inventory, world: World, terminal: Terminal) -> tuple[EnrollmentSeen, ...]:
    """None of them where the credentials' vault does not say: the state of every item is known all the same."""
    try:
        return enrollments(inventory, world)
    except PatrolError as failure:
        terminal.errors.failure(f"{failure.cause} Until when enrolled users are good is not shown.", failure.remedy)
        return ()


def _last_run(world: World, terminal: Terminal) -> Brief | None:
    """None also when the storage does not say: the state of every item is known all the same."""
    try:
        return last_run(world.runs.latest(LOOK_BACK))
    except PatrolError as failure:
        terminal.errors.failure(f"{failure.cause} The last run is not shown.", failure.remedy)
        return None
