"""Clients that people use against the real services, by the requests that they send: method, address, headers, body.

The table is written from what each client was seen to send. Which of them ran here as they are is in sandbox/README.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.seed import AGENTS, CLIENT, TENANT, apply, small_estate
from sandbox.process.in_process import session_for

README = Path(__file__).resolve().parents[2] / "sandbox" / "README.md"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
TOKEN = f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"
PATS = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats"
DEVOPS = "https://dev.azure.com/contoso/_apis"
SONAR = "https://sonarqube.contoso.com/api/alm_settings"
ADMIN = "squ_" + "a" * 40
SECRET = "sandbox-client-secret-demo"
ESTATE = {
    **small_estate(),
    "pats": [
        {"owner": AGENTS, "organization": "contoso", "display_name": "all", "scope": "app_token", "valid_to": "+30d"}
    ],
    "sonarqubes": [
        {
            "host": "sonarqube.contoso.com",
            "tokens": [{"value": ADMIN}],
            "azure": [{"key": "azure", "url": "https://dev.azure.com/contoso"}],
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and what it must get. `{bearer}`, `{code}`, `{id}` and `{pat}` stand for what came before.

    `form` and `body` (JSON) exclude each other; `has` are texts that the answer holds.
    """

    method: str
    url: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] | None = None
    body: Any = None
    has: tuple[str, ...] = ()


JSON = {"Content-Type": "application/json"}
BEARER = {**JSON, "Authorization": "Bearer {bearer}"}
PASSWORD = {
    "grant_type": "password",
    "client_id": CLIENT,
    "client_secret": SECRET,
    "username": AGENTS,
    "password": "sandbox-password-agents",
    "scope": f"{AZURE_DEVOPS}/.default",
}
LIBRARY = {
    "X-TFS-FedAuthRedirect": "Suppress",
    "X-VSS-ForceMsaPassThrough": "true",
    "User-Agent": "Python/3.13 (Linux) msrest/0.7.1 azure-devops/7.1.0b4",
}


def in_area(area: str, *has: str) -> Sent:
    """How the Node.js library asks where an area's resources are: for that area alone."""
    return Sent("OPTIONS", f"{DEVOPS}/{area}", headers={"Accept": "application/json"}, has=has)


def by_library(path: str, version: str, *has: str) -> Sent:
    """A read of Microsoft's client library: the version travels in the Accept header."""
    return Sent(
        "GET", f"{DEVOPS}/{path}", headers={**LIBRARY, "Accept": f"application/json;api-version={version}"}, has=has
    )


