"""`plan`, `run`, `refresh`, `rotate`, `emergency`: what the timers and the HTTP API do, asked for by a person."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from shared.cli.arguments import PROGRAM, wrong
from shared.cli.command import Terminal
from shared.cli.names import check_secrets
from shared.cli.progress import LONG, Bar
from shared.cli.stopping import SAFE
from shared.cli.tables import show_report
from shared.cli.terminal import Screen
from shared.model.errors import PatrolError
from shared.model.items import Inventory
from shared.model.ports import Events
from shared.model.request import Request, places
from shared.model.steps import Because
from shared.report.report import Report
from shared.rotation.run import run_all
from shared.rotation.threads import Threads
from shared.rotation.tokens import refresh as refresh_tokens
from shared.settings import Settings
from shared.views.sums import dead

DONE = "The work was done; what is told of it may be cut short."


def plan(terminal: Terminal) -> int:
    """What a run and a refresh would do; changes nothing. Gives the exit code, as all of these."""
    return _report(terminal, Request(dry_run=True))


def run(terminal: Terminal) -> int:
    """What the timer of the PATs does."""
    return _report(terminal, Request())


def refresh(terminal: Terminal) -> int:
    """What the timer of the Entra tokens does."""
    patrol = terminal.open()
    terminal.stopping.says = lambda: SAFE
    threads = Threads(patrol.settings.parallel_users)
    report = refresh_tokens(patrol.inventory, patrol.world, patrol.settings.mark, Request(), threads)
    if terminal.options.json:
        terminal.screen.json(report.to_json())
    else:
        empty = "pats.yaml has no service principals, so there is no Entra token to keep fresh."
        show_report(terminal.screen, report, empty)
    return report.exit_code()


def rotate(terminal: Terminal) -> int:
    """Raises Misconfigured for an unknown secret, and for `--adopt` alone."""
    options = terminal.options
    if options.adopt and not options.force:
        raise wrong(
            "--adopt takes an edited secret back, and that is always forced.",
            "Give --force --adopt; for a secret that patrol never had, set `adopt` on its item in pats.yaml.",
        )
    return _report(terminal, Request(names=tuple(options.secrets), force=options.force, adopt=options.adopt))


def emergency(terminal: Terminal) -> int:
    """Raises Misconfigured for an unknown secret."""
    options = terminal.options
    request = Request(names=tuple(options.secrets), emergency=True, revoke_first=options.revoke_first)
    return _report(terminal, request, Leaked(request.names or (), revoke_first=options.revoke_first))


COMMANDS: Mapping[str, Callable[[Terminal], int]] = {
    "plan": plan,
    "run": run,
    "refresh": refresh,
    "rotate": rotate,
    "emergency": emergency,
}


class Leaked:
    """What is known while an emergency is under way: of each secret the new PAT, and which old ones have ended."""

    def __init__(self, secrets: tuple[str, ...], *, revoke_first: bool) -> None:
        self._secrets = secrets
        self._revoke_first = revoke_first
        self._published: dict[str, str] = {}
        self._ended: list[str] = []

    def learn(self, name: str, /, **fields: object) -> None:
        """Take in one event of the run."""
        if name == "pat.published":
            secret, host = str(fields["secret"]).casefold(), str(fields.get("vault", ""))
            label = host.partition(".")[0]
            # However the person wrote its name.
            names = (secret, f"{label}/{secret}", f"{host}/{secret}")
            self._published |= dict.fromkeys(names, str(fields["authorization_id"]))
        elif name == "pat.revoked":
            self._ended.append(str(fields["authorization_id"]))

    def says(self) -> str:
        """What a person must know who stops it now."""
        living = [self._alive(secret) for secret in self._secrets]
        ended = f" Ended so far: {', '.join(self._ended)}." if self._ended else ""
        flags = " --revoke-first" if self._revoke_first else ""
        again = f"{PROGRAM} emergency {shlex.join(self._secrets)}{flags}"
        return f"What leaked may still work: {'; '.join(living)}.{ended} Run it again now: `{again}`"

    def _alive(self, secret: str) -> str:
        published = self._published.get(secret.casefold())
        return f"every PAT of {secret}{f' but the new one, {published}' if published else ''}"


def _report(terminal: Terminal, request: Request, leaked: Leaked | None = None) -> int:
    settings = terminal.settings()
    inventory = terminal.inventory(settings)
    check_secrets(inventory, request.names or ())
    if leaked is not None:
        terminal.stopping.says = leaked.says
    elif not request.dry_run:
        terminal.stopping.says = lambda: SAFE
    try:
        report = _watched(terminal, settings, inventory, request, leaked)
    except PatrolError as failure:
        if leaked is not None:
            failure.remedy = f"{failure.remedy} {leaked.says()}"
        raise
    if leaked is None or not report.exit_code():
        terminal.stopping.says = lambda: DONE
    if terminal.options.json:
        terminal.screen.json(report.to_json())
        return report.exit_code()
    named = request.names is not None
    show_report(terminal.screen, report, _nothing_to_do(inventory), plan=request.dry_run, named=named)
    if leaked is not None and not report.exit_code():
        terminal.screen.sentence(dead(report))
    if named:
        _say_how_to_force(terminal.screen, report)
    elif not request.dry_run and inventory.items() and _tokens(inventory):
        terminal.screen.sentence(f"Not looked at: {_whose(inventory)}", "faint")
    return report.exit_code()


def _say_how_to_force(screen: Screen, report: Report) -> None:
    """Who named a secret wanted it replaced: how, where it was not due."""
    rest = [row.secret for row in report.items if row.because is Because.FRESH]
    if rest:
        them = "it" if len(rest) == 1 else "them"
        again = f"{PROGRAM} rotate {shlex.join(rest)} --force"
        screen.sentence(f"Not due yet. `{again}` replaces {them} all the same, but not while a predecessor works on.")


def _nothing_to_do(inventory: Inventory) -> str:
    """What an empty report means."""
    return f"pats.yaml has no PATs to keep fresh{f'; {_whose(inventory)}' if _tokens(inventory) else '.'}"


def _tokens(inventory: Inventory) -> int:
    return len(inventory.tokens) + len(inventory.invalid_tokens)


def _whose(inventory: Inventory) -> str:
    """Who keeps the Entra tokens fresh."""
    tokens = _tokens(inventory)
    those = "its Entra token is" if tokens == 1 else f"its {tokens} Entra tokens are"
    return f"{those} the work of `{PROGRAM} refresh`, which has a timer of its own."


def _watched(
    terminal: Terminal, settings: Settings, inventory: Inventory, request: Request, leaked: Leaked | None
) -> Report:
    threads = Threads(settings.parallel_users)
    wanted = places(inventory, request)
    named = [one for one in inventory.all_named() if wanted is not None and one.place in wanted]
    items = {inventory.called(one).casefold() for one in (inventory.items() if wanted is None else named)}
    bar = Bar(terminal.errors, items) if len(items) >= LONG and terminal.errors.is_terminal() else None
    show: Events = terminal.progress if bar is None else bar.step

    def tell(name: str, /, **fields: object) -> None:
        if leaked is not None:
            leaked.learn(name, **fields)
        show(name, **fields)

    world = terminal.make_world(settings, settings.run_budget, tell)
    if bar is None:
        return run_all(inventory, world, settings.mark, request, threads)
    try:
        report = run_all(inventory, world, settings.mark, request, threads, bar.add)
        for row in report.items:  # what was not reached has its rows in the report alone
            bar.add(row)
        return report
    finally:
        bar.end()
