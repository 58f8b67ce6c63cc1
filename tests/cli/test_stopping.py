"""A command that is stopped says what holds; an emergency never says that all is safe while what leaked may live."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.seed import AGENTS, demo_estate, demo_pats_yaml
from sandbox.process.running import start
from tests.lab.lab import Lab, days, item
from tests.lab.shell import Shell

WHOSE = f"--user {AGENTS} --organization contoso"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(Lab([item(), item("other-pat")]), tmp_path)
    assert shell("run")[0] == 0
    shell.lab.wait(days(1))
    return shell


def stopped_before(shell: Shell, operation: str, *command: str) -> str:
    """What a person is told who presses Ctrl-C when this call is about to have its effect."""

    def stop(met: Operation) -> None:
        if met.name == operation:
            raise KeyboardInterrupt

    shell.lab.cloud.before_effect = stop
    code, _, errors = shell(*command)
    shell.lab.cloud.before_effect = lambda _: None
    assert code == 130
    return errors.splitlines()[-1]


def test_rule_8_an_emergency_that_is_stopped_before_anything_ended_says_what_lives(shell: Shell) -> None:
    says = stopped_before(shell, "pats.create", "emergency", "build-pat", "other-pat")
    assert says == (
        "patrol: stopped. What leaked may still work: every PAT of build-pat; every PAT of other-pat. "
        "Run it again now: `patrol emergency build-pat other-pat`"
    )
    assert "safe" not in says


def test_rule_8_an_emergency_that_is_stopped_half_way_names_the_new_pat_and_what_ended(shell: Shell) -> None:
    old = shell.lab.current("build-pat").tags["authorization-id"]
    says = stopped_before(shell, "pats.revoke", "emergency", "build-pat")
    new = shell.lab.current("build-pat").tags["authorization-id"]
    assert new != old
    assert f"every PAT of build-pat but the new one, {new}. Run it again now" in says
    assert len(shell.lab.live("build-pat")) == 2
    assert shell("emergency", "build-pat")[0] == 0

    other = shell.lab.current("other-pat").tags["authorization-id"]
    says = stopped_before(shell, "pats.create", "emergency", "other-pat", "--revoke-first")
    assert "`patrol emergency other-pat --revoke-first`" in says
    assert f"every PAT of other-pat. Ended so far: {other}." in says


def test_rule_8_an_emergency_that_cannot_begin_says_what_lives_too(shell: Shell) -> None:
    shell.lab.vault.denied.add("list")
    code, document = shell.json("emergency", "build-pat")
    assert (code, document["error"]["code"]) == (2, "vault-forbidden")
    assert "What leaked may still work: every PAT of build-pat." in document["error"]["remedy"]


@pytest.mark.parametrize("command", [("run",), ("rotate", "build-pat", "--force")], ids=" ".join)
def test_promise_3_a_run_that_is_stopped_says_that_it_is_safe(shell: Shell, command: tuple[str, ...]) -> None:
    shell.lab.wait(days(25))
    says = stopped_before(shell, "vault.list", *command)
    assert says == "patrol: stopped. That is safe: the next run goes on from what it finds."


@pytest.mark.parametrize(
    "command",
    [("plan",), ("status",), ("check", "--online"), ("pats", "list", "--user", AGENTS), ("pats", "revoke")],
    ids=" ".join,
)
def test_a_command_that_only_looks_says_that_nothing_was_changed(shell: Shell, command: tuple[str, ...]) -> None:
    if command == ("pats", "revoke"):
        pat = shell.lab.live()[0].authorization_id
        command = ("pats", "revoke", pat, "--user", AGENTS, "--yes")
    assert stopped_before(shell, "vault.list", *command) == "patrol: stopped. Nothing was changed."


@pytest.mark.parametrize(
    ("action", "operation", "says"),
    [
        (("create", "--name", "x", "--scopes", "vso.code", "--to-secret", "x"), "pats.create", f"pats list {WHOSE}"),
        (("revoke", "--yes"), "pats.revoke", "It may have ended: `patrol pats get"),
        (("renew",), "pats.update", "It may have been renewed: `patrol pats get"),
    ],
    ids=["create", "revoke", "renew"],
)
def test_a_change_by_hand_that_is_stopped_says_how_to_find_out(
    shell: Shell, action: tuple[str, ...], operation: str, says: str
) -> None:
    ids: tuple[Any, ...] = () if action[0] == "create" else (shell.lab.live()[0].authorization_id,)
    told = stopped_before(shell, operation, "pats", action[0], *ids, *action[1:], "--user", AGENTS)
    assert says in told


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl-c"),
        pytest.param(signal.SIGTERM, 143, id="a cluster", marks=pytest.mark.exhaustive),
    ],
)
def test_rule_8_a_signal_in_an_emergency_says_what_lives(tmp_path: Path, number: signal.Signals, code: int) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    extra = {"PATS_FILE": str(inventory)}
    with start(demo_estate()) as cloud:
        cloud.client.add_fault("pats.create", "hang", seconds=25)
        with cloud.start_product(["-m", "shared", "emergency", "agents-linux-pat"], extra=extra) as child:
            give_up = time.monotonic() + 30
            while not cloud.client.log("pats.create") and time.monotonic() < give_up:
                time.sleep(0.05)
            child.send_signal(number)
            _, errors = child.communicate(timeout=60)
    assert child.returncode == code
    assert "What leaked may still work: every PAT of agents-linux-pat." in errors
    assert "safe" not in errors
    assert "Traceback" not in errors
