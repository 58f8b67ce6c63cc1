"""Each credential of the app registration from end to end: processes, TLS, msal and azure-identity as they are."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from sandbox.cloud.seed import CLIENT, CREDENTIALS_VAULT, FEDERATED, TENANT, demo_estate, demo_pats_yaml
from sandbox.process.running import Running, start
from tests.lab.certificate_texts import a_certificate, a_key, pem, pem_key, pfx

TODAY = datetime.now(UTC).replace(microsecond=0)
EXCHANGE = "api://AzureADTokenExchange"
KINDS = {
    "secret": "client_secret_name: patrol-client-secret",
    "certificate": "client_certificate_name: patrol-sign-in",
    "managed identity": "",
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Running]:
    with start(demo_estate()) as running:
        held = {"name": "patrol-sign-in", "value": pfx(a_key(), certificate())}
        running.client.seed({"vaults": [{"host": CREDENTIALS_VAULT, "secrets": [held]}]})
        yield running


def certificate() -> x509.Certificate:
    return a_certificate(a_key(), begins=TODAY - timedelta(days=1), ends=TODAY + timedelta(days=90))


@pytest.fixture(autouse=True)
def as_it_was(cloud: Running) -> None:
    cloud.client.clear_faults()
    cloud.client.clear_log()
    registered = [pem(None, certificate())]
    cloud.client.change_client(
        CLIENT, federated=[FEDERATED], secrets=["sandbox-client-secret-demo"], certificates=registered
    )


def shared(cloud: Running, folder: Path, kind: str, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """`patrol COMMAND`; nothing that it prints is a secret (promise 7)."""
    text = demo_pats_yaml()
    sign_in = f"sign_in:\n  tenant: {TENANT}\n"
    assert text.startswith(sign_in)
    line = f"  {KINDS[kind]}\n" if KINDS[kind] else ""
    (folder / "pats.yaml").write_text(text.replace(sign_in, sign_in + line), encoding="utf-8")
    environment = {"PATS_FILE": str(folder / "pats.yaml"), **extra}
    ran = cloud.run_product(["-m", "shared", *command], extra=environment)
    words = set(re.findall(r"[A-Za-z0-9_~+/=.\-]{9,}", ran.stdout + ran.stderr))
    assert not words & ({*cloud.client.secrets(), *pem_key(a_key()).splitlines()} - {"see the tags"})
    return ran


@pytest.mark.parametrize("kind", KINDS)
def test_promise_7_each_credential_signs_in_over_tls_and_nothing_of_it_is_printed(
    cloud: Running, tmp_path: Path, kind: str
) -> None:
    ran = shared(cloud, tmp_path, kind, "check", "--online")
    assert ran.returncode == 0, ran.stderr
    assert len([row for row in cloud.client.log("entra.token") if row["status"] == 200]) == 2
    asked = [row["subject"] for row in cloud.client.log("identity.token")]
    assert asked.count(EXCHANGE) == (1 if kind == "managed identity" else 0)


def test_users_side_by_side_share_one_token_of_the_managed_identity(cloud: Running, tmp_path: Path) -> None:
    ran = shared(cloud, tmp_path, "managed identity", "run", PARALLEL_USERS="2")
    assert ran.returncode == 0, ran.stderr
    assert [row["subject"] for row in cloud.client.log("identity.token")].count(EXCHANGE) == 1


@pytest.mark.parametrize(
    ("kind", "changes", "word"),
    [
        ("secret", {"secrets": []}, "AADSTS7000215"),
        ("certificate", {"certificates": []}, "AADSTS700027"),
        ("managed identity", {"federated": [{**FEDERATED, "subject": "another"}]}, "AADSTS700213"),
        ("managed identity", {"federated": [{**FEDERATED, "issuer": "another"}]}, "AADSTS700211"),
        ("managed identity", {"federated": [{**FEDERATED, "audience": "another"}]}, "AADSTS700212"),
    ],
    ids=["secret", "certificate", "subject", "issuer", "audience"],
)
def test_rule_12_a_refused_proof_of_the_app_is_one_message_and_blocks_nobody(
    cloud: Running, tmp_path: Path, kind: str, changes: dict[str, Any], word: str
) -> None:
    cloud.client.change_client(CLIENT, **changes)
    ran = shared(cloud, tmp_path, kind, "run", "--json")
    assert ran.returncode == 2
    assert word in json.dumps(json.loads(ran.stdout))
    assert len(cloud.client.log("entra.token")) <= 2
    secrets = [secret for vault in cloud.client.estate()["vaults"] for secret in vault["secrets"]]
    notes = [secret for secret in secrets if secret["name"].startswith("patrol-blocked-")]
    assert "blocked" not in {note["versions"][-1]["tags"]["state"] for note in notes}


def test_rule_12_a_managed_identity_that_is_not_there_is_one_message(cloud: Running, tmp_path: Path) -> None:
    answer = json.dumps({"statusCode": 400, "message": "There is no such managed identity."})
    cloud.client.add_fault("identity.token", "status", call=None, where=EXCHANGE, status=400, body=answer)
    ran = shared(cloud, tmp_path, "managed identity", "run")
    assert ran.returncode == 2
    assert "neither client_secret_name nor client_certificate_name" in ran.stderr + ran.stdout
    assert cloud.client.log("entra.token") == []
