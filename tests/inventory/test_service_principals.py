"""`service_principals:` of pats.yaml: `check` tells every mistake with its line; a refresh goes on with the others."""

from __future__ import annotations

from typing import Any

import pytest

from shared.inventory import pats_yaml
from shared.inventory.pats_yaml import check, load
from shared.model.credentials import ClientCertificate, ClientSecret, FederatedIdentity
from shared.model.items import TokenItem
from tests.inventory.test_schema import in_schema
from tests.lab.inventory_texts import PAT_SHAPED, Tree, a_user, an_estate, an_item, only_problem, stops, text_of
from tests.lab.token_estates import APP, OTHER_APP


def a_principal(client_id: str = APP, **keys: Any) -> Tree:
    token = {"secret": "ado-token", **keys.pop("token", {})}
    return {"client_id": client_id, "client_secret_name": "app-secret", "entra_token": token, **keys}


def with_principals(*principals: Any, **keys: Any) -> str:
    return text_of(an_estate(a_user(an_item()), service_principals=list(principals), **keys))


def fails_alone(text: str, path: str, says: str) -> None:
    """The one problem of `check`; a refresh has the token fail with the same words, and the PATs do not care."""
    problem = only_problem(text)
    assert (problem.path, says in problem.says) == (path, True), problem
    read = load(text)
    assert [item.secret for item in read.items()] == ["build-feed"]
    assert (read.tokens, read.invalid) == ((), ())
    (invalid,) = read.invalid_tokens
    assert says in invalid.problem


def test_a_good_one_with_the_defaults_filled_in() -> None:
    text = with_principals(a_principal())
    assert check(text) == ()
    assert load(text).tokens == (TokenItem("ado-token", APP, ClientSecret("app-secret"), "contoso", 50),)
    assert in_schema(text)


def test_every_key_is_read() -> None:
    token = {"organization": "fabrikam", "refresh_below": "75%", "paused": True, "adopt": True, "recover_deleted": True}
    text = with_principals(a_principal(APP.upper(), token=token))
    assert check(text) == ()
    credential = ClientSecret("app-secret")
    assert load(text).tokens == (TokenItem("ado-token", APP, credential, "fabrikam", 75, True, True, True),)
    assert in_schema(text)


@pytest.mark.parametrize(
    ("keys", "credential"),
    [
        ({"client_secret_name": "app-secret"}, ClientSecret("app-secret")),
        ({"client_certificate_name": "app-cert"}, ClientCertificate("app-cert")),
        ({}, FederatedIdentity()),
    ],
)
def test_it_proves_itself_as_the_app_registration_of_sign_in_does(keys: Tree, credential: object) -> None:
    text = with_principals({"client_id": APP, "entra_token": {"secret": "ado-token"}, **keys})
    assert check(text) == ()
    assert load(text).tokens[0].credential == credential


@pytest.mark.parametrize(
    ("principal", "path", "says"),
    [
        (a_principal(client_id="me"), "[0].client_id", "must be a guid"),
        (a_principal(client_certificate_name="app-cert"), "[0]", "names both"),
        (a_principal(client_secret_name=None), "[0].client_secret_name", "is empty"),
        (a_principal(entra_tokens={}), "[0]", "did you mean entra_token?"),
        (a_principal(client_secret="x"), "[0]", "never their values"),
        (a_principal(token={"secret": "a b"}), "[0].entra_token.secret", "must be the name"),
        (a_principal(token={"secret": PAT_SHAPED}), "[0].entra_token.secret", "looks like a PAT"),
        (a_principal(token={"secret": "app-secret"}), "[0].entra_token.secret", "holds a credential"),
        (a_principal(token={"secret": "svc-password"}), "[0].entra_token.secret", "holds a credential"),
        (a_principal(token={"refresh_below": "100%"}), "[0].entra_token.refresh_below", "is not a share"),
        (a_principal(token={"refresh_below": "30m"}), "[0].entra_token.refresh_below", "is not a share"),
        (a_principal(token={"refresh_below": 50}), "[0].entra_token.refresh_below", "must be a share"),
        (a_principal(token={"organization": "all"}), "[0].entra_token.organization", "patrol makes no PATs for all"),
        (a_principal(token={"scopes": ["vso.code"]}), "[0].entra_token", "a key here is not known"),
        (a_principal(token={"adopt": "x"}), "[0].entra_token.adopt", "must be true"),
        (a_principal(entra_token=None), "[0].entra_token", "is missing"),
        (a_principal(entra_token="ado-token"), "[0].entra_token", "must hold keys"),
        ("ado-token", "[0]", "must hold keys"),
        ({"entra_token": {"secret": "ado-token"}}, "[0].client_id", "is missing"),
    ],
)
def test_promise_5_a_wrong_one_fails_alone(principal: Any, path: str, says: str) -> None:
    fails_alone(with_principals(principal), f"service_principals{path}", says)


def test_a_list_is_wanted_and_what_is_not_one_fails_without_the_pats() -> None:
    text = text_of(an_estate(a_user(an_item()), service_principals={"client_id": APP}))
    fails_alone(text, "service_principals", "must be a list")


def test_an_organization_is_needed_from_somewhere() -> None:
    text = text_of(an_estate(service_principals=[a_principal()], defaults={}))
    problem = only_problem(text)
    assert problem.path == "service_principals[0].entra_token"
    assert "has no organization" in problem.says


def test_a_bad_default_is_told_once() -> None:
    text = with_principals(
        a_principal(), a_principal(OTHER_APP, token={"secret": "x-token"}), defaults={"organization": "*"}
    )
    assert [problem.path for problem in check(text)] == ["defaults.organization"]
    assert len(load(text).invalid_tokens) == 2


def test_one_service_principal_may_come_twice_so_that_a_secret_can_get_another_name_without_a_gap() -> None:
    text = with_principals(a_principal(), a_principal(token={"secret": "ado-token-2"}))
    assert check(text) == ()
    assert [item.secret for item in load(text).tokens] == ["ado-token", "ado-token-2"]


@pytest.mark.parametrize(
    "text",
    [
        with_principals(a_principal(token={"secret": "Build-Feed"})),
        with_principals(a_principal(), a_principal(OTHER_APP, token={"secret": "ADO-token"})),
    ],
    ids=["a PAT's", "another token's"],
)
def test_a_secret_named_twice_stops_every_run(text: str) -> None:
    assert "is named twice" in stops(text)


def test_a_pat_must_not_take_a_service_principal_s_credential() -> None:
    text = text_of(an_estate(a_user(an_item(secret="app-secret")), service_principals=[a_principal()]))
    assert "holds a credential" in only_problem(text).says


def test_every_problem_has_its_line() -> None:
    text = """\
sign_in: {tenant: contoso.onmicrosoft.com, client_id: 11111111-2222-3333-4444-555555555555}
users: []
service_principals:
  - client_id: 22222222-0000-4000-8000-000000000001
    entra_token:
      secret: ado-token
      organization: contoso
      refresh_below: 120%
  - client_id: 22222222-0000-4000-8000-000000000002
    entra_token: {}
"""
    assert [(one.line, one.path.rpartition(".")[2]) for one in check(text)] == [(8, "refresh_below"), (10, "secret")]


def test_an_estate_may_have_no_users_at_all() -> None:
    text = text_of(an_estate(service_principals=[a_principal()]))
    assert check(text) == ()
    assert pats_yaml.load(text).items() == ()
