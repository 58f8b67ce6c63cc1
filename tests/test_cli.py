"""The command line of DESIGN section 6: commands, exit codes, and one JSON document on stdout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.process import start
from sandbox.seed import AGENTS, demo_estate, demo_pats_yaml
from shared.cli import main
from shared.run import World
from shared.settings import Settings
from shared.telemetry import Events
from tests.lab import ENVIRONMENT, Lab, days, hours, item


@dataclass
class Shell:
    """Runs commands in process, on a lab's estate."""

    lab: Lab
    root: Path
    answers: str = ""

    def __call__(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        (self.root / "pats.yaml").write_text(self.lab.pats_yaml(), encoding="utf-8")
        out, errors = StringIO(), StringIO()

        def make_world(known: Settings, budget: timedelta, tell: Events) -> World:
            return self.lab.world(budget)

        code = main(
            arguments,
            environ={**ENVIRONMENT, **environ},
            root=self.root,
            out=out,
            errors=errors,
            answers=StringIO(self.answers),
            make_world=make_world,
        )
        return code, out.getvalue(), errors.getvalue()

    def json(self, *arguments: str) -> tuple[int, Any]:
        code, out, _ = self(*arguments, "--json")
        return code, json.loads(out)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item()]), tmp_path)


def test_check_is_quiet_and_well_on_a_good_file(shell: Shell) -> None:
    code, out, _ = shell("check")
    assert code == 0
    assert "in order" in out


def test_check_tells_every_mistake_with_its_line(shell: Shell) -> None:
    shell.lab.items = [item(scopes=["vso.cod"]), item("other-pat", overlp="1d", rotate_before="90d")]
    code, out, _ = shell("check", PARALLEL_USERS="many")
    assert code == 2
    assert "did you mean vso.code?" in out
    assert "did you mean overlap?" in out
    assert "PARALLEL_USERS" in out
    assert sum("pats.yaml:" in line for line in out.splitlines()) == 2
    code, document = shell.json("check")
    assert code == 2
    assert all(one["line"] for one in document["problems"])


def test_run_prints_the_report_as_one_document(shell: Shell) -> None:
    code, document = shell.json("run")
    assert code == 0
    assert set(document) == {"run_id", "started_at", "finished_at", "outcome", "items", "leftovers", "unmanaged"}
    row = document["items"][0]
    assert list(row) == [
        "secret",
        "username",
        "organization",
        "step",
        "outcome",
        "because",
        "says",
        "expires_on",
        "error",
    ]
    assert (row["step"], row["outcome"], row["error"]) == ("rotate", "done", None)
    assert shell.lab.works("build-pat")


def test_plan_changes_nothing_and_is_well_with_work_due(shell: Shell) -> None:
    code, document = shell.json("plan")
    assert (code, document["items"][0]["outcome"]) == (0, "planned")
    assert shell.lab.cloud.pats.all() == []


def test_rotate_holds_what_is_not_due_unless_forced(shell: Shell) -> None:
    shell("run")
    shell.lab.wait(days(1))
    code, document = shell.json("rotate", "build-pat")
    assert (code, document["items"][0]["outcome"]) == (0, "held")
    code, document = shell.json("rotate", "build-pat", "--force")
    assert (code, document["items"][0]["because"]) == (0, "forced")
    shell.lab.wait(hours(1))
    code, document = shell.json("rotate", "build-pat", "--force")
    assert (code, document["items"][0]["outcome"]) == (1, "busy")


def test_an_unknown_secret_is_refused_before_anything_is_attempted(shell: Shell) -> None:
    code, document = shell.json("rotate", "nobody-pat")
    assert code == 2
    assert document["error"]["code"] == "secret-unknown"
    assert shell.lab.cloud.calls() == []


def test_emergency_ends_the_old_value_at_once(shell: Shell) -> None:
    shell("run")
    shell.lab.wait(days(1))
    assert shell("emergency", "build-pat")[0] == 0
    assert len(shell.lab.live()) == 1


def test_status_shows_the_states_of_design_section_6(shell: Shell) -> None:
    code, document = shell.json("status")
    assert (code, document["seen"], document["pats"][0]["state"]) == (0, "vault", "missing")
    shell("run")
    code, document = shell.json("status")
    pat = document["pats"][0]
    assert (pat["state"], pat["days_left"]) == ("healthy", 30)
    assert (pat["next"]["step"], pat["next"]["because"], pat["next"]["at"]) == (
        "rotate",
        "near-expiry",
        "2026-03-24T12:00:00Z",
    )
    shell.lab.wait(days(24))
    code, document = shell.json("status")
    assert (code, document["pats"][0]["state"]) == (0, "due")
    shell("run")
    predecessors = shell.json("status")[1]["pats"][0]["predecessors"]
    assert [one["retire_at"] for one in predecessors] == ["2026-03-26T12:00:00Z"]
    shell.lab.wait(days(40))
    assert shell.json("status")[1]["pats"][0]["state"] == "expired"


