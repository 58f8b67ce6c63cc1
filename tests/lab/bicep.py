"""The Bicep compiler, and what deployments would create as the committed snapshots say."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
COMPILER = ROOT.parent / "shared" / "tools" / "bicep"
SUBSCRIPTION = "00000000-0000-4000-8000-00000000beef"
PLACE: tuple[str, ...] = ("--subscription-id", SUBSCRIPTION, "--tenant-id", "00000000-0000-4000-8000-0000000000aa")
PLACE += ("--resource-group", "rg-patrol", "--location", "westeurope")
PARAMETERS = sorted((INFRA / "params").glob("*.bicepparam"))

needs_compiler = pytest.mark.skipif(not COMPILER.exists(), reason="needs the Bicep compiler in ../shared/tools")


def bicep(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # Profiling what it compiles at run time costs a run of seconds more than it gains.
    environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "DOTNET_TieredPGO": "0"}
    return subprocess.run(
        [str(COMPILER), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False, env=environment
    )


def snapshot_of(parameters: Path) -> Path:
    return parameters.with_suffix(".snapshot.json")


def committed(name: str) -> list[dict[str, Any]]:
    """The resources that the parameter file of this name deploys."""
    return _resources(INFRA / "params" / f"{name}.snapshot.json")


def _resources(snapshot: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(snapshot.read_text())["predictedResources"]
    return found


def expanded(folder: Path, **parameters: Any) -> list[dict[str, Any]]:
    """The resources that these parameters deploy. Raises AssertionError with the compiler's words.

    Of the compiled template, which is held to its source by a test: compiling it every time takes twice as long.
    """
    path = folder / "tried.bicepparam"
    template = os.path.relpath(INFRA / "azuredeploy.json", folder)
    given = {"deploymentName": "contoso-pats", "alertEmail": "platform@contoso.com", **parameters}
    lines = [f"using '{template}'", *(f"param {name} = {_literal(value)}" for name, value in given.items())]
    path.write_text("\n".join(lines) + "\n")
    ran = bicep("snapshot", path, "--mode", "overwrite", *PLACE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return _resources(snapshot_of(path))


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list):
        return "[\n" + "\n".join(_literal(one) for one in value) + "\n]"
    return json.dumps(value)


def of_type(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in resources if one["type"] == kind]


def one(resources: list[dict[str, Any]], kind: str, ending: str = "") -> dict[str, Any]:
    (found,) = [row for row in of_type(resources, kind) if str(row["name"]).endswith(ending)]
    return found


def app_settings(resources: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = one(resources, "Microsoft.Web/sites/config", "/appsettings")["properties"]
    return found
