"""What any file may ask for at most, and whom its PATs belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.inventory import files
from shared.inventory.pats_yaml import check, load
from shared.model.items import Inventory
from tests.lab.inventory_texts import CLIENT, TENANT, a_user, an_estate, an_item, fails_alone, stops, text_of

OWNER = "team-web@contoso.com"


def bounded(*users: Any, **bounds: Any) -> str:
    return text_of(an_estate(*users, sign_in={"tenant": TENANT, "client_id": CLIENT, **bounds}))


@pytest.mark.parametrize(
    ("bounds", "item", "path", "says"),
    [
        (
            {"allowed_scopes": ["vso.packaging"]},
            an_item(),
            "users[0].pats[0].scopes[0]",
            "is none of sign_in.allowed_scopes",
        ),
        (
            {"allowed_scopes": ["vso.code"]},
            an_item(scopes=["app_token"], allow_full_access=True),
            "users[0].pats[0].scopes[0]",
            "is none of sign_in.allowed_scopes",
        ),
        (
            {"allowed_organizations": ["fabrikam"]},
            an_item(),
            "users[0].pats[0].organization",
            "contoso is none of sign_in.allowed_organizations",
        ),
        (
            {"allowed_organizations": ["Contoso"]},
            an_item(organization="fabrikam"),
            "users[0].pats[0].organization",
            "fabrikam is none of sign_in.allowed_organizations",
        ),
    ],
)
def test_what_no_file_may_ask_for_fails_alone(bounds: dict[str, Any], item: Any, path: str, says: str) -> None:
    fails_alone(bounded(a_user(item), **bounds), path, says)


def test_what_every_file_may_ask_for_is_in_order() -> None:
    text = bounded(a_user(an_item()), allowed_scopes=["vso.code"], allowed_organizations=["CONTOSO"])
    assert check(text) == ()
    assert len(load(text).items()) == 1


def test_a_token_of_another_organization_is_outside_as_well() -> None:
    tokens = [{"client_id": CLIENT, "entra_token": {"secret": "feeds-token", "organization": "fabrikam"}}]
    sign_in = {"tenant": TENANT, "client_id": CLIENT, "allowed_organizations": ["contoso"]}
    text = text_of(an_estate(sign_in=sign_in, service_principals=tokens))
    (problem,) = check(text)
    assert problem.says == "fabrikam is none of sign_in.allowed_organizations"
    assert load(text).tokens == ()


@pytest.mark.parametrize(
    "bounds", [{"allowed_scopes": []}, {"allowed_organizations": []}, {"allowed_scopes": "vso.code"}]
)
def test_bounds_that_are_wrong_stop_the_run(bounds: dict[str, Any]) -> None:
    """An empty list could mean anything, and nothing may be asked for by mistake."""
    stops(bounded(a_user(an_item()), **bounds))


HEAD = f"""\
sign_in:
  tenant: {TENANT}
  client_id: {CLIENT}
  allowed_scopes: [vso.packaging]
  allowed_organizations: [contoso]
defaults: {{organization: contoso}}
"""
WEB = """\
users:
  - username: svc-web@contoso.com
    password_secret_name: svc-web-password
    owner: team-web@contoso.com
    pats:
      - secret: web-pat
        scopes: [vso.packaging]
      - secret: wide-pat
        scopes: [vso.packaging, vso.code_manage]
      - secret: far-pat
        scopes: [vso.packaging]
        organization: fabrikam
