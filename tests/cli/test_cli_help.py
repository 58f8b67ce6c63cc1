"""What the command line says of itself: help with examples that work, and completion for shells."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from sandbox.process.running import ROOT
from shared.cli import main
from shared.cli.parser import parser as whole_parser


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and action below `parser`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield inner.prog, inner
                yield from commands(inner)


COMMANDS = dict(commands(whole_parser()))
TABLE = (ROOT / "README.md").read_text().split("## Command line")[1].split("\n## ")[0]


@pytest.mark.parametrize("prog", COMMANDS)
def test_the_help_of_every_command_ends_with_an_example_that_it_understands(prog: str) -> None:
    told = COMMANDS[prog].format_help()
    examples = re.findall(r"^(?:Example:| {8}) patrol (.*)$", told, re.MULTILINE)
    assert examples, told
    for line in examples:
        assert whole_parser().parse_args(shlex.split(line)).command == line.split()[0]
        assert f"patrol {line}".startswith(prog)


def test_every_command_has_a_row_in_the_readme() -> None:
    wanted = {prog.split()[1] for prog in COMMANDS}
    assert {re.split(r"[ `]", row)[0] for row in re.findall(r"^\| `(.*?)` \|", TABLE, re.MULTILINE)} == wanted


def test_who_gives_no_command_or_an_unknown_one_is_shown_those_that_there_are() -> None:
    for words, known in (
        ((), "check, plan, run,"),
        (("zzz",), "is none of those that are known (check, plan, run,"),
        (("rotatee",), "known; did you mean rotate? (check, plan, run,"),
        (("pats",), "list, get, create, renew, revoke"),
        (("completion",), "bash, zsh, fish"),
    ):
        errors = StringIO()
        assert main.main(words, out=StringIO(), errors=errors, environ={}) == 2
        assert known in errors.getvalue()


def test_help_has_no_colours_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PYTHON_COLORS", "0")
    for parser in (whole_parser(), *COMMANDS.values()):
        assert "\x1b[" not in parser.format_help()


def test_no_flag_takes_the_value_of_a_secret() -> None:
    flags = {flag for parser in COMMANDS.values() for action in parser._actions for flag in action.option_strings}
    assert {flag for flag in flags if re.search("password|secret|token|value", flag)} == {
        "--password-secret-name",
        "--client-secret-name",
        "--to-secret",
        "--show-value",
    }


def completion(shell: str) -> str:
    out = StringIO()
    assert main.main(["completion", shell], environ={}, root=ROOT, out=out) == 0
    return out.getvalue()


# Where the help says that each belongs. A shell finds it there at the first Tab: its start reads none of it.
PLACES = {
    "bash": ".local/share/bash-completion/completions/patrol",
    "zsh": "functions/_patrol",
    "fish": ".config/fish/completions/patrol.fish",
}
SCRIPTS = {
    "bash": 'source "$HOME/.local/share/bash-completion/completions/patrol"; '
    'COMP_WORDS=(patrol pats list --state ""); COMP_CWORD=4; _shtab_patrol patrol ""; '
    'printf "%s\\n" "${COMPREPLY[@]}"',
    "zsh": "fpath=($HOME/functions $fpath); autoload -Uz compinit; compinit -u -D; "
    '[ "${_comps[patrol]}" = _patrol ] && print "active expired revoked all"',
    "fish": 'complete -C "patrol pats list --state " | cut -f1',
}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_completes_the_words_from_the_file_that_the_help_names(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not on this machine")
    place = tmp_path / PLACES[shell]
    place.parent.mkdir(parents=True)
    place.write_text(completion(shell), encoding="utf-8")
    program_itself = tmp_path / "bin" / "patrol"  # fish completes nothing for a command that is not there
    program_itself.parent.mkdir()
    program_itself.write_text("#!/bin/sh\n")
    program_itself.chmod(0o755)
    flags = {"bash": ["--norc", "-ec"], "zsh": ["-fec"], "fish": ["-c"]}[shell]
    environ = {"PATH": f"{program_itself.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    command = [program, *flags, SCRIPTS[shell]]
    ran = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert set(ran.stdout.split()) == {"active", "expired", "revoked", "all"}


def test_the_help_of_completion_names_those_files() -> None:
    told = " ".join(COMMANDS["patrol completion"].format_help().split())
    assert all(Path(place).name in told for place in PLACES.values())


def test_completion_as_json_is_one_document() -> None:
    out = StringIO()
    assert main.main(["completion", "zsh", "--json"], environ={}, root=ROOT, out=out) == 0
    assert "#compdef patrol" in json.loads(out.getvalue())["script"]


def test_an_unknown_shell_is_told_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", "tcsh"], environ={}, root=ROOT) == 2
    told = capsys.readouterr().err
    assert all(shell in told for shell in ("bash", "zsh", "fish"))


def test_no_other_command_loads_the_library_for_completion() -> None:
    code = "import sys; from shared.cli.main import main; main(['scopes', 'wiki']); print('shtab' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.splitlines()[-1] == "False"
