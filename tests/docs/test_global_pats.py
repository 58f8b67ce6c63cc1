"""docs/global-pats.md: its commands are ones, and its steps lead from a global PAT to one for each organization."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from sandbox.cloud.seed import AGENTS, ORGANIZATIONS
from shared.cli import global_pats
from shared.cli.parser import parser
from shared.inventory.texts import GLOBAL_PATS
from tests.lab.lab import Lab, hours, item
from tests.lab.shell import Shell

REFUSALS = {"patrol makes no PATs for all organizations"}
PAGE = (Path(__file__).resolve().parents[2] / "docs/global-pats.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"(?:^ +|`)(patrol [a-z][^`\n]+)(?:`|$)", PAGE, re.MULTILINE)) - REFUSALS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_the_page_is_understood(command: str) -> None:
    words = shlex.split(command)[1:]
    assert parser().parse_args(words).command == words[0]


def test_the_day_and_the_refusals_are_the_product_s() -> None:
    assert f"die on {global_pats.END:%Y-%m-%d}" in PAGE.splitlines()[0]
    assert GLOBAL_PATS.startswith("patrol makes no PATs for all organizations")
    assert "`patrol makes no PATs for all organizations`" in PAGE


def uncommented(text: str) -> str:
    """The lines below `# Left out`, without their `# `, as the page says to paste them."""
    below = text.partition("# Left out")[2].splitlines()[1:]
    return "\n".join(line.replace("# ", "", 1) for line in below)


def test_promises_1_and_4_the_steps_replace_a_global_pat_in_each_organization_and_end_it_last(tmp_path: Path) -> None:
    shell = Shell(Lab([item(), item("other-pat", organization="fabrikam")]), tmp_path)
    shell.lab.cloud.pats.add_organization("fabrikam", ORGANIZATIONS["fabrikam"], {AGENTS})
    now = shell.lab.clock.now()
    everywhere = shell.lab.cloud.pats.seed(
        AGENTS, "contoso", "everywhere", valid_from=now, valid_to=now + hours(2000), all_orgs=True, scope="vso.code"
    )
    # The real service may show one PAT in several listings: the sandbox shows it where it was made.
    shell.lab.cloud.pats._owned.setdefault((AGENTS, ORGANIZATIONS["fabrikam"]), []).append(everywhere)
    shell.lab.vault.seed("git-mirror", everywhere.value)

    assert everywhere.authorization_id in shell("check", "--online")[1]
    lines = [
        line
        for organization in ("contoso", "fabrikam")
        for line in yaml.safe_load(uncommented(shell("import", "--user", AGENTS, "--organization", organization)[1]))
    ]
    assert [one["secret"] for one in lines] == ["everywhere-contoso", "everywhere-fabrikam"]
    # The consumers of one organization read a secret of the vault already.
    lines[0] |= {"secret": "git-mirror", "adopt": True}
    shell.lab.items += lines
    assert shell("check")[0] == 0
    assert shell("run")[0] == 0
    assert shell.lab.works("git-mirror", "contoso")
    assert shell.lab.works("everywhere-fabrikam", "fabrikam")
    shell.lab.wait(hours(30))
    assert shell("run")[0] == 0
    assert not everywhere.revoked, "`adopt: true` leaves it to the other organizations"

    asked = ("--user", AGENTS, "--organization", "contoso")
    assert shell("pats", "revoke", everywhere.authorization_id, *asked, "--yes")[0] == 0
    assert everywhere.revoked
    assert "global" not in shell("check", "--online")[1]
