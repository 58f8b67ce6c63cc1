"""function_app.py in the hands of the real Functions worker's library: indexed as written, and invoked.

It refuses at load time what a test that imports the functions never notices (annotations, extra parameters).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import demo_estate, demo_pats_yaml
from sandbox.functions_host.azurite import ACCOUNT, Ports, azurite, certificates_of
from sandbox.process.running import ROOT, Running, start
from tests.lab.http_calls import principal

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


def queue(body: str, delivery: int = 1) -> dict[str, Any]:
    return {"function": "rotate_user", "queue": {"body": body, "delivery": delivery}}


def invoke(cloud: Running, folder: Path, *wanted: dict[str, Any], **extra: str) -> tuple[dict[str, Any], str]:
    """What the host gets back, and the log."""
    inventory = folder / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    arguments = ["-m", "tests.lab.worker_host", json.dumps(wanted)]
    done = cloud.run_product(arguments, cwd=ROOT, extra={"PATS_FILE": str(inventory), **extra})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


QUEUED = ("queue", "patrol-rotations", "AzureWebJobsStorage")


def by_direction(bindings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trigger first."""
    return sorted(bindings, key=lambda one: str(one["direction"]).upper() != "IN")


def test_every_function_is_indexed_with_its_bindings(tmp_path: Path) -> None:
    with start("empty") as cloud:
        keys, _ = invoke(cloud, tmp_path)
        roles, _ = invoke(cloud, tmp_path, HTTP_AUTH="entra")
        wrong, _ = invoke(cloud, tmp_path, HTTP_AUTH="none")
    assert set(keys["bindings"]) == {
        *("rotate_due", "rotate_user", "refresh_tokens"),
        *("rotate", "emergency", "pats", "page", "metrics", "readers", "runs", "health"),
        *("enroll", "enroll_link", "enroll_callback"),
    }
    [tokens] = keys["bindings"]["refresh_tokens"]
    assert (tokens["type"], tokens["schedule"]) == ("timerTrigger", "0 */10 * * * *")
    assert (tokens["runOnStartup"], tokens["useMonitor"]) == (False, True)
    [due, messages] = by_direction(keys["bindings"]["rotate_due"])
    assert (due["type"], due["schedule"]) == ("timerTrigger", "%ROTATION_SCHEDULE%")
    assert (due["runOnStartup"], due["useMonitor"]) == (False, True)
    assert (messages["type"], messages["queueName"], messages["connection"]) == QUEUED
    [user, aside] = by_direction(keys["bindings"]["rotate_user"])
    assert (user["type"], user["queueName"], user["connection"]) == ("queueTrigger", *QUEUED[1:])
    assert (aside["type"], aside["queueName"], aside["connection"]) == ("queue", "patrol-rotations-poison", QUEUED[2])
    assert any((one["type"], one.get("queueName")) == QUEUED[:2] for one in keys["bindings"]["rotate"])
    for known, level in ((keys, "FUNCTION"), (roles, "ANONYMOUS"), (wrong, "FUNCTION")):
        for name in ("rotate", "emergency", "pats", "runs", "health"):
            trigger = next(one for one in known["bindings"][name] if one["type"] == "httpTrigger")
            assert trigger["route"] == ("runs/{run_id?}" if name == "runs" else name)
            assert (set(trigger["methods"]) == {"GET"}) == (name == "health")
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


def test_the_timer_of_the_tokens_returns_at_once_where_there_are_none(tmp_path: Path) -> None:
    with start(demo_estate()) as cloud:
        answer, log = invoke(cloud, tmp_path, {"function": "refresh_tokens", "timer": ON_TIME})
        assert [one["succeeded"] for one in answer["answers"]] == [True], answer
        assert "refresh.finished" not in log
        assert cloud.client.log() == []


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


# --- over the queue, both ends ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estate_with_storage(npm: None) -> Iterator[tuple[Running, dict[str, str]]]:
    """The demo's sandbox with Azurite behind it as the host's storage, opened by identity."""
    ports = Ports.free()
    with start(demo_estate(), routes=ports.routes) as cloud, azurite(ports, certificates_of(cloud.environment())):
        settings = {"AzureWebJobsStorage__accountName": ACCOUNT, "AzureWebJobsStorage__credential": "managedidentity"}
        yield cloud, settings


