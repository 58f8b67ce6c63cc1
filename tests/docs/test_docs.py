"""Docs, settings and code say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shared.inventory import pats_yaml
from shared.model.errors import Code
from shared.model.steps import (
    Because,
)
from shared.settings import SETTINGS
from tests.lab import event_names

ROOT = Path(__file__).resolve().parents[2]
QUERIES = re.findall(r"```kusto\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


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


def test_every_promise_and_rule_has_a_test_that_carries_its_number() -> None:
    names = " ".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for number in range(1, 9):
        assert re.search(rf"def test_promises?_(\d_and_)?{number}_", names), f"promise {number}"
    for number in range(1, 16):
        assert f"def test_rule_{number}_" in names, f"rule {number}"
