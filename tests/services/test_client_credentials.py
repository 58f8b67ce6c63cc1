"""What the app registration proves itself with: secret, certificate, or patrol's managed identity (msal as it is)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from sandbox.cloud.seed import (
    AGENTS,
    CLIENT,
    CREDENTIALS_VAULT,
    FEDERATED,
    IDENTITY_PRINCIPAL,
    SONAR,
    TENANT_ID,
    change_client,
    demo_estate,
)
from shared.model.errors import Busy, Code, Misconfigured
from shared.model.secret_text import SecretText
from shared.report.report import Outcome, Report
from shared.rules.lock_out import note_name
from shared.services import entra_errors
from shared.services.entra_errors import Concerns
from shared.services.managed_identity import ManagedAssertion, audience, shows
from tests.lab.certificate_texts import a_certificate, a_key, pem, pem_key, pfx
from tests.lab.lab import Lab, days, hours, item, row

SECRET: dict[str, Any] = {"client_secret_name": "patrol-client-secret"}
CERTIFICATE: dict[str, Any] = {"client_certificate_name": "patrol-sign-in"}
FEDERATION: dict[str, Any] = {}
# msal dates a certificate's assertion by the machine's clock.
TODAY = datetime.now(UTC).replace(microsecond=0)


def a_lab(sign_in: dict[str, Any], text: Callable[..., str] = pfx, registered: int = 0, **spans: datetime) -> Lab:
    """Two users; the vault holds key 0's certificate, and the app registration has `registered`'s."""
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item("one-pat")]},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": [item("two-pat")]},
    ]
    lab = Lab(users=users, estate=estate, sign_in=dict(sign_in), start=TODAY)
    spans = {"begins": TODAY - days(1), "ends": TODAY + days(90), **spans}
    held = text(a_key(), a_certificate(a_key(), **spans))
    lab.cloud.vaults[CREDENTIALS_VAULT].seed("patrol-sign-in", held)
    for line in (*held.splitlines(), *pem_key(a_key()).splitlines()[1:-1]):
        lab.cloud.chance.remember(line)
    app = lab.cloud.directory.apps[CLIENT]
    app.trusted.add_certificate(pem(None, a_certificate(a_key(registered), **spans)))
    return lab


def change(lab: Lab, **changes: Any) -> None:
    change_client(lab.cloud, lab.cloud.directory.apps[CLIENT], changes)


def one_message(lab: Lab, code: Code = Code.CLIENT_REFUSED) -> str:
    """What a run says that was ended by the app registration: once for all, and nobody is blocked (rule 12)."""
    report = lab.run()
    assert report.exit_code() == 2
    assert report.misconfigured is not None
    assert len(lab.cloud.calls("entra.token")) <= 1
    assert [one.latest.tags["state"] for one in lab.vault.secrets()] in ([], ["released"])
    assert {one.outcome for one in report.items} == {Outcome.FAILED}
    assert report.misconfigured.code is code
    return f"{report.misconfigured.message} {report.misconfigured.remedy}"


# --- what works -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign_in", "text"),
    [(SECRET, pfx), (CERTIFICATE, pfx), (CERTIFICATE, pem), (FEDERATION, pfx)],
    ids=["secret", "pfx", "pem", "managed identity"],
)
def test_each_credential_signs_users_in(sign_in: dict[str, Any], text: Callable[..., str]) -> None:
    lab = a_lab(sign_in, text)
    assert lab.run().exit_code() == 0
    assert lab.works("one-pat")
    assert lab.works("two-pat")


def test_the_managed_identity_needs_no_secret_of_the_app() -> None:
    lab = a_lab(FEDERATION)
    lab.cloud.directory.apps[CLIENT].secrets.clear()
    lab.cloud.vaults[CREDENTIALS_VAULT].delete("patrol-client-secret")
    assert lab.run().exit_code() == 0


# --- rule 12 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "value", "word"),
    [
        ("issuer", "https://login.microsoftonline.com/another/v2.0", "AADSTS700211"),
        ("subject", "1D000000-0000-4000-8000-000000000002", "AADSTS700213"),
        ("audience", "api://azureadtokenexchange", "AADSTS700212"),
    ],
)
def test_rule_12_a_federated_credential_that_does_not_match_is_one_message_with_what_it_must_hold(
    part: str, value: str, word: str
) -> None:
    lab = a_lab(FEDERATION)
    wrong = [{**FEDERATED, part: value}]
    change(lab, federated=wrong)
    told = one_message(lab)
    assert word in told
    assert "federated credential" in told
    for right in FEDERATED.values():
        assert right in told
    change(lab, federated=[FEDERATED])
    assert lab.run().exit_code() == 0


def test_rule_12_an_assertion_that_came_expired_is_one_message() -> None:
    lab = a_lab(FEDERATION)
    lab.cloud.switches.exchange_token_seconds = -60
    assert "AADSTS700024" in one_message(lab)


def test_rule_12_a_certificate_that_the_app_does_not_know_is_one_message() -> None:
    told = one_message(a_lab(CERTIFICATE, registered=1))
    assert "AADSTS700027" in told
    assert "public part" in told


def test_rule_12_an_expired_certificate_is_one_message_before_anything_is_sent() -> None:
    lab = a_lab(CERTIFICATE, begins=TODAY - days(90), ends=TODAY)
    told = one_message(lab, Code.CLIENT_CERTIFICATE_UNUSABLE)
    assert "The client certificate patrol-sign-in expired" in told
    assert lab.cloud.calls("entra.token") == []


def test_rule_12_a_missing_certificate_is_one_message_before_anything_is_sent() -> None:
    lab = a_lab(CERTIFICATE)
    lab.cloud.vaults[CREDENTIALS_VAULT].delete("patrol-sign-in")
    assert "patrol-sign-in" in one_message(lab, Code.CLIENT_CERTIFICATE_UNUSABLE)
    assert lab.cloud.calls("entra.token") == []


@pytest.mark.parametrize("sign_in", [SECRET, CERTIFICATE, FEDERATION], ids=["secret", "certificate", "identity"])
def test_rule_12_a_public_client_blocks_nobody(sign_in: dict[str, Any]) -> None:
    lab = a_lab(sign_in)
    change(lab, public=True)
    assert "AADSTS700025" in one_message(lab)


def test_rule_12_an_expired_client_secret_is_one_message_that_names_the_way_without_one() -> None:
    lab = a_lab(SECRET)
    change(lab, expired_secrets=["sandbox-client-secret-demo"])
    told = one_message(lab)
    assert "AADSTS7000222" in told
    assert "federated credential" in told


NUMBERS = [700211, 700212, 700213, 7002138, 70021, 700024, 700027, 50012, 50013, 7000222, 7000215, 7000218, 700025]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("error", ["invalid_client", "invalid_request", "unauthorized_client", "invalid_grant"])
def test_rule_12_a_refusal_of_the_app_s_own_proof_concerns_no_user(number: int, error: str) -> None:
    why = entra_errors.refusal(error, [number])
    assert why.concerns is Concerns.CLIENT
    assert why.remedy


def test_rule_12_an_invalid_request_of_an_unknown_number_blocks_nobody() -> None:
    assert entra_errors.refusal("invalid_request", [7009999]).concerns is Concerns.CLIENT


@pytest.mark.parametrize(
    ("before", "after"),
    [(SECRET, CERTIFICATE), (CERTIFICATE, FEDERATION), (FEDERATION, SECRET)],
    ids=["to a certificate", "to the identity", "to a secret"],
)
def test_rule_12_another_kind_of_credential_releases_a_blocked_user(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    lab = a_lab(before)
    lab.cloud.directory.set_password(AGENTS, "changed by a person")
    lab.run()
    lab.later(hours(1))
    assert lab.cloud.directory.user(AGENTS).token_requests == 1
    lab.sign_in = dict(after)
    lab.later(hours(1))
    assert lab.cloud.directory.user(AGENTS).token_requests == 2


def test_rule_12_a_new_version_of_the_certificate_releases_a_blocked_user() -> None:
    lab = a_lab(CERTIFICATE)
    lab.cloud.directory.set_password(AGENTS, "changed by a person")
    lab.run()
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    vault.set_secret("patrol-sign-in", vault.secret("patrol-sign-in").latest.value)
    lab.later(hours(1))
    assert lab.cloud.directory.user(AGENTS).token_requests == 2


def test_promise_6_days_with_a_wrong_password_and_a_managed_identity_make_one_attempt() -> None:
    lab = a_lab(FEDERATION)
    lab.cloud.directory.set_password(AGENTS, "changed by a person")
    for _ in range(48):
        report = lab.later(hours(1))
        assert report.exit_code() == 3
    assert lab.cloud.directory.user(AGENTS).password_attempts == 1
    assert lab.vault.secret(note_name(AGENTS)).latest.tags["client-secret-version"] == "federated-identity"


# --- the identity gives no token --------------------------------------------------------------------------------------


class Identity:
    """A stand-in for azure-identity: counts, and fails as told."""

    def __init__(self, failure: Exception | None = None, token: str = "an-assertion-of-nobody") -> None:
        self.failure, self.token = failure, token
        self.asked: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.asked += scopes
        if self.failure is not None:
            raise self.failure
        return AccessToken(self.token, 0)


def run_with(lab: Lab, identity: Identity) -> Report:
    lab.federated = identity
    return lab.run()


def test_rule_12_without_a_managed_identity_it_is_one_message_with_the_ways_out() -> None:
    lab = a_lab(FEDERATION)
    identity = lab.federated = Identity(ClientAuthenticationError("no managed identity here"))
    told = one_message(lab, Code.IDENTITY_UNAVAILABLE)
    assert "AZURE_CLIENT_ID" in told
    assert "laptop" in told
    assert lab.cloud.calls("entra.token") == []
    assert len(identity.asked) == 1


def test_promise_5_an_endpoint_that_does_not_answer_fails_the_users_and_blocks_nobody() -> None:
    lab = a_lab(FEDERATION)
    report = run_with(lab, Identity(ServiceRequestError("connection refused")))
    assert report.exit_code() == 1
    failures = [row(report, name).error for name in ("one-pat", "two-pat")]
    assert [one.code for one in failures if one is not None] == [Code.SIGN_IN_UNAVAILABLE] * 2
    assert lab.cloud.calls("entra.token") == []
    assert {one.latest.tags["state"] for one in lab.vault.secrets()} <= {"released"}
    lab.federated = None
    assert lab.run().exit_code() == 0


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("login.microsoftonline.com", "api://AzureADTokenExchange"),
        ("login.microsoftonline.us", "api://AzureADTokenExchangeUSGov"),
        ("login.partner.microsoftonline.cn", "api://AzureADTokenExchangeChina"),
        ("login.chinacloudapi.cn", "api://AzureADTokenExchangeChina"),
        ("login.example.com", "api://AzureADTokenExchange"),
    ],
)
def test_each_cloud_has_its_audience(host: str, asked: str) -> None:
    assert audience(host) == asked
    identity = Identity()
    assert ManagedAssertion(lambda: identity, host)() == SecretText("an-assertion-of-nobody")
    assert identity.asked == [f"{asked}/.default"]


def test_variables_that_contradict_each_other_are_misconfigured() -> None:
    def make() -> Identity:
        raise ValueError("workload identity without a client id")

    with pytest.raises(Misconfigured) as caught:
        ManagedAssertion(make, "login.microsoftonline.com")()
    assert caught.value.code is Code.IDENTITY_UNAVAILABLE


def test_an_identity_that_is_not_there_is_looked_for_once_however_many_users_sign_in() -> None:
    identity = Identity(ClientAuthenticationError("no managed identity here"))
    assertion = ManagedAssertion(lambda: identity, "login.microsoftonline.com")
    for _ in range(8):
        with pytest.raises(Misconfigured):
            assertion()
    assert len(identity.asked) == 1


def test_a_busy_endpoint_is_not_a_misconfiguration() -> None:
    with pytest.raises(Busy):
        ManagedAssertion(lambda: Identity(ServiceRequestError("x")), "login.microsoftonline.com")()


# --- what people read -------------------------------------------------------------------------------------------------


def test_promise_8_what_the_identity_shows_can_be_compared() -> None:
    claims = {"iss": FEDERATED["issuer"], "sub": IDENTITY_PRINCIPAL, "aud": FEDERATED["audience"]}
    told = shows(SecretText(jwt.encode(claims, "k" * 32)))
    assert TENANT_ID in told
    assert IDENTITY_PRINCIPAL in told


@pytest.mark.parametrize(
    "text",
    [
        "opaque",
        "a.b.c",
        jwt.encode({"iss": "x"}, "k" * 32),
        jwt.encode({"iss": "x y\n", "sub": "y", "aud": "z"}, "k" * 32),
    ],
    ids=["opaque", "no json", "claims missing", "not printable"],
)
def test_promise_7_what_cannot_be_read_is_not_shown(text: str) -> None:
    assert shows(SecretText(text)) == ""


def test_a_certificate_near_its_expiry_is_told_in_every_run() -> None:
    lab = a_lab(CERTIFICATE, ends=TODAY + days(10))
    for report in (lab.run(), lab.run()):
        told = row(report, "patrol-sign-in")
        assert told.because == "credential-near-expiry"
        assert told.expires_on == TODAY + days(10)
        assert report.exit_code() == 0


def test_a_managed_identity_has_nothing_that_nears_its_expiry() -> None:
    lab = a_lab(FEDERATION)
    credentials = lab.cloud.vaults[CREDENTIALS_VAULT]
    soon = int((lab.clock.now() + timedelta(days=1)).timestamp())
    credentials.update("patrol-client-secret", "", {"attributes": {"exp": soon}})
    assert {one.secret for one in lab.run().items} == {"one-pat", "two-pat"}
