"""The events that the code logs, read off its calls: what queries may ask for."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from shared.report.report import Outcome

SHARED = Path(__file__).resolve().parents[2] / "shared"
# Not a literal in the code: run.py tells each row of the report by its outcome, and counts outcomes at the end.
ROWS = "item."


@cache
def events() -> dict[str, frozenset[str]]:
    """Every event's name with the fields it may have."""
    found: dict[str, set[str]] = {}
    for path in SHARED.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and _name(node.func) in ("tell", "_tell", "event") and node.args):
                continue
            fields = {word.arg for word in node.keywords if word.arg}
            if _name(node.func) != "event":
                fields.add("run_id")  # telemetry.with_run_id puts it into every event of a run
            for name in _names(node.args[0]):
                counted = {one.value for one in Outcome} if any(word.arg is None for word in node.keywords) else set()
                found.setdefault(name, set()).update(fields | counted)
    return {name: frozenset(fields) for name, fields in found.items()}


def calls(event: str) -> list[frozenset[str]]:
    """The fields that each call gives which tells this event."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SHARED.rglob("*.py")]
    return [
        frozenset(word.arg for word in node.keywords if word.arg)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and event in _names(node.args[0])
    ]


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _names(first: ast.expr) -> list[str]:
    if isinstance(first, ast.Constant) and isinstance(first.value, str) and "." in first.value:
        return [first.value]
    if isinstance(first, ast.Name) and first.id == "name":
        return [f"{ROWS}{one.value}" for one in Outcome if one is not Outcome.HELD]
    return []


def problems(query: str) -> list[str]:
    """What a KQL query over `traces` asks for that no line can answer."""
    wanted: set[str] = set()
    wrong: list[str] = []
    for text in re.findall(r'message startswith "([^"]*)"', query):
        named = {name for name in events() if name == text.strip() or (text.endswith(".") and name.startswith(text))}
        if not named:
            wrong.append(f"no event {text!r}")
        if not text.endswith((" ", ".")):
            wrong.append(f"{text!r} would match longer names too")
        wanted |= named
    # A query that names no event asks all of them.
    fields = {field for name in wanted or events() for field in events()[name]}
    wrong += [
        f"no field {field!r} in {sorted(wanted)}"
        for field in re.findall(r"fields\.(\w+)", query)
        if field not in fields
    ]
    return wrong
