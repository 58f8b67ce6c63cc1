"""docs/coming-from.md: every command in it is one, and every variable of the old client has its row."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from shared.cli.parser import parser
from shared.inventory.from_environment import VARIABLES

PAGE = (Path(__file__).resolve().parents[2] / "docs/coming-from.md").read_text()
BLOCKS = " ".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ").splitlines()
INLINE = re.findall(r"`(patrol [^`]+)`", PAGE)
COMMANDS = sorted({line.strip() for line in [*BLOCKS, *INLINE] if line.strip().startswith("patrol ")})


def test_there_are_commands_of_every_kind() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {
        "import",
        "check",
        "plan",
        "run",
        "pats",
        "rotate",
        "status",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_the_page_is_understood(command: str) -> None:
    words = shlex.split(command, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    assert parser().parse_args(words[1:]).command == words[1]


def test_every_variable_of_the_client_has_its_row() -> None:
    section = PAGE.split("## The TypeScript client")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)
    assert rows == [*(one.name for one in VARIABLES), "HTTP_PROXY"]


@pytest.mark.parametrize(
    "tool",
    [
        "TypeScript client",
        "Postman",
        "Flask",
        "pipeline",
        "azure-cli",
        "SonarQube updater",
        "Kubernetes cron job",
        "service-principal sample",
    ],
)
def test_every_tool_has_its_table(tool: str) -> None:
    [section] = [part for part in PAGE.split("\n## ") if tool in part.splitlines()[0]]
    assert "| Here |" in section
