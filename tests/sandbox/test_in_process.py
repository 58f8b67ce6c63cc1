"""The real SDKs, unmodified, against the sandbox in this process; and its wire, faults and hooks."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msal
import pytest
import requests
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud, Operation
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, CLIENT, PATS_VAULT, TENANT, apply, small_estate
from sandbox.process.in_process import session_for

SECRET = "sandbox-client-secret-demo"
PASSWORD = "sandbox-password-agents"
SCOPE = f"{AZURE_DEVOPS}/.default"
PATS = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats"
V71 = {"api-version": "7.1-preview.1"}
NOBODY = "00000000-0000-0000-0000-000000000000"
SUPPRESS = {"X-TFS-FedAuthRedirect": "Suppress"}
UNTIL = (datetime.now(UTC) + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.fixture
def clock() -> ManualClock:
    # Near the real time: msal and azure-core compare with this machine's clock.
    return ManualClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def cloud(clock: ManualClock) -> Cloud:
    made = Cloud(clock.now)
    apply(made, small_estate())
    return made


@pytest.fixture
def session(cloud: Cloud) -> Iterator[requests.Session]:
    with session_for(cloud) as made:
        yield made


@pytest.fixture
def secrets(cloud: Cloud, session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> SecretClient:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", cloud.identity.header)
    transport = RequestsTransport(session=session, session_owner=False)
    credential = ManagedIdentityCredential(transport=transport)
    return SecretClient(f"https://{PATS_VAULT}", credential, transport=transport, retry_total=0)


def an_app(session: requests.Session, **changes: Any) -> Any:
    tenant = changes.pop("tenant", TENANT)
    details = {"client_id": CLIENT, "client_credential": SECRET, **changes}
    return msal.ConfidentialClientApplication(
        authority=f"https://login.microsoftonline.com/{tenant}", http_client=session, **details
    )


def signed_in(session: requests.Session) -> dict[str, str]:
    result = an_app(session).acquire_token_by_username_password(AGENTS, PASSWORD, [SCOPE])
    return {"Authorization": f"Bearer {result['access_token']}"}


def create(session: requests.Session, headers: dict[str, str], **changes: Any) -> requests.Response:
    body = {"displayName": "one", "scope": "vso.code", "validTo": f"{UNTIL}.319Z", "allOrgs": False}
    return session.post(PATS, params=V71, headers=headers, json={**body, **changes})


class TestMsal:
    def test_a_password_signs_in_and_the_cache_answers_after_it(self, cloud: Cloud, session: requests.Session) -> None:
        app = an_app(session)
        result = app.acquire_token_by_username_password(AGENTS, PASSWORD, [SCOPE])
        assert result["token_type"] == "Bearer"
        assert result["scope"].split() == [f"{AZURE_DEVOPS}/vso.pats", f"{AZURE_DEVOPS}/vso.pats_manage", SCOPE]
        silent = app.acquire_token_silent([SCOPE], account=app.get_accounts()[0])
        assert silent["access_token"] == result["access_token"]
        assert cloud.directory.user(AGENTS).token_requests == 1
        fresh = app.acquire_token_silent([SCOPE], account=app.get_accounts()[0], force_refresh=True)
        assert fresh["access_token"] != result["access_token"]

    @pytest.mark.parametrize(
        ("state", "code", "suberror"),
        [
            (UserState.LOCKED, 50053, None),
            (UserState.MFA_REQUIRED, 50076, "basic_action"),
            (UserState.DISABLED, 50057, None),
            (UserState.PASSWORD_EXPIRED, 50055, "user_password_expired"),
            (UserState.CONSENT_MISSING, 65001, "consent_required"),
            (UserState.NOT_ASSIGNED, 50105, None),
            (UserState.CONDITIONAL_ACCESS, 53003, "message_only"),
        ],
    )
    def test_failure_classes(
        self, cloud: Cloud, session: requests.Session, state: UserState, code: int, suberror: str | None
    ) -> None:
        cloud.directory.user(AGENTS).state = state
        result = an_app(session).acquire_token_by_username_password(AGENTS, PASSWORD, [SCOPE])
        assert result["error"] == "invalid_grant"
        assert result["error_codes"] == [code]
        assert f"AADSTS{code}" in result["error_description"]
        assert result.get("suberror") == suberror

    @pytest.mark.parametrize(
        ("client", "user", "error", "code"),
        [
            ({}, (AGENTS, "wrong-one"), "invalid_grant", 50126),
            ({}, ("nobody@contoso.com", PASSWORD), "invalid_grant", 50034),
            ({"client_id": NOBODY}, (AGENTS, PASSWORD), "unauthorized_client", 700016),
            ({"client_credential": "wrong-one"}, (AGENTS, PASSWORD), "invalid_client", 7000215),
        ],
    )
    def test_wrong_words(
        self, session: requests.Session, client: dict[str, str], user: tuple[str, str], error: str, code: int
    ) -> None:
        result = an_app(session, **client).acquire_token_by_username_password(*user, [SCOPE])
        assert (result["error"], result["error_codes"]) == (error, [code])

    def test_an_unknown_tenant_fails_at_construction(self, session: requests.Session) -> None:
        with pytest.raises(ValueError, match="authority"):
            an_app(session, tenant="nowhere.example")

    def test_a_throttled_token_endpoint(self, cloud: Cloud, session: requests.Session) -> None:
        app = an_app(session)
        cloud.add_fault("entra.token", "status", status=503, body="busy", content_type="text/plain")
        with pytest.raises(Exception, match="503"):
            app.acquire_token_by_username_password(AGENTS, PASSWORD, [SCOPE])
        assert cloud.directory.user(AGENTS).password_attempts == 0


class TestKeyVault:
    def test_a_secret_from_set_to_purge(self, secrets: SecretClient, cloud: Cloud) -> None:
        # The SDK waits by this machine's clock, which moves nothing here.
        cloud.switches.set({"delete_settle_seconds": 0.0, "recover_settle_seconds": 0.0})
        expires = datetime(2027, 1, 1, tzinfo=UTC)
        made = secrets.set_secret("one", "value-1", tags={"a": "b"}, content_type="text/plain", expires_on=expires)
        assert made.properties.version is not None
        second = secrets.set_secret("one", "value-2")
        assert secrets.get_secret("one").value == "value-2"
        assert secrets.get_secret("one", made.properties.version).value == "value-1"
        listed = {row.version: row for row in secrets.list_properties_of_secret_versions("one")}
        assert listed[made.properties.version].expires_on == expires
        assert listed[made.properties.version].tags == {"a": "b"}
        changed = secrets.update_secret_properties("one", second.properties.version, tags={"c": "d"}, enabled=False)
        assert changed.tags == {"c": "d"}
        with pytest.raises(HttpResponseError) as refused:
            secrets.get_secret("one")
        assert refused.value.status_code == 403
        assert refused.value.error is not None
        assert refused.value.error.innererror == {"code": "SecretDisabled"}
        secrets.update_secret_properties("one", enabled=True)
        secrets.begin_delete_secret("one")
        assert secrets.get_deleted_secret("one").scheduled_purge_date is not None
        assert [row.name for row in secrets.list_deleted_secrets()] == ["one"]
        with pytest.raises(ResourceExistsError):
            secrets.set_secret("one", "value-3")
        secrets.begin_recover_deleted_secret("one").wait()
        assert secrets.get_secret("one").value == "value-2"
        secrets.begin_delete_secret("one")
        secrets.purge_deleted_secret("one")
        with pytest.raises(ResourceNotFoundError):
            secrets.get_secret("one")

    def test_the_sdk_s_pollers_wait_until_a_deletion_and_a_recovery_have_settled(
        self, secrets: SecretClient, clock: ManualClock
    ) -> None:
        secrets.set_secret("one", "value-1")
        deletion = secrets.begin_delete_secret("one", _polling_interval=0)
        with pytest.raises(ResourceNotFoundError, match="Deleted Secret not found: one"):
            secrets.get_deleted_secret("one")
        clock.move(timedelta(seconds=4))
        deletion.wait()
        recovery = secrets.begin_recover_deleted_secret("one", _polling_interval=0)
        with pytest.raises(ResourceExistsError) as refused:
            secrets.set_secret("one", "value-2")
        assert refused.value.error is not None
        assert refused.value.error.innererror == {"code": "ObjectIsBeingRecovered"}
        clock.move(timedelta(seconds=4))
        recovery.wait()
        assert secrets.get_secret("one").value == "value-1"
        with pytest.raises(ResourceNotFoundError, match="If you recently deleted this secret"):
            secrets.get_secret("two")

    def test_a_backup_and_versions_of_nothing(self, secrets: SecretClient) -> None:
        secrets.set_secret("one", "value-1")
        assert secrets.backup_secret("one")
        assert list(secrets.list_properties_of_secret_versions("nothing")) == []

    def test_every_answer_names_its_request_and_a_wrong_method_is_told_in_json(
        self, cloud: Cloud, session: requests.Session
    ) -> None:
        token, _ = cloud.directory.application_token("https://vault.azure.net", "someone")
        headers = {"Authorization": f"Bearer {token}"}
        base = f"https://{PATS_VAULT}"
        answers = [
            session.get(f"{base}/secrets?api-version=7.6", headers=headers),
            session.get(f"{base}/secrets/one/?api-version=7.6", headers=headers),
            session.get(f"{base}/secrets?api-version=7.6"),
            session.put(f"{base}/secrets/?api-version=7.6", headers=headers, json={"value": "x"}),
        ]
        assert [answer.status_code for answer in answers] == [200, 404, 401, 405]
        assert len({answer.headers["x-ms-request-id"] for answer in answers}) == 4
        assert {answer.headers["x-ms-keyvault-region"] for answer in answers} == {"sandbox"}
        assert answers[-1].json() == {"error": {"code": "MethodNotAllowed", "message": "HTTP PUT not allowed"}}

    @pytest.mark.parametrize(("first", "pages"), [("empty", 4), ("short", 3)])
    def test_listing_follows_short_and_empty_pages(
        self, secrets: SecretClient, cloud: Cloud, first: str, pages: int
    ) -> None:
        cloud.switches.first_vault_pages = first
        for number in range(30):
            cloud.vaults[PATS_VAULT].seed(f"name-{number:02d}", "value-1", tags={"n": str(number)})
        rows = list(secrets.list_properties_of_secrets())
        assert [row.name for row in rows] == [f"name-{number:02d}" for number in range(30)]
        assert all(row.tags and row.version is None for row in rows)
        lists = cloud.calls("vault.list")
        assert len(lists) == pages
        assert "$skiptoken=" in lists[1].query or "%24skiptoken=" in lists[1].query

    def test_the_first_call_goes_out_without_a_body_and_is_challenged(self, session: requests.Session) -> None:
        answer = session.put(f"https://{PATS_VAULT}/secrets/one?api-version=2026-04-01")
        assert answer.status_code == 401
        assert 'resource="https://vault.azure.net"' in answer.headers["WWW-Authenticate"]
        assert answer.json()["error"]["code"] == "Unauthorized"

    def test_api_versions_and_foreign_tokens(self, cloud: Cloud) -> None:
        token, _ = cloud.directory.application_token("https://vault.azure.net", "someone")
        other, _ = cloud.directory.application_token("https://storage.azure.com", "someone")
        with session_for(cloud) as session:
            url = f"https://{PATS_VAULT}/secrets"
            headers = {"Authorization": f"Bearer {token}"}
            assert (
                session.get(f"{url}?api-version=1999-01-01", headers=headers).json()["error"]["code"] == "BadParameter"
            )
            assert session.get(url, headers=headers).status_code == 400
            assert session.get(f"{url}?api-version=7.4", headers=headers).status_code == 200
            assert session.get(f"{url}?api-version=7.4&maxresults=26", headers=headers).status_code == 400
            wrong = {"Authorization": f"Bearer {other}"}
            assert session.get(f"{url}?api-version=7.4", headers=wrong).status_code == 401

    def test_a_wrong_identity_header_gives_no_token(
        self, secrets: SecretClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IDENTITY_HEADER", "wrong-one")
        with pytest.raises(ClientAuthenticationError):
            secrets.get_secret("one")

    def test_storage_tokens_are_jwts_with_the_claims_an_emulator_checks(
        self, cloud: Cloud, session: requests.Session
    ) -> None:
        answer = session.get(
            "http://127.0.0.1:1/msi/token",
            params={"api-version": "2019-08-01", "resource": "https://storage.azure.com"},
            headers={"X-IDENTITY-HEADER": cloud.identity.header},
        ).json()
        part = answer["access_token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        assert claims["aud"] == "https://storage.azure.com"
        assert claims["iss"].startswith("https://sts.windows.net/")
        assert {"nbf", "iat", "exp"} <= claims.keys()
        assert claims["nbf"] <= cloud.now().timestamp() < int(answer["expires_on"]) <= claims["exp"]


class TestPatApi:
    def test_all_five_operations(self, cloud: Cloud, session: requests.Session) -> None:
        headers = signed_in(session)
        made = create(session, headers)
        assert made.status_code == 200
        pat = made.json()["patToken"]
        assert pat["validTo"] == f"{UNTIL}.32Z"
        assert made.json()["patTokenError"] == "none"
        assert "patTokenErrorMessage" not in made.json()
        known = {**V71, "authorizationId": pat["authorizationId"]}
        assert session.get(PATS, params=known, headers=headers).json()["patToken"] == {**pat, "token": None}
        listed = session.get(PATS, params={**V71, "displayFilterOption": "active"}, headers=headers).json()
        assert listed == {"continuationToken": "", "patTokens": [{**pat, "token": None}]}
        body = {"authorizationId": pat["authorizationId"], "displayName": "two"}
        changed = session.put(PATS, params={"api-version": "7.2-preview.1"}, headers=headers, json=body).json()
        assert changed["patToken"]["displayName"] == "two"
        assert "patTokenErrorMessage" in changed
        gone = session.delete(PATS, params=known, headers=headers)
        assert (gone.status_code, gone.content) == (204, b"")
        assert gone.headers["ActivityId"]
        assert [row.effect for row in cloud.calls() if row.operation.startswith("pats.")] == [
            True,
            False,
            False,
            True,
            True,
        ]

    def test_the_body_channel_and_its_switches(self, cloud: Cloud, session: requests.Session) -> None:
        headers = signed_in(session)
        refused = create(session, headers, scope="vso.nonsense")
        assert (refused.status_code, refused.json()) == (200, {"patToken": None, "patTokenError": "invalidScope"})
        cloud.switches.set({"pat_error_status": 400, "error_message_field": True, "body_mark": True})
        refused = create(session, headers, scope="vso.nonsense")
        assert refused.status_code == 400
        assert refused.content.startswith(b"\xef\xbb\xbf")
        assert json.loads(refused.content.decode("utf-8-sig"))["patTokenErrorMessage"]

    def test_not_signed_in_is_a_page_unless_suppressed(self, cloud: Cloud, session: requests.Session) -> None:
        answer = session.get(PATS, params=V71, allow_redirects=False)
        assert (answer.status_code, answer.headers["Content-Type"][:9]) == (302, "text/html")
        assert "_signin?realm=vssps.dev.azure.com" in answer.headers["Location"]
        cloud.switches.sign_in_page = "203"
        assert session.get(PATS, params=V71).status_code == 203
        refused = session.get(PATS, params=V71, headers=SUPPRESS)
        assert refused.status_code == 401
        assert refused.headers["X-VSS-ResourceTenant"]
        assert refused.json()["typeKey"] == "UnauthorizedRequestException"
        assert session.delete(PATS, params=V71).status_code == 401

    def test_versions_bodies_and_organizations(self, session: requests.Session) -> None:
        headers = signed_in(session)
        wrong = session.get(PATS, params={"api-version": "7.1"}, headers=headers)
        assert (wrong.status_code, wrong.json()["typeKey"]) == (400, "VssInvalidPreviewVersionException")
        broken = session.post(PATS, params=V71, headers=headers, data="{")
        assert (broken.status_code, broken.json()["typeKey"]) == (400, "JsonReaderException")
        unknown = session.get(PATS.replace("contoso", "nowhere"), params=V71, headers=headers)
        assert (unknown.status_code, unknown.headers["Content-Type"][:9]) == (404, "text/html")
        gone = session.delete(PATS, params={**V71, "authorizationId": NOBODY}, headers=headers)
        assert (gone.status_code, gone.json()["typeKey"]) == (404, "SessionTokenNotFoundException")
        odd = session.get(PATS, params={**V71, "authorizationId": "seven"}, headers=headers)
        assert odd.status_code == 400

    def test_permissions_of_the_bearer(self, cloud: Cloud, session: requests.Session) -> None:
        cloud.directory.apps[CLIENT].consented = {"vso.pats"}
        headers = signed_in(session)
        assert session.get(PATS, params=V71, headers=headers).status_code == 200
        assert create(session, headers).status_code == 401
        cloud.switches.needs_both_permissions = True
        assert session.get(PATS, params=V71, headers=headers).status_code == 401

    def test_a_pat_is_no_bearer_for_this_api(self, session: requests.Session) -> None:
        value = create(session, signed_in(session)).json()["patToken"]["token"]
        assert session.get(PATS, params=V71, auth=("", value), allow_redirects=False).status_code == 401

    def test_a_pat_proves_itself_at_connection_data(self, cloud: Cloud, session: requests.Session) -> None:
        headers = signed_in(session)
        pat = create(session, headers).json()["patToken"]
        url = "https://dev.azure.com/contoso/_apis/connectionData"
        good = session.get(url, params=V71, auth=("", pat["token"]))
        assert good.status_code == 200
        assert good.json()["authenticatedUser"]["properties"]["Account"]["$value"] == AGENTS
        assert good.json()["instanceId"] == pat["targetAccounts"][0]
        assert session.get(url, params={"api-version": "7.1"}, auth=("", pat["token"])).status_code == 400
        assert session.get(url, auth=("", "x" * 84), headers=SUPPRESS).status_code == 401
        mangled = base64.b64encode(f":{pat['token']}".encode()).decode() + "="
        assert session.get(url, headers={**SUPPRESS, "Authorization": f"Basic {mangled}"}).status_code == 401
        cloud.switches.connection_data_for_narrow_scopes = False
        assert session.get(url, auth=("", pat["token"]), headers=SUPPRESS).status_code == 401

    def test_other_reads_ask_for_a_scope_that_fits(self, cloud: Cloud, session: requests.Session) -> None:
        value = create(session, signed_in(session)).json()["patToken"]["token"]
        base = "https://dev.azure.com/contoso/_apis"
        fits = session.get(f"{base}/git/repositories", auth=("", value))
        assert fits.json() == {"count": 0, "value": []}
        assert session.get(f"{base}/release/releases", auth=("", value), headers=SUPPRESS).status_code == 401
        assert session.get(f"{base}/projects", auth=("", value)).status_code == 200
        cloud.switches.projects_with_code_scope = False
        assert session.get(f"{base}/projects", auth=("", value), headers=SUPPRESS).status_code == 401

    def test_the_date_is_the_clouds(self, clock: ManualClock, session: requests.Session) -> None:
        clock.move(timedelta(days=400))
        answer = session.get(PATS, params=V71, headers=SUPPRESS)
        assert parsedate_to_datetime(answer.headers["Date"]) == clock.now()


class TestFaults:
    @pytest.fixture
    def headers(self, session: requests.Session) -> dict[str, str]:
        return signed_in(session)

    def test_the_nth_call_counted_from_the_script(
        self, cloud: Cloud, session: requests.Session, headers: dict[str, str]
    ) -> None:
        session.get(PATS, params=V71, headers=headers)
        cloud.add_fault("pats.list", "status", call=2, status=500, headers={"Retry-After": "3"})
        answers = [session.get(PATS, params=V71, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 500, 200]
        assert answers[1].headers["Retry-After"] == "3"
        assert cloud.faults.pending() == []

    def test_every_call_and_a_place(self, cloud: Cloud, session: requests.Session, headers: dict[str, str]) -> None:
        cloud.pats.add_organization("fabrikam", members={AGENTS})
        cloud.add_fault("pats.*", "status", call=None, status=418, where="/fabrikam/")
        assert session.get(PATS, params=V71, headers=headers).status_code == 200
        for _ in range(2):
            there = PATS.replace("contoso", "fabrikam")
            assert session.get(there, params=V71, headers=headers).status_code == 418

    def test_cuts_before_and_after_the_effect(
        self, cloud: Cloud, session: requests.Session, headers: dict[str, str]
    ) -> None:
        cloud.add_fault("pats.create", "cut_before_effect")
        with pytest.raises(requests.exceptions.ConnectionError):
            create(session, headers)
        assert cloud.live_pats() == []
        cloud.add_fault("pats.create", "cut_after_effect")
        with pytest.raises(requests.exceptions.ConnectionError):
            create(session, headers)
        assert len(cloud.live_pats()) == 1
        assert [(row.status, row.effect) for row in cloud.calls("pats.create")] == [(0, False), (0, True)]

    def test_a_hang_costs_no_real_time(self, cloud: Cloud, headers: dict[str, str]) -> None:
        waited: list[float] = []
        cloud.add_fault("pats.list", "hang", seconds=3600)
        cloud.add_fault("pats.list", "delay", seconds=2, call=2)
        cloud.add_fault("pats.list", "delay", seconds=60, call=3)
        started = time.monotonic()
        with session_for(cloud, waited.append) as session:
            with pytest.raises(requests.exceptions.ReadTimeout):
                session.get(PATS, params=V71, headers=headers, timeout=(1, 30))
            assert session.get(PATS, params=V71, headers=headers, timeout=30).status_code == 200
            with pytest.raises(requests.exceptions.ReadTimeout):
                session.get(PATS, params=V71, headers=headers, timeout=30)
        assert waited == [30, 2, 30]
        assert time.monotonic() - started < 5

    def test_answers_that_are_not_what_they_say(
        self, cloud: Cloud, session: requests.Session, headers: dict[str, str]
    ) -> None:
        for call, kind in enumerate(("sign_in_page", "redirect", "garbage", "wrong_type", "retry_after_on_200"), 1):
            cloud.add_fault("pats.list", kind, call=call, seconds=7)
        answers = [session.get(PATS, params=V71, headers=headers, allow_redirects=False) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [203, 302, 200, 200, 200]
        with pytest.raises(json.JSONDecodeError):
            json.loads(answers[2].text)
        assert answers[3].headers["Content-Type"] == "text/html"
        assert answers[4].headers["Retry-After"] == "7"

    def test_pat_errors_with_and_without_a_status(
        self, cloud: Cloud, session: requests.Session, headers: dict[str, str]
    ) -> None:
        cloud.add_fault("pats.create", "pat_error", error="accessDenied")
        cloud.add_fault("pats.create", "pat_error", call=2, error="somethingNew", status=403)
        first, second = create(session, headers), create(session, headers)
        assert (first.status_code, first.json()["patTokenError"]) == (200, "accessDenied")
        assert (second.status_code, second.json()["patTokenError"]) == (403, "somethingNew")
        assert cloud.live_pats() == []

    def test_a_vault_write_that_happens_although_it_answers_500(self, secrets: SecretClient, cloud: Cloud) -> None:
        cloud.add_fault("vault.set", "status", status=500, after_effect=True)
        with pytest.raises(HttpResponseError):
            secrets.set_secret("one", "value-1")
        assert cloud.vaults[PATS_VAULT].secret("one").latest.value == "value-1"
        cloud.add_fault("vault.set", "cut_before_effect")
        with pytest.raises(ServiceRequestError):
            secrets.set_secret("two", "value-1")

    def test_unknown_words_are_refused(self, cloud: Cloud) -> None:
        with pytest.raises(ValueError, match="operation"):
            cloud.add_fault("pats.nothing", "cut_before_effect")
        with pytest.raises(ValueError, match="kind"):
            cloud.add_fault("pats.list", "nothing")


class TestHooks:
    def test_a_kill_at_any_call_before_or_after_its_effect(self, cloud: Cloud, session: requests.Session) -> None:
        class Killed(BaseException):
            pass

        headers = signed_in(session)
        victim = cloud.next_number() + 1

        def kill(operation: Operation) -> None:
            if operation.number >= victim:
                raise Killed

        cloud.before_effect = kill
        with pytest.raises(Killed):
            create(session, headers)
        assert cloud.live_pats() == []
        cloud.before_effect, cloud.after_effect = None, kill
        with pytest.raises(Killed):
            create(session, headers)
        assert len(cloud.live_pats()) == 1

    def test_another_run_in_between(self, cloud: Cloud, session: requests.Session) -> None:
        headers = signed_in(session)
        names = iter(["between"])

        def interleave(operation: Operation) -> None:
            name = next(names, None)
            if name is not None:
                create(session, headers, displayName=name)

        cloud.before_effect = interleave
        create(session, headers, displayName="outer")
        assert [pat.display_name for pat in cloud.live_pats()] == ["between", "outer"]

    def test_unknown_hosts_lead_nowhere(self, session: requests.Session) -> None:
        for url in ("https://example.com/", "https://unknown.vault.azure.net/secrets", "http://dev.azure.com/contoso"):
            with pytest.raises(requests.exceptions.ConnectionError):
                session.get(url)


def test_a_call_is_fast(cloud: Cloud, session: requests.Session) -> None:
    headers = signed_in(session)
    started = time.process_time()
    for _ in range(300):
        session.get(PATS, params=V71, headers=headers)
    assert (time.process_time() - started) / 300 < 0.003  # ten times what it takes: a guard, not a measurement
