"""The command line: the same engine as the Functions host's doors, for cron jobs, pipelines and laptops."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from shared import __version__, settings, wiring
from shared.cli.arguments import PROGRAM, Formatter, example, wrapped
from shared.cli.check_online import Finding, check_online
from shared.cli.completion import add_completion, script
from shared.cli.import_command import add_import, run_import
from shared.cli.pats import add_pats, run_pats
from shared.cli.progress import LONG, Bar
from shared.cli.tables import show_last_run, show_report, show_status
from shared.cli.terminal import Screen
from shared.inventory import pats_yaml
from shared.inventory import scopes as known_scopes
from shared.model.clock import check_clock, instant
from shared.model.errors import Code, Misconfigured, PatrolError, place_of
from shared.model.items import Inventory
from shared.model.ports import Events
from shared.model.request import Request
from shared.model.secret_text import printable
from shared.report.kept_run import Brief, last_run
from shared.report.report import Report
from shared.rotation.run import run_all
from shared.rotation.sign_in import unblock
from shared.rotation.status import status
from shared.rotation.threads import Threads
from shared.rotation.tokens import refresh
from shared.rotation.world import World
from shared.settings import Settings
from shared.telemetry import quieten

WELL, NOT_DONE, MISCONFIGURED, HUMAN = 0, 1, 2, 3
INTERRUPTED = 130
LOOK_BACK = 10
"""Runs among which one was not dry."""
STOPPED = "patrol: stopped. That is safe: the next run goes on from what it finds."

MakeWorld = Callable[[Settings, timedelta, Events], World]

EXIT_CODES = (
    "Exit codes: 0 all well, 1 an item failed or was left, 2 misconfigured, 3 a person must act (sign-in blocked)."
)


@dataclass(frozen=True, slots=True)
class Terminal:
    """Everything a command may touch besides the world it makes."""

    options: argparse.Namespace
    environ: Mapping[str, str]
    root: Path
    screen: Screen
    errors: TextIO
    answers: TextIO
    make_world: MakeWorld

    def settings(self) -> Settings:
        return settings.read(self.environ, self.root)

    def world(self, known: Settings) -> World:
        return self.make_world(known, known.run_budget, self.progress)

    def progress(self, name: str, /, **fields: object) -> None:
        """One line per step on stderr; what the report repeats at the end is left out."""
        if name.startswith(("run.", "item.", "refresh.")):
            return
        shown = {key: instant(value) if isinstance(value, datetime) else value for key, value in fields.items()}
        told = ", ".join(f"{key} {value}" for key, value in shown.items() if value is not None)
        # One write for the line and its end: users are worked on side by side.
        self.errors.write(printable(f"{name}: {told}") + "\n")
        self.errors.flush()


def main(
    arguments: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path | None = None,
    out: TextIO | None = None,
    errors: TextIO | None = None,
    answers: TextIO | None = None,
    make_world: MakeWorld | None = None,
) -> int:
    """Run one command; gives its exit code. Expected errors are told in words, never as a traceback."""
    quieten()
    out, errors, answers = out or sys.stdout, errors or sys.stderr, answers or sys.stdin
    options = parser().parse_args(arguments)
    terminal = Terminal(
        options,
        environ,
        root or settings.ROOT,
        Screen.on(out, environ),
        errors,
        answers,
        make_world or _real_world,
    )
    try:
        return _told(terminal)
    except KeyboardInterrupt:
        print(STOPPED, file=errors)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_DONE


def _told(terminal: Terminal) -> int:
    """Run the command, and put whatever goes wrong into words."""
    try:
        code = int(terminal.options.run(terminal))
    except BrokenPipeError:
        raise
    except PatrolError as failure:
        code = _tell_failure(terminal, failure, _code_of(failure))
    except Exception as failure:  # noqa: BLE001  # the text of an unknown exception may carry a secret
        defect = PatrolError(
            Code.UNEXPECTED, f"patrol itself failed: {place_of(failure)}.", "Report this as a defect of patrol."
        )
        code = _tell_failure(terminal, defect, NOT_DONE)
    # Here, where a reader that is gone is still expected, and not when the interpreter ends.
    terminal.screen.out.flush()
    return code


def _tell_failure(terminal: Terminal, failure: PatrolError, code: int) -> int:
    if terminal.options.json:
        terminal.screen.json(
            {"error": {"code": failure.code.value, "message": failure.cause, "remedy": failure.remedy}}
        )
    print(f"patrol: {failure.cause}\n        {failure.remedy}", file=terminal.errors)
    return code


def _code_of(failure: PatrolError) -> int:
    if isinstance(failure, Misconfigured):
        return MISCONFIGURED
    return HUMAN if failure.code in (Code.SIGN_IN_REFUSED, Code.USER_BLOCKED) else NOT_DONE


def _real_world(known: Settings, budget: timedelta, tell: Events) -> World:
    return wiring.world(known, budget, tell=tell)


# --- commands --------------------------------------------------------------------------------------------------------


def _located(file: Path, problem: Mapping[str, object]) -> str:
    """As editors and terminals link it: file, line, place in the file; of the file as a whole its name is enough."""
    line, place, says = problem["line"], str(problem["path"]), str(problem["says"])
    where = f"{file.name}:{line}:" if line else "" if place else f"{file.name}:"
    return " ".join(filter(None, (where, "" if says.startswith(place) else place, says)))


def _check(terminal: Terminal) -> int:
    problems: list[dict[str, object]] = []
    # Where the settings are broken, pats.yaml is examined all the same, so that nobody has to come back twice.
    path = terminal.root / (terminal.environ.get("PATS_FILE", "").strip() or "pats.yaml")
    try:
        path = terminal.settings().pats_file
    except Misconfigured as failure:
        problems.append({"path": "settings", "line": None, "says": f"{failure.cause} {failure.remedy}"})
    try:
        found = pats_yaml.check_file(path)
        problems += [{"path": one.path, "line": one.line, "says": one.says} for one in found]
    except Misconfigured as failure:
        problems.append({"path": str(path), "line": None, "says": f"{failure.cause} {failure.remedy}"})
    if problems or not terminal.options.online:
        if terminal.options.json:
            terminal.screen.json({"problems": problems})
        for one in [] if terminal.options.json else problems:
            terminal.screen.say(_located(path, one))
        if not problems and not terminal.options.json:
            terminal.screen.say("pats.yaml and the settings are in order.", "good")
        return MISCONFIGURED if problems else WELL
    known = terminal.settings()
    findings = check_online(pats_yaml.load_file(known.pats_file), known, terminal.world(known))
    if terminal.options.json:
        terminal.screen.json({"problems": [], "online": [one.to_json() for one in findings]})
    else:
        for finding in findings:
            word, tone = _shown_as(finding)
            terminal.screen.say(f"{word} {finding.what}", tone)
            if finding.says:
                terminal.screen.paragraph(finding.says, "         ")
    return max((one.exit_code for one in findings), key=_severity, default=WELL)


def _shown_as(finding: Finding) -> tuple[str, str]:
    if not finding.well:
        return "FAILED", "bad"
    return ("note  ", "warning") if finding.says else ("ok    ", "")


def _severity(code: int) -> int:
    return (WELL, NOT_DONE, HUMAN, MISCONFIGURED).index(code)


def _run(terminal: Terminal) -> int:
    return _report(terminal, Request())


def _refresh(terminal: Terminal) -> int:
    known = terminal.settings()
    estate = pats_yaml.load_file(known.pats_file)
    threads = Threads(known.parallel_users)
    return _show(terminal, refresh(estate, terminal.world(known), known.mark, Request(), threads))


def _plan(terminal: Terminal) -> int:
    return _report(terminal, Request(dry_run=True))


def _rotate(terminal: Terminal) -> int:
    options = terminal.options
    if options.adopt and not options.force:
        raise Misconfigured(
            Code.SETTINGS_INVALID,
            "--adopt takes an edited secret back, and that is always forced.",
            "Give --force --adopt; for a secret that patrol never had, set `adopt` in pats.yaml.",
        )
    return _report(terminal, Request(names=tuple(options.secrets), force=options.force, adopt=options.adopt))


def _emergency(terminal: Terminal) -> int:
    options = terminal.options
    return _report(terminal, Request(names=tuple(options.secrets), emergency=True, revoke_first=options.revoke_first))


def _report(terminal: Terminal, request: Request) -> int:
    known = terminal.settings()
    estate = pats_yaml.load_file(known.pats_file)
    return _show(terminal, _watched(terminal, known, estate, request))


def _show(terminal: Terminal, report: Report) -> int:
    if terminal.options.json:
        terminal.screen.json(report.to_json())
    else:
        show_report(terminal.screen, report)
    return report.exit_code()


def _watched(terminal: Terminal, known: Settings, estate: Inventory, request: Request) -> Report:
    threads = Threads(known.parallel_users)
    items = len(request.names) if request.names is not None else len(estate.items())
    if items < LONG or not terminal.errors.isatty():
        return run_all(estate, terminal.world(known), known.mark, request, threads)
    bar = Bar(terminal.errors, items)
    world = terminal.make_world(known, known.run_budget, bar.step)
    try:
        return run_all(estate, world, known.mark, request, threads, bar.add)
    finally:
        bar.end()


def _status(terminal: Terminal) -> int:
    known = terminal.settings()
    estate = pats_yaml.load_file(known.pats_file)
    world = terminal.world(known)
    listing = world.vault.listing()
    check_clock(listing.ahead)
    seen = status(estate, listing, world.vault, known.mark, world.clock.now() + listing.ahead)
    if terminal.options.json:
        terminal.screen.json({**seen.to_json(), **_kept_json(known, world, terminal)})
    else:
        show_status(terminal.screen, seen)
        if known.storage is not None:
            show_last_run(terminal.screen, _last_run(world, terminal))
    return HUMAN if seen.blocks else WELL


def _kept_json(known: Settings, world: World, terminal: Terminal) -> dict[str, object]:
    """The last run, where reports are kept; else the document is the one of `GET /api/pats`."""
    if known.storage is None:
        return {}
    last = _last_run(world, terminal)
    return {"last_run": None if last is None else last.to_json()}


def _last_run(world: World, terminal: Terminal) -> Brief | None:
    """None also when the storage does not say: the state of every item is known all the same."""
    try:
        return last_run(world.runs.latest(LOOK_BACK))
    except PatrolError as failure:
        print(f"patrol: {failure.cause} The last run is not shown.\n        {failure.remedy}", file=terminal.errors)
        return None


def _unblock(terminal: Terminal) -> int:
    known = terminal.settings()
    estate = pats_yaml.load_file(known.pats_file)
    done = unblock(estate, terminal.world(known).vault, terminal.options.upn)
    if terminal.options.json:
        terminal.screen.json(done.to_json())
    else:
        terminal.screen.say(done.says)
    return WELL


def _scopes(terminal: Terminal) -> int:
    found = known_scopes.search(terminal.options.words)
    if terminal.options.json:
        rows = [{"scope": one.name, "area": one.area, "meaning": one.meaning} for one in found]
        terminal.screen.json({"scopes": rows})
    elif found:
        terminal.screen.table(("scope", "area", "lets it"), [(one.name, one.area, one.meaning) for one in found])
    else:
        near = known_scopes.nearest(" ".join(terminal.options.words))
        terminal.screen.say(f"No known scope has all of these words{f'; did you mean {near}?' if near else '.'}")
    return WELL


def _pats(terminal: Terminal) -> int:
    known = terminal.settings()
    estate = pats_yaml.load_file(known.pats_file)
    return run_pats(
        terminal.options, estate, terminal.world(known), known.mark, terminal.screen, terminal.errors, terminal.answers
    )


def _import(terminal: Terminal) -> int:
    return run_import(
        terminal.options, terminal.environ, terminal.settings, terminal.world, terminal.screen, terminal.errors
    )


def _completion(terminal: Terminal) -> int:
    text = script(parser(), terminal.options.shell, terminal.root)
    if terminal.options.json:
        terminal.screen.json({"shell": terminal.options.shell, "script": text})
    else:
        terminal.screen.out.write(text)
    return WELL


# --- arguments -------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The whole command line: each command's help ends with an example."""
    whole = argparse.ArgumentParser(
        prog=PROGRAM,
        description="patrol keeps the Azure DevOps PATs of technical users fresh.",
        epilog=wrapped(f"Settings are environment variables: KEY_VAULT_URL and PATS_FILE at the least. {EXIT_CODES}"),
        formatter_class=Formatter,
    )
    whole.add_argument("--version", action="version", version=f"patrol {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: Callable[[Terminal], int], help: str, line: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help, epilog=example(line), formatter_class=Formatter)
        made.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
        made.set_defaults(run=does)
        return made

    check = command("check", _check, "find every mistake in pats.yaml and the settings", "check --online")
    check.add_argument("--online", action="store_true", help="also sign in, list, and test the vault's rights")
    command("plan", _plan, "sign in, look at everything, and say what a run would do", "plan")
    command("run", _run, "replace the PATs that are due, as the timer does", "run --json")
    command("refresh", _refresh, "replace the Entra tokens that are due, as their timer does", "refresh")
    rotate = command(
        "rotate", _rotate, "rotate the named secrets, PATs and tokens, if they are due", "rotate build-pat --force"
    )
    rotate.add_argument("secrets", nargs="+", metavar="SECRET")
    rotate.add_argument("--force", action="store_true", help="due or not")
    rotate.add_argument("--adopt", action="store_true", help="with --force: take back a secret that somebody edited")
    emergency = command(
        "emergency", _emergency, "replace leaked PATs and end the old ones at once", "emergency build-pat"
    )
    emergency.add_argument("secrets", nargs="+", metavar="SECRET")
    emergency.add_argument("--revoke-first", action="store_true", help="end the old PAT before the new one is made")
    command("status", _status, "the state of every item, from the vault alone", "status --json")
    release = command("unblock", _unblock, "let patrol try a blocked user's sign-in again", "unblock svc@contoso.com")
    release.add_argument("upn", metavar="UPN")
    add_pats(command("pats", _pats, "one technical user's PATs by hand", "pats list --user svc-agents@contoso.com"))
    add_import(command("import", _import, "write pats.yaml lines for what exists: moving in", "import --from-env"))
    words = command("scopes", _scopes, "the known scopes and what they let a PAT do", "scopes packaging")
    words.add_argument("words", nargs="*", metavar="WORD")
    add_completion(command("completion", _completion, "completion of this command line for a shell", "completion zsh"))
    return whole
