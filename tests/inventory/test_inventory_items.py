"""One item of `pats.yaml`: the last value that fits, the first that does not, and that a mistake stays its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.inventory.pats_yaml import check, load
from shared.model.consumers import ServiceConnection, SonarQube, Webhook
from tests.lab.inventory_texts import (
    PAT_SHAPED,
    THEN,
    Tree,
    a_user,
    an_estate,
    an_item,
    fails_alone,
    load_item,
    text_of,
    with_item,
)

CONNECTION = {
    "kind": "service-connection",
    "organization": "fabrikam",
    "project": "Größe und mehr",
    "id": "5c00abcd-0000-4000-8000-000000000001",
}
HOOK = {"kind": "webhook", "url_secret_name": "hook-url", "signing_secret_name": "hook-key"}


@pytest.mark.parametrize(
    ("keys", "path", "says"),
    [
        ({"scopes": ["vso.cod"]}, "scopes[0]", "did you mean vso.code?"),
        ({"scopes": ["vso.code", "bananas"]}, "scopes[1]", "`patrol scopes` lists the known ones"),
        ({"scopes": ["vso.pats"]}, "scopes[0]", "is a permission of the app registration"),
        (
            {"scopes": ["vso.pats"], "allow_unknown_scopes": True},
            "scopes[0]",
            "is a permission of the app registration",
        ),
        ({"scopes": ["user_impersonation"]}, "scopes[0]", "a PAT cannot have it"),
        ({"scopes": ["app_token"]}, "scopes[0]", "allow_full_access: true"),
        ({"scopes": ["vso.code", "app_token"], "allow_full_access": True}, "scopes[1]", "add nothing"),
        ({"scopes": ["vso.code", "vso.code"]}, "scopes[1]", "comes twice"),
        ({"scopes": ["vso.code vso.work"]}, "scopes[0]", "write each as an entry of its own"),
        ({"scopes": ["vso\tx"], "allow_unknown_scopes": True}, "scopes[0]", "write each as an entry of its own"),
        ({"scopes": [""]}, "scopes[0]", "is not one scope"),
        ({"scopes": ["Code (read)"]}, "scopes[0]", "is the portal's spelling: `Code (read)` is vso.code"),
        (
            {"scopes": ["vso.work", "packaging: Read & write"]},
            "scopes[1]",
            "`Packaging (read and write)` is vso.packag",
        ),
        ({"scopes": ["PR threads"]}, "scopes[0]", "`PR threads` is vso.threads_full"),
        ({"scopes": []}, "scopes", "must name at least one"),
        ({"scopes": "vso.code"}, "scopes", "must be a list"),
        ({"scopes": [7]}, "scopes[0]", "put it in quotes"),
        ({"rotate_before": "30d"}, "rotate_before", "must be shorter than lifetime, 30d"),
        ({"lifetime": "7d"}, "rotate_before", "is 7d and must be shorter than lifetime, 7d"),
        ({"rotate_before": "0m"}, "rotate_before", "must be longer than nothing"),
        ({"rotate_before": "100%"}, "rotate_before", "from 1 to 99"),
        ({"rotate_before": "0%"}, "rotate_before", "from 1 to 99"),
        ({"rotate_before": "2.5%"}, "rotate_before", "from 1 to 99"),
        ({"overlap": "8d"}, "overlap", "must not be longer than rotate_before, 7d"),
        ({"overlap": "1w"}, "overlap", "such as 30d"),
        ({"overlap": 1}, "overlap", "must be a duration such as 1d"),
        ({"lifetime": "366d"}, "lifetime", "from 1h to 365d"),
        ({"lifetime": "59m", "rotate_before": "9m", "overlap": "9m"}, "lifetime", "from 1h to 365d"),
        ({"max_age": "29d"}, "max_age", "must not be shorter than lifetime, 30d"),
        ({"strategy": "regenerate"}, "strategy", "must be 'rotate' or 'renew'"),
        ({"secret": "build_feed"}, "secret", "1 to 127 letters, digits and hyphens"),
        ({"secret": ""}, "secret", "1 to 127 letters, digits and hyphens"),
        ({"secret": "a" * 128}, "secret", "1 to 127 letters, digits and hyphens"),
        ({"secret": "build-feed\n"}, "secret", "1 to 127 letters, digits and hyphens"),
        ({"secret": "Patrol-Blocked-0123456789ab"}, "secret", "patrol's own"),
        ({"secret": 5}, "secret", "put it in quotes"),
        ({"secret": None}, "secret", "is empty"),
        ({"secret": "SVC-password"}, "secret", "holds a credential"),
        ({"secret": "patrol-client-secret"}, "secret", "holds a credential"),
        ({"organization": "*"}, "organization", "none works from 2026-12-01 on"),
        ({"organization": "All"}, "organization", "none works from 2026-12-01 on"),
        ({"then": "sonarqube"}, "then", "must hold keys and values"),
        ({"then": {**THEN, "kind": "jenkins"}}, "then.kind", "must be 'sonarqube'"),
        ({"then": {**THEN, "kind": "sonarcube"}}, "then.kind", "did you mean sonarqube?"),
        ({"then": {**THEN, "kind": 7}}, "then.kind", "must be 'sonarqube'"),
        ({"then": {key: THEN[key] for key in THEN if key != "kind"}}, "then.kind", "is missing"),
        ({"then": {**CONNECTION, "kind": "service-conection"}}, "then.kind", "did you mean service-connection?"),
        ({"then": {**CONNECTION, "id": "x"}}, "then.id", "must be a guid"),
        ({"then": {**CONNECTION, "project": ""}}, "then.project", "1 to 64 characters"),
        ({"then": {**CONNECTION, "project": "a/b"}}, "then.project", "no URL"),
        ({"then": {**CONNECTION, "project": ".."}}, "then.project", "no URL"),
        ({"then": {**CONNECTION, "project": "x" * 65}}, "then.project", "1 to 64 characters"),
        ({"then": {**CONNECTION, "organization": "*"}}, "then.organization", "none works from 2026-12-01 on"),
        ({"then": {**CONNECTION, "token": "x"}}, "then", "never their values"),
        ({"then": {**CONNECTION, "token_secret_name": "x"}}, "then", "not known"),
        ({"then": [CONNECTION, {**CONNECTION, "id": CONNECTION["id"].upper()}]}, "then[1]", "is named twice"),
        ({"then": {"kind": "webhook"}}, "then.url_secret_name", "is missing"),
        ({"then": {**HOOK, "url_secret_name": "https://x"}}, "then.url_secret_name", "letters, digits and hyphens"),
        ({"then": {**HOOK, "signing_secret_name": "Build-Feed"}}, "secret", "holds a credential"),
        ({"then": [HOOK, {**HOOK, "signing_secret_name": "another"}]}, "then[1]", "is named twice"),
        ({"then": []}, "then", "must name 1 to 6 consumers"),
        ({"then": [{**THEN, "alm_setting": str(number)} for number in range(7)]}, "then", "must name 1 to 6 consumers"),
        ({"then": [THEN, "sonarqube"]}, "then[1]", "must hold keys and values"),
        ({"then": [THEN, {**THEN, "url": "http://x"}]}, "then[1].url", "own https address"),
        ({"then": [THEN, {**THEN, "alm_settings": "x"}]}, "then[1]", "did you mean alm_setting?"),
        ({"then": [THEN, {**THEN, "token_secret_name": "another"}]}, "then[1]", "is named twice"),
        (
            {"then": [THEN, {**THEN, "alm_setting": "x", "token_secret_name": "Build-Feed"}]},
            "secret",
            "holds a credential",
        ),
        ({"then": {**THEN, "url": "http://sonar.contoso.com"}}, "then.url", "own https address"),
        ({"then": {**THEN, "url": "http://localhost:9000"}}, "then.url", "own https address"),
        ({"then": {**THEN, "url": "sonar.contoso.com"}}, "then.url", "own https address"),
        ({"then": {**THEN, "url": "https://admin:pw@sonar.contoso.com"}}, "then.url", "own https address"),
        ({"then": {**THEN, "url": "https://sonar.contoso.com/?a=b"}}, "then.url", "without a query"),
        ({"then": {**THEN, "url": "https://sonar.contoso.com/../x"}}, "then.url", "own https address"),
        ({"then": {**THEN, "url": "https://sonar.contoso.com:99999"}}, "then.url", "own https address"),
        ({"then": {**THEN, "url": f"https://{PAT_SHAPED}.contoso.com"}}, "then.url", "own https address"),
        ({"then": {**THEN, "alm_setting": ""}}, "then.alm_setting", "1 to 200 characters"),
        ({"then": {**THEN, "alm_setting": "x" * 201}}, "then.alm_setting", "1 to 200 characters"),
        ({"then": {**THEN, "alm_setting": "ado-zürich"}}, "then.alm_setting", "its character 6 is `ü` (U+00FC)"),
        ({"then": {**THEN, "alm_setting": "ado\u202e"}}, "then.alm_setting", "its character 4 is U+202E"),
        ({"then": {**THEN, "alm_setting": "ado "}}, "then.alm_setting", "it ends with a space"),
        ({"then": {**THEN, "alm_setting": PAT_SHAPED}}, "then.alm_setting", "1 to 200 characters"),
        ({"then": {**THEN, "token": "x"}}, "then", "never their values"),
        ({"then": {**THEN, "alm_settings": "x"}}, "then", "did you mean alm_setting?"),
        ({"then": {**THEN, "token_secret_name": "my token"}}, "then.token_secret_name", "letters, digits and hyphens"),
        ({"then": {**THEN, "token_secret_name": "Build-Feed"}}, "secret", "holds a credential"),
        ({"then": {key: THEN[key] for key in ("kind", "url", "token_secret_name")}}, "then.alm_setting", "is missing"),
        ({"organization": "https://dev.azure.com/contoso"}, "organization", "no URL"),
        ({"organization": "-contoso"}, "organization", "is not an organization's name"),
        ({"organization": "contoso-"}, "organization", "is not an organization's name"),
        ({"organization": "a" * 51}, "organization", "is not an organization's name"),
        ({"organization": ["contoso"]}, "organization", "must be text"),
        ({"organizations": ["contoso"]}, "", "none works from 2026-12-01 on"),
        ({"all_orgs": True}, "", "none works from 2026-12-01 on"),
        ({"allOrgs": True}, "", "none works from 2026-12-01 on"),
        ({"pausd": True}, "", "did you mean paused?"),
        ({"zebra": True}, "", "a key here is not known"),
        ({"value": "x"}, "", "never their values"),
        ({"paused": "yes"}, "paused", "must be true or false"),
        ({"paused": 1}, "paused", "must be true or false"),
        ({"paused": None}, "paused", "must be true or false"),
        ({"allow_full_access": "true"}, "allow_full_access", "must be true or false"),
        ({"adopt": "yes"}, "adopt", "the authorization id of the PAT"),
        ({"adopt": 1}, "adopt", "the authorization id of the PAT"),
        ({"verify": "https://dev.azure.com/contoso/_apis/x"}, "verify", "a GET path below the organization"),
        ({"verify": "//evil.example/_apis/x"}, "verify", "a GET path below the organization"),
        ({"verify": "_apis/../../x"}, "verify", "a GET path below the organization"),
        ({"verify": "%2E%2e/_apis/x"}, "verify", "a GET path below the organization"),
        ({"verify": "_apis/x/%2e%2e%2f"}, "verify", "a GET path below the organization"),
        ({"verify": "_apis/x#y"}, "verify", "a GET path below the organization"),
        ({"verify": "_apis/x?a=1#y"}, "verify", "a GET path below the organization"),
        ({"verify": "_apis/x?a=1\nb"}, "verify", "a GET path below the organization"),
        ({"verify": "_apis"}, "verify", "a GET path below the organization"),
        ({"verify": "a/b/_apis/x"}, "verify", "a GET path below the organization"),
        ({"verify": "a\\_apis/x"}, "verify", "a GET path below the organization"),
        ({"verify": ""}, "verify", "a GET path below the organization"),
    ],
)
def test_a_mistake_fails_its_item_alone(keys: Tree, path: str, says: str) -> None:
    fails_alone(with_item(**keys), f"users[0].pats[0].{path}".rstrip("."), says)


@pytest.mark.parametrize(
    ("keys", "attribute", "value"),
    [
        ({"scopes": ["vso.brand_new"], "allow_unknown_scopes": True}, "scopes", ("vso.brand_new",)),
        ({"scopes": ["app_token"], "allow_full_access": True}, "scopes", ("app_token",)),
        ({"rotate_before": "29d"}, "rotate_before", timedelta(days=29)),
        ({"rotate_before": "25%", "lifetime": "40d"}, "rotate_before", timedelta(days=10)),
        ({"rotate_before": "99%"}, "rotate_before", timedelta(days=30) * 0.99),
        ({"rotate_before": "1%", "overlap": "0h"}, "rotate_before", timedelta(hours=7, minutes=12)),
        ({"overlap": "7d"}, "overlap", timedelta(days=7)),
        ({"overlap": "0d"}, "overlap", timedelta(0)),
        ({"overlap": "0m"}, "overlap", timedelta(0)),
        ({"lifetime": "365d"}, "lifetime", timedelta(days=365)),
        ({"lifetime": "1h", "rotate_before": "30m", "overlap": "0m"}, "lifetime", timedelta(hours=1)),
        ({"max_age": "30d"}, "max_age", timedelta(days=30)),
        ({"secret": "a" * 127}, "secret", "a" * 127),
        ({"secret": "0"}, "secret", "0"),
        ({"organization": "a" * 50}, "organization", "a" * 50),
        ({"organization": "7"}, "organization", "7"),
        ({"verify": "/_apis/build/builds?$top=1"}, "verify", "_apis/build/builds?$top=1"),
        ({"verify": "My Project/_apis/build/builds"}, "verify", "My Project/_apis/build/builds"),
        ({"lifetime": None}, "lifetime", timedelta(days=30)),
    ],
)
def test_the_last_value_that_fits_is_taken(keys: Tree, attribute: str, value: object) -> None:
    assert check(with_item(**keys)) == ()
    assert getattr(load_item(with_item(**keys)), attribute) == value


def test_a_share_of_the_lifetime_is_whole_seconds() -> None:
    assert load_item(with_item(lifetime="61m", rotate_before="7%", overlap="0m")).rotate_before == timedelta(
        seconds=256
    )


@pytest.mark.parametrize(
    ("item", "path", "says"),
    [
        ({"scopes": ["vso.code"]}, "users[0].pats[0].secret", "is missing"),
        ({"secret": "build-feed"}, "users[0].pats[0].scopes", "is missing"),
        ("build-feed", "users[0].pats[0]", "must hold keys and values"),
        (None, "users[0].pats[0]", "is missing"),
    ],
)
def test_an_item_without_its_keys_fails_alone(item: Any, path: str, says: str) -> None:
    fails_alone(text_of(an_estate(a_user(item))), path, says)


def test_an_item_needs_an_organization_of_its_own_or_of_the_defaults() -> None:
    nothing: tuple[Any, ...] = ({}, None)
    for defaults in nothing:
        fails_alone(text_of(an_estate(a_user(an_item()), defaults=defaults)), "users[0].pats[0]", "has no organization")


def test_an_invalid_item_is_named_as_far_as_it_can_be_read_and_its_neighbour_works() -> None:
    read = load(text_of(an_estate(a_user(an_item(paused="no", organization="fabrikam"), an_item(secret="other")))))
    (invalid,) = read.invalid
    assert (invalid.secret, invalid.username, invalid.organization) == ("build-feed", "svc@contoso.com", "fabrikam")
    assert invalid.problem == "users[0].pats[0].paused must be true or false."
    assert [item.secret for item in read.items()] == ["other"]


def test_a_maximum_age_in_the_defaults_is_held_against_the_lifetime_too() -> None:
    text = text_of(an_estate(a_user(an_item()), defaults={"organization": "contoso", "max_age": "10d"}))
    fails_alone(text, "users[0].pats[0].max_age", "must not be shorter than lifetime")


@pytest.mark.parametrize(
    "url",
    [
        "https://sonar.contoso.com",
        "https://sonar.contoso.com:8443/sonarqube/",
        "https://10.1.2.3/x",
        "https://[fd00::1]",
    ],
)
def test_a_consumer_s_address_may_have_a_port_and_a_path(url: str) -> None:
    (to,) = load_item(with_item(then={**THEN, "url": url})).then
    assert isinstance(to, SonarQube)
    assert to.url == url.rstrip("/")


def test_two_items_for_one_setting_of_a_consumer_are_one_too_many() -> None:
    other = {**THEN, "alm_setting": "CONTOSO-azure", "url": THEN["url"] + "/"}
    text = text_of(an_estate(a_user(an_item(then=THEN), an_item(secret="other", then=other))))
    (problem,) = check(text)
    assert problem.path == "users[0].pats[1].then"
    assert "to which users[0].pats[0] pushes too" in problem.says
    listed = [{**THEN, "alm_setting": "another"}, other]
    assert check(text_of(an_estate(a_user(an_item(then=THEN), an_item(secret="other", then=listed))))) == (problem,)
    assert [item.secret for item in load(text).items()] == ["build-feed"]


def test_every_kind_of_consumer_is_read_in_its_order() -> None:
    assert load_item(with_item(then=[HOOK, THEN, CONNECTION])).then == (
        Webhook("hook-url", "hook-key"),
        SonarQube(THEN["url"], THEN["alm_setting"], THEN["token_secret_name"]),
        ServiceConnection("fabrikam", "Größe und mehr", "5c00abcd-0000-4000-8000-000000000001"),
    )


def test_one_connection_belongs_to_one_item_and_a_webhook_to_as_many_as_like_it() -> None:
    def problems(then: object) -> list[str]:
        text = text_of(an_estate(a_user(an_item(then=then), an_item(secret="other", then=then))))
        return [problem.says for problem in check(text)]

    assert problems(HOOK) == []
    (says,) = problems(CONNECTION)
    assert says == "pushes to a service connection to which users[0].pats[0] pushes too: one PAT for each"
