"""docs/openapi.yaml says what the code does; http_calls.py holds every answer in the tests of the API to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from sandbox.functions_host.host import index
from sandbox.process.running import ROOT
from shared import __version__
from shared.functions.http_call import BadRequest
from shared.functions.http_requests import EmergencyBody, RotateBody, read_emergency, read_rotate
from shared.functions.http_roles import Caller, RoleMissing, check
from shared.model.errors import Code
from shared.model.steps import Because
from shared.report.report import Outcome, Verb
from shared.settings import read
from tests.lab import openapi
from tests.lab.http_calls import principal
from tests.lab.lab import ENVIRONMENT, START

READERS = {"rotate": read_rotate, "emergency": read_emergency}
NEVER_ASKED_FOR = "of the tests"


def schemas() -> dict[str, Any]:
    found: dict[str, Any] = openapi.document()["components"]["schemas"]
    return found


def routes(route: str) -> list[str]:
    """A route as OpenAPI writes it: with and without a parameter that may be missing."""
    if not route.endswith("?}"):
        return [route]
    return [route.rpartition("/")[0], f"{route.removesuffix('?}')}}}"]


def test_it_describes_the_routes_that_the_host_binds() -> None:
    functions = [one for one in index(ROOT).values() if one.trigger["type"] == "httpTrigger"]
    http = {route: one for one in functions for route in routes(one.route)}
    described = openapi.document()["paths"]
    assert {f"/{route}" for route in http} == set(described)
    for route, function in http.items():
        assert {method.upper() for method in described[f"/{route}"]} <= function.methods
        is_open = function.trigger["authLevel"] == "anonymous"
        assert all((operation.get("security") == []) == is_open for operation in described[f"/{route}"].values())


def test_it_has_the_version_of_the_app_and_the_prefix_of_host_json() -> None:
    prefix = json.loads((ROOT / "host.json").read_text())["extensions"]["http"]["routePrefix"]
    assert openapi.document()["info"]["version"] == __version__
    assert all(server["url"].endswith(f"/{prefix}") for server in openapi.document()["servers"])
    location = openapi.document()["components"]["headers"]["Location"]["schema"]["pattern"]
    assert location.startswith(f"^/{prefix}/runs/")


@pytest.mark.parametrize(
    ("name", "words"), [("Code", Code), ("Because", Because), ("Step", Verb), ("Outcome", Outcome)]
)
def test_its_words_are_the_code_s(name: str, words: Any) -> None:
    assert schemas()[name]["enum"] == [one.value for one in words]


def plain(schema: Any, whole: dict[str, Any]) -> Any:
    """A schema without references, titles and descriptions; a nullable field that is left out is no null."""
    if isinstance(schema, list):
        return [plain(part, whole) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found: Any = whole
        for word in schema["$ref"].removeprefix("#/").split("/"):
            found = found[word]
        return plain(found, whole)
    if "anyOf" in schema:
        (schema,) = [part for part in schema["anyOf"] if part != {"type": "null"}]
    words = {key: value for key, value in schema.items() if key not in ("title", "description")}
    properties = words.pop("properties", None)
    made = {key: plain(value, whole) for key, value in words.items()}
    if properties is not None:
        made["properties"] = {name: plain(value, whole) for name, value in properties.items()}
    return made


@pytest.mark.parametrize(("route", "shape"), [("rotate", RotateBody), ("emergency", EmergencyBody)])
def test_its_bodies_are_the_shapes_that_the_doors_read(route: str, shape: type[BaseModel]) -> None:
    read = shape.model_json_schema()
    described = openapi.schema_of_body(route)
    assert plain(read, read) == plain(described, openapi.document())


BODIES: list[Any] = [
    {},
    {"secrets": ["a"]},
    {"secrets": ["a"], "force": True},
    {"force": False},
    {"force": True},
    {"dry_run": True},
    {"secrets": []},
    {"secrets": "a"},
    {"secrets": ["a b"]},
    {"secrets": [1]},
    {"secrets": ["a"], "revoke_first": True},
    {"secrets": ["a"], "force": "yes"},
    {"secrets": ["a"], "force": None},
    {"secrets": ["a"], "published_before": "2026-01-01T00:00:00Z"},
    {"secrets": ["a"], "published_before": "yesterday"},
    {"secrets": ["a"], "published_before": 1},
    {"Secrets": ["a"]},
    [],
    "a",
    None,
]


@pytest.mark.parametrize("route", ["rotate", "emergency"])
@pytest.mark.parametrize("body", BODIES, ids=json.dumps)
def test_it_takes_the_bodies_that_the_doors_take(route: str, body: Any) -> None:
    try:
        READERS[route](json.dumps(body).encode(), {}, START)
        taken = True
    except BadRequest:
        taken = False
    assert openapi.validator(openapi.schema_of_body(route)).is_valid(body) == taken


@pytest.mark.parametrize(
    "route", ["rotate", "emergency", "pats", "page", "metrics", "readers", "runs", "runs/{run_id}"]
)
def test_its_roles_open_the_doors(route: str) -> None:
    operation = openapi.operation(route, "POST" if route in READERS else "GET")
    role = operation["x-app-role"]
    assert f"`{role}`" in operation["description"]
    known = read({**ENVIRONMENT, "HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"}, Path())
    assert check(known, principal(role), role) == Caller("caller-id")
    with pytest.raises(RoleMissing):
        check(known, principal(NEVER_ASKED_FOR), role)
    assert f'"{role}"' in (ROOT / "shared/functions/http_routes.py").read_text()


def test_its_examples_fit_its_schemas() -> None:
    for route in ("rotate", "emergency"):
        content = openapi.operation(route, "POST")["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            assert openapi.validator(content["schema"]).is_valid(example["value"]), example


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [one for value in part.values() for one in references(value)]
        return [one for value in part for one in references(value)] if isinstance(part, list) else []

    for schema in schemas().values():
        Draft202012Validator.check_schema(schema)
    assert {tuple(openapi.resolved({"$ref": one})) for one in references(openapi.document())}
