"""A status in the words of somebody in between, before and after the effect, for every operation of every service."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.faults import OPERATIONS
from sandbox.cloud.foreign_answers import FORMS, STATUSES
from sandbox.cloud.recipients import KINDS
from sandbox.cloud.seed import AGENTS, CLIENT, IDENTITY_CLIENT, TENANT, apply, small_estate
from sandbox.process.in_process import session_for
from sandbox.process.running import Running, start

VAULT = "https://patrol-demo-pats.vault.azure.net"
V76 = "api-version=7.6"
PATS = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats"
V72 = "api-version=7.2-preview.1"
ENTRA = "https://login.microsoftonline.com"
SONAR = "https://sonarqube.contoso.com/api/alm_settings"
ADMIN = "squ_" + "a" * 40
READS, CHANGED, LEAKED = (f"f0000000-0000-4000-8000-00000000000{number}" for number in range(3))
"""A PAT that only reads, one that is updated and revoked, one that an administrator ends: one estate for all of it."""
GIT, FEED = "https://dev.azure.com/contoso/web/_git/app", "https://pkgs.dev.azure.com/contoso/_packaging/feed"
MANY = "https://vssps.dev.azure.com/contoso/_apis/tokenadmin"
CONNECTION = "5c000000-0000-4000-8000-000000000001"
CONNECTIONS = f"_apis/serviceendpoint/endpoints/{CONNECTION}?api-version=7.1"
GRANTED = ["vso.pats", "vso.pats_manage", "vso.tokenadministration", "vso.identity"]
ESTATE: dict[str, Any] = {
    **small_estate(),
    "clients": [{**row, "consented": GRANTED} for row in small_estate()["clients"]],
    "organizations": [
        {**row, "administrators": [AGENTS], "members": [*row["members"], "identity"]}
        for row in small_estate()["organizations"]
    ],
    "service_connections": [
        {
            "organization": "contoso",
            "project": "web",
            "id": CONNECTION,
            "url": "https://dev.azure.com/contoso",
            "administrators": ["identity"],
        }
    ],
    "pats": [
        {
            "owner": AGENTS,
            "organization": "contoso",
            "display_name": "one",
            "scope": "vso.code vso.packaging",
            "valid_to": "+30d",
            "authorization_id": authorization_id,
        }
        for authorization_id in (READS, CHANGED, LEAKED)
    ],
    "vaults": [
        *small_estate()["vaults"],
        {
            "host": "patrol-demo-pats.vault.azure.net",
            "secrets": [
                {"name": "one", "value": "value-of-one"},
                {"name": "leaves", "value": "value-of-leaves"},
                {"name": "gone", "value": "value-of-gone", "deleted": True, "created": "-1d"},
                {"name": "for-good", "value": "value-of-for-good", "deleted": True, "created": "-1d"},
            ],
        },
    ],
    "recipients": [
        {
            "host": f"{kind}.contoso.com",
            "kind": kind,
            "vault": "patrol-demo-pats.vault.azure.net",
            "secret": f"to-{kind}",
        }
        for kind in KINDS
    ],
    "federations": [{"domain": "adatum.com", "host": "sts.adatum.com"}],
    "sonarqubes": [
        {
            "host": "sonarqube.contoso.com",
            "tokens": [{"value": ADMIN}],
            "azure": [{"key": key, "url": "https://dev.azure.com/contoso"} for key in ("azure", "third")],
        }
    ],
}


@dataclass
class Caller:
    """What the calls need: a session, where the identity endpoint is, and what was signed in with it."""

    session: requests.Session
    identity: str
    header: str
    pat: str
    vault: dict[str, str] = field(default_factory=dict)
    devops: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)

    def sign_in(self) -> Caller:
        token = self.identity_token(AZURE_DEVOPS).json()["access_token"]
        self.own = {"Authorization": f"Bearer {token}", "X-TFS-FedAuthRedirect": "Suppress"}
        self.shown = self.connection("GET").json()
        self.vault = {"Authorization": f"Bearer {self.identity_token().json()['access_token']}"}
        self.devops = {"Authorization": f"Bearer {self.user_token().json()['access_token']}"}
        for kind in KINDS:
            kept = self.ask("GET", f"{VAULT}/secrets/to-{kind}/?{V76}", self.vault)
            self.addresses[kind] = kept.json()["value"]
        return self

    def ask(self, method: str, url: str, headers: dict[str, str] | None = None, **more: Any) -> requests.Response:
        return self.session.request(method, url, headers=headers, timeout=10, allow_redirects=False, **more)

    def identity_token(self, resource: str = "https://vault.azure.net") -> requests.Response:
        query = {"api-version": "2019-08-01", "resource": resource, "client_id": IDENTITY_CLIENT}
        headers = {"X-IDENTITY-HEADER": self.header}
        with session_like(self.session) as direct:
            return direct.get(self.identity, params=query, headers=headers, timeout=10)

    def user_token(self) -> requests.Response:
        form = {
            "grant_type": "password",
            "client_id": CLIENT,
            "client_secret": "sandbox-client-secret-demo",
            "username": AGENTS,
            "password": "sandbox-password-agents",
            "scope": f"{AZURE_DEVOPS}/.default",
        }
        return self.ask("POST", f"{ENTRA}/{TENANT}/oauth2/v2.0/token", data=form)

    def notice(self, kind: str) -> requests.Response:
        return self.ask("POST", self.addresses[kind], json={"text": "one"})

    def identities(self) -> requests.Response:
        query = f"searchFilter=General&filterValue={AGENTS}&api-version=7.1-preview.1"
        return self.ask("GET", f"https://vssps.dev.azure.com/contoso/_apis/identities?{query}", self.devops)

    def descriptor(self) -> str:
        claims = self.devops["Authorization"].split(".")[1]
        return f"aad.{json.loads(base64.urlsafe_b64decode(claims + '=='))['oid']}"

    def with_pat(self, url: str) -> requests.Response:
        return self.ask("GET", url, auth=("", self.pat))

    def connection(self, method: str, **more: Any) -> requests.Response:
        project = "web/" if method == "GET" else ""
        return self.ask(method, f"https://dev.azure.com/contoso/{project}{CONNECTIONS}", self.own, **more)

    def sonarqube(self, method: str, name: str, **form: str) -> requests.Response:
        return self.ask(method, f"{SONAR}/{name}", {"Authorization": f"Bearer {ADMIN}"}, data=form or None)


def backup_of_a_secret() -> str:
    """What a vault of another sandbox gave."""
    vault = Cloud(ManualClock(datetime(2026, 11, 24, tzinfo=UTC)).now).add_vault("elsewhere.vault.azure.net")
    vault.set_secret("from-elsewhere", "value-from-elsewhere")
    return vault.backup("from-elsewhere")


def session_like(session: requests.Session) -> requests.Session:
    """The same adapters, without a proxy: the identity endpoint is on this machine."""
    direct = requests.Session()
    direct.trust_env = False
    direct.mount("http://", session.get_adapter("http://"))
    return direct


BODY = {"displayName": "two", "scope": "vso.code", "allOrgs": False}
BACKUP = backup_of_a_secret()
CALLS: dict[str, Callable[[Caller], requests.Response]] = {
    "entra.discovery": lambda by: by.ask("GET", f"{ENTRA}/{TENANT}/v2.0/.well-known/openid-configuration"),
    "entra.userrealm": lambda by: by.ask("GET", f"{ENTRA}/common/userrealm/{AGENTS}"),
    "entra.token": lambda by: by.user_token(),
    "entra.authorize": lambda by: by.ask("GET", f"{ENTRA}/{TENANT}/oauth2/v2.0/authorize?client_id={CLIENT}"),
    "entra.device_code": lambda by: by.ask(
        "POST", f"{ENTRA}/{TENANT}/oauth2/v2.0/devicecode", data={"client_id": CLIENT, "scope": "openid"}
    ),
    "identity.token": lambda by: by.identity_token(),
    "adfs.metadata": lambda by: by.ask("GET", "https://sts.adatum.com/adfs/services/trust/mex"),
    "adfs.sign_in": lambda by: by.ask("POST", "https://sts.adatum.com/adfs/services/trust/13/usernamemixed", data="x"),
    "pats.create": lambda by: by.ask("POST", f"{PATS}?{V72}", by.devops, json=BODY),
    "pats.list": lambda by: by.ask("GET", f"{PATS}?{V72}", by.devops),
    "pats.get": lambda by: by.ask("GET", f"{PATS}?{V72}&authorizationId={READS}", by.devops),
    "pats.update": lambda by: by.ask(
        "PUT", f"{PATS}?{V72}", by.devops, json={"authorizationId": CHANGED, "displayName": "renamed"}
    ),
    "pats.revoke": lambda by: by.ask("DELETE", f"{PATS}?{V72}&authorizationId={CHANGED}", by.devops),
    "tokenadmin.list": lambda by: by.ask("GET", f"{MANY}/personalaccesstokens/{by.descriptor()}?{V72}", by.devops),
    "tokenadmin.revoke": lambda by: by.ask(
        "POST", f"{MANY}/revocations?{V72}", by.devops, json=[{"authorizationId": LEAKED}]
    ),
    "identities.read": lambda by: by.identities(),
    "devops.connection_data": lambda by: by.with_pat("https://dev.azure.com/contoso/_apis/connectionData"),
    "devops.other": lambda by: by.with_pat("https://dev.azure.com/contoso/_apis/git/repositories"),
    "connections.get": lambda by: by.connection("GET"),
    "connections.update": lambda by: by.connection("PUT", json={**by.shown, "description": "changed"}),
    "git.refs": lambda by: by.with_pat(f"{GIT}/info/refs?service=git-upload-pack"),
    "feeds.read": lambda by: by.with_pat(f"{FEED}/npm/registry/left-pad"),
    "sonarqube.list_definitions": lambda by: by.sonarqube("GET", "list_definitions"),
    "sonarqube.list": lambda by: by.sonarqube("GET", "list"),
    "sonarqube.create_azure": lambda by: by.sonarqube(
        "POST", "create_azure", key="second", url="https://dev.azure.com/contoso", personalAccessToken=by.pat
    ),
    "sonarqube.delete": lambda by: by.sonarqube("POST", "delete", key="third"),
    "sonarqube.update_azure": lambda by: by.sonarqube(
        "POST", "update_azure", key="azure", url="https://dev.azure.com/moved", personalAccessToken=by.pat
    ),
    "sonarqube.validate": lambda by: by.sonarqube("GET", "validate?key=azure"),
    "sonarqube.other": lambda by: by.sonarqube("GET", "nothing"),
    "notice.teams": lambda by: by.notice("teams"),
    "notice.teams-card": lambda by: by.notice("teams-card"),
    "notice.slack": lambda by: by.notice("slack"),
    "notice.webhook": lambda by: by.notice("webhook"),
    "vault.challenge": lambda by: by.ask("GET", f"{VAULT}/secrets?{V76}"),
    "vault.set": lambda by: by.ask("PUT", f"{VAULT}/secrets/two?{V76}", by.vault, json={"value": "value-of-two"}),
    "vault.get": lambda by: by.ask("GET", f"{VAULT}/secrets/one/?{V76}", by.vault),
    "vault.list": lambda by: by.ask("GET", f"{VAULT}/secrets?{V76}", by.vault),
    "vault.versions": lambda by: by.ask("GET", f"{VAULT}/secrets/one/versions?{V76}", by.vault),
    "vault.update": lambda by: by.ask("PATCH", f"{VAULT}/secrets/one/?{V76}", by.vault, json={"tags": {"a": "b"}}),
    "vault.delete": lambda by: by.ask("DELETE", f"{VAULT}/secrets/leaves?{V76}", by.vault),
    "vault.deleted": lambda by: by.ask("GET", f"{VAULT}/deletedsecrets/gone?{V76}", by.vault),
    "vault.recover": lambda by: by.ask("POST", f"{VAULT}/deletedsecrets/gone/recover?{V76}", by.vault),
    "vault.purge": lambda by: by.ask("DELETE", f"{VAULT}/deletedsecrets/for-good?{V76}", by.vault),
    "vault.backup": lambda by: by.ask("POST", f"{VAULT}/secrets/one/backup?{V76}", by.vault),
    "vault.restore": lambda by: by.ask("POST", f"{VAULT}/secrets/restore?{V76}", by.vault, json={"value": BACKUP}),
    "logs.query": lambda by: by.ask(
        "POST", "https://api.loganalytics.io/v1/subscriptions/one/query", json={"query": ""}
    ),
    "audit.query": lambda by: by.ask("GET", f"https://auditservice.dev.azure.com/contoso/_apis/audit/auditlog?{V72}"),
    "other": lambda by: by.ask("GET", "https://login.microsoftonline.com/nowhere"),
}
CHANGES = {
    *(
        "entra.token",
        "adfs.sign_in",
        "pats.create",
        "pats.update",
        "pats.revoke",
        "tokenadmin.revoke",
        "devops.connection_data",
        "devops.other",
    ),
    *(
        "connections.update",
        "git.refs",
        "feeds.read",
        "sonarqube.update_azure",
        "sonarqube.create_azure",
        "sonarqube.delete",
    ),
    *("notice.teams", "notice.teams-card", "notice.slack", "notice.webhook"),
    *("vault.set", "vault.update", "vault.delete", "vault.recover", "vault.purge", "vault.restore"),
}
"""Operations after which the estate is another one: an effect, a use that was counted, a password that was tried."""


def test_every_operation_has_a_call_here() -> None:
    assert set(CALLS) == set(OPERATIONS)


@dataclass
class World:
    cloud: Cloud
    caller: Caller
    done: list[str] = field(default_factory=list)


def in_process() -> World:
    cloud = Cloud(ManualClock(datetime(2026, 11, 24, tzinfo=UTC)).now)
    apply(cloud, ESTATE)
    session = session_for(cloud)
    identity = "http://127.0.0.1:1/msi/token"
    pat = cloud.pats.pat(READS).value
    world = World(cloud, Caller(session, identity, cloud.identity.header, pat).sign_in())
    cloud.after_effect = lambda operation: world.done.append(operation.name)
    return world


def looks_foreign(answer: requests.Response, status: int, form: str) -> bool:
    """Whether nothing in the answer is of the service that was asked."""
    if answer.status_code != status or answer.headers.get("Server") != "gateway":
        return False
    if {"ActivityId", "x-ms-request-id", "WWW-Authenticate", "x-ms-keyvault-region"} & set(answer.headers):
        return False
    kind = answer.headers.get("Content-Type", "")
    match form:
        case "page":
            return kind == "text/html" and answer.content.startswith(b"<html>")
        case "gateway":
            return kind == "application/json" and answer.json()["error"].keys() == {"code", "message"}
        case "oauth":
            return kind == "application/json" and "error_codes" not in answer.json() and "error" in answer.json()
        case "text":
            return kind == "text/plain" and b"<" not in answer.content
        case "list":
            return isinstance(json.loads(answer.content), list)
    return answer.content == b"" and kind in ("", "application/octet-stream")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_status_in_foreign_words_before_and_after_the_effect(operation: str) -> None:
    world = in_process()
    for after in (False, True):
        for status in STATUSES:
            for form in FORMS:
                world.cloud.add_fault(operation, "foreign", status=status, form=form, after_effect=after)
                world.done.clear()
                answer = CALLS[operation](world.caller)
                assert looks_foreign(answer, status, form), (status, form, answer.headers, answer.content)
                assert world.done == [operation] * after
    assert world.cloud.faults.pending() == []


def state(cloud: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in cloud.items() if name not in ("faults", "now")}, sort_keys=True)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_effect_has_happened_after_it_and_not_before_it(operation: str) -> None:
    world = in_process()
    before = state(world.cloud.estate(reveal=True))
    world.cloud.add_fault(operation, "foreign", status=403)
    CALLS[operation](world.caller)
    assert state(world.cloud.estate(reveal=True)) == before
    world.cloud.add_fault(operation, "foreign", status=403, form="gateway", after_effect=True)
    CALLS[operation](world.caller)
    assert (state(world.cloud.estate(reveal=True)) != before) is (operation in CHANGES)


def test_a_gateway_s_code_word_and_headers_can_be_chosen() -> None:
    world = in_process()
    world.cloud.add_fault("vault.set", "foreign", status=403, form="gateway", error="Forbidden")
    assert CALLS["vault.set"](world.caller).json()["error"]["code"] == "Forbidden"
    headers = {"Retry-After": "7", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    world.cloud.add_fault("entra.token", "foreign", status=429, form="oauth", error="slow_down", headers=headers)
    answer = world.caller.user_token()
    assert answer.json()["error"] == "slow_down"
    assert headers.items() <= answer.headers.items()


def test_a_form_or_a_status_that_does_not_exist_is_refused() -> None:
    world = in_process()
    with pytest.raises(ValueError, match="needs a status"):
        world.cloud.add_fault("vault.set", "foreign")
    with pytest.raises(ValueError, match="poem"):
        world.cloud.add_fault("vault.set", "foreign", status=400, form="poem")


# --- the same over TLS, through the proxy -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Running, Caller]]:
    with start(ESTATE) as running, requests.Session() as session:
        environment = running.environment()
        session.trust_env = False
        session.proxies = {"https": environment["HTTPS_PROXY"]}
        session.verify = environment["REQUESTS_CA_BUNDLE"]
        pats = {row["authorization_id"]: row["value"] for row in running.client.estate(reveal=True)["pats"]}
        identity, header = environment["IDENTITY_ENDPOINT"], environment["IDENTITY_HEADER"]
        yield running, Caller(session, identity, header, pats[READS]).sign_in()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_over_tls_it_is_the_same(served: tuple[Running, Caller], operation: str) -> None:
    running, caller = served
    before = state(running.client.estate(reveal=True))
    wanted = [(STATUSES[number % len(STATUSES)], FORMS[number % len(FORMS)]) for number in range(len(STATUSES))]
    for status, form in wanted:
        running.client.add_fault(operation, "foreign", status=status, form=form)
        assert looks_foreign(CALLS[operation](caller), status, form), (status, form)
    assert state(running.client.estate(reveal=True)) == before
    running.client.add_fault(operation, "foreign", status=407, form="gateway", after_effect=True)
    assert looks_foreign(CALLS[operation](caller), 407, "gateway")
    changed = state(running.client.estate(reveal=True)) != before
    assert changed is (operation in CHANGES)
