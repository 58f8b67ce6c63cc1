"""What Azure DevOps says of api-versions, bodies and credentials that do not fit, in its own words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.seed import AGENTS, CLIENT, TENANT, apply, small_estate
from sandbox.process.in_process import session_for

PATS = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats"
DEVOPS = "https://dev.azure.com/contoso/_apis"
BODY = {"displayName": "one", "scope": "vso.code"}
SUPPRESS = {"X-TFS-FedAuthRedirect": "Suppress"}


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 11, 24, tzinfo=UTC))
        self.cloud = Cloud(self.clock.now)
        apply(self.cloud, small_estate())
        words = (TENANT, CLIENT, "sandbox-client-secret-demo", AGENTS, "sandbox-password-agents")
        token = self.cloud.directory.sign_in(*words, f"{AZURE_DEVOPS}/.default")
        self.session = session_for(self.cloud)
        self.bearer = {"Authorization": f"Bearer {token.access_token}"}

    def create(self, version: str | None = "7.1-preview.1", accept: str = "", **body: Any) -> requests.Response:
        query = {} if version is None else {"api-version": version}
        headers = {**self.bearer, **({"Accept": accept} if accept else {})}
        return self.session.post(PATS, params=query, headers=headers, json={**BODY, **body})

    def read(self, value: str, path: str = "connectionData", **headers: str) -> requests.Response:
        return self.session.get(f"{DEVOPS}/{path}", auth=("", value), headers=headers, allow_redirects=False)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("number", ["6.1", "7.0", "7.1", "7.2"])
@pytest.mark.parametrize("preview", ["-preview", "-preview.1"])
def test_every_published_version_is_taken_from_the_query_and_from_the_accept_header(
    world: World, number: str, preview: str
) -> None:
    by_query = world.create(number + preview)
    by_header = world.create(None, accept=f"application/json;api-version={number}{preview};excludeUrls=true")
    for answer in (by_query, by_header):
        assert (answer.status_code, answer.json()["patTokenError"]) == (200, "none")
        assert ("patTokenErrorMessage" in answer.json()) is number.startswith("7.2")


RANGE = "The latest REST API version this server supports is 7.2."
ROUTE = "was outside the valid version range for this route."


@pytest.mark.parametrize(
    ("version", "key", "words"),
    [
        ("7.1", "VssInvalidPreviewVersionException", 'For example: "7.1-preview"'),
        ("6.1", "VssInvalidPreviewVersionException", 'The requested version "6.1" of the resource is under preview.'),
        ("7.3-preview.1", "VssVersionOutOfRangeException", f"version of 7.3 is out of range for this server. {RANGE}"),
        ("99.0", "VssVersionOutOfRangeException", f"version of 99.0 is out of range for this server. {RANGE}"),
        ("7.2-preview.4", "VssVersionOutOfRangeException", ROUTE),
        ("5.0-preview.1", "VssVersionOutOfRangeException", ROUTE),
        ("seven", "VssInvalidApiResourceVersionException", 'Invalid api version string: "seven".'),
        ("7.1-beta", "VssInvalidApiResourceVersionException", "{Major}.{Minor}[-preview[.{ResourceVersion}]]"),
        (None, "VssVersionNotSpecifiedException", 'No api-version was supplied for the "POST" request.'),
    ],
)
def test_a_wrong_version_is_refused_in_azure_devops_words(
    world: World, version: str | None, key: str, words: str
) -> None:
    answer = world.create(version)
    said = answer.json()
    assert (answer.status_code, said["typeKey"], said["eventId"]) == (400, key, 3000)
    kind = "Microsoft.VisualStudio.Services.WebApi"
    assert said["typeName"] == f"{kind}.{key}, {kind}"
    assert words in said["message"]
    assert world.cloud.live_pats() == []


def test_a_version_in_the_query_wins_over_the_header(world: World) -> None:
    assert world.create("7.1", accept="application/json;api-version=7.1-preview.1").status_code == 400
    assert world.create("7.1-preview.1", accept="application/json;api-version=7.1").status_code == 200


def test_other_reads_take_released_versions_and_none_that_does_not_exist(world: World) -> None:
    value = world.create().json()["patToken"]["token"]
    accept = "application/json;api-version={}"
    assert world.read(value, "git/repositories", Accept=accept.format("7.1")).status_code == 200
    assert world.read(value, "git/repositories?api-version=5.0").status_code == 200
    refused = world.read(value, "git/repositories", Accept=accept.format("8.0"))
    assert (refused.status_code, refused.json()["typeKey"]) == (400, "VssVersionOutOfRangeException")
    assert world.read(value, Accept=accept.format("7.1-preview.1")).status_code == 200
    assert world.read(value, Accept=accept.format("7.1")).json()["typeKey"] == "VssInvalidPreviewVersionException"


@pytest.mark.parametrize(
    ("sent", "wide"), [("false", False), ("False", False), (False, False), (0, False), (None, False), ("true", True)]
)
def test_all_orgs_is_read_as_a_boolean_in_each_of_its_spellings(world: World, sent: object, wide: bool) -> None:
    answer = world.create(allOrgs=sent).json()
    assert answer["patTokenError"] == ("globalPATCreationBlocked" if wide else "none")


@pytest.mark.parametrize("sent", ["maybe", "", [], {}])
def test_what_is_no_boolean_is_an_internal_error_of_the_json_reader(world: World, sent: object) -> None:
    answer = world.create(allOrgs=sent)
    said = answer.json()
    assert (answer.status_code, said["typeKey"]) == (400, "JsonReaderException")
    assert said["typeName"] == "Newtonsoft.Json.JsonReaderException, Newtonsoft.Json"
    assert said["message"].startswith("TF400898: An Internal Error Occurred. Activity Id: ")


def test_names_of_a_body_are_known_in_any_case(world: World) -> None:
    body = {"DisplayName": "two", "SCOPE": "vso.build", "validto": "2026-12-01T00:00:00Z", "AllOrgs": "false"}
    answer = world.session.post(PATS, params={"api-version": "6.1-preview"}, headers=world.bearer, json=body).json()
    assert (
        answer["patToken"].items()
        >= {
            "displayName": "two",
            "scope": "vso.build",
            "validTo": "2026-12-01T00:00:00Z",
        }.items()
    )


def test_a_pat_is_the_wrong_kind_of_credential_for_the_pat_api(world: World) -> None:
    value = world.create().json()["patToken"]["token"]
    query = {"api-version": "7.1-preview.1"}
    answer = world.session.get(PATS, params=query, auth=("", value))
    assert (answer.status_code, answer.json()["typeKey"]) == (401, "InvalidAccessException")
    assert answer.json()["message"] == "The requested operation is not allowed."
    unknown = world.session.get(PATS, params=query, auth=("", "x" * 84))
    assert (unknown.status_code, unknown.json()["typeKey"]) == (401, "UnauthorizedRequestException")
    kind = "Microsoft.TeamFoundation.Framework.Server"
    assert unknown.json()["typeName"] == f"{kind}.UnauthorizedRequestException, {kind}"


def test_an_expired_pat_is_told_as_expired_and_a_revoked_one_as_unknown(world: World) -> None:
    made = world.create(validTo="2026-11-25T00:00:00Z").json()["patToken"]
    world.clock.move(timedelta(days=2))
    answer = world.read(made["token"])
    said = answer.json()
    assert (answer.status_code, said["typeKey"]) == (401, "AccessCheckException")
    assert said["message"] == "Access Denied: The Personal Access Token used has expired."
    assert unquote(answer.headers["X-TFS-ServiceError"]) == said["message"]
    assert said["customProperties"]["NamespaceId"] == "00000000-0000-0000-0000-000000000000"
    world.cloud.pats.revoke_as_person(made["authorizationId"])
    assert world.read(made["token"], **SUPPRESS).json()["typeKey"] == "UnauthorizedRequestException"
    assert world.read(made["token"]).status_code == 302


def test_a_life_of_more_than_a_year_is_refused_unless_the_switch_grants_it(world: World) -> None:
    far = "2035-01-01T00:00:00Z"
    assert world.create(validTo=far).json()["patTokenError"] == "invalidValidTo"
    assert world.create(validTo="2027-11-24T00:00:00Z").json()["patTokenError"] == "none"
    world.cloud.switches.set({"longest_life_days": None})
    assert world.create(validTo=far).json()["patToken"]["validTo"] == far
    world.cloud.switches.set({"longest_life_days": 30})
    world.cloud.pats.organization("contoso").policies.max_lifetime = timedelta(days=10)
    assert world.create(validTo=far).json()["patToken"]["validTo"] == "2026-12-04T00:00:00Z"