WIDE = {"allOrgs": True, "displayName": "A test pat", "scope": "vso.code_full", "validTo": "2026-11-24T02:00:00.123Z"}
NARROW = {"displayName": "from a form", "scope": "vso.work", "validTo": "2026-12-01T23:46:23.319Z"}
AUTHORIZE = f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize"
SAMPLE_REDIRECT = "http://localhost:5000/getAToken"
SAMPLE_SCOPE = f"{AZURE_DEVOPS}/.default offline_access openid profile"
SAMPLE = "https://vssps.dev.azure.com/contoso/_apis/Tokens/Pats?api-version=6.1-preview"
PLAIN_BEARER = {"Authorization": "Bearer {bearer}"}
CLIENTS: dict[str, tuple[Sent, ...]] = {
    "Bjego/AzureDevopsPat": (
        Sent("POST", TOKEN, form=PASSWORD),
        Sent("GET", f"{PATS}?api-version=6.1-preview.1", headers=BEARER, has=('"continuationToken":""',)),
        Sent("POST", f"{PATS}?api-version=6.1-preview.1", headers=BEARER, body=WIDE, has=('"targetAccounts":null',)),
        Sent("GET", f"{PATS}?api-version=6.1-preview.1&authorizationId={{id}}", headers=BEARER, has=('"token":null',)),
        Sent(
            "PUT",
            f"{PATS}?api-version=6.1-preview.1",
            headers=BEARER,
            body={**WIDE, "authorizationId": "{id}", "displayName": "An updated pat", "scope": "app_token"},
            has=('"An updated pat"', '"app_token"'),
        ),
        Sent("DELETE", f"{PATS}?api-version=6.1-preview.1&authorizationId={{id}}", 204, headers=BEARER),
    ),
    "HeyyMrDJ/ADOPATRotation": (
        Sent("POST", TOKEN, form=PASSWORD),
        Sent(
            "POST", f"{PATS}?api-version=7.0-preview.1", headers=BEARER, body={"displayName": "x", "scope": "vso.code"}
        ),
        Sent("GET", f"{PATS}?api-version=7.0-preview.1", headers=BEARER, body={}, has=('"displayName":"x"',)),
        Sent("GET", f"{PATS}?authorizationId={{id}}&api-version=7.0-preview.1", headers=BEARER, body={}),
        Sent(
            "PUT",
            f"{PATS}?&api-version=7.0-preview.1",
            headers=BEARER,
            body={"authorizationId": "{id}", "displayName": "y"},
            has=('"displayName":"y"', '"scope":"vso.code"'),
        ),
        Sent("DELETE", f"{PATS}?authorizationId={{id}}&api-version=7.0-preview.1", 204, headers=BEARER, body={}),
    ),
    "microsoft/azure-devops-auth-samples": (
        Sent(
            "GET",
            f"{AUTHORIZE}?client_id={CLIENT}&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A5000%2FgetAToken"
            f"&scope={SAMPLE_SCOPE.replace(' ', '+')}&state=e0b5",
            302,
        ),
        Sent(
            "POST",
            TOKEN,
            form={
                "client_id": CLIENT,
                "client_secret": SECRET,
                "grant_type": "authorization_code",
                "code": "{code}",
                "redirect_uri": SAMPLE_REDIRECT,
                "scope": SAMPLE_SCOPE,
                "client_info": "1",
            },
            has=('"refresh_token"', '"id_token"', '"client_info"'),
        ),
        Sent("GET", SAMPLE, headers=PLAIN_BEARER, has=('"patTokens"',)),
        Sent("POST", SAMPLE, headers=BEARER, body={**NARROW, "allOrgs": "false"}, has=('"patTokenError":"none"',)),
        Sent("GET", f"{SAMPLE}&authorizationId={{id}}", headers=PLAIN_BEARER, has=('"authorizationId":"{id}"',)),
        Sent(
            "PUT",
            SAMPLE,
            headers=BEARER,
            body={"authorizationId": "{id}", "displayName": "changed", "allOrgs": "false"},
            has=('"displayName":"changed"',),
        ),
        Sent("DELETE", f"{SAMPLE}&authorizationId={{id}}", 204, headers=PLAIN_BEARER),
    ),
    "Bjego/sonarqube-credential-updater": (
        Sent("GET", f"{SONAR}/list", headers=JSON, has=('"almSettings"', '"alm":"azure"')),
        Sent("POST", f"{SONAR}/delete?key=azure", 204, headers=JSON),
        Sent(
            "POST",
            f"{SONAR}/create_azure?key=azure&personalAccessToken={{pat}}&url=https://dev.azure.com/contoso",
            204,
            headers=JSON,
        ),
    ),
    "Bjego/AzureDevOpsPatWithServicePrincipal": (
        Sent(
            "POST",
            TOKEN,
            form={
                "grant_type": "client_credentials",
                "client_id": CLIENT,
                "client_secret": SECRET,
                "scope": f"{AZURE_DEVOPS}/.default",
            },
        ),
        Sent("GET", f"{DEVOPS}/connectionData", headers=BEARER, has=("AadServicePrincipal",)),
        Sent("POST", f"{PATS}?api-version=6.1-preview.1", 401, headers=BEARER, body=WIDE),
    ),
    "azure-devops (Python)": (
        Sent("OPTIONS", DEVOPS, headers={**LIBRARY, "Accept": "application/json"}, has=('"routeTemplate"',)),
        by_library("ResourceAreas", "7.1-preview.1", '"locationUrl":"https://dev.azure.com/contoso/"'),
        by_library("projects", "7.1-preview.4", '"count":0'),
        by_library("git/repositories", "7.1-preview.1", '"count":0'),
        by_library("build/builds", "7.1-preview.7", '"count":0'),
        by_library("distributedtask/pools", "7.1-preview.1", '"count":0'),
        by_library("ConnectionData", "7.1-preview.1", '"authenticatedUser"'),
    ),
    "azure-devops-node-api (TypeScript)": (
        by_library("connectionData", "7.1-preview.1", '"authenticatedUser"'),
        in_area("Location", '"resourceName":"ResourceAreas"'),
        by_library("ResourceAreas", "7.1-preview.1", '"name":"core"'),
        in_area("core", '"resourceName":"projects"'),
        by_library("projects", "7.1-preview.4", '"count":0'),
        in_area("git", '"resourceName":"repositories"'),
        by_library("git/repositories", "7.1-preview.1", '"count":0'),
        in_area("build", '"resourceName":"definitions"'),
        by_library("build/definitions", "7.1-preview.7", '"count":0'),
        in_area("distributedtask", '"resourceName":"pools"'),
        by_library("distributedtask/pools", "7.1-preview.1", '"count":0'),
    ),
}


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.cloud = Cloud(self.clock.now)
        apply(self.cloud, ESTATE)
        self.cloud.switches.global_creation = "allowed"
        self.cloud.pats.organization("contoso").members.add(CLIENT)
        self.cloud.directory.apps[CLIENT].redirect_uris = {SAMPLE_REDIRECT}
        self.cloud.in_person.at_browser = AGENTS
        self.session = session_for(self.cloud)
        self.facts = {"pat": self.cloud.pats.all()[0].value}

    def send(self, one: Sent, auth: tuple[str, str] | None) -> requests.Response:
        body = None if one.body is None else self.filled(json.dumps(one.body))
        answer = self.session.request(
            one.method,
            self.filled(one.url),
            headers={name: self.filled(text) for name, text in one.headers.items()},
            data=body if one.form is None else {name: self.filled(text) for name, text in one.form.items()},
            auth=auth if "Authorization" not in one.headers and one.form is None else None,
            allow_redirects=False,
        )
        said = answer.json() if answer.headers.get("Content-Type", "").startswith("application/json") else {}
        if "code=" in answer.headers.get("Location", ""):
            self.facts["code"] = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
        if "access_token" in said:
            self.facts["bearer"] = said["access_token"]
        if said.get("patToken"):
            self.facts["id"] = said["patToken"]["authorizationId"]
        return answer

    def filled(self, text: str) -> str:
        for name, value in self.facts.items():
            text = text.replace(f"{{{name}}}", value)
        return text


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_in_use_gets_what_it_asks_for(client: str) -> None:
    world = World()
    auth = (ADMIN, "") if "sonarqube" in client else ("", world.facts["pat"])
    for number, one in enumerate(CLIENTS[client], start=1):
        answer = world.send(one, auth)
        assert answer.status_code == one.status, (number, one, answer.text)
        assert "VssVersion" not in answer.text
        for text in one.has:
            assert world.filled(text) in answer.text, (number, one, answer.text)
    assert "{" not in world.filled("".join(one.url for one in CLIENTS[client]))


@pytest.mark.parametrize("client", CLIENTS)
def test_the_readme_counts_the_requests_of_each_client(client: str) -> None:
    many = len(CLIENTS[client])
    row = next(line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {client} "))
    assert f"| {many} of {many} " in row


def test_a_global_pat_is_what_the_oldest_client_asks_for_and_the_first_that_it_no_longer_gets() -> None:
    world = World()
    world.cloud.switches.global_creation = "blocked"
    world.send(CLIENTS["Bjego/AzureDevopsPat"][0], None)
    create = CLIENTS["Bjego/AzureDevopsPat"][2]
    assert world.send(create, None).json() == {"patToken": None, "patTokenError": "globalPATCreationBlocked"}
    world.cloud.switches.global_creation = "allowed"
    world.clock.move(timedelta(days=7))  # none is made after their end, whatever the switch says
    world.send(CLIENTS["Bjego/AzureDevopsPat"][0], None)
    late = Sent(create.method, create.url, headers=create.headers, body={**WIDE, "validTo": "2026-12-24T00:00:00Z"})
    assert world.send(late, None).json()["patTokenError"] == "globalPATCreationBlocked"
