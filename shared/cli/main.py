"""The command line: the same engine as the Functions host's doors, for cron jobs, pipelines and laptops.

The words are read first; what a command needs is loaded when it is known which one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TextIO

from shared.cli.command import HUMAN, MISCONFIGURED, NOT_DONE, UNTOLD, WELL, Terminal
from shared.cli.parser import parser
from shared.cli.stopping import Stopping
from shared.cli.terminal import Output, Screen
from shared.loading import loading

if TYPE_CHECKING:
    from datetime import timedelta

    from shared.model.errors import PatrolError
    from shared.model.ports import Events
    from shared.rotation.world import World
    from shared.settings import Settings
    from shared.wiring import MakeWorld

INTERRUPTED = 130


def main(
    arguments: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path | None = None,
    out: TextIO | None = None,
    errors: TextIO | None = None,
    answers: TextIO | None = None,
    make_world: MakeWorld | None = None,
    stopping: Stopping | None = None,
) -> int:
    """Run one command; gives its exit code. Expected errors are told in words, never as a traceback."""
    output, messages = Output(out or sys.stdout), Output(errors or sys.stderr)
    stopping = stopping or Stopping()
    try:
        options = parser(output, messages).parse_args(arguments)
    except SystemExit as ended:  # help, version, or a typing error: the parser has told it
        return _last(int(ended.code or 0), output, messages)
    terminal = Terminal(
        options,
        environ,
        root or _root(),
        Screen.on(output, environ),
        messages,
        answers or sys.stdin,
        make_world or _real_world,
        stopping,
    )
    try:
        code = _run(terminal)
    except KeyboardInterrupt:
        messages.line("" if stopping.quiet else stopping.sentence())
        code = WELL if stopping.quiet else INTERRUPTED
    return _last(code, output, messages)


def _root() -> Path:
    """What a relative PATS_FILE is relative to: the app's folder, or, where patrol is installed, the current one."""
    beside = Path(__file__).resolve().parents[2]
    return beside if (beside / "function_app.py").exists() else Path.cwd()


def _last(code: int, output: Output, messages: Output) -> int:
    """Whether everything could be told; here, and not when the interpreter ends."""
    output.flush()
    if output.lost:
        messages.line(f"patrol: the output could not be written ({output.lost}); what was done is done.")
    messages.flush()
    return UNTOLD if output.lost and code == WELL else code


def _run(terminal: Terminal) -> int:
    """Do the command, and put whatever goes wrong into words."""
    from shared.model.errors import Code, PatrolError, place_of
    from shared.telemetry import quieten

    quieten()
    _silence_libraries()
    try:
        return _do(terminal)
    except PatrolError as failure:
        return _tell_failure(terminal, failure)
    except Exception as failure:  # noqa: BLE001  # the text of an unknown exception may carry a secret
        defect = PatrolError(
            Code.UNEXPECTED, f"patrol itself failed: {place_of(failure)}.", "Report this as a defect of patrol."
        )
        return _tell_failure(terminal, defect)


def _silence_libraries() -> None:
    """What a library logs goes nowhere: Python would print it, with its tracebacks, where no handler is."""
    import logging

    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())


_ROOMS: Mapping[str, str] = {
    "check": "check_command:check",
    "completion": "completion:completion",
    "enroll": "enroll_command:enroll",
    "import": "import_command:moving_in",
    "metrics": "metrics_command:metrics",
    "readers": "readers_command:readers",
    "notify": "notify_command:notify",
    "pats": "pats:pats",
    "scopes": "scopes_command:scopes",
    "status": "status_command:status",
    "unblock": "check_command:unblock",
}
"""Where each command is done; those that work on PATs or tokens are in run_commands.py."""


def _do(terminal: Terminal) -> int:
    with loading():
        command = _command(terminal.options.command)
    return command(terminal)


def _command(name: str) -> Callable[[Terminal], int]:
    if name in _ROOMS:
        found: Callable[[Terminal], int] = resolve_name(f"shared.cli.{_ROOMS[name]}")
        return found
    from shared.cli import run_commands

    return run_commands.COMMANDS[name]


def _tell_failure(terminal: Terminal, failure: PatrolError) -> int:
    """The cause first: whoever reads one line reads that."""
    from shared.model.errors import A_PERSON_MUST_ACT, Misconfigured

    if terminal.options.json:
        terminal.screen.json(
            {"error": {"code": failure.code.value, "message": failure.cause, "remedy": failure.remedy}}
        )
    terminal.errors.failure(failure.cause, failure.remedy, getattr(failure, "mistakes", ()))
    if isinstance(failure, Misconfigured):
        return MISCONFIGURED
    return HUMAN if failure.code in A_PERSON_MUST_ACT else NOT_DONE


def _real_world(settings: Settings, budget: timedelta, tell: Events) -> World:
    with loading():
        from shared import wiring

    return wiring.world(settings, budget, tell=tell)
