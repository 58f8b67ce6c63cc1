"""The sandbox's side of workload identity, as azure-identity asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import WorkloadIdentityCredential

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.seed import apply, small_estate
from sandbox.process.in_process import session_for

CLIENT = "33333333-0000-4000-8000-000000000001"
ISSUER = "https://oidc.example.com/cluster/"
SUBJECT = "system:serviceaccount:patrol:patrol"
VAULT = "https://vault.azure.net"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def cloud(clock: ManualClock) -> Cloud:
    made = Cloud(clock.now)
    trusted = {"client_id": CLIENT, "issuer": ISSUER, "subject": SUBJECT}
    apply(made, {**small_estate(), "workload_identities": [trusted]})
    return made


@pytest.fixture
def session(cloud: Cloud) -> Iterator[requests.Session]:
    with session_for(cloud) as made:
        yield made


def token(cloud: Cloud, session: requests.Session, file: Path, client: str = CLIENT, resource: str = VAULT) -> str:
    credential = WorkloadIdentityCredential(
        tenant_id=cloud.directory.tenants()[0].guid,
        client_id=client,
        token_file_path=str(file),
        transport=RequestsTransport(session=session, session_owner=False),
    )
    return credential.get_token(f"{resource}/.default").token


def refusal(cloud: Cloud, session: requests.Session, file: Path, client: str = CLIENT, resource: str = VAULT) -> str:
    with pytest.raises(ClientAuthenticationError) as refused:
        token(cloud, session, file, client, resource)
    return str(refused.value)


@pytest.mark.parametrize("resource", [VAULT, "https://storage.azure.com"])
def test_a_service_account_that_is_trusted_gets_a_token_for_one_resource(
    cloud: Cloud, session: requests.Session, tmp_path: Path, resource: str
) -> None:
    file = tmp_path / "token"
    file.write_text(cloud.workloads.project(ISSUER, SUBJECT))
    granted = token(cloud, session, file, resource=resource)
    assert cloud.directory.bearer(granted, resource) is not None
    assert cloud.directory.bearer(granted, "https://graph.microsoft.com") is None
    assert granted in cloud.every_secret()


@pytest.mark.parametrize(
    ("issuer", "subject", "audience", "code"),
    [
        (ISSUER.rstrip("/"), SUBJECT, "api://AzureADTokenExchange", 700211),
        (ISSUER, "system:serviceaccount:patrol:Patrol", "api://AzureADTokenExchange", 700213),
        (ISSUER, SUBJECT, "https://kubernetes.default.svc", 700212),
    ],
    ids=["issuer", "subject", "audience"],
)
def test_what_does_not_fit_to_the_letter_is_refused(
    cloud: Cloud, session: requests.Session, tmp_path: Path, issuer: str, subject: str, audience: str, code: int
) -> None:
    file = tmp_path / "token"
    file.write_text(cloud.workloads.project(issuer, subject, audience))
    assert f"AADSTS{code}:" in refusal(cloud, session, file)


def test_an_unknown_identity_a_forged_token_an_old_one_and_another_resource_are_refused(
    cloud: Cloud, session: requests.Session, clock: ManualClock, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(cloud.workloads.project(ISSUER, SUBJECT))
    assert "AADSTS700016:" in refusal(cloud, session, file, client="44444444-0000-4000-8000-000000000001")
    assert "AADSTS500011:" in refusal(cloud, session, file, resource="https://graph.microsoft.com")
    clock.move(timedelta(hours=1))
    assert "AADSTS700024:" in refusal(cloud, session, file)
    file.write_text(f"{cloud.workloads.project(ISSUER, SUBJECT)}x")
    assert "AADSTS700027:" in refusal(cloud, session, file)