def test_rule_12_status_shows_a_block_with_its_remedy_and_exits_3_until_released(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell("run")[0] == 3
    code, out, _ = shell("status")
    assert code == 3
    assert "AADSTS50126" in out
    assert "unblock" in out
    assert shell.json("status")[1]["pats"][0]["state"] == "blocked"
    assert shell("pats", "list", "--user", AGENTS)[0] == 3
    assert shell.lab.cloud.directory.user(AGENTS).token_requests == 1
    code, out, _ = shell("unblock", AGENTS)
    assert (code, "is released" in out) == (0, True)
    assert shell("status")[0] == 0
    shell.lab.cloud.directory.set_password(AGENTS, "sandbox-password-agents")
    assert shell("run")[0] == 0


def test_check_online_signs_in_and_mints_nothing(shell: Shell) -> None:
    code, out, _ = shell("check", "--online")
    assert code == 0, out
    assert f"sign {AGENTS} in" in out
    assert shell.lab.cloud.pats.all() == []
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell("check", "--online")[0] == 3
    assert shell("check", "--online")[0] == 3
    assert shell.lab.cloud.directory.user(AGENTS).wrong_passwords == 1


def test_misconfigured_beats_blocked_beats_failed(shell: Shell) -> None:
    shell.lab.cloud.directory.apps["11111111-2222-3333-4444-555555555555"].secrets.clear()
    code, document = shell.json("run")
    assert code == 2
    assert document["outcome"] == "failed"


def test_pats_by_hand(shell: Shell) -> None:
    code, document = shell.json("pats", "create", "--user", AGENTS, "--name", "by hand", "--scopes", "vso.code")
    assert code == 0
    assert "token" not in document
    assert "made.value" not in str(document)
    code, shown = shell.json(
        "pats", "create", "--user", AGENTS, "--name", "shown", "--scopes", "vso.code", "--show-value"
    )
    assert shell.lab.cloud.pats.authenticate("contoso", shown["token"]) is not None
    code, listed = shell.json("pats", "list", "--user", AGENTS)
    assert {pat["displayName"] for pat in listed["patTokens"]} == {"by hand", "shown"}
    assert not any("token" in pat for pat in listed["patTokens"])
    identity = document["authorizationId"]
    assert shell.json("pats", "get", identity, "--user", AGENTS)[1]["displayName"] == "by hand"
    shell.lab.wait(days(10))
    code, renewed = shell.json("pats", "renew", identity, "--user", AGENTS, "--lifetime", "40d")
    assert renewed["validTo"] == "2026-04-20T12:00:00Z"
    assert shell("pats", "revoke", identity, "--user", AGENTS)[0] == 2
    assert shell("pats", "revoke", identity, "--user", AGENTS, "--yes")[0] == 0
    assert (
        shell.json("pats", "list", "--user", AGENTS, "--state", "revoked")[1]["patTokens"][0]["displayName"]
        == "by hand"
    )


def test_a_mark_cannot_be_made_by_hand(shell: Shell) -> None:
    assert shell("pats", "create", "--user", AGENTS, "--name", "patrol/x/y", "--scopes", "vso.code")[0] == 2


def test_scopes_are_searched_by_words(shell: Shell) -> None:
    code, out, _ = shell("scopes", "push", "packages")
    assert code == 0
    assert "vso.packaging_write" in out
    assert "vso.wiki" not in out


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"KEY_VAULT_URL": ""}, "KEY_VAULT_URL is missing"),
        ({"KEY_VAULT_URL": "http://x.vault.azure.net"}, "https://"),
        ({"PATS_FILE": "nowhere.yaml"}, "cannot be read"),
        ({"RUN_BUDGET": "soon"}, "RUN_BUDGET"),
    ],
)
def test_bad_settings_are_told_in_words_with_exit_code_2(shell: Shell, environ: dict[str, str], says: str) -> None:
    code, _, errors = shell("run", **environ)
    assert code == 2
    assert says in errors
    assert "Traceback" not in errors
    assert shell.lab.cloud.calls() == []


def test_an_unexpected_failure_is_told_without_its_text(shell: Shell) -> None:
    def broken(known: Settings, budget: timedelta, tell: Events) -> World:
        raise RuntimeError("a secret stands here")

    (shell.root / "pats.yaml").write_text(shell.lab.pats_yaml(), encoding="utf-8")
    errors = StringIO()
    code = main(["run"], environ=ENVIRONMENT, root=shell.root, out=StringIO(), errors=errors, make_world=broken)
    assert code == 1
    assert "RuntimeError" in errors.getvalue()
    assert "a secret stands here" not in errors.getvalue()


def test_the_real_process_against_the_sandbox(tmp_path: Path) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    extra = {"PATS_FILE": str(inventory)}
    with start(demo_estate()) as cloud:
        checked = cloud.run_product(["-m", "shared", "check", "--online"], extra=extra)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        ran = cloud.run_product(["-m", "shared", "run", "--json"], extra=extra)
        assert ran.returncode == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert report["outcome"] == "succeeded"
        seen = json.loads(cloud.run_product(["-m", "shared", "status", "--json"], extra=extra).stdout)
        assert {pat["state"] for pat in seen["pats"]} == {"healthy"}
        broken = cloud.run_product(
            ["-m", "shared", "run"], extra={**extra, "KEY_VAULT_URL": "https://nowhere.vault.azure.net"}
        )
        assert broken.returncode == 2
        assert "nowhere.vault.azure.net" in broken.stderr
        assert "Traceback" not in broken.stderr


def test_the_demo_inventory_passes_check(tmp_path: Path) -> None:
    (tmp_path / "pats.yaml").write_text(demo_pats_yaml(), encoding="utf-8")
    assert yaml.safe_load(demo_pats_yaml())["users"]
    out = StringIO()
    assert main(["check"], environ=ENVIRONMENT, root=tmp_path, out=out) == 0
