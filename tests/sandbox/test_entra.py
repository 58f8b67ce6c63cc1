"""What Entra ID grants and refuses beyond the plain sign-in, as its documents and recordings have it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msal
import pytest
import requests
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, CLIENT, PATS_VAULT, TENANT, apply, small_estate
from sandbox.process.in_process import session_for

SECRET = "sandbox-client-secret-demo"
PASSWORD = "sandbox-password-agents"
SCOPE = f"{AZURE_DEVOPS}/.default"
LOGIN = "https://login.microsoftonline.com"
TELLER = "teller@adatum.com"
FEDERATION = {"domain": "adatum.com", "host": "sts.adatum.com", "accounts": {TELLER: "sandbox-password-teller"}}
ESTATE = {
    **small_estate(),
    "users": [*small_estate()["users"], {"upn": TELLER, "password": "sandbox-password-teller"}],
    "federations": [FEDERATION],
}


class World:
    def __init__(self) -> None:
        # Near the real time: msal compares with this machine's clock.
        self.clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
        self.cloud = Cloud(self.clock.now)
        apply(self.cloud, ESTATE)
        self.session = session_for(self.cloud)

    def token(self, tenant: str = TENANT, correlation: str = "", **form: str) -> requests.Response:
        usual = {
            "grant_type": "password",
            "client_id": CLIENT,
            "client_secret": SECRET,
            "username": AGENTS,
            "password": PASSWORD,
            "scope": SCOPE,
        }
        headers = {"client-request-id": correlation} if correlation else {}
        return self.session.post(f"{LOGIN}/{tenant}/oauth2/v2.0/token", data={**usual, **form}, headers=headers)

    def refusal(self, **form: str) -> dict[str, Any]:
        answer = self.token(**form)
        assert answer.status_code in (400, 401)
        value: dict[str, Any] = answer.json()
        return value

    def realm(self, upn: str) -> dict[str, Any]:
        value: dict[str, Any] = self.session.get(f"{LOGIN}/common/userrealm/{upn}?api-version=1.0").json()
        return value

    def app(self, tenant: str = TENANT) -> Any:
        return msal.ConfidentialClientApplication(
            CLIENT, client_credential=SECRET, authority=f"{LOGIN}/{tenant}", http_client=self.session
        )


@pytest.fixture
def world() -> World:
    return World()


# --- what an answer holds --------------------------------------------------------------------------------------------


def test_an_answer_holds_what_was_asked_for_and_no_more(world: World) -> None:
    bare = world.token().json()
    assert bare.keys() == {"token_type", "scope", "expires_in", "ext_expires_in", "access_token"}
    assert bare["expires_in"] == 3599
    more = world.token(scope=f"{SCOPE} offline_access openid profile", client_info="1").json()
    assert more.keys() - bare.keys() == {"refresh_token", "id_token", "client_info"}
    assert "refresh_token" in world.token(scope=f"{SCOPE} offline_access").json()
    world.cloud.switches.user_token_seconds = 5187
    assert world.token().json()["expires_in"] == 5187


def test_the_scope_names_every_granted_one_and_what_was_asked(world: World) -> None:
    named = world.token(scope=f"{SCOPE} openid").json()["scope"]
    assert named == f"{AZURE_DEVOPS}/vso.pats {AZURE_DEVOPS}/vso.pats_manage {SCOPE}"
    assert world.token(scope=f"{AZURE_DEVOPS}/vso.pats").json()["scope"] == f"{AZURE_DEVOPS}/vso.pats"


def test_another_resource_is_granted_where_the_client_may_ask_for_it(world: World) -> None:
    vault = "https://vault.azure.net"
    assert world.refusal(scope=f"{vault}/.default")["error_codes"] == [500011]
    world.cloud.directory.apps[CLIENT].delegated = {vault: {"user_impersonation"}}
    said = world.token(scope=f"{vault}/.default").json()
    assert said["scope"] == f"{vault}/user_impersonation {vault}/.default"
    headers = {"Authorization": f"Bearer {said['access_token']}"}
    assert world.session.get(f"https://{PATS_VAULT}/secrets?api-version=7.6", headers=headers).status_code == 200
    assert world.refusal(scope=f"{vault}/.default {SCOPE}")["error_codes"] == [28000]


def test_a_refusal_repeats_the_ids_of_its_answer_and_of_the_caller(world: World) -> None:
    answer = world.token(password="wrong-one", correlation="c0000000-0000-4000-8000-000000000001")
    said = answer.json()
    assert said["correlation_id"] == answer.headers["client-request-id"] == "c0000000-0000-4000-8000-000000000001"
    assert said["trace_id"] == answer.headers["x-ms-request-id"]
    assert said["trace_id"] in said["error_description"]
    assert said["correlation_id"] in said["error_description"]
    without = world.token(password="wrong-one")
    assert "client-request-id" not in without.headers
    assert without.json()["correlation_id"] != said["correlation_id"]
    assert world.token().headers["x-ms-request-id"] != without.headers["x-ms-request-id"]


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_revoked_grant_is_told_with_both_dates(world: World) -> None:
    refresh = world.token(scope=f"{SCOPE} offline_access").json()["refresh_token"]
    issued = world.clock.now()
    world.clock.move(timedelta(days=1))
    world.cloud.directory.revoke_tokens(AGENTS)
    said = world.refusal(grant_type="refresh_token", refresh_token=refresh)
    assert (said["error"], said["suberror"], said["error_codes"]) == ("invalid_grant", "bad_token", [50173])
    assert f"The grant was issued on '{issued:%Y-%m-%dT%H:%M:%S}.0000000Z'" in said["error_description"]
    assert f"for this user is '{world.clock.now():%Y-%m-%dT%H:%M:%S}.0000000Z'" in said["error_description"]


@pytest.mark.parametrize(("public", "code"), [(False, None), (True, 50173)])
def test_a_new_password_ends_the_refresh_tokens_of_public_clients_alone(
    world: World, public: bool, code: int | None
) -> None:
    app = world.cloud.directory.add_app("33333333-0000-4000-8000-000000000001", *([] if public else [SECRET]))
    app.public = public
    proof = {"client_id": app.client_id, "client_secret": "" if public else SECRET}
    refresh = world.token(scope=f"{SCOPE} offline_access", **proof).json()["refresh_token"]
    world.cloud.directory.set_password(AGENTS, "sandbox-password-new")
    answer = world.token(grant_type="refresh_token", refresh_token=refresh, **proof).json()
    assert answer.get("error_codes") == (None if code is None else [code])


def test_a_refresh_token_is_good_again_and_again_for_90_days_and_for_its_own_client_and_tenant(world: World) -> None:
    kept = world.token(scope=f"{SCOPE} offline_access").json()["refresh_token"]
    again = {"grant_type": "refresh_token", "refresh_token": kept}
    other = world.cloud.directory.add_app("33333333-0000-4000-8000-000000000003", SECRET)
    world.cloud.directory.add_tenant("other.example")
    assert world.refusal(client_id=other.client_id, **again)["error_codes"] == [70000]
    assert world.refusal(tenant="other.example", **again)["error_codes"] == [70000]
    for wait in (timedelta(), timedelta(days=89), timedelta(hours=23)):
        world.clock.move(wait)
        assert world.token(**again).status_code == 200
    world.clock.move(timedelta(hours=1))
    assert world.refusal(**again)["error_codes"] == [700082]


@pytest.mark.parametrize("error", ["invalid_grant", "interaction_required"])
def test_conditional_access_names_its_policy_in_claims(world: World, error: str) -> None:
    world.cloud.switches.conditional_access_error = error
    world.cloud.directory.user(AGENTS).state = UserState.CONDITIONAL_ACCESS
    said = world.refusal()
    assert (said["error"], said["error_codes"]) == (error, [53003])
    assert json.loads(said["claims"])["access_token"]["capolids"]["values"]


def test_an_unknown_user_is_a_bad_token_and_an_unknown_grant_has_its_number(world: World) -> None:
    said = world.refusal(username="nobody@contoso.com")
    assert (said["error_codes"], said["suberror"]) == ([50034], "bad_token")
    said = world.refusal(grant_type="telepathy")
    assert (said["error"], said["error_codes"]) == ("unsupported_grant_type", [70003])
    assert said["error_description"].startswith("AADSTS70003: ")


@pytest.mark.parametrize("code", [50034, 50020])
def test_an_invited_personal_account_has_no_password_here(world: World, code: int) -> None:
    world.cloud.switches.guest_code = code
    world.cloud.directory.user(AGENTS).state = UserState.GUEST
    for password in (PASSWORD, "wrong-one"):
        assert world.refusal(password=password)["error_codes"] == [code]
    assert world.cloud.directory.user(AGENTS).password_attempts == 0


# --- authorities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["common", "organizations"])
def test_an_authority_for_any_tenant_is_described_with_a_placeholder(world: World, name: str) -> None:
    said = world.session.get(f"{LOGIN}/{name}/v2.0/.well-known/openid-configuration").json()
    assert said["issuer"] == f"{LOGIN}/{{tenantid}}/v2.0"
    assert said["token_endpoint"] == f"{LOGIN}/{name}/oauth2/v2.0/token"


def test_an_unknown_tenant_is_told_at_discovery(world: World) -> None:
    answer = world.session.get(f"{LOGIN}/nowhere.example/v2.0/.well-known/openid-configuration")
    assert (answer.status_code, answer.json()["error"], answer.json()["error_codes"]) == (
        400,
        "invalid_tenant",
        [90002],
    )
    assert world.refusal(tenant="nowhere.example")["error"] == "invalid_request"


def test_who_may_sign_in_where(world: World) -> None:
    assert world.token("organizations").status_code == 200
    for name in ("common", "consumers"):
        assert world.refusal(tenant=name)["error_codes"] == [9001023]
    assert world.refusal(tenant="organizations", grant_type="client_credentials")["error_codes"] == [50059]
    refresh = world.token(scope=f"{SCOPE} offline_access").json()["refresh_token"]
    assert world.token("common", grant_type="refresh_token", refresh_token=refresh).status_code == 200


def test_msal_signs_in_at_organizations(world: World) -> None:
    result = world.app("organizations").acquire_token_by_username_password(AGENTS, PASSWORD, [SCOPE])
    assert result["token_type"] == "Bearer"


# --- people at a browser ---------------------------------------------------------------------------------------------

REDIRECT = "https://patrol.contoso.com/api/enrol/callback"


def registered(world: World) -> None:
    world.cloud.directory.apps[CLIENT].redirect_uris = {REDIRECT}


def at_the_page(world: World, flow: dict[str, Any]) -> dict[str, str]:
    """What the browser brings to the redirect URI."""
    answer = world.session.get(flow["auth_uri"], allow_redirects=False)
    if answer.status_code == 302:
        target, _, query = answer.headers["Location"].partition("?")
        assert target == REDIRECT
        return dict(parse_qsl(query))
    assert f'action="{REDIRECT}"' in answer.text
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))


@pytest.mark.parametrize("mode", ["form_post", "query"])
@pytest.mark.parametrize("state", [UserState.NORMAL, UserState.MFA_REQUIRED])
@pytest.mark.filterwarnings("ignore:response_mode='form_post' is recommended")
def test_a_person_signs_in_by_authorization_code_with_pkce(world: World, mode: str, state: UserState) -> None:
    registered(world)
    world.cloud.directory.user(AGENTS).state = state
    app = world.app()
    flow = app.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT, prompt="login", response_mode=mode)
    assert "Sign in" in world.session.get(flow["auth_uri"]).text  # nobody is there yet
    world.cloud.in_person.at_browser = AGENTS
    result = app.acquire_token_by_auth_code_flow(flow, at_the_page(world, flow))
    assert result["id_token_claims"]["preferred_username"] == AGENTS
    again = app.acquire_token_by_refresh_token(result["refresh_token"], [SCOPE])
    assert again["refresh_token"] != result["refresh_token"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code": "1.nothing"}, 70000),
        ({"code_verifier": "another"}, 501481),
        ({"redirect_uri": "https://elsewhere.example"}, 500112),
        ({"client_secret": "wrong-one"}, 7000215),
        ({}, 54005),
    ],
    ids=["unknown", "verifier", "redirect", "client", "twice"],
)
def test_a_code_is_refused_with_its_number(world: World, changes: dict[str, str], code: int) -> None:
    registered(world)
    world.cloud.in_person.at_browser = AGENTS
    flow = world.app().initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT, response_mode="form_post")
    brought = at_the_page(world, flow)
    good = {
        "grant_type": "authorization_code",
        "code": brought["code"],
        "code_verifier": flow["code_verifier"],
        "redirect_uri": REDIRECT,
    }
    if code == 54005:
        assert world.token(**good).status_code == 200
    assert world.refusal(**{**good, **changes})["error_codes"] == [code]


def test_a_code_is_good_for_ten_minutes(world: World) -> None:
    registered(world)
    world.cloud.in_person.at_browser = AGENTS
    flow = world.app().initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT, response_mode="form_post")
    brought = at_the_page(world, flow)
    world.clock.move(timedelta(minutes=10))
    verifier = flow["code_verifier"]
    said = world.refusal(
        grant_type="authorization_code", code=brought["code"], code_verifier=verifier, redirect_uri=REDIRECT
    )
    assert said["error_codes"] == [70008]


def test_a_page_refuses_in_place_and_a_person_who_declines_is_sent_back(world: World) -> None:
    flow = world.app().initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT, response_mode="form_post")
    world.cloud.in_person.at_browser = AGENTS
    assert "AADSTS50011" in world.session.get(flow["auth_uri"]).text
    registered(world)
    world.cloud.directory.user(AGENTS).state = UserState.DISABLED
    assert "AADSTS50057" in world.session.get(flow["auth_uri"]).text
    world.cloud.directory.user(AGENTS).state = UserState.NORMAL
    world.cloud.in_person.declines = True
    brought = at_the_page(world, flow)
    assert (brought["error"], brought["state"]) == ("access_denied", flow["state"])


def a_public_app(world: World) -> Any:
    app = world.cloud.directory.add_app("33333333-0000-4000-8000-000000000002")
    app.public = True
    return msal.PublicClientApplication(app.client_id, authority=f"{LOGIN}/{TENANT}", http_client=world.session)


def test_a_device_code_is_polled_until_somebody_entered_it(world: World) -> None:
    app = a_public_app(world)
    flow = app.initiate_device_flow([SCOPE])
    assert flow["verification_uri"] == "https://microsoft.com/devicelogin"
    assert (flow["expires_in"], flow["interval"]) == (900, 5)
    assert "verification_uri_complete" not in flow
    assert flow["user_code"] in flow["message"]
    once = {"exit_condition": lambda _: True}
    flow["latest_attempt_at"] = 0
    pending = app.acquire_token_by_device_flow(flow, **once)
    assert (pending["error"], pending["error_codes"]) == ("authorization_pending", [70016])
    world.cloud.in_person.enter(flow["user_code"], AGENTS)
    flow["latest_attempt_at"] = 0
    assert app.acquire_token_by_device_flow(flow, **once)["id_token_claims"]["preferred_username"] == AGENTS
    flow["latest_attempt_at"] = 0
    assert app.acquire_token_by_device_flow(flow, **once)["error_codes"] == [70018]


@pytest.mark.parametrize("grant", ["device_code", "urn:ietf:params:oauth:grant-type:device_code"])
def test_both_names_of_the_device_grant_are_taken_and_its_ends_are_told(world: World, grant: str) -> None:
    client = {"client_id": a_public_app(world).client_id, "client_secret": ""}
    url = f"{LOGIN}/organizations/oauth2/v2.0/devicecode"

    def code() -> dict[str, Any]:
        made: dict[str, Any] = world.session.post(url, data={**client, "scope": SCOPE}).json()
        return made

    def poll(made: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = world.token(grant_type=grant, device_code=made["device_code"], **client).json()
        return value

    declined, late, good = code(), code(), code()
    world.cloud.in_person.enter(declined["user_code"].lower(), AGENTS, declines=True)
    assert poll(declined)["error"] == "authorization_declined"
    world.cloud.in_person.enter(good["user_code"], AGENTS)
    assert poll(good)["token_type"] == "Bearer"
    world.clock.move(timedelta(minutes=15))
    assert (poll(late)["error"], poll(late)["error_codes"]) == ("expired_token", [70019])
    with pytest.raises(KeyError):
        world.cloud.in_person.enter("NOTACODE1", AGENTS)


# --- service principals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource",
    ["https://vault.azure.net", "https://management.azure.com", "https://management.core.windows.net/"],
)
def test_a_service_principal_is_granted_a_token_for_azure_s_own_services(world: World, resource: str) -> None:
    answer = world.token(grant_type="client_credentials", scope=f"{resource}/.default").json()
    assert answer.keys() == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert world.cloud.directory.bearer(answer["access_token"], resource.rstrip("/")) is not None


def test_an_app_s_token_for_azure_s_own_services_may_live_for_a_day(world: World) -> None:
    form = {"grant_type": "client_credentials", "scope": "https://vault.azure.net/.default"}
    assert world.token(**form).json()["expires_in"] == 3600
    world.cloud.switches.set({"app_token_seconds": 86_399})
    long = world.token(**form).json()
    assert long["expires_in"] == long["ext_expires_in"] == 86_399
    for seconds, lives in ((86_398, True), (1, False)):
        world.clock.move(timedelta(seconds=seconds))
        bearer = world.cloud.directory.bearer(long["access_token"], "https://vault.azure.net")
        assert (bearer is not None) is lives


def test_azure_identity_signs_a_service_principal_in_to_a_vault(world: World) -> None:
    transport = RequestsTransport(session=world.session, session_owner=False)
    tenant = world.cloud.directory.tenants()[0].guid
    credential = ClientSecretCredential(tenant, CLIENT, SECRET, transport=transport)
    client = SecretClient(f"https://{PATS_VAULT}", credential, transport=transport)
    client.set_secret("one", "value-1")
    assert client.get_secret("one").value == "value-1"


# --- realms ----------------------------------------------------------------------------------------------------------


def test_the_realm_of_a_user_is_managed_federated_or_unknown(world: World) -> None:
    assert world.realm(AGENTS)["account_type"] == "Managed"
    assert world.realm(f"someone@{TENANT}")["account_type"] == "Managed"
    assert world.realm("someone@nowhere.example")["account_type"] == "Unknown"
    said = world.realm(TELLER)
    assert (said["account_type"], said["federation_protocol"]) == ("Federated", "WSTrust")
    assert said["federation_metadata_url"] == "https://sts.adatum.com/adfs/services/trust/mex"
    assert said["federation_active_auth_url"] == "https://sts.adatum.com/adfs/services/trust/2005/usernamemixed"


def test_msal_takes_a_federated_user_s_password_to_the_domain_s_own_server(world: World) -> None:
    """Which is what a test can prove that patrol does not do: `received` and the log are empty then."""
    server = world.cloud.directory.federations["adatum.com"]
    result = world.app().acquire_token_by_username_password(TELLER, "sandbox-password-teller", [SCOPE])
    assert result["token_type"] == "Bearer"
    bearer = world.cloud.directory.bearer(result["access_token"], AZURE_DEVOPS)
    assert bearer is not None
    assert bearer.subject == TELLER
    assert server.received == [TELLER]
    assert [row.operation for row in world.cloud.calls()][-3:] == ["adfs.metadata", "adfs.sign_in", "entra.token"]
    assert world.cloud.estate()["federations"] == [{"domain": "adatum.com", "host": "sts.adatum.com", "received": 1}]
    assert "sandbox-password-teller" in world.cloud.every_secret()


def test_the_domain_s_own_server_answers_a_wrong_password_with_500(world: World) -> None:
    with pytest.raises(RuntimeError, match="FailedAuthentication"):
        world.app().acquire_token_by_username_password(TELLER, "wrong-one", [SCOPE])
    (row,) = world.cloud.calls("adfs.sign_in")
    assert (row.status, row.subject) == (500, TELLER)
    assert world.cloud.calls("entra.token") == []


def test_the_older_endpoint_works_where_the_metadata_cannot_be_had(world: World) -> None:
    world.cloud.add_fault("adfs.metadata", "status", status=404, body="<html>", content_type="text/html", call=None)
    with pytest.raises(Exception, match="404"):
        world.app().acquire_token_by_username_password(TELLER, "sandbox-password-teller", [SCOPE])
    envelope = (
        "<s:Envelope><s:Header><o:UsernameToken><o:Username>teller@adatum.com</o:Username>"
        "<o:Password>sandbox-password-teller</o:Password></o:UsernameToken></s:Header></s:Envelope>"
    )
    answer = world.session.post(world.realm(TELLER)["federation_active_auth_url"], data=envelope)
    assert (answer.status_code, "<saml:Assertion " in answer.text) == (200, True)


@pytest.mark.parametrize(("cloud_passwords", "status"), [(False, 400), (True, 200)])
def test_entra_judges_a_federated_user_s_password_only_where_it_has_it(
    world: World, cloud_passwords: bool, status: int
) -> None:
    world.cloud.directory.federations["adatum.com"].cloud_passwords = cloud_passwords
    answer = world.token(username=TELLER, password="sandbox-password-teller")
    assert answer.status_code == status
    assert answer.json().get("error_codes") == (None if cloud_passwords else [50126])


def test_an_assertion_that_nobody_issued_is_refused(world: World) -> None:
    grant = "urn:ietf:params:oauth:grant-type:saml1_1-bearer"
    assert world.refusal(grant_type=grant, assertion="bm90aGluZw")["error_codes"] == [50013]
