"""function_app.py in the hands of the real Functions worker's library: indexed as written, and invoked.

It refuses at load time what a test that imports the functions never notices (annotations, extra parameters).
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sandbox.process import ROOT, Running, start
from sandbox.seed import demo_estate, demo_pats_yaml
from tests.http_calls import principal

pytestmark = [
    pytest.mark.worker,
    pytest.mark.skipif(
        find_spec("azure_functions_runtime") is None, reason="azure-functions-runtime needs Python 3.13 or later"
    ),
]

ON_TIME = {"IsPastDue": False, "Schedule": {}, "ScheduleStatus": None}
LATE = {**ON_TIME, "IsPastDue": True}


def timer(state: dict[str, Any]) -> dict[str, Any]:
    return {"function": "rotate_due", "timer": state}


def http(function: str, body: Any = None, method: str = "POST", **more: Any) -> dict[str, Any]:
    text = None if body is None else json.dumps(body)
    return {"function": function, "http": {"method": method, "body": text, **more}}


def invoke(cloud: Running, folder: Path, *wanted: dict[str, Any], **extra: str) -> tuple[dict[str, Any], str]:
    """What the host gets back, and the log."""
    inventory = folder / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    arguments = ["-m", "tests.worker_host", json.dumps(wanted)]
    done = cloud.run_product(arguments, cwd=ROOT, extra={"PATS_FILE": str(inventory), **extra})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_every_function_is_indexed_with_its_bindings(tmp_path: Path) -> None:
    with start("empty") as cloud:
        keys, _ = invoke(cloud, tmp_path)
        roles, _ = invoke(cloud, tmp_path, HTTP_AUTH="entra")
        wrong, _ = invoke(cloud, tmp_path, HTTP_AUTH="none")
    assert set(keys["bindings"]) == {"rotate_due", "rotate", "emergency", "pats", "health"}
    [due] = keys["bindings"]["rotate_due"]
    assert (due["type"], due["schedule"]) == ("timerTrigger", "%ROTATION_SCHEDULE%")
    assert (due["runOnStartup"], due["useMonitor"]) == (False, True)
    for known, level in ((keys, "FUNCTION"), (roles, "ANONYMOUS"), (wrong, "FUNCTION")):
        for name in ("rotate", "emergency", "pats", "health"):
            trigger = next(one for one in known["bindings"][name] if one["type"] == "httpTrigger")
            assert trigger["route"] == name
            assert {"GET", "POST"} <= set(trigger["methods"])
            assert trigger["authLevel"].upper() == ("ANONYMOUS" if name == "health" else level)


def test_the_timer_runs_tells_when_it_is_late_and_fails_its_invocation_when_it_must(tmp_path: Path) -> None:
    with start(demo_estate()) as cloud:
        answer, log = invoke(cloud, tmp_path, timer(ON_TIME), timer(LATE))
        assert [one["succeeded"] for one in answer["answers"]] == [True, True], answer
        assert '"outcome": "succeeded"' in log
        assert log.count("schedule.late") == 1

        broken, log = invoke(cloud, tmp_path, timer(ON_TIME), KEY_VAULT_URL="")
        assert not broken["answers"][0]["succeeded"]
        assert "KEY_VAULT_URL is missing" in broken["answers"][0]["message"]
        assert log.count("run.finished") == 1


def test_promise_5_a_failed_item_fails_the_timer_s_invocation_after_the_others_are_done(tmp_path: Path) -> None:
    with start(demo_estate()) as cloud:
        cloud.client.add_fault("pats.create", "pat_error", call=1, error="invalidScope")
        answer, log = invoke(cloud, tmp_path, timer(ON_TIME))
    assert not answer["answers"][0]["succeeded"]
    assert "mint-refused" in answer["answers"][0]["message"]
    assert log.count("item.done") > 3


def test_the_http_functions_answer_through_the_worker(tmp_path: Path) -> None:
    wanted = [
        http("rotate", {"secrets": ["agents-windows-pat"]}),
        http("rotate", {"secret": "agents-windows-pat"}),
        http("emergency", {"secrets": ["agents-linux-pat"]}),
        http("rotate", None, "GET"),
        http("pats", None, "GET"),
        http("health", None, "GET"),
    ]
    with start(demo_estate()) as cloud:
        told, log = invoke(cloud, tmp_path, *wanted)
    answers = told["answers"]
    assert [one["status"] for one in answers] == [200, 400, 200, 405, 200, 200], answers
    assert all(one["headers"]["Cache-Control"] == "no-store" for one in answers)
    assert answers[0]["body"]["items"][0]["because"] == "near-expiry"
    assert "application/problem+json" in answers[1]["headers"]["content-type"]
    assert answers[3]["headers"]["Allow"] == "POST"
    assert {one["secret"] for one in answers[4]["body"]["pats"]} > {"agents-linux-pat"}
    # Every line of a request's run, in whatever thread it was written, belongs to that request's invocation.
    lines = [line for line in log.splitlines() if re.search(r"\] (pat\.|item\.|run\.|request\.)", line)]
    assert {line.partition("]")[0] for line in lines} == {f"[invocation-{number}" for number in (1, 2, 3, 5)}


def test_under_entra_a_call_needs_the_platform_and_the_role(tmp_path: Path) -> None:
    wanted = [
        http("rotate", {"dry_run": True}),
        http("rotate", {"dry_run": True}, headers=principal("Pats.Rotate")),
        http("emergency", {"secrets": ["agents-linux-pat"]}, headers=principal("Pats.Rotate")),
    ]
    with start(demo_estate()) as cloud:
        forged, _ = invoke(cloud, tmp_path, *wanted, HTTP_AUTH="entra")
        real, _ = invoke(cloud, tmp_path, *wanted, HTTP_AUTH="entra", WEBSITE_AUTH_ENABLED="True")
    assert [one["status"] for one in forged["answers"]] == [500, 500, 500]
    assert [one["status"] for one in real["answers"]] == [401, 200, 403]
