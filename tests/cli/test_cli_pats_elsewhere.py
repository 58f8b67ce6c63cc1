"""`pats create --to-secret` where items are published to several vaults (rule 17)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.cloud.seed import AGENTS
from shared.model.secret_state import BY_HAND_CONTENT_TYPE
from tests.lab.several_vaults import AGENTS_VAULT, HOME, SeveralVaults, two
from tests.lab.shell import Shell

CREATE = ("pats", "create", "--user", AGENTS, "--name", "by hand", "--scopes", "vso.code", "--to-secret")


@pytest.fixture
def lab() -> SeveralVaults:
    return two(quick=False)


@pytest.fixture
def shell(lab: SeveralVaults, tmp_path: Path) -> Shell:
    lab.sign_everybody_in()
    return Shell(lab, tmp_path)


@pytest.mark.parametrize("label", ["kv-agents", "KV-Agents", AGENTS_VAULT])
def test_rule_17_a_label_says_into_which_vault_a_value_by_hand_goes(
    lab: SeveralVaults, shell: Shell, label: str
) -> None:
    code, document = shell.json(*CREATE, f"{label}/laptop-pat")
    assert (code, document["secret"], document["vault"]) == (0, "laptop-pat", AGENTS_VAULT)
    version = lab.published("laptop-pat")
    assert lab.lives(version)
    assert (version.content_type, version.tags["username"]) == (BY_HAND_CONTENT_TYPE, AGENTS)
    assert "laptop-pat" not in [secret.name for secret in lab.vault.secrets()]


@pytest.mark.parametrize("label", ["", "patrol-demo-pats/"])
def test_rule_17_a_name_alone_is_in_the_vault_of_key_vault_url(lab: SeveralVaults, shell: Shell, label: str) -> None:
    code, document = shell.json(*CREATE, f"{label}laptop-pat")
    assert (code, document["secret"], document["vault"]) == (0, "laptop-pat", HOME)
    assert lab.works("laptop-pat")
    assert "laptop-pat" not in [secret.name for secret in lab.beside().secrets()]


def test_promise_8_people_are_told_the_secret_with_its_label(shell: Shell) -> None:
    code, _, errors = shell(*CREATE, "kv-agents/laptop-pat")
    assert code == 0
    assert "Its value is in the secret kv-agents/laptop-pat." in errors


def test_promise_4_a_name_that_is_taken_in_that_vault_alone_is_refused_there_alone(
    lab: SeveralVaults, shell: Shell
) -> None:
    lab.beside().seed("laptop-pat", "theirs")
    code, _, errors = shell(*CREATE, "kv-agents/laptop-pat")
    assert (code, "kv-agents/laptop-pat exists already" in errors) == (2, True)
    assert lab.published("laptop-pat").value == "theirs"
    assert lab.cloud.live_pats() == []
    assert shell(*CREATE, "laptop-pat")[0] == 0


@pytest.mark.parametrize("name", ["kv-agents/build-pat", "build-pat", "patrol-demo-pats/feeds-pat"])
def test_promise_4_a_value_by_hand_is_not_put_where_an_item_is_published(
    lab: SeveralVaults, shell: Shell, name: str
) -> None:
    code, _, errors = shell(*CREATE, name)
    assert (code, f"{name} is an item of pats.yaml" in errors) == (2, True)
    assert lab.cloud.live_pats() == []


def test_rule_17_an_item_of_another_vault_does_not_take_its_name_in_this_one(lab: SeveralVaults, shell: Shell) -> None:
    assert shell(*CREATE, "kv-agents/feeds-pat")[0] == 0
    assert lab.lives(lab.published("feeds-pat"))


def test_promise_8_a_vault_that_pats_yaml_does_not_name_is_told_with_those_it_does(
    lab: SeveralVaults, shell: Shell
) -> None:
    code, document = shell.json(*CREATE, "kv-agent/laptop-pat")
    assert code == 2
    assert document["error"]["message"] == "pats.yaml names no vault kv-agent."
    assert document["error"]["remedy"] == "Write one of kv-agents/laptop-pat, patrol-demo-pats/laptop-pat."
    assert lab.cloud.calls("entra.token") == []


def test_promise_4_a_vault_that_refuses_the_write_leaves_no_pat(lab: SeveralVaults, shell: Shell) -> None:
    lab.beside().denied.add("set")
    code, document = shell.json(*CREATE, "kv-agents/laptop-pat")
    assert (code, document["error"]["code"]) == (1, "publish-forbidden")
    assert lab.cloud.live_pats() == []


def test_rule_17_a_vault_that_cannot_be_listed_is_not_written_to_by_hand(lab: SeveralVaults, shell: Shell) -> None:
    lab.beside().denied.add("list")
    assert shell(*CREATE, "kv-agents/laptop-pat")[0] == 2
    assert lab.cloud.live_pats() == []
    assert shell(*CREATE, "laptop-pat")[0] == 0
