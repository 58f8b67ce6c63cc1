"""`check --online --canary`: what policies stop or shorten is known before the first rotation, and nothing stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.pats import Policies
from sandbox.cloud.seed import AGENTS, mark
from tests.lab.lab import Lab, days, hours, item
from tests.lab.shell import Shell

CHECK = ("check", "--online", "--canary")
CANARY = mark("patrol-canary")


class Killed(BaseException):
    """As nothing catches SIGKILL."""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item(), item("feed-pat", scopes=["vso.packaging"], lifetime="90d")]), tmp_path)


def policies(shell: Shell) -> Policies:
    return shell.lab.cloud.pats.organization("contoso").policies


def canaries(shell: Shell) -> list[Any]:
    return [pat for pat in shell.lab.cloud.pats.all() if pat.display_name == CANARY]


def about_policies(shell: Shell) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and what is said of making PATs, of the longest life, of canaries."""
    code, document = shell.json(*CHECK)
    kinds = {"make a PAT": "wanted", "see the policy": "longest", "end a canary": "alive", "try the": "failed"}
    rows = document["online"]
    return code, {kind: row for row in rows for start, kind in kinds.items() if row["what"].startswith(start)}


def assert_nothing_lives(shell: Shell) -> None:
    now = shell.lab.clock.now()
    assert [pat for pat in canaries(shell) if pat.state(now) == "active"] == []
    assert [secret.name for secret in shell.lab.vault.secrets() if secret.name == "patrol-canary"] == []


def test_two_canaries_are_minted_marked_and_ended_at_once(shell: Shell) -> None:
    code, found = about_policies(shell)
    assert code == 0
    assert [(pat.owner, pat.scope) for pat in canaries(shell)] == [(AGENTS, "vso.code vso.packaging")] * 2
    assert [(pat.valid_to - pat.valid_from).days for pat in canaries(shell)] == [90, 364]
    assert_nothing_lives(shell)
    assert found["wanted"]["what"] == f"make a PAT of 90d as {AGENTS} in contoso"
    assert found["wanted"]["says"] == ""
    assert found["longest"]["what"].endswith("there is none")
    assert shell.lab.cloud.calls("devops.connection_data") == [], "nobody used the value"


def test_each_user_and_organization_has_its_own(tmp_path: Path) -> None:
    pats = [item(), item("other-pat", organization="fabrikam"), item("going-pat", decommission=True, lifetime="300d")]
    shell = Shell(Lab(pats, estate=_two_organizations()), tmp_path)
    code, document = shell.json(*CHECK)
    assert code == 0, document
    made = [row["what"] for row in document["online"] if row["what"].startswith("make")]
    assert made == [f"make a PAT of 30d as {AGENTS} in {name}" for name in ("contoso", "fabrikam")]
    assert_nothing_lives(shell)


def _two_organizations() -> dict[str, Any]:
    from sandbox.cloud.seed import ORGANIZATIONS, small_estate

    organizations = [{"name": name, "guid": guid, "members": [AGENTS]} for name, guid in ORGANIZATIONS.items()]
    return {**small_estate(), "organizations": organizations}


def test_a_policy_that_shortens_is_named_with_what_it_shortens(shell: Shell) -> None:
    policies(shell).max_lifetime = days(45)
    code, found = about_policies(shell)
    assert code == 0, "all goes on, with more rotations"
    assert "shortens it to 45d" in found["wanted"]["says"]
    assert "feed-pat" in found["wanted"]["says"]
    assert "build-pat" not in found["wanted"]["says"]
    assert found["longest"]["what"].endswith(": 45d")
    assert_nothing_lives(shell)


def test_a_policy_that_refuses_long_lives_is_told_before_it_stops_a_rotation(shell: Shell) -> None:
    policies(shell).max_lifetime, policies(shell).lifetime_form = days(45), "refuse"
    code, found = about_policies(shell)
    assert code == 1
    assert found["wanted"]["code"] == "mint-refused"
    assert "It stops feed-pat" in found["wanted"]["says"]
    assert "allowlist" in found["wanted"]["says"]
    assert found["longest"]["what"].endswith("less than 364d")
    policies(shell).allowed.add(AGENTS)
    assert about_policies(shell)[0] == 0


def test_a_user_that_may_not_make_pats_is_told_once(shell: Shell) -> None:
    policies(shell).creation_restricted = True
    code, found = about_policies(shell)
    assert code == 1
    assert "restrict PAT creation" in found["wanted"]["says"]
    assert "It stops build-pat, feed-pat." in found["wanted"]["says"]
    assert "longest" not in found
    assert canaries(shell) == []


def test_full_access_that_is_not_granted_concerns_the_items_that_ask_for_it(tmp_path: Path) -> None:
    shell = Shell(Lab([item(), item("all-pat", scopes=["app_token"], allow_full_access=True)]), tmp_path)
    policies(shell).full_scope_restricted = True
    code, found = about_policies(shell)
    assert code == 1
    assert "It stops all-pat." in found["wanted"]["says"]
    assert found["longest"]["what"].endswith("there is none")


