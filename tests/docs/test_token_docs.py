"""The numbers of docs/which-credential.md are those of the code."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from shared.inventory import pats_yaml
from shared.model.steps import Rotate
from shared.rules.token_plan import EVERY, FLOOR, LEAST_LEFT, OVERLAP, SHORT, plan
from tests.lab.token_estates import lab, minutes, versions
from tests.rotation.test_token_day import a_day
from tests.rules.test_token_plan import NOW, a_token, an_item

TEXT = (Path(__file__).resolve().parents[2] / "docs/which-credential.md").read_text(encoding="utf-8")


def table(header: str) -> list[list[str]]:
    lines = TEXT.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def due(share: int, age: timedelta) -> bool:
    ends = NOW + timedelta(hours=1)
    token = a_token(created=NOW, expires_on=ends)
    return isinstance(plan(an_item(refresh_below=share), token, NOW + age), Rotate)


def first_look(share: int) -> timedelta:
    """How old a token of one hour is when a look finds it due."""
    age = EVERY
    while not due(share, age):
        age += EVERY
    return age


def may_fail(share: int) -> int:
    """How many looks in a row may fail, so that the one after them comes in time."""
    age, failed = first_look(share), 0
    while timedelta(hours=1) - (age + EVERY) >= LEAST_LEFT:
        age, failed = age + EVERY, failed + 1
    return failed


def test_the_table_of_shares_is_the_plan_s() -> None:
    for share, every, fail, in_a_day, in_a_year in table("`refresh_below`"):
        per_cent = int(share.removesuffix("%"))
        assert every == f"{first_look(per_cent) // minutes(1)} min"
        assert int(fail) == may_fail(per_cent)
        assert int(in_a_day) == timedelta(days=1) // first_look(per_cent)
        assert int(in_a_year) == 365 * int(in_a_day)


@pytest.mark.parametrize("row", table("Tokens live"), ids=lambda row: row[0])
def test_the_table_of_calls_is_measured(row: list[str]) -> None:
    life, refreshes, vault, entra, devops = (int(re.sub(r"\D", "", cell)) for cell in row)
    made = lab(quick=False)
    made.cloud.switches.service_token_minutes = life
    assert a_day(made, [True] * 144) == 0
    calls = Counter(name.partition(".")[0] for name in made.operations())
    assert len(versions(made)) == refreshes
    assert calls == {"vault": vault, "entra": entra, "devops": devops}


def test_the_example_of_pats_yaml_is_in_order() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert pats_yaml.check(example) == ()
    (token,) = pats_yaml.load(example).tokens
    assert token.secret == "feeds-token"


def test_the_times_in_the_text_are_the_code_s() -> None:
    assert (minutes(15), minutes(15), minutes(10)) == (LEAST_LEFT, OVERLAP, EVERY)
    assert (minutes(35), minutes(25)) == (FLOOR, SHORT)
    assert "never later\nthan at 35 minutes" in TEXT
    assert "less than 25\nminutes left" in TEXT
