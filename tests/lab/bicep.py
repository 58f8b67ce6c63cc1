"""The Bicep compiler, and what deployments would create as the committed snapshots say."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
COMPILER = ROOT.parent / "shared" / "tools" / "bicep"
SUBSCRIPTION = "00000000-0000-4000-8000-00000000beef"
PLACE = {
    "subscriptionId": SUBSCRIPTION,
    "tenantId": "00000000-0000-4000-8000-0000000000aa",
    "resourceGroup": "rg-patrol",
    "location": "westeurope",
}
PARAMETERS = sorted((INFRA / "params").glob("*.bicepparam"))

needs_compiler = pytest.mark.skipif(not COMPILER.exists(), reason="needs the Bicep compiler in ../shared/tools")


class Refused(Exception):
    """The compiler's words about a template or its parameters."""


class Compiler:
    """One process of the compiler that answers all questions (`bicep jsonrpc`): a start costs more than an answer."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._numbers = count(1)

    def words(self, path: Path) -> list[str]:
        """What compiler and linter say about a template or a parameter file."""
        return _words(self._compiled(path))

    def template(self, path: Path) -> Any:
        """The ARM template. Raises Refused."""
        compiled = self._compiled(path)
        if not compiled["success"]:
            raise Refused("\n".join(_words(compiled)))
        return json.loads(compiled["contents"])

    def formatted(self, path: Path) -> str:
        return str(self._ask("bicep/format", {"path": str(path)})["result"]["contents"])

    def snapshot(self, parameters: Path) -> Any:
        """What these parameters deploy, as `bicep snapshot` writes it. Raises Refused."""
        answer = self._ask("bicep/getSnapshot", {"path": str(parameters), "metadata": PLACE, "externalInputs": []})
        if "result" in answer:
            return json.loads(answer["result"]["snapshot"])
        raise Refused("\n".join([answer["error"]["message"], *self.words(parameters)]))

    def expanded(self, folder: Path, **parameters: Any) -> list[dict[str, Any]]:
        """The resources that these parameters deploy. Raises Refused.

        Of the compiled template, which is held to its source by a test: compiling it every time takes longer.
        """
        path = folder / "tried.bicepparam"
        template = os.path.relpath(INFRA / "azuredeploy.json", folder)
        given = {"deploymentName": "contoso-pats", "alertEmail": "platform@contoso.com", **parameters}
        lines = [f"using '{template}'", *(f"param {name} = {_literal(value)}" for name, value in given.items())]
        path.write_text("\n".join(lines) + "\n")
        found: list[dict[str, Any]] = self.snapshot(path)["predictedResources"]
        return found

    def _compiled(self, path: Path) -> dict[str, Any]:
        if path.suffix == ".bicepparam":
            answer = self._ask("bicep/compileParams", {"path": str(path), "parameterOverrides": {}})
        else:
            answer = self._ask("bicep/compile", {"path": str(path)})
        compiled: dict[str, Any] = answer["result"]
        return compiled

    def _ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One request and its answer: JSON-RPC 2.0, each message behind a header with its length."""
        question = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": parameters}
        body = json.dumps(question).encode()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._child.stdin.flush()
        length = 0
        for line in self._child.stdout:
            if not line.strip():
                break
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the compiler ended"
        answer: dict[str, Any] = json.loads(self._child.stdout.read(length))
        return answer


def _words(compiled: dict[str, Any]) -> list[str]:
    return [f"{Path(one['source']).name}: {one['code']} {one['message']}" for one in compiled["diagnostics"]]


@contextmanager
def compiler() -> Iterator[Compiler]:
    # Profiling what it compiles at run time costs a run of seconds more than it gains.
    environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "DOTNET_TieredPGO": "0"}
    command = [str(COMPILER), "jsonrpc", "--stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        try:
            yield Compiler(child)
        finally:
            child.terminate()


def snapshot_of(parameters: Path) -> Path:
    return parameters.with_suffix(".snapshot.json")


def committed(name: str) -> list[dict[str, Any]]:
    """The resources that the parameter file of this name deploys."""
    return _resources(INFRA / "params" / f"{name}.snapshot.json")


def _resources(snapshot: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(snapshot.read_text())["predictedResources"]
    return found


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list):
        return "[\n" + "\n".join(_literal(one) for one in value) + "\n]"
    if isinstance(value, dict):
        return "{\n" + "\n".join(f"{name}: {_literal(inner)}" for name, inner in value.items()) + "\n}"
    return json.dumps(value)


def of_type(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in resources if one["type"] == kind]


def one(resources: list[dict[str, Any]], kind: str, ending: str = "") -> dict[str, Any]:
    (found,) = [row for row in of_type(resources, kind) if str(row["name"]).endswith(ending)]
    return found


def app_settings(resources: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = one(resources, "Microsoft.Web/sites/config", "/appsettings")["properties"]
    return found
