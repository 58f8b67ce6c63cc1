"""What `kubectl kustomize` makes of a folder of deploy/kubernetes: tests and `make scan` look at this.

Only what these folders use, and AssertionError for the rest: kustomize comes from no package registry that a build
reaches. Where there is a kubectl, a test holds the two to each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

KUBERNETES = Path(__file__).resolve().parent.parent / "deploy" / "kubernetes"
OVERLAY = KUBERNETES / "overlays" / "contoso"
CONSUMERS = KUBERNETES / "consumers"
FOLDERS = (OVERLAY, CONSUMERS / "external-secrets", CONSUMERS / "secrets-store-csi", CONSUMERS / "restart-on-event")

Manifest = dict[str, Any]

_USED = {"apiVersion", "kind", "resources", "patches", "images", "configMapGenerator", "generatorOptions"}


def render(folder: Path) -> list[Manifest]:
    """The manifests of one folder with a kustomization.yaml, in the order of its files."""
    asks: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(asks) <= _USED, f"{folder}: {sorted(set(asks) - _USED)}"
    made: list[Manifest] = []
    for name in asks["resources"]:
        path = folder / name
        made += render(path) if path.is_dir() else _read(path)
    for patch in asks.get("patches", []):
        assert set(patch) == {"path"}, patch
        for change in _read(folder / patch["path"]):
            merge(find(made, change["kind"], change["metadata"]["name"]), change)
    made += [_config_map(folder, one, asks.get("generatorOptions", {})) for one in asks.get("configMapGenerator", [])]
    for image in asks.get("images", []):
        for manifest in made:
            _set_image(manifest, image)
    return made


def find(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only one of its kind, or of its kind and name."""
    found = [one for one in manifests if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def merge(target: Manifest, change: Manifest) -> None:
    """Put the maps of `change` into `target`. No lists: how they merge differs from field to field."""
    for key, value in change.items():
        assert not isinstance(value, list), f"{key} is a list"
        if isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def _read(path: Path) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def _config_map(folder: Path, asks: dict[str, Any], options: dict[str, Any]) -> Manifest:
    assert options.get("disableNameSuffixHash") is True
    assert set(asks) <= {"name", "namespace", "files", "envs"}, asks
    data = {name: (folder / name).read_text(encoding="utf-8") for name in asks.get("files", [])}
    for name in asks.get("envs", []):
        lines = [line for line in (folder / name).read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")]
        data |= {key: value for key, _, value in (line.partition("=") for line in lines)}
    place = {key: asks[key] for key in ("name", "namespace")}
    labels = {"labels": options["labels"]} if "labels" in options else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**place, **labels}, "data": data}


def _set_image(node: Any, image: dict[str, str]) -> None:
    if isinstance(node, list):
        for one in node:
            _set_image(one, image)
    elif isinstance(node, dict):
        for one in node.values():
            _set_image(one, image)
        for container in node.get("containers") or []:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}@{image['digest']}"
