"""docs/openapi.yaml as data, and whether an answer is one that it describes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker

from shared.functions.http_answers import Answer, TextAnswer

PATH = Path(__file__).resolve().parents[2] / "docs/openapi.yaml"


@cache
def document() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return read


def operation(route: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][f"/{route}"][method.lower()]
    return found


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` of the document points at."""
    while "$ref" in part:
        found: Any = document()
        for word in part["$ref"].removeprefix("#/").split("/"):
            found = found[word]
        part = found
    return part


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document()["components"]}, format_checker=FormatChecker())


def schema_of_body(route: str) -> dict[str, Any]:
    found: dict[str, Any] = operation(route, "POST")["requestBody"]["content"]["application/json"]["schema"]
    return found


def check(route: str, method: str, answer: Answer | TextAnswer) -> None:
    """Raises AssertionError when the document does not describe this answer of this operation."""
    described = operation(route, method)["responses"]
    assert str(int(answer.status)) in described, f"{method} {route} answers {answer.status}: not described"
    response = resolved(described[str(int(answer.status))])
    assert answer.mimetype in response["content"], answer.mimetype
    body = answer.body if isinstance(answer, Answer) else answer.text
    described_body = response["content"][answer.mimetype]["schema"]
    wrong = [error.message for error in validator(described_body).iter_errors(body)]
    assert not wrong, wrong
    # The doors' own headers; Cache-Control is put on by function_app.py and host.json.
    for name, value in answer.headers.items():
        assert name in response.get("headers", {}), f"{name} of {answer.status} is not described"
        schema = resolved(response["headers"][name])["schema"]
        given: object = int(value) if schema.get("type") == "integer" else value
        assert not list(validator(schema).iter_errors(given)), f"{name}: {value}"
