"""deploy/kubernetes: valid, restricted, and in step with what patrol promises."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml
from croniter import croniter

from infra.kustomize import FOLDERS, KUBERNETES, OVERLAY, Manifest, find, merge, render
from sandbox.cloud.assertions import AUDIENCE
from sandbox.process.running import ROOT
from shared import settings
from shared.inventory import pats_yaml
from shared.model import durations
from shared.model.clock import GRACE
from shared.services import accounts, pat_api
from tests.infra.test_infra_resources import SECRETS_OFFICER, SECRETS_USER
from tests.lab.container_image import one, stages
from tests.lab.inventory_texts import EXAMPLE, own_names
from tests.lab.kubernetes_shapes import OBJECT, SHAPES
from tests.lab.pod import job_ends

EXTERNAL, CSI, RESTART = FOLDERS[1:]
# The oldest whose podFailurePolicy is stable, and the newest that the schemas know.
VERSIONS = ("1.31", "1.37")
EVERYTHING = [(folder, manifest) for folder in FOLDERS for manifest in render(folder)]
SECRET = "agents-linux-pat"
PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
PULLED_WITHIN = timedelta(minutes=10)
# From a Secret to the files of a running pod: the kubelet looks once a minute, and its cache is as old again.
KUBELET = timedelta(minutes=2)


def name(value: Any) -> str:
    return value.name if isinstance(value, Path) else f"{value['kind']}-{value['metadata']['name']}"


def problems(manifest: Manifest, version: str) -> list[str]:
    """What is wrong with one manifest. A kind without a schema has to have a shape of ours: none passes unseen."""
    if manifest["kind"] in SHAPES:
        validator = jsonschema.Draft202012Validator(SHAPES[manifest["kind"]])
        return [error.message for error in validator.iter_errors(manifest)]
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as wrong:
        return [str(wrong.message)]
    except kubernetes_validate.SchemaNotFoundError as unknown:
        return [unknown.message]
    return []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("folder", "manifest"), EVERYTHING, ids=name)
def test_every_manifest_is_valid(folder: Path, manifest: Manifest, version: str) -> None:
    assert problems(manifest, version) == []


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("CronJob", {"spec": {"concurrencyPolicy": 1}}),
        ("CronJob", {"spec": {"concurencyPolicy": "Forbid"}}),
        ("ExternalSecret", {"spec": {"refreshInterval": "often"}}),
        ("SecretStore", {"spec": {"provider": {"azurekv": {"authSecretRef": {}}}}}),
        ("SecretProviderClass", {"spec": {"parameters": {"usePodIdentity": False}}}),
    ],
    ids=["a wrong type", "an unknown field", "a wrong duration", "a secret to sign in with", "a flag that is no text"],
)
def test_what_is_not_valid_is_found(kind: str, change: Manifest) -> None:
    manifest = next(manifest for folder in FOLDERS for manifest in render(folder) if manifest["kind"] == kind)
    merge(manifest, change)
    assert len(problems(manifest, VERSIONS[-1])) == 1


def test_a_kind_that_nothing_knows_is_found() -> None:
    assert problems({"apiVersion": "example.com/v1", "kind": "Unheard", "metadata": {"name": "x"}}, VERSIONS[0]) != []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl, which carries kustomize")
@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_kustomize_renders_the_same(folder: Path) -> None:
    ran = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(yaml.safe_load_all(ran.stdout), key=name) == sorted(render(folder), key=name)


def pods() -> Iterator[tuple[str, Manifest, Manifest]]:
    """Each pod template with its folder and namespace."""
    for folder in FOLDERS:
        made = render(folder)
        for manifest in made:
            spec = manifest.get("spec", {})
            spec = spec.get("jobTemplate", {"spec": spec})["spec"]
            if "template" in spec:
                yield folder.name, spec["template"]["spec"], find(made, "Namespace", manifest["metadata"]["namespace"])


@pytest.mark.parametrize(
    ("folder", "pod", "namespace"), [*pods()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_pod_is_one_of_the_restricted_profile(folder: str, pod: Manifest, namespace: Manifest) -> None:
    """Source: Kubernetes, Pod Security Standards, "Restricted"."""
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 10000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & set(pod)
    assert {kind for volume in pod["volumes"] for kind in volume} <= {
        *("name", "configMap", "secret", "csi", "emptyDir", "projected")
    }
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
        assert set(container["resources"]) == {"requests", "limits"}
        assert not any("valueFrom" in variable for variable in container.get("env", [])), "no secret is a variable"


# patrol's own side


@pytest.fixture
def cron_job() -> Manifest:
    found: Manifest = find(render(OVERLAY), "CronJob", "patrol")["spec"]
    return found


def test_patrol_s_side_has_no_secret_and_a_disk_that_nothing_can_be_written_to(cron_job: Manifest) -> None:
    assert [manifest["kind"] for manifest in render(OVERLAY) if manifest["kind"] == "Secret"] == []
    pod = cron_job["jobTemplate"]["spec"]["template"]["spec"]
    assert "secret" not in {kind for volume in pod["volumes"] for kind in volume}
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert re.fullmatch(r"[a-z0-9.]+/patrol@sha256:[0-9a-f]{64}", container["image"])


def test_it_runs_as_the_user_of_the_image(cron_job: Manifest) -> None:
    context = cron_job["jobTemplate"]["spec"]["template"]["spec"]["securityContext"]
    assert one(stages()[-1], "USER").text == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_one_run_at_a_time_and_each_has_the_time_it_needs(cron_job: Manifest) -> None:
    assert cron_job["concurrencyPolicy"] == "Forbid"
    job = cron_job["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    known = {variable["name"]: variable["value"] for variable in container["env"]}
    given = find(render(OVERLAY), "ConfigMap", "patrol-settings")["data"]
    read = settings.read({**given, **known}, Path("/patrol"))
    attempts = job["backoffLimit"] + 1
    deadline = timedelta(seconds=job["activeDeadlineSeconds"])
    assert attempts * (read.run_budget + GRACE) + PULLED_WITHIN <= deadline
    starts = croniter(cron_job["schedule"], datetime(2026, 1, 1, tzinfo=UTC))
    first, second = (starts.get_next(datetime) for _ in range(2))
    assert deadline < second - first
    assert timedelta(seconds=cron_job["startingDeadlineSeconds"]) + deadline < second - first
    assert read.storage is None, "leases are the owner's choice"


def test_the_second_cronjob_refreshes_tokens_and_is_over_before_its_next_start(cron_job: Manifest) -> None:
    """As the Functions host's second timer; whatever is not what it does is as in the first one."""
    refresh = find(render(OVERLAY), "CronJob", "patrol-refresh")["spec"]
    first, job = cron_job["jobTemplate"]["spec"], refresh["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    known = {variable["name"]: variable["value"] for variable in container["env"]}
    budget = durations.parse(known["RUN_BUDGET"])
    deadline = timedelta(seconds=job["activeDeadlineSeconds"])
    assert container["args"] == ["refresh"]
    assert (refresh["concurrencyPolicy"], job["backoffLimit"]) == ("Forbid", 0)
    assert budget + GRACE < deadline
    starts = croniter(refresh["schedule"], datetime(2026, 1, 1, tzinfo=UTC))
    one, two = (starts.get_next(datetime) for _ in range(2))
    assert timedelta(seconds=refresh["startingDeadlineSeconds"]) + deadline < two - one
    host = (ROOT / "function_app.py").read_text(encoding="utf-8")
    assert f'schedule="0 {refresh["schedule"]}"' in host, "as the function app's"
    same = [first["template"], job["template"]]
    for template in same:
        (only,) = template["spec"]["containers"]
        only.pop("args")
        only["env"] = [variable for variable in only["env"] if variable["name"] != "RUN_BUDGET"]
    assert same[0] == same[1]


def test_its_pats_yaml_is_in_order_and_its_settings_are_known() -> None:
    text = find(render(OVERLAY), "ConfigMap", "patrol-pats")["data"]["pats.yaml"]
    assert pats_yaml.check(text) == ()
    schema = re.search(r"\$schema=(\S+)", text)
    assert schema is not None
    assert (OVERLAY / schema[1]).resolve() == ROOT / "pats.schema.json"
    known = {setting.name for setting in settings.SETTINGS}
    offered = set(re.findall(r"^#?([A-Za-z_]+)=", (OVERLAY / "settings.env").read_text(encoding="utf-8"), re.MULTILINE))
    standard = {"HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "AzureWebJobsStorage__accountName"}
    assert offered <= known | standard


def test_only_names_and_tls_leave_the_pod() -> None:
    made = render(OVERLAY)
    policy = find(made, "NetworkPolicy")["spec"]
    for job in (manifest for manifest in made if manifest["kind"] == "CronJob"):
        labels = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policy
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 443}


# the consumers' side


def seconds(text: str) -> timedelta:
    """A duration of Go, of whole hours, minutes and seconds."""
    units = {"h": "hours", "m": "minutes", "s": "seconds"}
    return timedelta(**{units[unit]: int(number) for number, unit in re.findall(r"(\d+)([hms])", text)})


def intervals() -> dict[str, timedelta]:
    """How often each side reads the vault: by manifest, by Helm value, and by the command for AKS on the page."""
    external = find(render(EXTERNAL), "ExternalSecret")["spec"]
    assert external["refreshPolicy"] == "Periodic"
    driver = yaml.safe_load((CSI / "driver-values.yaml").read_text(encoding="utf-8"))["secrets-store-csi-driver"]
    assert driver["enableSecretRotation"] is True
    (command,) = re.findall(r"--enable-secret-rotation --rotation-poll-interval (\w+)", PAGE)
    return {
        "external-secrets": seconds(external["refreshInterval"]),
        "driver": seconds(driver["rotationPollInterval"]),
        "add-on": seconds(command),
    }


def late(interval: timedelta) -> timedelta:
    """The longest that a pod's file is behind the vault, though two reads in a row failed."""
    return 3 * interval + KUBELET


def overlaps() -> dict[str, timedelta]:
    """Of the secret that the manifests read, in every pats.yaml that the repository shows."""
    found = {}
    texts = {"example": own_names(EXAMPLE), "overlay": (OVERLAY / "pats.yaml").read_text(encoding="utf-8")}
    for name, text in texts.items():
        (item,) = [one for one in pats_yaml.load(text).items() if one.secret == SECRET]
        found[name] = item.overlap
    return found


@pytest.mark.parametrize("side", ["external-secrets", "driver", "add-on"])
def test_promise_1_a_consumer_reads_again_well_within_the_overlap(side: str) -> None:
    interval = intervals()[side]
    assert timedelta(minutes=1) <= interval
    assert all(late(interval) < overlap for overlap in overlaps().values())
    (told,) = re.findall(r"overlap of (\d+m) or more", PAGE)
    assert late(interval) <= durations.parse(told)


def test_both_ways_bring_the_secret_to_the_same_agent() -> None:
    agents = {folder: find(render(folder), "Deployment")["spec"]["template"]["spec"] for folder in (EXTERNAL, CSI)}
    for pod in agents.values():
        (container,) = pod["containers"]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        (mount,) = container["volumeMounts"]
        assert variables["AZP_TOKEN_FILE"] == f"{mount['mountPath']}/{SECRET}"
        assert "subPath" not in mount, "the file would never change"
        assert "AZP_TOKEN" not in variables
    differing = {"volumes", "serviceAccountName"}
    first, second = ({key: pod[key] for key in pod if key not in differing} for pod in agents.values())
    assert first == second


def test_external_secrets_writes_the_file_that_the_agent_reads() -> None:
    made = render(EXTERNAL)
    wanted = find(made, "ExternalSecret")["spec"]
    assert (
        [row["secretKey"] for row in wanted["data"]] == [row["remoteRef"]["key"] for row in wanted["data"]] == [SECRET]
    )
    (volume,) = find(made, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert volume["secret"]["secretName"] == wanted["target"]["name"]
    store = find(made, "SecretStore", wanted["secretStoreRef"]["name"])["spec"]["provider"]["azurekv"]
    account = find(made, "ServiceAccount", store["serviceAccountRef"]["name"])
    assert {"azure.workload.identity/client-id", "azure.workload.identity/tenant-id"} == set(
        account["metadata"]["annotations"]
    )
    assert store["vaultUrl"] == find(render(OVERLAY), "ConfigMap", "patrol-settings")["data"]["KEY_VAULT_URL"]


def test_the_driver_mounts_the_file_that_the_agent_reads() -> None:
    made = render(CSI)
    wanted = find(made, "SecretProviderClass")
    objects = yaml.safe_load(wanted["spec"]["parameters"]["objects"])["array"]
    entries = [yaml.safe_load(text) for text in objects]
    for entry in entries:
        jsonschema.validate(entry, OBJECT)
    assert [entry["objectName"] for entry in entries] == [SECRET]
    pod = find(made, "Deployment")["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    assert volume["csi"]["driver"] == "secrets-store.csi.k8s.io"
    assert volume["csi"]["volumeAttributes"] == {"secretProviderClass": wanted["metadata"]["name"]}
    find(made, "ServiceAccount", pod["serviceAccountName"])
    vault = find(render(OVERLAY), "ConfigMap", "patrol-settings")["data"]["KEY_VAULT_URL"]
    assert vault == f"https://{wanted['spec']['parameters']['keyvaultName']}.vault.azure.net"


def test_what_restarts_a_deployment_may_change_that_one_and_nothing_else() -> None:
    made = render(RESTART)
    (rule,) = find(made, "Role")["rules"]
    pod = find(made, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    known = {variable["name"]: variable["value"] for variable in container["env"]}
    restarted = [name for names in json.loads(known["RESTARTS"]).values() for name in names]
    assert rule == {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "resourceNames": restarted,
        "verbs": ["patch"],
    }
    (subject,) = find(made, "RoleBinding")["subjects"]
    assert subject["name"] == pod["serviceAccountName"] == find(made, "ServiceAccount")["metadata"]["name"]
    assert {one["metadata"].get("namespace", known["NAMESPACE"]) for one in made} == {known["NAMESPACE"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    port = find(made, "Service")["spec"]["ports"][0]["targetPort"]
    assert port in [one["name"] for one in container["ports"]]
    (host,) = find(made, "Ingress")["spec"]["rules"]
    assert find(made, "Ingress")["spec"]["tls"][0]["hosts"] == [host["host"]], "TLS alone"
    assert "receiver.py" in find(made, "ConfigMap")["data"]


# docs/kubernetes.md


def test_the_page_trusts_the_service_accounts_of_the_manifests() -> None:
    accounts = [
        manifest["metadata"]
        for _, manifest in EVERYTHING
        if manifest["kind"] == "ServiceAccount" and "annotations" in manifest["metadata"]
    ]
    subjects = {f"system:serviceaccount:{one['namespace']}:{one['name']}" for one in accounts}
    assert set(re.findall(r"--subject (\S+)", PAGE)) == subjects
    audiences = re.findall(r"--audiences (\S+)", PAGE)
    assert len(audiences) == len(subjects)
    assert set(audiences) == {AUDIENCE}


def test_the_page_gives_readers_one_role_on_one_secret_and_patrol_what_security_lists() -> None:
    own, readers = PAGE.split("## Read PATs in a cluster")
    assert set(re.findall(r"--role (\S+)", readers)) == {SECRETS_USER}
    assert "**Key Vault Secrets User**" in readers
    assert f"/secrets/{SECRET}" in readers.replace("\\\n", " ")
    listed = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    known = {SECRETS_OFFICER: "Key Vault Secrets Officer", SECRETS_USER: "Key Vault Secrets User"}
    named = dict(re.findall(r"^secrets_\w+=(\S+) +# (.*)$", own, re.MULTILINE))
    assert named == known
    assert all(f"| {role}" in listed for role in known.values())
    assert len(re.findall(r'^allow "\$secrets_', own, re.MULTILINE)) == len(known)


def test_the_page_names_every_host_that_patrol_calls() -> None:
    (policy,) = [
        found for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if (found := yaml.safe_load(block))
    ]
    base = find(render(OVERLAY), "NetworkPolicy")
    assert policy["spec"]["endpointSelector"]["matchLabels"] == base["spec"]["podSelector"]["matchLabels"]
    assert policy["metadata"]["namespace"] == base["metadata"]["namespace"]
    (names,) = [rule["toFQDNs"] for rule in policy["spec"]["egress"] if "toFQDNs" in rule]
    services = {urlsplit(address).hostname for address in (pat_api.PATS, accounts.DEVOPS)} | {
        settings.DEFAULT_AUTHORITY
    }
    vaults = {f"{name}.vault.azure.net" for name in re.findall(r"^\w+_VAULT=(\S+)$", PAGE, re.MULTILINE)}
    assert len(vaults) == 2
    assert {name["matchName"] for name in names} == services | vaults


def test_the_page_tells_what_the_job_does_with_each_exit_code() -> None:
    section = PAGE.split("### How a run ends")[1].split("\n### ")[0]
    told = dict(re.findall(r"^\| (\d+) \|.*\| (.*) \|$", section, re.MULTILINE))
    assert set(told) == {"0", "1", "2", "3", "143", "137"}
    made = render(OVERLAY)
    for code in (1, 2, 3, 137):
        at_once = job_ends(made, code) == "FailJob"
        assert told[str(code)].startswith("fails at once") == at_once, code
    assert job_ends(made, 143, disrupted=True) == "Ignore"
    assert job_ends(made, 143) == job_ends(made, 1) == "Count"
    assert (
        f"backoffLimit: {find(made, 'CronJob', 'patrol')['spec']['jobTemplate']['spec']['backoffLimit']}" in told["1"]
    )


def test_every_folder_and_file_that_the_page_names_exists() -> None:
    mine = PAGE.replace("overlays/mine", "overlays/contoso")
    for path in set(re.findall(r"\bdeploy/kubernetes[\w./-]*\w", mine)):
        assert (ROOT / path).exists(), path
    section = PAGE.split("### 3. Your overlay")[1].split("\n### ")[0]
    files = set(re.findall(r"^\| `([\w.-]+)` \|", section, re.MULTILINE))
    assert files == {path.name for path in OVERLAY.iterdir()}
    jobs = {made["metadata"]["name"] for made in render(OVERLAY) if made["kind"] == "CronJob"}
    assert set(re.findall(r"cronjob/([\w-]+)", PAGE)) == jobs


def test_every_folder_is_rendered() -> None:
    found = {path.parent for path in KUBERNETES.rglob("kustomization.yaml")}
    assert found == {*FOLDERS, KUBERNETES / "base"}
