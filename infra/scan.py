"""Scan what is deployed with checkov and hadolint: `make scan`.

The template as the committed snapshots expand it, and not the Bicep files themselves: checkov cannot read all of them,
passes over those with exit code 0, and knows no values. The Kubernetes manifests as kustomize renders them, for the
same reason. And the Dockerfile.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from infra import kustomize

HERE = Path(__file__).resolve().parent
DOCKERFILE = HERE.parent / "Dockerfile"
SNAPSHOTS = sorted((HERE / "params").glob("*.snapshot.json"))
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"

# What checkov asks for and patrol does not do, each with its reason.
SKIPPED = {
    "CKV_AZURE_13": "judges every config resource of the site; authentication is asserted by tests where it is on",
    "CKV_AZURE_17": "callers have keys or tokens of Entra ID; certificates would be a third thing to renew",
    "CKV_AZURE_63": "logs go to Application Insights; Flex Consumption has no HTTP log of its own",
    "CKV_AZURE_65": "as CKV_AZURE_63",
    "CKV_AZURE_66": "as CKV_AZURE_63",
    "CKV_AZURE_80": "about .NET; the app is Python",
    "CKV_AZURE_88": "the app keeps no files",
    "CKV_AZURE_206": "what the storage holds, a new deployment makes again; storageSku asks for more",
    "CKV_AZURE_212": "Flex Consumption adds instances by itself",
    "CKV_AZURE_213": "Flex Consumption has no platform health check",
    "CKV_AZURE_222": "pipelines outside of the network call the HTTP API, with keys or tokens",
    "CKV_AZURE_225": "an always-ready count of two is its price; the timer is caught up after an outage",
}
# These are what networkMode decides: they hold where it is private.
OPEN_ONLY = {
    "CKV_AZURE_35": "storage is reached publicly, with tokens alone",
    "CKV_AZURE_59": "as CKV_AZURE_35",
    "CKV_AZURE_109": "the vaults are reached publicly, by role alone",
    "CKV_AZURE_189": "as CKV_AZURE_109",
}
# Of the container and its manifests every skip is needed: one that nothing asks for any more is reported.
KUBERNETES_SKIPPED: dict[str, dict[str, str]] = {
    "contoso": {},
    "external-secrets": {
        "CKV_K8S_8": "start.sh ends when the agent does, and the container with it",
        "CKV_K8S_9": "nobody sends the agent requests; it fetches its jobs",
        "CKV_K8S_22": "builds write where they want",
        "CKV2_K8S_6": "builds reach what they need, which only their owner knows",
    },
    "restart-on-event": {},
}
KUBERNETES_SKIPPED["secrets-store-csi"] = KUBERNETES_SKIPPED["external-secrets"]
DOCKERFILE_SKIPPED = {
    "CKV_DOCKER_2": "a job: its exit code says how it went, and Kubernetes reads no HEALTHCHECK",
    "CKV_DOCKER_7": "the image is an argument; checkov does not follow it, and a test looks at its tag",
}
HADOLINT_SKIPPED = {"DL3059": "without a shell each command has a RUN of its own; it is the stage that is thrown away"}


def main() -> int:
    failed = False
    for name, (summary, wrong) in findings():
        print(f"{name}: {summary}")
        for line in wrong:
            print(f"  {line}")
        failed = failed or bool(wrong)
    return 1 if failed else 0


def findings() -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """For each thing that is deployed: one line, and what is wrong."""
    for snapshot in SNAPSHOTS:
        yield snapshot.name, scan(snapshot, SKIPPED if "private" in snapshot.name else {**SKIPPED, **OPEN_ONLY})
    for folder in kustomize.FOLDERS:
        manifests = kustomize.render(folder)
        text = yaml.safe_dump_all(manifests)
        skipped = KUBERNETES_SKIPPED[folder.name]
        yield folder.name, checkov("kubernetes", "manifests.yaml", text, len(manifests), skipped, needed=True)
    text = DOCKERFILE.read_text(encoding="utf-8")
    yield DOCKERFILE.name, checkov("dockerfile", DOCKERFILE.name, text, 1, DOCKERFILE_SKIPPED, needed=True)
    yield f"{DOCKERFILE.name}, hadolint", hadolint()


def scan(snapshot: Path, skipped: dict[str, str]) -> tuple[str, list[str]]:
    """A snapshot as the template it came from."""
    resources = json.loads(snapshot.read_text(encoding="utf-8"))["predictedResources"]
    template = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources}
    return checkov("arm", "template.json", json.dumps(template), len(resources) / 2, skipped)


def checkov(
    framework: str, name: str, text: str, least: float, skipped: dict[str, str], *, needed: bool = False
) -> tuple[str, list[str]]:
    """Scan one file in which at least `least` resources are to be found; `needed`: every skip has to be of use."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "checkov.main", "--directory", folder, "--framework", framework]
        command += ["--skip-download", "--output", "json", "--quiet"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found: dict[str, Any] = json.loads(ran.stdout)
    if "summary" not in found:
        return "nothing was scanned", [ran.stdout.strip()]
    summary = found["summary"]
    failures = found["results"]["failed_checks"]
    failed = [one for one in failures if one["check_id"] not in skipped]
    wrong = [f"{one['check_id']} {one['check_name']}: {one['resource']}" for one in failed]
    if needed:
        unused = sorted(set(skipped) - {one["check_id"] for one in failures})
        wrong += [f"{check} is skipped, and nothing asks for it" for check in unused]
    # It ends well on what it cannot read.
    if summary["parsing_errors"] or not summary["passed"] or summary["resource_count"] < least:
        wrong.append(f"not everything was read: {summary}")
    return f"{summary['passed']} passed, {len(failed)} failed, {summary['resource_count']} resources", wrong


def hadolint() -> tuple[str, list[str]]:
    """The Dockerfile's own linter, from beside the Python that runs this."""
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        return "not installed", ["remove .venv-scan, and run `make scan` again"]
    command = [program, "--no-color", "--format", "json", str(DOCKERFILE)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = json.loads(ran.stdout)
    told = [one for one in said if one["code"] not in HADOLINT_SKIPPED]
    wrong = [f"{one['code']} line {one['line']}: {one['message']}" for one in told]
    unused = sorted(set(HADOLINT_SKIPPED) - {one["code"] for one in said})
    wrong += [f"{check} is skipped, and nothing asks for it" for check in unused]
    return f"{len(told)} findings", wrong


if __name__ == "__main__":
    sys.exit(main())