def test_an_answer_that_nobody_knows_says_nothing_of_the_policy(shell: Shell) -> None:
    shell.lab.cloud.switches.longest_life_days = 100
    code, found = about_policies(shell)
    assert code == 0
    assert found["longest"]["what"].endswith("not known")


def test_rule_16_without_that_policy_an_enrolled_user_is_told_what_a_stolen_token_could_do(tmp_path: Path) -> None:
    shell = Shell(Lab([item()], enrolled=True), tmp_path)
    code, found = about_policies(shell)
    assert code == 0
    assert "stolen refresh token" in found["longest"]["says"]
    assert_nothing_lives(shell)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_promises_2_and_3_what_a_killed_check_left_the_next_run_ends(shell: Shell, moment: str) -> None:
    """Whatever call it is killed at: the next run ends it, and so does another check before that."""
    shell(*CHECK)
    calls = range(1, len(shell.lab.cloud.calls()) + 1)
    left = 0
    for call in calls:
        stopped = Shell(Lab(list(shell.lab.items)), shell.root)
        _killed_at(stopped, call, moment)
        now = stopped.lab.clock.now()
        left += sum(pat.state(now) == "active" for pat in canaries(stopped))
        stopped.lab.wait(hours(1))
        code = stopped.lab.run().exit_code() if call % 2 else stopped(*CHECK)[0]
        assert code == 0
        assert_nothing_lives(stopped)
    assert left > 0, "a canary was left over at some of them"


def _killed_at(shell: Shell, call: int, moment: str) -> None:
    def hook(operation: Operation) -> None:
        if operation.number == call:
            raise Killed

    setattr(shell.lab.cloud, f"{moment}_effect", hook)
    with pytest.raises(Killed):
        shell(*CHECK)
    shell.lab.cloud.before_effect = shell.lab.cloud.after_effect = None


@pytest.mark.parametrize("operation", ["pats.create", "pats.revoke", "pats.list"])
@pytest.mark.parametrize("fault", ["cut_before_effect", "cut_after_effect"])
def test_promise_2_a_lost_answer_leaves_no_canary(shell: Shell, operation: str, fault: str) -> None:
    shell.lab.cloud.add_fault(operation, fault, call=1)
    shell(*CHECK)
    shell.lab.cloud.faults.clear()
    assert_nothing_lives(shell)


def test_promise_8_a_canary_that_cannot_be_ended_is_told_with_the_command_that_ends_it(shell: Shell) -> None:
    shell.lab.cloud.add_fault("pats.revoke", "status", call=None, status=503, body="")
    code, found = about_policies(shell)
    assert code == 1
    alive = [f"patrol pats revoke {pat.authorization_id} --user {AGENTS}" for pat in canaries(shell)]
    assert any(command in found["alive"]["says"] for command in alive)
    shell.lab.cloud.faults.clear()
    assert shell.lab.run().exit_code() == 0
    assert_nothing_lives(shell)


def test_promise_4_a_canary_is_left_alone_where_a_person_made_a_secret_of_that_name(shell: Shell) -> None:
    lab = shell.lab
    old = lab.cloud.pats.seed(AGENTS, "contoso", CANARY, "vso.code", valid_from=lab.clock.now() - days(1))
    lab.vault.seed("patrol-canary", old.value, created=lab.clock.now())
    report = lab.run()
    assert report.exit_code() == 1
    (row,) = [row for row in report.items if row.secret == "patrol-canary"]
    assert "a person made it" in row.says
    assert not old.revoked
    assert about_policies(shell)[0] == 1
    assert not old.revoked


def test_promise_4_another_deployments_canary_is_not_touched(shell: Shell) -> None:
    other = mark("patrol-canary", name="elsewhere")
    theirs = shell.lab.cloud.pats.seed(AGENTS, "contoso", other, "vso.code", valid_from=shell.lab.clock.now())
    assert shell(*CHECK)[0] == 0
    assert shell.lab.run().exit_code() == 0
    assert not theirs.revoked


def test_no_item_may_have_the_canarys_name_and_a_canary_asks_for_online(shell: Shell) -> None:
    assert shell("check", "--canary")[0] == 2
    assert shell.lab.cloud.calls() == []
    shell.lab.items = [item("patrol-canary")]
    code, out, _ = shell("check")
    assert code == 2
    assert "such names are patrol's own" in out


def test_a_check_that_is_stopped_says_that_a_canary_may_live(shell: Shell) -> None:
    def ctrl_c(_: Operation) -> None:
        raise KeyboardInterrupt

    shell.lab.cloud.before_effect = lambda operation: ctrl_c(operation) if operation.name == "pats.revoke" else None
    code, _, errors = shell(*CHECK)
    assert code == 130
    assert "may live: the next run or" in errors
