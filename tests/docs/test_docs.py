"""Docs, settings and code say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from shared.inventory import pats_yaml
from shared.model.errors import Code
from shared.model.steps import (
    Because,
)
from shared.settings import SETTINGS
from tests.lab import event_names, what_ran

ROOT = Path(__file__).resolve().parents[2]
QUERIES = re.findall(r"```kusto\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")])


def rows(text: str, column: int = 0) -> list[str]:
    """The named cell of every table row."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [line.strip("|").split(" | ")[column].strip().strip("`") for line in lines]


def test_promise_8_every_failure_code_has_one_row_in_operations() -> None:
    section = (ROOT / "docs/operations.md").read_text().split("## When it fails")[1].split("\n## ")[0]
    assert rows(section) == [code.value for code in Code]


def test_every_reason_code_has_one_row_in_report() -> None:
    section = (ROOT / "docs/report.md").read_text().split("| `because` |")[1].split("\n## ")[0]
    assert rows(section) == [because.value for because in Because]


def test_the_settings_table_is_the_code_s() -> None:
    section = (ROOT / "README.md").read_text().split("## Settings")[1].split("\n## ")[0]
    table = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert table == [[f"`{one.name}`", one.meaning, one.default] for one in SETTINGS]


def test_the_example_of_local_settings_has_every_setting() -> None:
    values = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    host = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
    assert set(values) - host == {one.name for one in SETTINGS}


def test_every_setting_in_a_binding_is_in_the_table() -> None:
    bound = set(re.findall(r"%(\w+)%", (ROOT / "function_app.py").read_text()))
    assert bound <= {one.name for one in SETTINGS if one.read_by == "host"}


def test_the_readme_s_example_of_pats_yaml_is_in_order() -> None:
    example = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    assert pats_yaml.check(example) == ()


def test_every_event_has_its_place_in_operations() -> None:
    section = (ROOT / "docs/operations.md").read_text().split("## Logs")[1].split("```")[0]
    told = set(re.findall(r"`([a-z]+\.[a-z-]+)`", section))
    planned = {"item.left", "item.planned"}  # of dry runs and of what was not reached: in the report
    assert told == set(event_names.events()) - planned


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_asks_for_events_and_fields_that_are_logged(query: str) -> None:
    assert event_names.problems(query) == []


def test_a_query_for_what_is_not_logged_is_found() -> None:
    assert event_names.problems('traces | where message startswith "pat.lost " | project fields.secret') != []
    assert event_names.problems('traces | where message startswith "pat.minted " | project fields.value') != []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`(tests/[\w./]+\.py)`", text):
        assert (ROOT / name).exists(), name


def test_every_promise_and_rule_of_the_page_is_held_by_make_test() -> None:
    """By at least one test that carries its number, in what `make test` runs."""
    wanted = what_ran.promises_and_rules()
    numbers = {kind: [number for one, number in wanted if one == kind] for kind in ("promise", "rule")}
    assert numbers["promise"] == list(range(1, 9))
    # Rules keep their numbers: some are written down before they are built.
    assert numbers["rule"] == sorted(set(numbers["rule"]))
    assert set(range(1, 17)) <= set(numbers["rule"])
    (quick,) = re.findall(r"^QUICK := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "-m", quick]
    ran = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    held = Counter(one for test in ran.stdout.splitlines() for one in what_ran.held_by(test))
    assert {one for one in wanted if not held[one]} == set()


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("tests/rules/test_plan.py::test_rule_4_an_orphan[rule_5_x]", [("rule", 4)]),
        ("test_rule_2_a_500_after_the_effect", [("rule", 2)]),
        ("test_promises_1_2_and_4_hold", [("promise", 1), ("promise", 2), ("promise", 4)]),
        ("test_promises_hold_over_eight_instances", []),
        ("test_rules_and_values_read_no_clock", []),
    ],
)
def test_a_test_s_name_says_what_it_holds(name: str, held: list[tuple[str, int]]) -> None:
    assert what_ran.held_by(name) == held