def test_the_timer_hands_messages_to_the_host_and_the_queue_function_takes_them(
    estate_with_storage: tuple[Running, dict[str, str]], tmp_path: Path
) -> None:
    cloud, settings = estate_with_storage
    told, _ = invoke(cloud, tmp_path, timer(ON_TIME), FAN_OUT_ABOVE="0", **settings)
    (due,) = told["answers"]
    assert due["succeeded"], due
    bodies = due["sent"]["messages"]
    messages = [json.loads(one) for one in bodies]
    users = {one["username"] for one in messages}
    assert len(messages) == len(users) > 1
    assert {(one["kind"], one["of"]) for one in messages} == {("patrol-rotation-2", len(messages))}
    run_id = messages[0]["run_id"]

    wanted = [
        *(queue(one) for one in bodies),
        queue(bodies[0], 2),  # at least once
        queue("a message of somebody else"),
        http("runs", None, "GET", params={"run_id": run_id}),
        http("runs", None, "GET"),
        http("health", None, "GET"),
    ]
    told, log = invoke(cloud, tmp_path, *wanted, **settings)
    *worked, again, foreign, one, listed, health = told["answers"]
    assert [answer["succeeded"] for answer in (*worked, again)] == [True] * (len(bodies) + 1), told
    assert (foreign["succeeded"], foreign["sent"]) == (True, {"aside": "a message of somebody else"})
    assert log.count("message.refused") == 1
    assert (one["status"], one["body"]["outcome"], one["body"]["status"]) == (200, "succeeded", 200)
    assert one["body"]["progress"] == {"messages": len(bodies), "finished": len(bodies)}
    assert {"done", "held"} <= {row["outcome"] for row in one["body"]["items"]}
    assert [run["run_id"] for run in listed["body"]["runs"]] == [run_id]
    assert health["body"]["last_run_finished_at"] == one["body"]["finished_at"]
    # Every line of a message's work, in whatever thread it was written, belongs to that message's invocation.
    lines = [line for line in log.splitlines() if re.search(r"\] (pat\.|item\.|user\.)", line)]
    expected = {f"[invocation-{number}" for number in range(1, len(bodies) + 2)}
    assert {line.partition("]")[0] for line in lines} == expected


def test_respond_async_hands_messages_to_the_host_and_says_where_to_look(
    estate_with_storage: tuple[Running, dict[str, str]], tmp_path: Path
) -> None:
    cloud, settings = estate_with_storage
    asked = {"secrets": ["agents-linux-pat"], "force": True}
    told, _ = invoke(cloud, tmp_path, http("rotate", asked, headers={"Prefer": "respond-async"}), **settings)
    (answer,) = told["answers"]
    assert (answer["status"], answer["headers"]["Preference-Applied"]) == (202, "respond-async")
    (body,) = answer["sent"]["messages"]
    message = json.loads(body)
    assert set(message) == {"kind", "run_id", "part", "of"}, "what was asked for is kept, and not believed of a message"
    run_id = answer["headers"]["Location"].removeprefix("/api/runs/")
    wanted = [queue(body), queue(body, 2), http("runs", None, "GET", params={"run_id": run_id})]
    told, _ = invoke(cloud, tmp_path, *wanted, **settings)
    assert [one["succeeded"] for one in told["answers"]] == [True, True, True]
    run = told["answers"][-1]["body"]
    assert run["status"] == 200
    assert [row["because"] for row in run["items"] if row["outcome"] == "done"] == ["forced"]


def test_a_user_that_fails_for_a_passing_reason_is_retried_and_for_a_lasting_one_not(
    estate_with_storage: tuple[Running, dict[str, str]], tmp_path: Path
) -> None:
    cloud, settings = estate_with_storage
    asked = {"secrets": ["wiki-export-pat"], "force": True}
    told, _ = invoke(cloud, tmp_path, http("rotate", asked, headers={"Prefer": "respond-async"}), **settings)
    (body,) = told["answers"][0]["sent"]["messages"]
    cloud.client.add_fault("entra.discovery", "status", call=None, status=503)
    told, log = invoke(cloud, tmp_path, queue(body), **settings)
    cloud.client.clear_faults()
    (passing,) = told["answers"]
    assert not passing["succeeded"]
    assert "TryAgain" in passing["trace"]
    assert "sign-in-unavailable" in passing["message"]
    assert '"outcome": "again"' in log
    broken, log = invoke(cloud, tmp_path, queue(body), **{**settings, "PATS_FILE": str(tmp_path / "none.yaml")})
    assert broken["answers"][0]["succeeded"]
    assert "inventory-unreadable" in log
