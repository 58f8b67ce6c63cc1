"""Promise 7: of `pats.yaml` nothing is repeated but known keys, and names and scopes that are some.

Somebody writes a password where a name, a key or nothing at all belongs; `check` and a run tell line and kind.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shared.inventory import yaml_text
from shared.inventory.pats_yaml import check, load
from shared.model.errors import Misconfigured
from tests.lab.inventory_texts import PAT_ID, THEN, Tree, a_user, an_estate, an_item, text_of
from tests.lab.token_estates import APP

PASSWORD = "Tr0ub4dor&3!"
WHOLE = an_estate(
    a_user(
        an_item(
            organization="contoso",
            lifetime="30d",
            rotate_before="7d",
            overlap="1d",
            strategy="rotate",
            max_age="365d",
            verify="connection-data",
            adopt=PAT_ID,
            paused=False,
            then=THEN,
        ),
        an_item(secret="other-pat"),
    ),
    service_principals=[
        {
            "client_id": APP,
            "client_secret_name": "app-secret",
            "entra_token": {"secret": "a-token", "organization": "contoso", "refresh_below": "50%"},
        }
    ],
    defaults={"organization": "contoso", "lifetime": "30d", "rotate_before": "7d", "overlap": "1d"},
)


def told(text: str) -> str:
    """Everything that `check` and a run say of a file."""
    says = repr(check(text))
    try:
        read = load(text)
    except Misconfigured as failure:
        return says + str(failure)
    return says + repr(read.invalid) + repr(read.invalid_tokens)


def places(part: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


PLACES = list(places(WHOLE))


def changed(path: tuple[str | int, ...], value: Any, *, beside: bool = False) -> Tree:
    """The whole estate with `value` at `path`; `beside`: as another key or entry next to it."""
    tree: Any = {"root": copy.deepcopy(WHOLE)}
    inner, steps = tree, ("root", *path)
    for step in steps[:-1]:
        inner = inner[step]
    if not beside:
        inner[steps[-1]] = value
    elif isinstance(inner, dict):
        inner[value] = "x"
    else:
        inner.append(value)
    root: Tree = tree["root"]
    return root


def test_the_whole_estate_has_every_place_and_is_in_order() -> None:
    assert len(PLACES) >= 45
    assert check(text_of(WHOLE)) == ()


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)) or "the file")
def test_promise_7_a_password_is_not_repeated_wherever_it_stands(path: tuple[str | int, ...]) -> None:
    assert "Tr0ub4dor" not in told(text_of(changed(path, PASSWORD)))
    if path:
        assert "Tr0ub4dor" not in told(text_of(changed(path, PASSWORD, beside=True)))
        assert "Tr0ub4dor" not in told(text_of(changed(path, [PASSWORD])))
        assert "Tr0ub4dor" not in told(text_of(changed(path, {PASSWORD: PASSWORD})))


@given(st.sampled_from(PLACES[1:]), st.text(min_size=6).filter(lambda text: not text.isascii() or "&" in text))
def test_promise_7_no_text_that_nothing_knows_is_repeated(path: tuple[str | int, ...], text: str) -> None:
    says = told(yaml.safe_dump(changed(path, text), allow_unicode=True))
    assert text not in says
    assert repr(text)[1:-1] not in says


LINES = {
    "a tag": "    password: !Tr0ub4dor&3",
    "a tag with a handle": "    password: !Tr0ub4dor!x y",
    "an alias": "    password: *Tr0ub4dor",
    "an anchor twice": "    a: &Tr0ub4dor 1\n    b: &Tr0ub4dor 2",
    "a key": "    Tr0ub4dor&3: x",
    "a key twice": "    Tr0ub4dor&3: x\n    Tr0ub4dor&3: y",
    "a key without its colon": "    Tr0ub4dor&3",
    "an odd beginning": "    password: @Tr0ub4dor",
    "an open quote": "    password: 'Tr0ub4dor",
    "a colon too many": "    password: Tr0ub4dor: x",
    "a percent sign": "    password: %Tr0ub4dor",
    "a number as a key": "    20260123: x",
    "binary that is none": "    password: !!binary Tr0ub4dor",
    "a date that is none": "    password: !!timestamp Tr0ub4dor",
    "a key in a key": "    ? [Tr0ub4dor]\n    : x",
    "a directive": "%Tr0ub4dor x",
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_promise_7_nor_when_yaml_takes_it_for_something(lines: str) -> None:
    text = f"sign_in: {{}}\nusers:\n  - username: a@contoso.com\n{lines}\n"
    says = told(text)
    assert "Tr0ub4dor" not in says
    assert "20260123" not in says
    assert "line" in says


def pyyamls_failures() -> Iterator[yaml.YAMLError]:
    """Without libyaml PyYAML reads for itself, and its words hold more of the text."""
    for lines in LINES.values():
        try:
            yaml.load(f"users:\n  - a: b\n{lines}\n", yaml.SafeLoader)
        except yaml.YAMLError as failure:
            yield failure
        except (ValueError, AttributeError):
            continue  # what a constructor raises is never told


@pytest.mark.parametrize("failure", list(pyyamls_failures()), ids=lambda failure: type(failure).__name__)
def test_promise_7_nor_in_the_words_of_pyyaml_itself(failure: yaml.YAMLError) -> None:
    assert "Tr0ub4dor" not in yaml_text._kind_of(failure)


def test_pyyaml_s_own_words_hold_the_text() -> None:
    assert sum("Tr0ub4dor" in str(failure) for failure in pyyamls_failures()) >= 4


def test_a_doubled_key_that_is_known_is_named() -> None:
    (problem,) = check("users: []\nusers: []\n")
    assert (problem.line, problem.says) == (2, "the key `users` comes twice")
