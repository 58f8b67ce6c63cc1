"""`completion`: what a shell needs to complete the command line (shtab makes it from the parser)."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from shared.cli.command import WELL, Terminal
from shared.cli.parser import COMMAND, parser

_INSTALL = {
    "bash": 'eval "$(python -m shared completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(python -m shared completion zsh)"   # in ~/.zshrc, after compinit',
    "fish": "python -m shared completion fish | source   # in ~/.config/fish/config.fish",
}


def completion(terminal: Terminal) -> int:
    """Gives the exit code."""
    shell = terminal.options.shell
    text = script(shell, terminal.root)
    if terminal.options.json:
        terminal.screen.json({"shell": shell, "script": text})
    else:
        terminal.screen.out.write(text)
    return WELL


def script(shell: str, root: Path) -> str:
    """The script, for the command in any folder."""
    import shtab  # needed by nobody but this command

    whole = parser()
    whole.prog = COMMAND
    return f"# {_INSTALL[shell]}\n{_command(shell, root)}\n{shtab.complete(whole, shell=shell)}\n"


def _command(shell: str, root: Path) -> str:
    """A function, because `python -m shared` is three words, and shells complete by the first one."""
    path, python = shlex.quote(str(root)), shlex.quote(sys.executable)
    if shell == "fish":
        return f"function {COMMAND}; env PYTHONPATH={path} {python} -m shared $argv; end"
    return f'{COMMAND}() {{ PYTHONPATH={path} {python} -m shared "$@"; }}'
