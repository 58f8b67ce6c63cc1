"""docs/pipelines.md: every block calls the API as it is described, and its criteria judge real answers rightly."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS
from tests.lab import openapi
from tests.lab.http_calls import app, call
from tests.lab.lab import Lab, days, item

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/pipelines.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
SECRET = "agents-linux-pat"


@dataclass(frozen=True, slots=True)
class Sent:
    """One HTTP call that a step makes."""

    step: str
    url: str
    method: str
    headers: Mapping[str, str]
    body: str

    @property
    def route(self) -> str:
        server = openapi.document()["servers"][0]
        base = server["url"].replace("{app}", server["variables"]["app"]["default"])
        assert self.url.startswith(f"{base}/"), self.url
        return self.url.removeprefix(f"{base}/")


def steps(block: Any) -> list[dict[str, Any]]:
    jobs = block.get("jobs", [block])
    return [step for job in (jobs.values() if isinstance(jobs, dict) else jobs) for step in job.get("steps", [])]


def shell_of(step: dict[str, Any]) -> str | None:
    found: str | None = step.get("bash") or step.get("run") or step.get("inputs", {}).get("inlineScript")
    return found


STEPS = [step for block in BLOCKS for step in steps(block)]
TASKS = [step for step in STEPS if str(step.get("task", "")).startswith("AzureFunction@")]
SHELLS = [(text, step.get("env", {})) for step in STEPS if (text := shell_of(step))]


def by_task(step: dict[str, Any]) -> Sent:
    inputs = step["inputs"]
    key = {"x-functions-key": inputs["key"]} if "key" in inputs else {"Authorization": "Bearer of the connection"}
    headers = {**json.loads(inputs["headers"]), **key}
    return Sent(step["displayName"], inputs["function"], inputs["method"], headers, inputs["body"])


def by_curl(shell: str, known: Mapping[str, Any]) -> list[Sent]:
    """Every call of a step; `known`: the variables that the step sets."""
    # Where the report of a run is.
    shell = shell.replace("\\\n", " ").replace("${PATROL%/api}$location", "$PATROL/runs/{run_id}")
    for name, value in known.items():
        shell = shell.replace(f"${name}/", f"{value}/")
    # curl reads `header = "…"` from standard input.
    found = re.findall(r'(curl [^<]*)<<< ("header = \\"[^"]*\\"")', shell)
    return [_sent(shell, shlex.split(command), shlex.split(config)[0]) for command, config in found]


def _sent(shell: str, words: list[str], config: str) -> Sent:
    pairs = list(pairwise(words))
    values = {name: [value for word, value in pairs if word == name] for name in ("--header", "--request", "--data")}
    secret = re.fullmatch(r'header = "(.*)"', config)
    assert secret is not None, config
    headers = dict(line.split(": ", 1) for line in [*values["--header"], secret[1]])
    method, body = (next(iter(values[name]), default) for name, default in (("--request", "GET"), ("--data", "")))
    return Sent(shell, words[-1], method, headers, body)


CALLS = [*(by_task(step) for step in TASKS), *(sent for shell, known in SHELLS for sent in by_curl(shell, known))]


def test_the_page_shows_each_way_to_call_and_to_read() -> None:
    tasks = {step.get("task") for step in STEPS}
    assert {"AzureFunction@1", "AzureFunction@2", "AzureKeyVault@2"} <= tasks
    assert len(CALLS) == 8
    assert len(CALLS) - len(TASKS) == sum(len(re.findall(r"curl --", shell)) for shell, _ in SHELLS)
    assert any("group" in one for block in BLOCKS for one in block.get("variables", []))
    assert "az keyvault secret show" in TEXT


@pytest.mark.parametrize("sent", CALLS, ids=lambda sent: sent.step[:40])
def test_every_call_is_one_that_the_api_describes(sent: Sent) -> None:
    operation = openapi.operation(sent.route, sent.method)
    if sent.method == "POST":
        content = operation["requestBody"]["content"]
        assert sent.headers["Content-Type"] in content
        wrong = openapi.validator(content[sent.headers["Content-Type"]]["schema"]).iter_errors(json.loads(sent.body))
        assert [error.message for error in wrong] == []
    assert (
        sent.headers.get("Prefer") == operation.get("parameters", [{}])[0].get("example")
        or "Prefer" not in sent.headers
    )
    schemes = openapi.document()["components"]["securitySchemes"]
    assert schemes["functionKey"]["name"] in sent.headers or sent.headers["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("shell", [shell for shell, _ in SHELLS], ids=range(len(SHELLS)))
def test_promise_7_no_step_shows_a_secret_in_an_argument(shell: str) -> None:
    arguments = re.sub(r'<<< "[^"\\]*\\"[^"]*\\""', "", shell) if "curl " in shell else ""
    assert "_KEY" not in arguments
    masked = arguments.replace('echo "::add-mask::$token"', "").replace('echo "##vso[task.setsecret]$token"', "")
    assert "$token" not in masked
    assert shell.count("curl --") == shell.count("--fail-with-body") == shell.count("--max-time 60")


def evaluate(expression: str, root: Any) -> Any:
    """The part of Azure Pipelines' expressions that the page uses: eq, and, root['…'], texts."""
    found = re.fullmatch(r"(\w+)\((.*)\)", expression.strip())
    if found is None:
        if text := re.fullmatch(r"'([^']*)'", expression.strip()):
            return text[1]
        path = re.fullmatch(r"root((?:\['\w+'\])+)", expression.strip())
        assert path is not None, expression
        for name in re.findall(r"'(\w+)'", path[1]):
            root = root.get(name) if isinstance(root, dict) else None
        return root
    values = [evaluate(part, root) for part in re.split(r",(?![^(]*\))", found[2])]
    match found[1]:
        case "eq":
            return values[0] == values[1]
        case "and":
            return all(values)
        case _:
            raise AssertionError(f"{found[1]} is not known here")


def well() -> Lab:
    lab = Lab([item(SECRET)])
    lab.run()
    lab.wait(days(2))
    return lab


def failing() -> Lab:
    lab = well()
    lab.cloud.directory.user(AGENTS).state = UserState.DISABLED
    return lab


def partly() -> Lab:
    lab = well()
    lab.items.append(item("other-pat", organization="no-such-organization"))
    return lab


CRITERIA = sorted({step["inputs"]["successCriteria"] for step in TASKS})


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    ("make", "status", "holds"),
    [(well, 200, True), (failing, 502, False), (partly, 502, False)],
    ids=["well", "failing", "partly"],
)
def test_the_success_criteria_judge_real_answers(
    criterion: str, make: Any, status: int, holds: bool, tmp_path: Path
) -> None:
    answer = call("rotate", app(make(), tmp_path), {})
    assert answer.status == status
    assert evaluate(criterion, answer.body) == holds


def test_every_documented_body_works_for_real(tmp_path: Path) -> None:
    for number, sent in enumerate(one for one in CALLS if one.method == "POST"):
        folder = tmp_path / str(number)
        folder.mkdir()
        answer = call(sent.route, app(well(), folder), sent.body.encode())
        assert answer.status == 200, answer.body


def test_every_status_that_the_api_describes_has_its_advice() -> None:
    described = set(openapi.operation("rotate", "POST")["responses"]) | {"405"}
    section = TEXT.split("what the statuses tell")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    advised = {status for cell in cells for status in re.findall(r"\d{3}", cell)}
    assert advised == described
