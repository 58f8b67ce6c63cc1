"""The JSON schema of `pats.yaml`: current, and no stricter than `check`."""

from __future__ import annotations

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.inventory import pats_yaml
from shared.inventory.pats_yaml import check
from tests.lab.inventory_texts import PAT_ID, REPOSITORY, Tree, an_estate, text_of, with_item


def test_the_schema_in_the_repository_is_the_current_one() -> None:
    written = (REPOSITORY / "pats.schema.json").read_text()
    assert written == json.dumps(pats_yaml.schema(), indent=2, sort_keys=True) + "\n", "run `make schema`"


def in_schema(text: str) -> bool:
    return bool(Draft202012Validator(pats_yaml.schema()).is_valid(yaml.safe_load(text)))


def test_the_schema_is_one_and_takes_the_example() -> None:
    Draft202012Validator.check_schema(pats_yaml.schema())
    assert in_schema((REPOSITORY / "pats.example.yaml").read_text())


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"lifetime": None},
        {"adopt": PAT_ID},
        {"rotate_before": "25%"},
        {"scopes": ["new"], "allow_unknown_scopes": True},
    ],
)
def test_an_editor_takes_what_check_takes(keys: Tree) -> None:
    assert check(with_item(**keys)) == ()
    assert in_schema(with_item(**keys))


@pytest.mark.parametrize(
    "keys",
    [
        {"pausd": True},
        {"paused": "yes"},
        {"lifetime": "30"},
        {"rotate_before": "100%"},
        {"strategy": "regenerate"},
        {"scopes": []},
        {"scopes": ["vso.code vso.work"]},
        {"secret": "a b"},
        {"organization": "-a"},
        {"adopt": "yes"},
    ],
)
def test_an_editor_underlines_what_a_pattern_can_tell(keys: Tree) -> None:
    assert not in_schema(with_item(**keys))


def test_an_editor_underlines_two_credentials_of_one_app() -> None:
    estate = an_estate()
    del estate["sign_in"]["client_secret_name"]
    assert in_schema(text_of(estate))
    estate["sign_in"] |= {"client_secret_name": "a", "client_certificate_name": "b"}
    assert not in_schema(text_of(estate))


def test_every_key_has_a_description_for_editors() -> None:
    schema = pats_yaml.schema()
    parts = [schema, *schema["$defs"].values()]
    assert all(key.get("description") for part in parts for key in part["properties"].values())
    assert all(part["additionalProperties"] is False for part in parts)
