"""`--watch`: a command's answer drawn again and again over itself, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from io import StringIO

from shared.cli.arguments import PROGRAM, wrong
from shared.cli.command import WELL, Terminal
from shared.cli.terminal import Output, Screen
from shared.model.errors import PatrolError
from shared.views.moments import minute
from shared.wiring import Deployment

EVERY = timedelta(seconds=30)


def watch(terminal: Terminal, once: Callable[[Terminal, Deployment], int]) -> int:
    """Draws what `once` says, opening everything anew each time: pats.yaml may be edited meanwhile.

    A look that fails is drawn too; only the first one is not repeated. Raises Misconfigured where nobody could watch.
    """
    _check(terminal)
    terminal.stopping.quiet = True
    patrol = terminal.open()
    drawn = _drawn(terminal, patrol, once, first=True)
    while True:
        at = minute(patrol.world.clock.now())
        terminal.screen.redraw(f"{drawn}\nSeen at {at} UTC; again every {EVERY.seconds} seconds. Ctrl-C ends it.\n")
        if terminal.screen.out.is_gone():
            return WELL
        patrol.world.clock.sleep(EVERY)
        drawn = _drawn(terminal, patrol, once)


def _check(terminal: Terminal) -> None:
    if terminal.options.json or terminal.options.html is not None:
        raise wrong("--watch is for eyes, and neither for --json nor for --html.", "Give one of them.")
    if not terminal.screen.out.is_terminal():
        raise wrong(
            "--watch draws over what it drew before, and standard output is no terminal.",
            f"Leave it out: a monitor reads the exit code of `{PROGRAM} status`.",
        )


def _drawn(
    terminal: Terminal, patrol: Deployment, once: Callable[[Terminal, Deployment], int], *, first: bool = False
) -> str:
    """What a person would see of one look, as the terminal is wide now."""
    text = StringIO()
    out = Output(text)
    to = replace(terminal, screen=replace(Screen.on(terminal.screen.out, terminal.environ), out=out), errors=out)
    try:
        once(to, patrol if first else to.open())
    except PatrolError as failure:
        if first:
            raise
        out.failure(failure.cause, failure.remedy, getattr(failure, "mistakes", ()))
    return text.getvalue()
