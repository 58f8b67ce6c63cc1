"""`vault` in `pats.yaml`: where it may stand, what it may be, and that a mistake is told with its line (rule 17)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shared.inventory import files
from shared.inventory.pats_yaml import check, load
from shared.model.errors import Code, Misconfigured
from shared.model.items import Inventory
from shared.model.request import places_of
from shared.model.vaults import HOME as AT_HOME
from shared.model.vaults import VaultAddress
from tests.lab.inventory_texts import Tree, a_user, an_estate, an_item, text_of

HOME = "contoso-pats.vault.azure.net"
AGENTS, WEB = (VaultAddress(f"kv-{name}.vault.azure.net") for name in ("agents", "web"))
TOKEN = {"client_id": "22222222-3333-4444-5555-666666666666"}


def read(tree: Tree) -> Inventory:
    text = text_of(tree)
    assert check(text, HOME) == ()
    return load(text, HOME)


def test_the_nearest_vault_counts() -> None:
    user = a_user(an_item(), an_item(secret="own", vault=WEB.url), vault=AGENTS.url)
    other = a_user(an_item(secret="default"), username="other@contoso.com")
    principals = [{**TOKEN, "entra_token": {"secret": "token", "vault": WEB.url}}]
    inventory = read(
        an_estate(
            user,
            other,
            defaults={"organization": "contoso", "vault": f"https://{HOME}/"},
            service_principals=principals,
        )
    )
    assert {item.secret: item.vault for item in inventory.items()} == {
        "build-feed": AGENTS,
        "own": WEB,
        "default": AT_HOME,
    }
    assert [token.vault for token in inventory.tokens] == [WEB]
    assert inventory.vaults() == (AT_HOME, AGENTS, WEB)


def test_a_vault_that_is_named_is_in_sight_although_nothing_is_published_there_any_more() -> None:
    former = a_user(username="former@contoso.com", vault=WEB.url)
    assert read(an_estate(a_user(an_item()), former)).vaults() == (AT_HOME, WEB)


def test_one_name_may_be_in_two_vaults_and_once_in_each() -> None:
    user = a_user(an_item(), an_item(vault=AGENTS.url))
    inventory = read(an_estate(user))
    assert inventory.in_several == {"build-feed"}
    assert places_of(inventory, ["kv-agents/BUILD-feed", "contoso-pats/build-feed"]) == {
        "kv-agents/BUILD-feed": "kv-agents/build-feed",
        "contoso-pats/build-feed": "build-feed",
    }
    assert list(places_of(inventory, [f"{HOME}/build-feed"]).values()) == ["build-feed"]
    with pytest.raises(Misconfigured) as failure:
        places_of(inventory, ["build-feed"])
    assert failure.value.code is Code.SECRET_AMBIGUOUS
    assert "contoso-pats/build-feed or kv-agents/build-feed" in failure.value.cause
    with pytest.raises(Misconfigured) as failure:
        places_of(inventory, ["kv-web/build-feed"])
    assert failure.value.code is Code.SECRET_UNKNOWN


@pytest.mark.parametrize("vault", [f"https://{HOME}", AGENTS.url])
def test_two_items_of_one_secret_in_one_vault_stop_a_run(vault: str) -> None:
    user = a_user(an_item(vault=vault), an_item(secret="BUILD-FEED", **({} if HOME in vault else {"vault": vault})))
    text = text_of(an_estate(user))
    (problem,) = check(text, HOME)
    assert problem.path == "users[0].pats[1].secret"
    assert "is named twice: also at users[0].pats[0]" in problem.says
    with pytest.raises(Misconfigured):
        load(text, HOME)


@pytest.mark.parametrize(
    ("vault", "says"),
    [
        ("kv-agents", "does not begin with https://: write a vault's address"),
        ("http://kv-agents.vault.azure.net", "does not begin with https://"),
        ("https://kv-agents.vault.azure.net/secrets/x", "is more than a vault's host"),
        ("https://10.0.0.1", "does not name a vault's host"),
        ("https://kv-agents.vault.azure.cn", "must end with .vault.azure.net"),
        ("https://kv-agents.privatelink.vaultcore.azure.net", "must end with .vault.azure.net"),
        ("https://contoso.com", "must end with .vault.azure.net"),
        ("https://kv.agents.vault.azure.net", "must end with .vault.azure.net"),
    ],
)
@pytest.mark.parametrize("where", ["item", "user", "defaults", "token"])
def test_a_mistyped_address_is_told_with_its_line_and_takes_out_what_it_is_for_and_no_more(
    where: str, vault: str, says: str
) -> None:
    bad = {"vault": vault}
    one = an_item(**(bad if where == "item" else {}))
    user = a_user(one, **(bad if where == "user" else {}))
    kept = a_user(an_item(secret="kept", vault=AGENTS.url), username="other@contoso.com")
    tree = an_estate(user, kept, defaults={"organization": "contoso", **(bad if where == "defaults" else {})})
    if where == "token":
        tree["service_principals"] = [{**TOKEN, "entra_token": {"secret": "token", **bad}}]
    text = text_of(tree)
    (problem,) = check(text, HOME)
    assert problem.path.endswith("vault")
    assert problem.line
    assert says in problem.says
    inventory = load(text, HOME)
    lost = {"token": "token"}.get(where, "build-feed")
    assert lost in [item.secret for item in (*inventory.invalid, *inventory.invalid_tokens)]
    assert lost not in [item.secret for item in inventory.items()], "not published elsewhere"
    assert lost not in [token.secret for token in inventory.tokens]
    assert "kept" in [item.secret for item in inventory.items()]


def test_items_without_any_vault_are_told_once_with_their_line() -> None:
    text = text_of(an_estate(a_user(an_item(vault=AGENTS.url), an_item(secret="one"), an_item(secret="two"))))
    (problem,) = check(text, "")
    assert problem.path == "users[0].pats[1]"
    assert problem.line
    assert "has no vault: KEY_VAULT_URL is not set" in problem.says
    assert check(text, HOME) == ()


def test_of_several_files_one_secret_in_one_vault_takes_both_out_and_in_two_vaults_neither(tmp_path: Path) -> None:
    head = an_estate(a_user(an_item()))
    other = a_user(an_item(), an_item(vault=AGENTS.url), username="web@contoso.com")
    (tmp_path / "a.yaml").write_text(text_of(head))
    (tmp_path / "b.yaml").write_text(text_of({"users": [other]}))
    inventory = files.load(files.read(tmp_path), HOME)
    assert [item.vault for item in inventory.items()] == [AGENTS]
    assert {item.vault for item in inventory.invalid} == {AT_HOME}
    assert len(inventory.invalid) == 2


def test_what_an_inventory_answers_once_is_of_its_own_fields() -> None:
    """An instance has many messages of one inventory, and goes over all of it for the first alone."""
    whole = read(an_estate(a_user(an_item(), an_item(secret="own", vault=WEB.url))))
    assert whole.by_vault() is whole.by_vault()
    assert [len(part.items()) for part in whole.by_vault().values()] == [1, 1]
    less = replace(whole, users=())
    assert (less.items(), less.places(), less.managed()) == ((), frozenset(), frozenset())
    assert not any(part.items() for part in less.by_vault().values())
