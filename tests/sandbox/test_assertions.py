"""The sandbox judges client assertions as Entra ID does: each wrong part has its number."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra_refusals import EntraRefused
from sandbox.cloud.seed import (
    AGENTS,
    CLIENT,
    FEDERATED,
    IDENTITY_PRINCIPAL,
    TENANT,
    TENANT_ID,
    apply,
    change_client,
    small_estate,
)
from tests.lab.certificate_texts import a_certificate, a_key, pem

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "sandbox-password-agents"
SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"
ENDPOINT = f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def cloud(clock: ManualClock) -> Cloud:
    made = Cloud(clock.now)
    apply(made, small_estate())
    change_client(made, made.directory.apps[CLIENT], {"certificates": [pem(None, a_certificate(a_key()))]})
    return made


def answer(cloud: Cloud, assertion: str) -> int:
    """The number that refuses the sign-in; 0 where it works."""
    try:
        cloud.directory.sign_in(TENANT, CLIENT, None, AGENTS, PASSWORD, SCOPE, assertion=assertion)
    except EntraRefused as refused:
        return refused.code if (refused.status, refused.error) == (401, "invalid_client") else -refused.code
    return 0


def of_identity(cloud: Cloud, audience: str = FEDERATED["audience"], subject: str = IDENTITY_PRINCIPAL) -> str:
    return cloud.directory.application_token(audience, subject)[0]


def signed(key: int = 0, head: Mapping[str, Any] | None = None, algorithm: str = "PS256", **claims: Any) -> str:
    thumbprint = a_certificate(a_key()).fingerprint(hashes.SHA256())
    named = {"x5t#S256": base64.urlsafe_b64encode(thumbprint).decode(), **(head or {})}
    ends = (NOW + timedelta(minutes=10)).timestamp()
    told = {"iss": CLIENT, "sub": CLIENT, "aud": ENDPOINT, "jti": "once", "exp": ends, **claims}
    told = {name: value for name, value in told.items() if value is not None}
    return jwt.encode(told, a_key(key), algorithm, headers=named)


def test_the_identity_s_token_and_a_registered_certificate_prove_the_app(cloud: Cloud) -> None:
    assert answer(cloud, of_identity(cloud)) == 0
    assert answer(cloud, signed()) == 0
    assert answer(cloud, signed(aud=f"https://login.microsoftonline.com/{TENANT_ID}/v2.0")) == 0


def test_the_identity_s_token_shows_who_it_is(cloud: Cloud) -> None:
    claims = jwt.decode(of_identity(cloud), options={"verify_signature": False})
    assert {"iss": claims["iss"], "sub": claims["sub"], "aud": claims["aud"]} == {
        "iss": FEDERATED["issuer"],
        "sub": FEDERATED["subject"],
        "aud": FEDERATED["audience"],
    }


@pytest.mark.parametrize(
    ("part", "value", "code"),
    [
        ("issuer", f"{FEDERATED['issuer']}/", 700211),
        ("subject", FEDERATED["subject"].upper(), 700213),
        ("audience", FEDERATED["audience"].lower(), 700212),
    ],
)
def test_a_federated_credential_is_compared_letter_by_letter(cloud: Cloud, part: str, value: str, code: int) -> None:
    change_client(cloud, cloud.directory.apps[CLIENT], {"federated": [{**FEDERATED, part: value}]})
    assert answer(cloud, of_identity(cloud)) == code


def test_one_of_several_federated_credentials_is_enough(cloud: Cloud) -> None:
    others = [{**FEDERATED, "subject": "someone"}, {**FEDERATED, "audience": "something"}]
    change_client(cloud, cloud.directory.apps[CLIENT], {"federated": [*others, FEDERATED]})
    assert answer(cloud, of_identity(cloud)) == 0


def test_another_identity_and_another_audience_are_refused(cloud: Cloud) -> None:
    assert answer(cloud, of_identity(cloud, subject="another")) == 700213
    assert answer(cloud, of_identity(cloud, audience="api://AzureADTokenExchangeUSGov")) == 700212


def test_an_identity_s_token_ends_after_an_hour_or_comes_expired(cloud: Cloud, clock: ManualClock) -> None:
    token = of_identity(cloud)
    clock.move(timedelta(hours=1))
    assert answer(cloud, token) == 700024
    cloud.switches.exchange_token_seconds = -1
    assert answer(cloud, of_identity(cloud)) == 700024


def test_a_token_that_nobody_signed_proves_nothing(cloud: Cloud) -> None:
    claims = jwt.decode(of_identity(cloud), options={"verify_signature": False})
    assert answer(cloud, jwt.encode(claims, a_key(), "RS256")) == 50013
    assert answer(cloud, "a.b.c") == 50027


@pytest.mark.parametrize(
    ("assertion", "code"),
    [
        (lambda: signed(head={"x5t#S256": "another"}), 700027),
        (lambda: signed(key=1), 700027),
        (lambda: signed(algorithm="RS256"), 700027),
        (lambda: signed(sub="another"), 700021),
        (lambda: signed(iss="another"), 700021),
        (lambda: signed(aud="https://login.microsoftonline.com/another/oauth2/v2.0/token"), 700023),
        (lambda: signed(exp=NOW.timestamp()), 700024),
        (lambda: signed(jti=None), 50027),
        (lambda: signed(aud=None), 50027),
    ],
    ids=["thumbprint", "key", "algorithm", "subject", "issuer", "audience", "expired", "no id", "no audience"],
)
def test_each_wrong_part_of_a_signed_assertion_has_its_number(cloud: Cloud, assertion: Any, code: int) -> None:
    assert answer(cloud, assertion()) == code


def test_an_expired_certificate_proves_nothing(cloud: Cloud, clock: ManualClock) -> None:
    clock.move(timedelta(days=90))
    assert answer(cloud, signed(exp=(NOW + timedelta(days=100)).timestamp())) == 700027


def test_a_public_client_and_an_expired_secret_have_their_numbers(cloud: Cloud) -> None:
    app = cloud.directory.apps[CLIENT]
    change_client(cloud, app, {"expired_secrets": ["sandbox-client-secret-demo"]})
    with pytest.raises(EntraRefused, match="AADSTS7000222"):
        cloud.directory.sign_in(TENANT, CLIENT, "sandbox-client-secret-demo", AGENTS, PASSWORD, SCOPE)
    change_client(cloud, app, {"public": True})
    assert answer(cloud, of_identity(cloud)) == 700025


def test_every_assertion_is_remembered_for_leak_searches(cloud: Cloud) -> None:
    ours, theirs = of_identity(cloud), signed()
    answer(cloud, theirs)
    assert {ours, theirs} <= cloud.every_secret()
