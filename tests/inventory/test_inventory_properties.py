"""Whatever somebody writes into `pats.yaml` is read, or refused in words."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from shared.inventory.pats_yaml import check, load
from shared.inventory.schema import ItemPart
from shared.model.errors import Misconfigured
from tests.lab.inventory_texts import an_estate


def never_surprises(text: str) -> None:
    problems = check(text)
    try:
        read = load(text)
    except Misconfigured:
        assert problems
    else:
        assert problems or not read.invalid


@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"\n \t#%@,?0.~"))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    never_surprises(text)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = [*ItemPart.model_fields, "pausd", "all_orgs"]
ITEMS = st.fixed_dictionaries({}, optional={key: ANYTHING | st.just("1d") | st.just(["vso.code"]) for key in KEYS})
USERS = st.fixed_dictionaries(
    {},
    optional={
        "username": ANYTHING | st.sampled_from(["a@contoso.com", "b@contoso.com"]),
        "password_secret_name": ANYTHING | st.just("pw"),
        "pats": ANYTHING | st.lists(ITEMS | ANYTHING, max_size=3),
    },
)


@given(st.lists(USERS | ANYTHING, max_size=3), ITEMS | ANYTHING)
def test_any_values_in_the_shape_of_the_file_are_read_or_refused_in_words(users: list[Any], defaults: Any) -> None:
    never_surprises(yaml.safe_dump(an_estate(*users, defaults=defaults), allow_unicode=True))
