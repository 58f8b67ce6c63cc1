"""`completion`: what a shell needs to complete the command line (shtab makes it from the parser)."""

from __future__ import annotations

from shared.cli.command import WELL, Terminal
from shared.cli.parser import parser


def completion(terminal: Terminal) -> int:
    """Gives the exit code."""
    shell = terminal.options.shell
    text = script(shell)
    if terminal.options.json:
        terminal.screen.json({"shell": shell, "script": text})
    else:
        terminal.screen.out.write(text)
    return WELL


def script(shell: str) -> str:
    """For a file that the shell loads at the first Tab (the help says which): a shell's start costs nothing more."""
    import shtab  # needed by nobody but this command

    return f"{shtab.complete(parser(), shell=shell)}\n"
