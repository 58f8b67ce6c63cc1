"""docs/postman: no secret in the files, every request the product's, and newman runs all of it for real."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, demo_estate
from sandbox.functions_host.azurite import free_port, node
from sandbox.process.running import ROOT
from sandbox.serve import Served, serve
from tests.lab import openapi

FOLDER = ROOT / "docs/postman"
COLLECTION = FOLDER / "patrol.postman_collection.json"
ENVIRONMENT = FOLDER / "patrol.postman_environment.json"
NEWMAN = ROOT / "sandbox/node/node_modules/newman/bin/newman.js"
NEVER = "0 0 0 1 1 *"
SECRET_WORDS = ("secret", "password", "token", "key", "value")
NAMES_ONLY = {"secret", "secret_to_force", "leaked_secret", "continuation_token"}
"""Names of Key Vault secrets, and the place in a list."""


def requests() -> list[dict[str, Any]]:
    return [one for folder in json.loads(COLLECTION.read_text())["item"] for one in folder["item"]]


def variables() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ENVIRONMENT.read_text())["values"]
    return found


def test_promise_7_what_is_secret_is_masked_and_stands_in_no_file() -> None:
    for one in variables():
        secret = one["key"] not in NAMES_ONLY and any(word in one["key"].split("_") for word in SECRET_WORDS)
        assert one["type"] == ("secret" if secret else "default"), one["key"]
        assert not (secret and one["value"]), one["key"]
    masked = {one["key"] for one in variables() if one["type"] == "secret"}
    assert masked == {
        *("client_secret", "password", "access_token", "pat_value"),
        *("pats_key", "page_key", "metrics_key", "readers_key", "rotate_key", "emergency_key", "runs_key"),
    }


def test_every_variable_is_set_somewhere_and_used_somewhere() -> None:
    text = COLLECTION.read_text()
    made = {"valid_to", "now"}
    used = {part.partition("}}")[0] for part in text.split("{{")[1:]}
    known = {one["key"] for one in variables()}
    assert used <= known | made
    assert {one for one in known if f"{{{{{one}}}}}" not in text and f'\\"{one}\\"' not in text} == set()


def test_every_request_is_explained_and_tested() -> None:
    for one in requests():
        assert len(one["request"]["description"]) > 20, one["name"]
        scripts = "\n".join(line for event in one["event"] for line in event["script"]["exec"])
        assert "pm.test(" in scripts, one["name"]
        assert "pat_value" not in scripts.replace('pm.environment.set("pat_value"', ""), one["name"]


def test_the_requests_to_patrol_are_those_of_its_description() -> None:
    sent = set()
    for one in requests():
        raw = one["request"]["url"]["raw"]
        if raw.startswith("{{patrol_url}}/api/"):
            route = raw.removeprefix("{{patrol_url}}/api").replace("{{run_id}}", "{run_id}")
            sent.add((route, one["request"]["method"]))
            if "body" in one["request"]:
                text = one["request"]["body"]["raw"].replace("{{now}}", "2026-03-01T12:00:00Z")
                body = json.loads(re.sub(r"{{\w+}}", "a-secret", text))
                schema = openapi.schema_of_body(route.strip("/"))
                assert not list(openapi.validator(schema).iter_errors(body)), one["name"]
    described = {
        (route, method.upper())
        for route, methods in openapi.document()["paths"].items()
        for method in methods
        if method in ("get", "post")
    }
    # Enrolling ends in a browser, where a person signs in.
    assert sent == {(route, method) for route, method in described if not route.startswith("/enroll")}


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of newman: its exit code, what it printed, which requests were sent, which assertions failed."""

    code: int
    text: str
    sent: list[str]
    failed: list[str]
    assertions: int


@pytest.fixture(scope="module")
def served(npm: None) -> Iterator[Served]:
    with serve(free_port(), NEVER) as running:
        yield running


def values(served: Served, **more: str) -> dict[str, str]:
    demo = demo_estate()
    keys = {f"{name}_key": key for name, key in served.keys.functions.items()}
    return {
        "client_secret": demo["clients"][0]["secrets"][0],
        "password": next(user["password"] for user in demo["users"] if user["upn"] == AGENTS),
        "patrol_url": served.url,
        "poll_seconds": "1",
        **keys,
        **more,
    }


def run_newman(served: Served, folder: Path, given: dict[str, str]) -> Ran:
    """Values go into a file, as a person's stay in the app: an argument is seen by everybody on the machine."""
    environment = json.loads(ENVIRONMENT.read_text())
    for one in environment["values"]:
        one["value"] = given.get(one["key"], one["value"])
    filled, told = folder / "environment.json", folder / "told.json"
    filled.write_text(json.dumps(environment), encoding="utf-8")
    program = node()
    assert program is not None
    command = [program, str(NEWMAN), "run", str(COLLECTION), "--environment", str(filled), "--color", "off"]
    command += ["--reporters", "cli,json", "--reporter-json-export", str(told)]
    ran = subprocess.run(
        command, env=served.cloud.environment(), capture_output=True, text=True, timeout=240, check=False
    )
    found = json.loads(told.read_text(encoding="utf-8"))["run"]
    sent = [one["item"]["name"] for one in found["executions"] if "response" in one]
    failed = [f"{one['source']['name']}: {one['error']['message']}" for one in found["failures"]]
    return Ran(ran.returncode, ran.stdout + ran.stderr, sent, failed, found["stats"]["assertions"]["total"])


def test_newman_runs_every_request_against_the_sandbox_and_the_app(served: Served, tmp_path: Path) -> None:
    secrets = {"secret": "agents-linux-pat", "secret_to_force": "wiki-export-pat", "leaked_secret": "build-feed-pat"}
    given = values(served, **secrets)
    ran = run_newman(served, tmp_path, given)
    assert (ran.failed, ran.code) == ([], 0), ran.text
    assert set(ran.sent) == {one["name"] for one in requests()}
    assert ran.assertions >= len(requests())
    for one in variables():
        if one["type"] == "secret" and given.get(one["key"]):
            assert given[one["key"]] not in ran.text, one["key"]


def test_what_changes_something_is_sent_only_when_it_is_named(served: Served, tmp_path: Path) -> None:
    ran = run_newman(served, tmp_path, values(served))
    assert (ran.failed, ran.code) == ([], 0), ran.text
    held = {"Rotate one secret if it is due", "Rotate one secret now", "A PAT leaked: replace it, and end the old one"}
    assert held.isdisjoint(ran.sent)


def test_a_refused_sign_in_fails_and_sends_nothing_more(served: Served, tmp_path: Path) -> None:
    ran = run_newman(served, tmp_path, values(served, client_secret="not-the-secret-of-the-client"))
    assert ran.code != 0
    assert ran.sent == ["Get the technical user's token"]
    assert any("AADSTS" in one for one in ran.failed), ran.failed
