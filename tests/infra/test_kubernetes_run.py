"""The CronJob's command, exactly as the manifest gives it, on a read-only disk: TLS, proxy, workload identity."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.kustomize import OVERLAY, Manifest, find, render
from sandbox.cloud.seed import AGENTS, ORGANIZATIONS, small_estate
from sandbox.functions_host.azurite import ACCOUNT, BLOB_HOST, Ports, azurite, certificates_of
from sandbox.process.running import Running, start
from tests.lab import container_image
from tests.lab.container_image import Image
from tests.lab.pod import CLIENT_ID, Pod, job_ends
from tests.lab.read_only.sitecustomize import TOLD

ISSUER = "https://oidc.example.com/contoso-cluster/"
# As docs/kubernetes.md has it (tests/test_kubernetes_manifests.py).
SUBJECT = "system:serviceaccount:patrol:patrol"
FEEDS, FEEDS_SECRET = "22222222-3333-4444-5555-666666666666", "sandbox-secret-of-the-feeds"
PUBLISHED = {"agents-linux-pat", "sonarqube-pat"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    made = container_image.build(tmp_path_factory.mktemp("image"))
    yield made
    for path in [made.folder, *made.folder.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)


def settings_of(manifests: list[Manifest]) -> dict[str, str]:
    found: dict[str, str] = find(manifests, "ConfigMap", "patrol-settings")["data"]
    return found


def estate(manifests: list[Manifest]) -> dict[str, Any]:
    """The small one under the overlay's names, with an identity that trusts the cluster's service account."""
    small = small_estate()
    names = [urlsplit(settings_of(manifests)[name]).hostname for name in ("KEY_VAULT_URL", "CREDENTIALS_VAULT_URL")]
    vaults = [{**vault, "host": host} for vault, host in zip(small["vaults"], names, strict=True)]
    vaults[1]["secrets"] = [*vaults[1]["secrets"], {"name": "feeds-client-secret", "value": FEEDS_SECRET}]
    organizations = [{"name": name, "guid": guid, "members": [AGENTS, FEEDS]} for name, guid in ORGANIZATIONS.items()]
    clients = [*small["clients"], {"client_id": FEEDS, "secrets": [FEEDS_SECRET]}]
    client = find(manifests, "ServiceAccount")["metadata"]["annotations"][CLIENT_ID]
    trusted = {"client_id": client, "issuer": ISSUER, "subject": SUBJECT}
    known = {"clients": clients, "organizations": organizations, "workload_identities": [trusted]}
    return {**small, "vaults": vaults, **known}


def behind_the_proxy(manifests: list[Manifest], cloud: Running) -> None:
    """What settings.env says for a proxy that opens TLS: its commented lines, and the ConfigMap of certificates."""
    text = (OVERLAY / "settings.env").read_text(encoding="utf-8")
    offered = dict(re.findall(r"^#([A-Za-z_]+)=(\S+)$", text, re.MULTILINE))
    given = cloud.environment()
    settings_of(manifests).update(
        HTTPS_PROXY=given["HTTPS_PROXY"],
        NO_PROXY=offered["NO_PROXY"],
        REQUESTS_CA_BUNDLE=offered["REQUESTS_CA_BUNDLE"],
    )
    certificates = Path(given["REQUESTS_CA_BUNDLE"]).read_text(encoding="utf-8")
    place = {"name": "patrol-ca", "namespace": "patrol"}
    manifests.append({"kind": "ConfigMap", "metadata": place, "data": {"ca.pem": certificates}})


@dataclass(frozen=True)
class Cluster:
    cloud: Running
    manifests: list[Manifest]
    pod: Pod

    def run(self, name: str = "patrol") -> subprocess.CompletedProcess[str]:
        """One pod of this CronJob, from its start to its end."""
        pod = replace(self.pod, name=name)
        ran = subprocess.run(**pod.process(), capture_output=True, timeout=120, check=False)
        said = ran.stdout + ran.stderr
        assert TOLD not in said, said
        assert not [secret for secret in self.cloud.client.secrets() if len(secret) > 8 and secret in said]
        return ran

    def published(self) -> set[str]:
        """The secrets whose current value works."""
        seen = self.cloud.client.estate(reveal=True)
        alive = {pat["value"] for pat in seen["pats"] if pat["state"] == "active"}
        vault = next(one for one in seen["vaults"] if one["host"] == "contoso-pats.vault.azure.net")
        return {secret["name"] for secret in vault["secrets"] if secret["versions"][-1]["value"] in alive}

    def calls(self, operation: str) -> int:
        return len(self.cloud.client.log(operation))


@contextmanager
def cluster(folder: Path, image: Image, ports: Ports | None = None) -> Iterator[Cluster]:
    manifests = render(OVERLAY)
    with start(estate(manifests), routes=ports.routes if ports else None) as cloud:
        behind_the_proxy(manifests, cloud)
        pod = Pod(manifests, image, folder)
        token = cloud.client.service_account_token(ISSUER, pod.subject)
        pod.federate(token, small_estate()["tenants"][0]["guid"])
        yield Cluster(cloud, manifests, pod)


@pytest.fixture
def here(tmp_path: Path, image: Image) -> Iterator[Cluster]:
    with cluster(tmp_path, image) as made:
        yield made


def test_promise_1_the_cronjob_publishes_with_workload_identity_and_holds_the_next_time(here: Cluster) -> None:
    ran = here.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert here.published() == PUBLISHED
    assert here.calls("identity.token") == 0, "no managed identity endpoint is asked, and no node's"
    minted = here.calls("pats.create")
    again = here.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert here.calls("pats.create") == minted == len(PUBLISHED)


def test_the_second_cronjob_keeps_the_entra_tokens_fresh_and_touches_no_pat(here: Cluster) -> None:
    ran = here.run("patrol-refresh")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Succeeded: 1 replaced." in ran.stdout
    vault = next(one for one in here.cloud.client.estate()["vaults"] if one["host"] == "contoso-pats.vault.azure.net")
    assert [secret["name"] for secret in vault["secrets"]] == ["feeds-token"]
    again = here.run("patrol-refresh")
    assert (again.returncode, "Succeeded: 1 untouched." in again.stdout) == (0, True), again.stdout + again.stderr


@pytest.mark.exhaustive
def test_exit_code_1_is_tried_once_more(here: Cluster) -> None:
    here.cloud.client.rename_organization("fabrikam", "fabrikam-new")
    ran = here.run()
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert here.published() == {"agents-linux-pat"}
    assert job_ends(here.manifests, ran.returncode) == "Count"
    assert find(here.manifests, "CronJob", "patrol")["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 1


def without_webhook(here: Cluster) -> None:
    here.pod.identity.clear()


def of_another_account(here: Cluster) -> None:
    token = here.cloud.client.service_account_token(ISSUER, "system:serviceaccount:patrol:default")
    here.pod.federate(token, here.pod.identity["AZURE_TENANT_ID"])


def of_another_cluster(here: Cluster) -> None:
    token = here.cloud.client.service_account_token("https://oidc.example.com/other/", SUBJECT)
    here.pod.federate(token, here.pod.identity["AZURE_TENANT_ID"])


def without_a_vault(here: Cluster) -> None:
    del settings_of(here.manifests)["KEY_VAULT_URL"]


def with_a_broken_file(here: Cluster) -> None:
    find(here.manifests, "ConfigMap", "patrol-pats")["data"]["pats.yaml"] = "sign_in: ["


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        pytest.param(without_webhook, "on Kubernetes, a workload identity", marks=pytest.mark.exhaustive),
        pytest.param(of_another_account, "(AADSTS700213)", marks=pytest.mark.exhaustive),
        pytest.param(of_another_cluster, "(AADSTS700211)", marks=pytest.mark.exhaustive),
        (without_a_vault, "KEY_VAULT_URL is missing"),
        pytest.param(with_a_broken_file, "pats.yaml is not readable (line 1)", marks=pytest.mark.exhaustive),
    ],
)
def test_promise_8_exit_code_2_says_what_to_do_and_is_not_tried_again(here: Cluster, break_it: Any, says: str) -> None:
    break_it(here)
    ran = here.run()
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert says in " ".join((ran.stdout + ran.stderr).split())
    assert (here.published(), here.calls("pats.create")) == (set(), 0)
    assert job_ends(here.manifests, ran.returncode) == "FailJob"


@pytest.mark.exhaustive
def test_rule_12_exit_code_3_is_not_tried_again(here: Cluster) -> None:
    here.cloud.client.change_user(AGENTS, state="mfa_required")
    ran = here.run()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert job_ends(here.manifests, ran.returncode) == "FailJob"
    attempts = next(user for user in here.cloud.client.estate()["users"] if user["upn"] == AGENTS)
    assert here.run().returncode == 3
    assert attempts == next(user for user in here.cloud.client.estate()["users"] if user["upn"] == AGENTS)


@pytest.mark.exhaustive
def test_promise_3_a_pod_whose_node_goes_away_ends_within_its_grace_and_is_started_again(here: Cluster) -> None:
    here.cloud.client.add_fault("vault.set", "hang", seconds=60)
    with subprocess.Popen(**here.pod.process(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        give_up = time.monotonic() + 60
        while here.cloud.client.pending_faults() and time.monotonic() < give_up:
            time.sleep(0.05)
        time.sleep(1)  # Python sees a signal that comes right before it blocks in the read only when that ends
        asked = time.monotonic()
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 143, errors
    assert time.monotonic() - asked < here.pod.template["spec"]["terminationGracePeriodSeconds"]
    assert job_ends(here.manifests, child.returncode, disrupted=True) == "Ignore"
    assert job_ends(here.manifests, child.returncode) == "Count"
    here.cloud.client.clear_faults()
    assert here.run().returncode == 0
    assert here.published() == PUBLISHED


def test_a_storage_account_gives_leases_to_the_same_identity(npm: None, tmp_path: Path, image: Image) -> None:
    text = (OVERLAY / "settings.env").read_text(encoding="utf-8")
    (name,) = re.findall(r"^#(AzureWebJobsStorage\w+)=", text, re.MULTILINE)
    ports = Ports.free()
    with cluster(tmp_path, image, ports) as here, azurite(ports, certificates_of(here.cloud.environment())):
        settings_of(here.manifests)[name] = ACCOUNT
        ran = here.run()
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "lease." not in ran.stderr, ran.stderr
        assert here.cloud.client.load()["connections"][BLOB_HOST] > 0
        assert here.published() == PUBLISHED
