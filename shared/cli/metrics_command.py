"""`metrics`: the state of the estate for Prometheus, to standard output or for a textfile collector."""

from __future__ import annotations

from pathlib import Path

from shared import __version__
from shared.cli import files
from shared.cli.command import WELL, Terminal
from shared.rotation.overview import overview
from shared.views import metrics as view


def metrics(terminal: Terminal) -> int:
    """Gives the exit code: the state of the estate is in the numbers, so 0 whatever it is.

    Raises Misconfigured: a vault that cannot be read, a wrong clock, a file that cannot be written.
    """
    patrol = terminal.open()
    seen = overview(patrol.inventory, patrol.world, patrol.settings.mark)
    text = view.text(seen, patrol.settings.vault_host, __version__)
    if terminal.options.output is None:
        terminal.screen.lines(text.removesuffix("\n").split("\n"))
        return WELL
    files.save(Path(terminal.options.output), text, "--output")
    terminal.errors.line(f"Wrote {terminal.options.output}.")
    return WELL
