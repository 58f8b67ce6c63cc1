"""The app's own identity, beside the variables of the tools that people used before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from sandbox.cloud.seed import AGENTS, CLIENT, demo_estate, demo_pats_yaml
from sandbox.process.running import Running, start
from shared import settings
from shared.model.errors import Misconfigured
from shared.services.identity import FirstThatWorks, own_identity
from tests.lab.lab import ENVIRONMENT

IDENTITY = "1d000000-0000-4000-8000-00000000000a"
OLD_TOOL = {
    "AZURE_TENANT_ID": "72f00000-0000-4000-8000-000000000001",
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_SECRET": "sandbox-client-secret-demo",
    "AZURE_USERNAME": AGENTS,
    "AZURE_PASSWORD": "sandbox-password-agents",
    "AZURE_DEVOPS_ORG": "contoso",
}


class Known:
    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.asked += 1
        return AccessToken(self.name, 1)


class Unknown(Known):
    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.asked += 1
        raise ClientAuthenticationError(f"{self.name} is not known")


def test_the_configured_identity_is_asked_first_and_alone_when_it_works() -> None:
    other = Known("other")
    assert FirstThatWorks(Known("configured"), other).get_token("x").token == "configured"
    assert other.asked == 0


def test_the_next_one_is_asked_where_the_configured_one_is_refused() -> None:
    assert FirstThatWorks(Unknown("configured"), Known("other")).get_token("x").token == "other"
    with pytest.raises(ClientAuthenticationError, match="other"):
        FirstThatWorks(Unknown("configured"), Unknown("other")).get_token("x")


@pytest.mark.parametrize(
    ("environ", "by_environment", "has_secret"),
    [
        ({}, False, False),
        ({"AZURE_CLIENT_ID": IDENTITY}, False, False),
        ({"AZURE_CLIENT_SECRET": "x"}, False, False),
        (OLD_TOOL, False, True),
        ({"AZURE_CLIENT_ID": IDENTITY, "AZURE_PASSWORD": "x"}, False, True),
        ({**OLD_TOOL, "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}, True, False),
        ({**OLD_TOOL, "AZURE_TOKEN_CREDENTIALS": "dev"}, False, False),
        ({**OLD_TOOL, "AZURE_TOKEN_CREDENTIALS": "prod"}, False, True),
    ],
)
def test_what_the_settings_say_of_the_identity(environ: dict[str, str], by_environment: bool, has_secret: bool) -> None:
    known = settings.read({**ENVIRONMENT, **environ}, Path())
    assert (known.identity_by_environment, known.client_has_secret) == (by_environment, has_secret)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Running]:
    with start({**demo_estate(), "identity": {"client_ids": [IDENTITY]}}) as running:
        yield running


@pytest.mark.parametrize(
    "stray",
    [
        OLD_TOOL,
        {**OLD_TOOL, "AZURE_CLIENT_ID": IDENTITY},
        {name: text for name, text in OLD_TOOL.items() if name != "AZURE_CLIENT_ID"},
        {"AZURE_CLIENT_ID": IDENTITY},
    ],
    ids=["all of the old tool's", "the app's own client id", "no client id", "nothing of the old tool's"],
)
def test_an_older_tool_s_variables_do_not_change_who_opens_the_vaults(
    cloud: Running, tmp_path: Path, stray: dict[str, str]
) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    before = len(cloud.client.log("entra.token"))
    ran = cloud.run_product(["-m", "shared", "status"], extra={"PATS_FILE": str(inventory), **stray})
    assert (ran.returncode, ran.stderr) == (1, ""), "one of the demo's secrets is expired"
    assert len(cloud.client.log("entra.token")) == before, "no client secret and no password was sent anywhere"
    assert len(cloud.client.log("identity.token")) > 0


@pytest.mark.parametrize(
    "chosen",
    ["dev", "prod", "AzureCliCredential", "ManagedIdentityCredential", "WorkloadIdentityCredential"],
)
def test_any_choice_that_azure_identity_knows_makes_an_identity(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    environ = {**OLD_TOOL, "AZURE_TOKEN_CREDENTIALS": chosen}
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    known = settings.read({**ENVIRONMENT, **environ}, Path())
    made = own_identity(by_environment=known.identity_by_environment, client_has_secret=known.client_has_secret)
    assert callable(made.get_token)


def test_promise_8_a_choice_that_nobody_knows_is_told_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "nonsense")
    for by_environment in (True, False):
        for client_has_secret in (True, False):
            with pytest.raises(Misconfigured, match="AZURE_TOKEN_CREDENTIALS"):
                own_identity(by_environment=by_environment, client_has_secret=client_has_secret)


def test_who_asks_for_the_variables_by_name_gets_them(cloud: Running, tmp_path: Path) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    before = len(cloud.client.log("entra.token"))
    extra = {"PATS_FILE": str(inventory), **OLD_TOOL, "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}
    cloud.run_product(["-m", "shared", "status"], extra=extra)
    assert len(cloud.client.log("entra.token")) > before