"""


def of_files(folder: Path, **texts: str) -> Inventory:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return files.load(files.read(folder))


def test_bounds_hold_for_every_file_and_are_told_with_both_places(tmp_path: Path) -> None:
    read = of_files(tmp_path, platform=HEAD, web=WEB)
    assert [item.secret for item in read.items()] == ["web-pat"]
    assert [(one.file, one.line, one.says) for one in files.check(files.read(tmp_path))] == [
        ("web.yaml", 9, "is none of platform.yaml:4 sign_in.allowed_scopes"),
        ("web.yaml", 12, "fabrikam is none of platform.yaml:5 sign_in.allowed_organizations"),
    ]
    assert all(item.problem.startswith("web.yaml:") for item in read.invalid)


def test_a_team_that_writes_bounds_of_its_own_writes_a_second_sign_in_and_stops(tmp_path: Path) -> None:
    of_files(tmp_path, platform=HEAD, web=WEB)
    (tmp_path / "web.yaml").write_text(WEB + "sign_in: {allowed_scopes: [app_token]}\n", encoding="utf-8")
    assert any("keep one" in problem.says for problem in files.check(files.read(tmp_path)))


def test_whom_a_user_s_pats_belong_to_stands_on_each_of_them(tmp_path: Path) -> None:
    data = WEB.replace("team-web", "team-data").replace("web-pat", "data-pat").partition("      - secret: wide")[0]
    read = of_files(tmp_path, platform=HEAD, web=WEB, data=data)
    owners = read.owners()
    assert {item.secret: item.owner for item in read.items()} == {"web-pat": OWNER, "data-pat": "team-data@contoso.com"}
    assert owners.of("wide-pat") == (OWNER,), "an item that is wrong belongs to somebody all the same"
    assert owners.of("svc-web-password", "SVC-web@contoso.com") == ("team-data@contoso.com", OWNER)
    assert owners.of("nobody-s", "nobody@contoso.com") == ()


def test_a_token_belongs_to_somebody_too() -> None:
    tokens = [{"client_id": CLIENT, "owner": OWNER, "entra_token": {"secret": "feeds-token"}}]
    assert load(text_of(an_estate(service_principals=tokens))).owners().of("FEEDS-token") == (OWNER,)


@pytest.mark.parametrize(
    "owner", ["team-web", "team web@contoso.com", "a@b@contoso.com", "x" * 250 + "@contoso.com", 1]
)
def test_an_owner_is_somebody_to_write_to(owner: Any) -> None:
    text = text_of(an_estate(a_user(an_item(), owner=owner)))
    (problem,) = check(text)
    assert problem.path == "users[0].owner"
    read = load(text)
    assert [item.owner for item in read.items()] == [""], "its PATs are kept fresh all the same"


def test_a_recipient_may_be_told_of_some_owners_alone() -> None:
    notify = [{"kind": "slack", "url_secret_name": "web-url", "owners": ["Team-Web@contoso.com"]}]
    text = text_of(an_estate(a_user(an_item(), owner=OWNER), notify=notify))
    assert check(text) == ()
    (recipient,) = load(text).recipients
    assert recipient.hears_of([OWNER])
    assert not recipient.hears_of(["team-data@contoso.com"])
    assert not recipient.hears_of([])
    wrong = text_of(an_estate(notify=[{**notify[0], "owners": []}]))
    assert check(wrong)[0].path == "notify[0].owners"


@pytest.mark.parametrize("secret", ["svc-password", "Patrol-Client-Secret", "svc-other-password", "feeds-secret"])
def test_promise_7_what_somebody_signs_in_by_is_sent_to_no_consumer(secret: str) -> None:
    """Who may write an item names both the secret and the host that it goes to."""
    then = {"kind": "sonarqube", "url": "https://evil.example", "alm_setting": "x", "token_secret_name": secret}
    others = {"username": "svc-other@contoso.com", "password_secret_name": "svc-other-password", "pats": []}
    tokens = [
        {"client_id": CLIENT, "client_secret_name": "feeds-secret", "entra_token": {"secret": "feeds-token"}},
    ]
    text = text_of(an_estate(a_user(an_item(then=then)), others, service_principals=tokens))
    (problem,) = check(text)
    assert problem.path == "users[0].pats[0].then"
    assert "names a secret by which somebody signs in" in problem.says
    read = load(text)
    assert (read.items(), [item.secret for item in read.invalid]) == ((), ["build-feed"])
