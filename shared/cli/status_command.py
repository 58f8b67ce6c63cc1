"""`status`: the state of every item, or of the named ones, as the vault's listing alone shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.cli.arguments import PROGRAM
from shared.cli.command import HUMAN, NOT_DONE, WELL, Terminal
from shared.cli.explain import explain
from shared.cli.names import check_secrets
from shared.cli.tables import show_last_run, show_status
from shared.model.clock import check_clock
from shared.model.errors import PatrolError
from shared.model.items import Inventory
from shared.model.secret_state import Nothing, Seen, VaultListing
from shared.model.steps import Because, Fail, Step
from shared.model.tags import Mark
from shared.report.kept_run import Brief, last_run
from shared.rotation import status as vault_status
from shared.rotation.observe import secret_seen
from shared.rotation.status import ItemStatus, Status
from shared.rotation.token_refresh import token_seen
from shared.rotation.world import World
from shared.rules import token_plan
from shared.rules.due import expiring
from shared.rules.plan import plan
from shared.settings import Settings

LOOK_BACK = 10
"""Runs among which one was not dry."""

# What a decommissioned item lacks is what was asked for.
_AT_REST = frozenset({Because.DECOMMISSIONED, Because.NOTHING_TO_END})
_ALARMING = frozenset({"expired", "missing", "edited"})


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at the vault gave; `now` is vault time."""

    inventory: Inventory
    world: World
    mark: Mark
    listing: VaultListing
    now: datetime

    def overdue(self) -> frozenset[str]:
        """Casefolded names of the secrets for which half of the time to act is gone."""
        found = expiring(self.inventory.items(), self.listing, {}, self.mark, self.now)
        return frozenset(item.key for item, _ in found)

    def step(self, key: str) -> Step | None:
        """What a run would do by what the vault shows; None for what pats.yaml does not ask for in order."""
        for item in self.inventory.items():
            if item.key == key:
                secret = secret_seen(item.secret, self.listing, self.world.vault, self.mark, look_for_deleted=False)
                return plan(item, Seen(secret), self.now)
        for token in self.inventory.tokens:
            if token.key == key:
                row = self.listing.secrets.get(key)
                seen = Nothing() if row is None else token_seen(row, self.world.vault, self.mark)
                return token_plan.plan(token, seen, self.now)
        return None

    def invalid(self, key: str) -> str:
        """What is wrong in pats.yaml; "" for an item that is in order."""
        rows = (*self.inventory.invalid, *self.inventory.invalid_tokens)
        return next((row.problem for row in rows if row.key == key), "")


def status(terminal: Terminal) -> int:
    """Gives the exit code. `--state` says what is shown, and changes nothing in the exit code.

    Raises Misconfigured: an unknown secret, a vault that cannot be read, a wrong clock.
    """
    options, patrol = terminal.options, terminal.open()
    settings, inventory, world = patrol.settings, patrol.inventory, patrol.world
    check_secrets(inventory, options.secrets)
    listing = world.vault.listing()
    check_clock(listing.ahead)
    looked = Looked(inventory, world, settings.mark, listing, world.clock.now() + listing.ahead)
    found = vault_status.status(inventory, listing, world.vault, settings.mark, looked.now)
    if options.secrets:
        found = _named(found, frozenset(name.casefold() for name in options.secrets))
    shown = tuple(row for row in found.pats if not options.state or row.state in options.state)
    overdue = looked.overdue()
    if options.json:
        terminal.screen.json({**replace(found, pats=shown).to_json(), **_kept_json(settings, world, terminal)})
    elif len(options.secrets) == 1 and shown:
        explain(terminal.screen, shown[0], looked.inventory, listing, _need(looked, shown[0], overdue))
    else:
        needs = {row.secret.casefold(): need for row in shown if (need := _need(looked, row, overdue))}
        show_status(terminal.screen, found, shown, needs)
        if settings.storage is not None and not options.secrets:
            show_last_run(terminal.screen, _last_run(world, terminal))
    if found.blocks:
        return HUMAN
    return NOT_DONE if any(_is_alarming(row, overdue) for row in found.pats) else WELL


def _named(found: Status, keys: frozenset[str]) -> Status:
    """Of these secrets alone, and of the users that they have."""
    rows = tuple(row for row in found.pats if row.secret.casefold() in keys)
    users = {row.username.casefold() for row in rows}
    blocks: Mapping[str, object] = found.blocks
    return replace(found, pats=rows, blocks={user: found.blocks[user] for user in blocks if user in users})


def _is_alarming(row: ItemStatus, overdue: frozenset[str]) -> bool:
    if row.state == "paused" or row.because in _AT_REST:
        return False
    return row.state in _ALARMING or row.because is Because.INVALID or row.secret.casefold() in overdue


def _need(looked: Looked, row: ItemStatus, overdue: frozenset[str]) -> str:
    """What is to be done, and why; "" where nothing is, or where it is told of the user."""
    key = row.secret.casefold()
    if row.state in ("blocked", "paused") or row.because in _AT_REST:
        return ""
    problem = looked.invalid(key)
    if problem:
        return f"{problem} Correct pats.yaml; `{PROGRAM} check` shows the line."
    # The plan is asked only where the state says that a person may be needed: it may look at the secret's versions.
    if row.state in ("edited", "foreign", "missing"):
        step = looked.step(key)
        if isinstance(step, Fail):
            return f"{step.cause} {step.remedy}"
    runs = f"`{PROGRAM} {'refresh' if key in looked.inventory.token_keys() else 'run'}`"
    if row.state == "missing":
        return f"no value is published: the next run makes one, and so does {runs}."
    if row.state == "expired":
        return f"its value has expired, and no run has replaced it. {runs} does, or says what is in the way."
    if key in overdue:
        return f"half of the time to replace it is gone, and no run did. {runs} does, or says what is in the way."
    return ""


def _kept_json(settings: Settings, world: World, terminal: Terminal) -> dict[str, object]:
    """The last run, where reports are kept; else the document is the one of `GET /api/pats`."""
    if settings.storage is None:
        return {}
    last = _last_run(world, terminal)
    return {"last_run": None if last is None else last.to_json()}


def _last_run(world: World, terminal: Terminal) -> Brief | None:
    """None also when the storage does not say: the state of every item is known all the same."""
    try:
        return last_run(world.runs.latest(LOOK_BACK))
    except PatrolError as failure:
        terminal.errors.line(f"patrol: {failure.cause} The last run is not shown.")
        terminal.errors.line(f"        {failure.remedy}")
        return None
