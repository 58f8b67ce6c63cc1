"""The sandbox's answers against the official description of the PAT API, where a copy of it is at hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.seed import AGENTS, CLIENT, TENANT, apply, small_estate
from sandbox.wire.door import answer
from sandbox.wire.exchange import Request, Response

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
PATS = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats"
VERSION = "api-version=7.2-preview.1"
FACTS = {
    "PatToken": {
        "displayName": "string",
        "validTo": "string",
        "scope": "string",
        "targetAccounts": "array",
        "validFrom": "string",
        "authorizationId": "string",
        "token": "string",
    },
    "PatTokenResult": {"patToken": "object", "patTokenError": "string", "patTokenErrorMessage": "string"},
    "PagedPatTokens": {"continuationToken": "string", "patTokens": "array"},
}
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str, type(None)),
    "array": (list, type(None)),
    "object": (dict, type(None)),
}


@pytest.fixture
def cloud() -> Cloud:
    made = Cloud(ManualClock(datetime(2026, 11, 24, tzinfo=UTC)).now)
    apply(made, small_estate())
    return made


@pytest.fixture
def headers(cloud: Cloud) -> dict[str, str]:
    words = (TENANT, CLIENT, "sandbox-client-secret-demo", AGENTS, "sandbox-password-agents")
    token = cloud.directory.sign_in(*words, f"{AZURE_DEVOPS}/.default")
    return {"Authorization": f"Bearer {token.access_token}"}


def create(cloud: Cloud, headers: dict[str, str]) -> Response:
    body = {"displayName": "one", "scope": "vso.code", "validTo": "2026-12-24T00:00:00Z", "allOrgs": False}
    return answer(cloud, Request.of("POST", f"{PATS}?{VERSION}", headers, json.dumps(body).encode()))


def described() -> dict[str, Any]:
    path = REFERENCE / "tokens-7.2-preview.json"
    if not path.is_file():
        pytest.skip("the official description is not here: no ../shared/reference/tokens-7.2-preview.json")
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    return value


def test_answers_have_the_fields_of_the_facts(cloud: Cloud, headers: dict[str, str]) -> None:
    result = json.loads(create(cloud, headers).body)
    page = json.loads(answer(cloud, Request.of("GET", f"{PATS}?{VERSION}", headers)).body)
    target = f"{PATS}?{VERSION}&authorizationId={result['patToken']['authorizationId']}"
    body = json.dumps({"authorizationId": result["patToken"]["authorizationId"], "displayName": "two"}).encode()
    got = json.loads(answer(cloud, Request.of("GET", target, headers)).body)
    updated = json.loads(answer(cloud, Request.of("PUT", f"{PATS}?{VERSION}", headers, body)).body)
    shown = [("PagedPatTokens", page), *(("PatToken", row) for row in page["patTokens"])]
    for told in (result, got, updated):
        shown += [("PatTokenResult", told), ("PatToken", told["patToken"])]
    for name, value in shown:
        assert value.keys() == FACTS[name].keys(), name
        assert all(isinstance(value[field], KINDS[kind]) for field, kind in FACTS[name].items()), name


def test_the_facts_are_those_of_the_description() -> None:
    definitions = described()["definitions"]
    for name, fields in FACTS.items():
        properties = definitions[name]["properties"]
        assert properties.keys() == fields.keys()
        for field, kind in fields.items():
            assert properties[field].get("type", "string" if "enum" in properties[field] else "object") == kind


def test_the_operations_are_those_of_the_description() -> None:
    [(path, methods)] = [(path, methods) for path, methods in described()["paths"].items() if "pats" in path.lower()]
    assert path == "/{organization}/_apis/tokens/pats"
    assert {"get", "post", "put", "delete"} <= methods.keys()


def test_the_official_examples_and_the_sandbox_speak_alike(cloud: Cloud, headers: dict[str, str]) -> None:
    folder = REFERENCE / "tokens-examples"
    if not folder.is_dir():
        pytest.skip("the official examples are not here: no ../shared/reference/tokens-examples")
    example = json.loads((folder / "CreatePat.json").read_text(encoding="utf-8-sig"))["responses"]["200"]["body"]
    result = json.loads(create(cloud, headers).body)
    assert example["patToken"].keys() == result["patToken"].keys()
    assert example["patTokenError"] == result["patTokenError"]
    listed = json.loads((folder / "ListPats.json").read_text(encoding="utf-8-sig"))["responses"]["200"]["body"]
    page = json.loads(answer(cloud, Request.of("GET", f"{PATS}?{VERSION}", headers)).body)
    assert listed.keys() == page.keys()
    assert listed["continuationToken"] == page["continuationToken"] == ""
    revoke = json.loads((folder / "RevokePat.json").read_text(encoding="utf-8-sig"))["responses"]
    target = f"{PATS}?{VERSION}&authorizationId={result['patToken']['authorizationId']}"
    assert str(answer(cloud, Request.of("DELETE", target, headers)).status) in revoke
