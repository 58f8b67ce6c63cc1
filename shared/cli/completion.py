"""`completion`: what a shell needs to complete the command line (shtab makes it from the parser)."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from shared.cli.arguments import example, wrapped

SHELLS = ("bash", "zsh", "fish")
COMMAND = "patrol"
_INSTALL = {
    "bash": 'eval "$(python -m shared completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(python -m shared completion zsh)"   # in ~/.zshrc, after compinit',
    "fish": "python -m shared completion fish | source   # in ~/.config/fish/config.fish",
}


def add_completion(parser: argparse.ArgumentParser) -> None:
    parser.description = wrapped(
        f"Print a shell script that defines the command `{COMMAND}`, which is this program from any folder, and "
        "completes its words."
    )
    parser.epilog = example("completion bash")
    parser.add_argument("shell", choices=SHELLS)


def script(parser: argparse.ArgumentParser, shell: str, root: Path) -> str:
    """The script; `parser` is the whole command line's."""
    import shtab  # needed by nobody but this command

    parser.prog = COMMAND
    return f"# {_INSTALL[shell]}\n{_command(shell, root)}\n{shtab.complete(parser, shell=shell)}\n"


def _command(shell: str, root: Path) -> str:
    """A function, because `python -m shared` is three words, and shells complete by the first one."""
    path, python = shlex.quote(str(root)), shlex.quote(sys.executable)
    if shell == "fish":
        return f"function {COMMAND}; env PYTHONPATH={path} {python} -m shared $argv; end"
    return f'{COMMAND}() {{ PYTHONPATH={path} {python} -m shared "$@"; }}'
