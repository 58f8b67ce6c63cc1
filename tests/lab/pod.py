"""A pod of the CronJob without a cluster: the container of its manifest, and what workload identity adds to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.kustomize import Manifest, find
from tests.lab.container_image import Image

TOKEN_FILE = "/var/run/secrets/azure/tokens/azure-identity-token"
CLIENT_ID = "azure.workload.identity/client-id"


@dataclass(frozen=True)
class Pod:
    """`folder` stands for the disk outside of the image: what volumes are mounted from."""

    manifests: list[Manifest]
    image: Image
    folder: Path
    identity: dict[str, str] = field(default_factory=dict)
    name: str = "patrol"
    """Of the CronJob."""

    @property
    def template(self) -> Manifest:
        found: Manifest = find(self.manifests, "CronJob", self.name)["spec"]["jobTemplate"]["spec"]["template"]
        return found

    @property
    def container(self) -> Manifest:
        (found,) = self.template["spec"]["containers"]
        assert "command" not in found, "the image's ENTRYPOINT stays"
        result: Manifest = found
        return result

    @property
    def subject(self) -> str:
        """Whose token the cluster gives to this pod."""
        namespace = find(self.manifests, "CronJob", self.name)["metadata"]["namespace"]
        return f"system:serviceaccount:{namespace}:{self.template['spec']['serviceAccountName']}"

    def federate(self, token: str, tenant: str) -> None:
        """What the webhook of workload identity does to a pod that asks for it."""
        assert self.template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
        account = find(self.manifests, "ServiceAccount", self.template["spec"]["serviceAccountName"])
        path = self._here(TOKEN_FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(token, encoding="utf-8")
        self.identity.update(
            AZURE_CLIENT_ID=account["metadata"]["annotations"][CLIENT_ID],
            AZURE_TENANT_ID=tenant,
            AZURE_FEDERATED_TOKEN_FILE=TOKEN_FILE,
            AZURE_AUTHORITY_HOST="https://login.microsoftonline.com/",
        )

    def process(self) -> dict[str, Any]:
        """What subprocess needs: the arguments and variables of the manifest, paths of volumes as ones of this disk."""
        container = self.container
        for mount in container["volumeMounts"]:
            self._mount(mount)
        given: dict[str, str] = {}
        for source in container.get("envFrom", []):
            assert set(source) == {"configMapRef"}
            given |= find(self.manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
        given |= {row["name"]: row["value"] for row in container["env"]}
        mapped = {name: self._mapped(value) for name, value in {**given, **self.identity}.items()}
        return self.image.process(container["args"], mapped)

    def _mount(self, mount: Manifest) -> None:
        assert "subPath" not in mount
        (volume,) = [one for one in self.template["spec"]["volumes"] if one["name"] == mount["name"]]
        known = {one["metadata"]["name"]: one for one in self.manifests if one["kind"] == "ConfigMap"}
        source = volume["configMap"]
        assert source["name"] in known or source.get("optional"), f"the pod would wait for {source['name']}"
        place = self._here(mount["mountPath"])
        place.mkdir(parents=True, exist_ok=True)
        for name, text in known.get(source["name"], {"data": {}})["data"].items():
            (place / name).write_text(text, encoding="utf-8")

    def _here(self, path: str) -> Path:
        return self.folder / path.removeprefix("/")

    def _mapped(self, value: str) -> str:
        places = [TOKEN_FILE, *(mount["mountPath"] for mount in self.container["volumeMounts"])]
        inside = any(value == place or value.startswith(f"{place}/") for place in places)
        return str(self._here(value)) if inside else value


def job_ends(manifests: list[Manifest], exit_code: int, *, disrupted: bool = False, name: str = "patrol") -> str:
    """What the Job does about a failed pod: `Ignore`, `FailJob` or `Count`. The first rule that fits decides.

    Source: Kubernetes, Jobs, "Pod failure policy".
    """
    spec = find(manifests, "CronJob", name)["spec"]["jobTemplate"]["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "a policy asks for it"
    for rule in spec["podFailurePolicy"]["rules"]:
        if "onPodConditions" in rule:
            fits = disrupted and {"type": "DisruptionTarget", "status": "True"} in rule["onPodConditions"]
        else:
            asked = rule["onExitCodes"]
            names = {one["name"] for one in spec["template"]["spec"]["containers"]}
            assert asked["containerName"] in names
            assert 0 not in asked["values"]
            fits = (exit_code in asked["values"]) == (asked["operator"] == "In")
        if fits:
            return str(rule["action"])
    return "Count"
