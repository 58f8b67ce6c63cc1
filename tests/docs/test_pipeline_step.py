"""The step of docs/pipelines.md that asks and polls, as bash runs it, against the functions on localhost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
import yaml
from werkzeug.serving import make_server

import function_app
from sandbox.cloud.seed import AGENTS
from sandbox.functions_host.azurite import free_port
from sandbox.functions_host.host import Function, Host, Keys
from sandbox.process.running import ROOT
from sandbox.serve import Served, serve
from shared.functions import http_routes
from tests.lab.http_calls import app
from tests.lab.lab import Lab, item

NEVER = "0 0 0 1 1 *"

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="the step needs jq")


def step() -> dict[str, Any]:
    text = (ROOT / "docs/pipelines.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    found = [one for block in blocks for one in block.get("steps", []) if "respond-async" in str(one.get("bash"))]
    (only,) = found
    return dict(only)


def take(
    url: str, keys: Mapping[str, str], folder: Path, *, secret: str = "agents-linux-pat", **env: str
) -> tuple[int, str]:
    """Run the step as an agent does: its script is a file, its variables are the environment. Exit code, and output."""
    known = {"PATROL": f"{url}/api", "ROTATE_KEY": keys["rotate"], "RUNS_KEY": keys["runs"]}
    script = folder / "step.sh"
    script.write_text(step()["bash"].replace("agents-linux-pat", secret), encoding="utf-8")
    variables = {name: str(value) for name, value in step()["env"].items()} | known | env
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", str(script)],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*", "TMPDIR": str(temporary), **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told = ran.stdout + ran.stderr
    assert list(temporary.iterdir()) == [], "it leaves nothing behind"
    assert not any(key in told for key in keys.values())
    return ran.returncode, told


@pytest.fixture(scope="module")
def served(npm: None) -> Iterator[Served]:
    with serve(free_port(), NEVER) as running:
        yield running


def test_it_succeeds_when_everything_asked_for_holds(served: Served, tmp_path: Path) -> None:
    code, told = take(served.url, served.keys.functions, tmp_path, secret="agents-windows-pat")
    assert code == 0, told
    assert "agents-windows-pat: " in told
    posted = [one for one in served.cloud.client.log("vault.set") if "agents-windows-pat" in one["path"]]
    assert len(posted) == 1, "near expiry, so it was rotated"


def test_it_succeeds_where_the_preference_is_not_followed(tmp_path: Path) -> None:
    """Without a queue the first answer is the report."""
    lab = Lab([item("agents-linux-pat")])
    using = app(lab, tmp_path)

    def rotate(req: func.HttpRequest) -> func.HttpResponse:
        return function_app._response(http_routes.rotate(function_app._call(req), using))

    trigger = {"type": "httpTrigger", "route": "rotate", "methods": ["POST"], "authLevel": "function"}
    keys = {"rotate": "the-key-of-rotate", "runs": "the-key-of-runs"}
    server = make_server("127.0.0.1", 0, Host({"rotate": Function("rotate", trigger, rotate)}, Keys(keys, "h", "m")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        code, told = take(f"http://127.0.0.1:{server.port}", keys, tmp_path)
    finally:
        server.shutdown()
    assert code == 0, told
    assert "agents-linux-pat: " in told
    assert lab.works("agents-linux-pat")


def test_it_fails_on_a_problem_and_shows_it(served: Served, tmp_path: Path) -> None:
    code, told = take(served.url, served.keys.functions, tmp_path, secret="no-such-pat")
    assert code == 1
    assert '"code": "secret-unknown"' in told
    assert "##vso[task.logissue type=error]patrol: the request was refused" in told


@pytest.mark.parametrize(
    ("key", "says"), [("ROTATE_KEY", "the request was refused"), ("RUNS_KEY", "the report could not be read")]
)
def test_it_fails_without_the_right_key(served: Served, tmp_path: Path, key: str, says: str) -> None:
    code, told = take(served.url, served.keys.functions, tmp_path, **{key: "wrong"})
    assert code == 1
    assert f"patrol: {says}" in told


def test_it_fails_when_nobody_answers(served: Served, tmp_path: Path) -> None:
    code, told = take(served.url, served.keys.functions, tmp_path, PATROL=f"http://127.0.0.1:{free_port()}/api")
    assert code == 1
    assert "the request was refused" in told


def test_it_fails_when_the_run_is_not_over_in_time(served: Served, tmp_path: Path) -> None:
    code, told = take(served.url, served.keys.functions, tmp_path, TIME_LIMIT="3")
    assert code == 1
    assert re.search(r"patrol: not over in 3 seconds; look at /api/runs/[0-9a-f]{32} later", told)


def test_it_fails_when_an_item_failed_and_shows_the_report(served: Served, tmp_path: Path) -> None:
    served.cloud.client.change_user(AGENTS, state="disabled")
    code, told = take(served.url, served.keys.functions, tmp_path, secret="build-feed-pat")  # expired
    assert code == 1
    assert '"status": 502' in told
    assert "patrol: not everything was done" in told
    assert '"outcome": "blocked"' in told
    assert '"remedy": ' in told
