"""The sandbox's service principals: the client credentials grant, and what their tokens open."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.seed import AGENTS, CLIENT, apply, demo_estate
from sandbox.process.in_process import session_for
from tests.lab.lab import START

APP = "22222222-0000-4000-8000-000000000001"
TOKEN_URL = "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798/.default"
CONNECTION = "https://dev.azure.com/{}/_apis/connectionData?api-version=7.1-preview.1"


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.cloud = Cloud(self.clock.now, seed=1)
        apply(self.cloud, demo_estate())
        self.app = self.cloud.directory.add_app(APP, "sandbox-secret-of-the-app")
        self.cloud.pats.organization("contoso").members.add(APP)
        self.session = session_for(self.cloud)

    def ask(self, **more: str) -> tuple[int, dict[str, Any]]:
        form = {
            "grant_type": "client_credentials",
            "client_id": APP,
            "client_secret": "sandbox-secret-of-the-app",
            "scope": DEVOPS,
            **more,
        }
        answer = self.session.post(TOKEN_URL, data=form)
        return answer.status_code, answer.json()

    def token(self) -> str:
        status, answer = self.ask()
        assert status == 200
        return str(answer["access_token"])

    def look(self, token: str, organization: str = "contoso") -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "X-TFS-FedAuthRedirect": "Suppress"}
        return self.session.get(CONNECTION.format(organization), headers=headers)


@pytest.fixture
def world() -> World:
    return World()


def test_every_request_gets_a_new_token_that_ends_by_the_sandbox_s_clock(world: World) -> None:
    status, first = world.ask()
    assert (status, first["token_type"], first["expires_in"]) == (200, "Bearer", 3600)
    assert "refresh_token" not in first
    assert world.token() != first["access_token"]
    world.clock.move(timedelta(minutes=59))
    assert world.look(first["access_token"]).status_code == 200
    world.clock.move(timedelta(minutes=1))
    assert world.look(first["access_token"]).status_code == 401
    world.cloud.switches.service_token_minutes = 90
    assert world.ask()[1]["expires_in"] == 5400


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"client_secret": "not the right one"}, 401, 7000215),
        ({"client_secret": ""}, 401, 7000218),
        ({"client_id": "22222222-0000-4000-8000-00000000000f"}, 400, 700016),
        ({"scope": "499b84ac-1321-427f-aa17-267ca6975798/vso.code"}, 400, 1002012),
        ({"scope": "https://graph.microsoft.com/.default"}, 400, 500011),
    ],
    ids=["secret", "no secret", "client", "scope", "resource"],
)
def test_a_wrong_request_is_refused_with_its_number(
    world: World, wrong: dict[str, str], status: int, code: int
) -> None:
    answered, body = world.ask(**wrong)
    assert (answered, body["error_codes"]) == (status, [code])


def test_connection_data_names_the_service_principal(world: World) -> None:
    user = world.look(world.token()).json()["authenticatedUser"]
    tenant = world.cloud.directory.tenants()[0].guid
    kind = "Microsoft.VisualStudio.Services.Claims.AadServicePrincipal"
    assert user["descriptor"] == f"{kind};{tenant}\\{world.app.object_id}"
    assert user["subjectDescriptor"].startswith("aadsp.")


def test_an_organization_it_is_not_a_member_of_does_not_know_it(world: World) -> None:
    token = world.token()
    assert world.look(token, "fabrikam").status_code == 401
    assert world.look(token, "nowhere").status_code == 404
    world.cloud.pats.organization("contoso").members.discard(APP)
    assert world.look(token).status_code == 401


def test_the_pat_api_takes_no_service_principal(world: World) -> None:
    url = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats?api-version=7.1-preview.1"
    headers = {"Authorization": f"Bearer {world.token()}", "X-TFS-FedAuthRedirect": "Suppress"}
    assert world.session.get(url, headers=headers).status_code == 401


def test_a_user_s_access_token_opens_dev_azure_com_as_the_user(world: World) -> None:
    form = {"grant_type": "password", "username": AGENTS, "password": "sandbox-password-agents"}
    status, answer = world.ask(**form, client_id=CLIENT, client_secret="sandbox-client-secret-demo")
    assert status == 200
    user = world.look(answer["access_token"]).json()["authenticatedUser"]
    assert user["properties"]["Account"]["$value"] == AGENTS


def test_the_log_names_the_client_and_no_secret(world: World) -> None:
    world.token()
    (row,) = world.cloud.calls("entra.token")
    assert row.subject == APP
