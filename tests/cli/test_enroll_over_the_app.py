"""`enroll --app`: the deployed app gives the link, to a key of its own or to a token of Entra ID (rule 16)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from sandbox.cloud.seed import AGENTS
from sandbox.process.running import Running, start
from shared.model.errors import Code, Misconfigured
from shared.services.deployed_app import by_token
from tests.lab.lab import Lab, item
from tests.lab.shell import Shell

API = "33333333-2222-4333-8444-555555555555"
SCOPE = f"api://{API}"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab(users=[{"username": AGENTS, "enrolled": True, "pats": [item()]}]), tmp_path)


@dataclass(frozen=True)
class Asked:
    """What reached the app."""

    path: str
    body: dict[str, Any]
    key: str | None
    authorization: str | None


class Door(BaseHTTPRequestHandler):
    """The deployed app's `POST /api/enroll`, as its answers look."""

    status, link = 201, "https://contoso-pats.azurewebsites.net/api/enroll/aaaa"
    asked: list[Asked]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(Asked(self.path, body, self.headers["x-functions-key"], self.headers["Authorization"]))
        answer = json.dumps({"link": self.link, "expires_at": "2026-03-01T12:10:00Z"}).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def an_app(status: int = 201, link: str = Door.link) -> Iterator[tuple[str, list[Asked]]]:
    asked: list[Asked] = []
    door = type("OneDoor", (Door,), {"status": status, "link": link, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), door) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join(10)


def test_rule_16_with_a_federated_identity_the_deployed_app_gives_the_link(shell: Shell) -> None:
    shell.lab.sign_in = {}
    with an_app() as (url, asked):
        code, out, errors = shell("enroll", AGENTS, "--app", url, PATROL_ENROLL_KEY="the-key-of-enroll")
    assert code == 0
    assert out.split() == [Door.link]
    assert f"sign in as {AGENTS}" in errors
    assert "2026-03-01T12:10:00Z" in errors
    assert "the-key-of-enroll" not in out + errors
    assert asked == [Asked("/api/enroll", {"username": AGENTS}, "the-key-of-enroll", None)]
    assert shell.lab.cloud.calls() == [], "nothing of this machine is asked"


@pytest.mark.parametrize(
    ("status", "link", "says"),
    [
        (400, Door.link, "`enrolled: true` into the pats.yaml that is deployed"),
        (401, Door.link, "PATROL_ENROLL_KEY"),
        (404, Door.link, "no patrol that enrolls answers there"),
        (503, Door.link, "HTTP 503"),
        (302, Door.link, "HTTP 302"),
        (201, "http://elsewhere.example/", "something that is no link"),
    ],
)
def test_promise_8_an_app_that_gives_no_link_is_told_with_what_to_do(
    shell: Shell, status: int, link: str, says: str
) -> None:
    with an_app(status, link) as (url, _):
        code, out, errors = shell("enroll", AGENTS, "--app", url, PATROL_ENROLL_KEY="the-key-of-enroll")
    assert code == 1
    assert says in " ".join(errors.split())
    assert out == ""


def test_promise_7_the_key_is_no_argument_and_goes_over_https_alone(shell: Shell) -> None:
    assert "PATROL_ENROLL_KEY is not set" in shell("enroll", AGENTS, "--app", "https://app.example")[2]
    code, _, errors = shell("enroll", AGENTS, "--app", "http://contoso-pats.azurewebsites.net")
    assert code == 2
    assert "must be the app's address" in errors


# --- with HTTP_AUTH=entra --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[Running]:
    with start("demo") as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_was(request: pytest.FixtureRequest) -> None:
    if "cloud" in request.fixturenames:
        cloud: Running = request.getfixturevalue("cloud")
        cloud.client.clear_faults()
        cloud.client.clear_log()


def test_rule_16_where_callers_sign_in_the_app_is_shown_a_token_for_its_api_and_no_key(cloud: Running) -> None:
    with an_app() as (url, asked):
        ask = ["-m", "shared", "enroll", AGENTS, "--app", url, "--app-id", API.upper()]
        ran = cloud.run_product(ask, extra={"PATROL_ENROLL_KEY": "the-key-of-enroll"})
    assert (ran.returncode, ran.stdout.split()) == (0, [Door.link]), ran.stderr
    (one,) = asked
    assert (one.path, one.body, one.key) == ("/api/enroll", {"username": AGENTS}, None)
    scheme, _, token = (one.authorization or "").partition(" ")
    assert scheme == "Bearer"
    assert token in cloud.client.secrets()
    assert token not in ran.stdout + ran.stderr
    assert {row["subject"] for row in cloud.client.log("identity.token")} == {SCOPE}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, f"Look whether {API} is the authClientId of that app"),
        (403, f"`python3 -m infra.entra.api assign OBJECT_ID Pats.Enroll --app-id {API}`"),
        (404, "no patrol that enrolls answers there"),
    ],
)
def test_promise_8_an_app_that_takes_no_token_is_told_with_what_to_do(cloud: Running, status: int, says: str) -> None:
    with an_app(status) as (url, _):
        ran = cloud.run_product(["-m", "shared", "enroll", AGENTS, "--app", url, "--app-id", API])
    assert ran.returncode == 1
    assert says in " ".join(ran.stderr.split())
    assert "PATROL_ENROLL_KEY" not in ran.stderr
    assert ran.stdout == ""


def test_promise_8_no_token_is_told_before_the_app_is_asked(cloud: Running) -> None:
    cloud.client.add_fault("identity.token", "status", call=None, status=400, body="{}")
    with an_app() as (url, asked):
        ran = cloud.run_product(["-m", "shared", "enroll", AGENTS, "--app", url, "--app-id", API])
    assert (ran.returncode, asked) == (2, [])
    assert f"No token for {SCOPE}." in ran.stderr


class Refusing:
    """Entra ID refuses a person who signed in with the Azure CLI."""

    def get_token(self, *_: str, **__: object) -> AccessToken:
        raise ClientAuthenticationError("AADSTS65001: The user has not consented to use 'Microsoft Azure CLI'.")


def test_promise_8_a_person_s_own_sign_in_is_refused_with_who_gets_a_token() -> None:
    with pytest.raises(Misconfigured) as told:
        by_token(Refusing(), API)
    assert told.value.code is Code.IDENTITY_UNAVAILABLE
    assert told.value.cause == f"No token for {SCOPE} (AADSTS65001)."
    assert "az login --service-principal" in told.value.remedy


def test_without_key_and_api_both_ways_are_named(shell: Shell) -> None:
    code, _, errors = shell("enroll", AGENTS, "--app", "https://app.example")
    assert code == 2
    assert all(way in errors for way in ("PATROL_ENROLL_KEY", "--app-id"))


def test_an_api_without_an_app_is_refused(shell: Shell) -> None:
    code, _, errors = shell("enroll", AGENTS, "--app-id", API)
    assert (code, "Add `--app URL`" in errors) == (2, True)
    assert shell.lab.cloud.calls() == []
