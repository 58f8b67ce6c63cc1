"""Texts of pats.yaml for tests, and what is expected of the mistakes in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.inventory.pats_yaml import Problem, check, load
from shared.model.errors import Code, Misconfigured
from shared.model.items import Item

REPOSITORY = Path(__file__).resolve().parents[2]
TENANT = "contoso.onmicrosoft.com"
CLIENT = "11111111-2222-3333-4444-555555555555"
PAT_ID = "AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee"
PAT_SHAPED = "x" * 76 + "AZDO" + "x" * 4

THEN = {
    "kind": "sonarqube",
    "url": "https://sonar.contoso.com",
    "alm_setting": "contoso-azure",
    "token_secret_name": "sonarqube-token",
}

EXAMPLE = (REPOSITORY / "pats.example.yaml").read_text(encoding="utf-8")


def own_names(example: str) -> str:
    """As somebody would fill it in."""
    text = example.replace("your-tenant.onmicrosoft.com", TENANT).replace(
        "00000000-0000-0000-0000-000000000000", CLIENT
    )
    return text.replace("your-organization-2", "fabrikam").replace("your-organization", "contoso")


Tree = dict[str, Any]


def an_item(**keys: Any) -> Tree:
    return {"secret": "build-feed", "scopes": ["vso.code"], **keys}


def a_user(*items: Any, **keys: Any) -> Tree:
    return {"username": "svc@contoso.com", "password_secret_name": "svc-password", "pats": list(items), **keys}


def an_estate(*users: Any, **keys: Any) -> Tree:
    sign_in = {"tenant": TENANT, "client_id": CLIENT, "client_secret_name": "patrol-client-secret"}
    return {"sign_in": sign_in, "defaults": {"organization": "contoso"}, "users": list(users), **keys}


def text_of(tree: Tree) -> str:
    return json.dumps(tree)  # JSON is YAML, and quotes every text


def with_item(**keys: Any) -> str:
    return text_of(an_estate(a_user(an_item(**keys))))


def load_item(text: str) -> Item:
    (item,) = load(text).items()
    return item


def only_problem(text: str) -> Problem:
    (problem,) = check(text)
    return problem


def fails_alone(text: str, path: str, says: str) -> None:
    """`check` tells the one problem; a run has the item fail with the same words, and works on."""
    problem = only_problem(text)
    assert problem.path == path
    assert says in problem.says
    read = load(text)
    assert not read.items()
    (invalid,) = read.invalid
    assert says in invalid.problem


def stops(text: str, code: Code = Code.INVENTORY_INVALID) -> str:
    assert check(text)
    with pytest.raises(Misconfigured) as caught:
        load(text)
    assert caught.value.code is code
    assert caught.value.remedy
    return caught.value.cause
