"""The stand-in for the Functions host, and `make serve` as a person uses it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
import requests
from werkzeug.test import Client

from sandbox.functions_host.host import Function, Host, Keys, Schedule, Timer, index
from sandbox.process.running import ROOT
from sandbox.serve import Served, new_keys, serve, told

KEYS = Keys({"rotate": "rotate-key", "emergency": "emergency-key"}, "host-key", "master-key")
NEVER = "0 0 0 1 1 *"


def echo(req: func.HttpRequest, context: Any) -> func.HttpResponse:
    return func.HttpResponse(f"{req.method} {req.params.get('a')} {req.get_body().decode()} {context.function_name}")


def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("with a secret in it")


def http(name: str, run: Any, level: str = "function") -> Function:
    trigger = {"type": "httpTrigger", "route": name, "methods": ["GET", "POST"], "authLevel": level}
    return Function(name, trigger, run)


@pytest.fixture
def fired() -> list[bool]:
    return []


@pytest.fixture
def client(fired: list[bool]) -> Client:
    def timer(timer: Timer) -> None:
        fired.append(timer.past_due)

    functions = [
        http("rotate", echo),
        http("emergency", echo),
        http("health", echo, "anonymous"),
        http("broken", broken, "anonymous"),
        Function("rotate_due", {"type": "timerTrigger", "schedule": "%ROTATION_SCHEDULE%"}, timer),
    ]
    return Client(Host({one.name: one for one in functions}, KEYS))


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/rotate", "rotate-key", 200),
        ("/api/rotate", "host-key", 200),
        ("/api/rotate", "master-key", 200),
        ("/api/rotate", "emergency-key", 401),
        ("/api/emergency", "rotate-key", 401),
        ("/api/rotate", "", 401),
        ("/api/rotate", "no-such-key", 401),
        ("/api/health", "", 200),
        ("/api/nothing", "master-key", 404),
        ("/rotate", "master-key", 404),
        ("/api/broken", "", 500),
    ],
)
def test_a_key_opens_its_own_function(client: Client, path: str, key: str, status: int) -> None:
    assert client.get(path, headers={"x-functions-key": key}).status_code == status
    assert client.get(path, query_string={"code": key}).status_code == status


def test_a_function_sees_method_query_and_body(client: Client) -> None:
    answer = client.post("/api/health?a=1", data="b")
    assert answer.text == "POST 1 b health"
    assert client.delete("/api/health").status_code == 404, "the host knows no such method of it"


def test_what_a_function_raises_reaches_no_caller(client: Client) -> None:
    assert client.get("/api/broken").data == b""


@pytest.mark.parametrize(
    ("name", "key", "status"),
    [("rotate_due", "master-key", 202), ("rotate_due", "host-key", 401), ("nothing", "master-key", 404)],
)
def test_the_timer_is_fired_by_hand_with_the_master_key_alone(
    client: Client, fired: list[bool], name: str, key: str, status: int
) -> None:
    answer = client.post(f"/admin/functions/{name}", headers={"x-functions-key": key}, json={})
    assert answer.status_code == status
    host: Any = client.application
    for thread in host.started:
        thread.join(10)
    assert fired == ([False] if status == 202 else [])


def test_a_timer_fires_at_its_seconds_and_once_after_a_leap_of_the_clock() -> None:
    now = datetime(2026, 3, 1, 5, 59, 59, tzinfo=UTC)
    schedule = Schedule.of("0 0 */6 * * *", now)
    assert not schedule.due(now)
    assert schedule.due(now + timedelta(seconds=1))
    assert not schedule.due(now + timedelta(hours=5))
    assert schedule.due(now + timedelta(days=3))
    assert not schedule.due(now + timedelta(days=3))


def test_a_schedule_of_five_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="six fields"):
        Schedule.of("0 */6 * * *", datetime.now(UTC))


def test_it_indexes_what_function_app_binds() -> None:
    functions = index(ROOT)
    assert set(functions) == {
        *("rotate_due", "rotate_user", "refresh_tokens"),
        *("rotate", "emergency", "pats", "page", "metrics", "readers", "runs", "health"),
        *("enroll", "enroll_link", "enroll_callback"),
    }
    assert functions["rotate"].route == "rotate"
    assert functions["rotate"].trigger["authLevel"] == "function"
    assert functions["health"].trigger["authLevel"] == "anonymous"
    assert {"rotate", "emergency", "pats", "page", "metrics", "readers", "runs", "enroll"} == set(new_keys().functions)
    assert functions["rotate_user"].trigger["queueName"] == "patrol-rotations"
    assert functions["rotate_user"].outputs == {"aside": "patrol-rotations-poison"}
    assert functions["rotate_due"].outputs == functions["rotate"].outputs == {"messages": "patrol-rotations"}


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("runs", {}),
        ("runs/0a", {"run_id": "0a"}),
        ("runs/0a/more", None),
        ("run", None),
        ("runs/", None),
        ("runsx", None),
    ],
)
def test_a_parameter_that_may_be_missing_is_matched_as_the_host_does(
    path: str, parameters: dict[str, str] | None
) -> None:
    assert index(ROOT)["runs"].matches(path) == parameters


@pytest.fixture(scope="module")
def served(npm: None) -> Iterator[Served]:
    from sandbox.functions_host.azurite import free_port

    with serve(free_port(), NEVER) as running:
        yield running


def ask(served: Served, method: str, path: str, key: str = "", **more: Any) -> requests.Response:
    headers = {"x-functions-key": key} if key else {}
    return requests.request(method, f"{served.url}{path}", headers=headers, timeout=90, **more)


def test_make_serve_answers_as_the_deployed_app_does(served: Served) -> None:
    keys = served.keys.functions
    assert ask(served, "GET", "/api/health").json()["status"] == "ok"
    assert ask(served, "GET", "/api/pats").status_code == 401
    assert ask(served, "POST", "/api/emergency", keys["rotate"], json={"secrets": ["x"]}).status_code == 401
    listed = ask(served, "GET", "/api/pats", keys["pats"])
    assert {pat["secret"] for pat in listed.json()["pats"]} >= {"agents-linux-pat", "sonarqube-pat"}
    assert listed.headers["Cache-Control"] == "no-store"
    assert ask(served, "GET", "/api/rotate", keys["rotate"]).status_code == 405
    assert ask(served, "POST", "/api/rotate", keys["rotate"], json={"secrets": ["nothing"]}).status_code == 404
    refused = ask(served, "POST", "/api/rotate", keys["rotate"], json={"secret": "x"})
    assert (refused.status_code, refused.headers["Content-Type"].split(";")[0]) == (400, "application/problem+json")


def test_make_serve_rotates_for_real_and_by_hand(served: Served) -> None:
    wanted = {"secrets": ["agents-linux-pat"], "force": True}
    answer = ask(served, "POST", "/api/rotate", served.keys.functions["rotate"], json=wanted)
    assert answer.status_code == 200, answer.text
    assert [row["because"] for row in answer.json()["items"]] == ["forced"]
    assert ask(served, "POST", "/admin/functions/rotate_due", served.keys.master, json={}).status_code == 202
    due = "agents-windows-pat"
    end = time.monotonic() + 60
    while _state(served, due) != "healthy":
        assert time.monotonic() < end, "the timer did not rotate it"
        time.sleep(0.2)


def _state(served: Served, secret: str) -> str:
    pats = ask(served, "GET", "/api/pats", served.keys.functions["pats"]).json()["pats"]
    return str(next(pat["state"] for pat in pats if pat["secret"] == secret))


def test_what_it_prints_names_the_address_and_each_key() -> None:
    keys = new_keys()
    cloud = SimpleNamespace(control="http://c")
    running: Any = SimpleNamespace(url="http://127.0.0.1:7071", keys=keys, cloud=cloud, proxy="http://p")
    text = told(running)
    for word in ("http://127.0.0.1:7071", keys.master, *keys.functions.values()):
        assert word in text


def test_a_port_that_is_taken_is_told_in_words(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = subprocess.run(
            [sys.executable, "-m", "sandbox.serve", "--port", str(taken.getsockname()[1])],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 1
    assert "is in use; name another" in ran.stderr
