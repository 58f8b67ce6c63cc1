"""`pats.yaml`: read strictly for `check`, and tolerantly for a run, where an invalid item fails alone."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from shared.inventory import yaml_text
from shared.inventory.examined import examine
from shared.inventory.mistakes import Found, sentence, shown, split, unreadable
from shared.inventory.parts import Parts, of_several
from shared.inventory.schema import FilePart
from shared.inventory.yaml_text import Lines, Unreadable
from shared.model.errors import Code, Misconfigured
from shared.model.inventory_files import InventoryFiles
from shared.model.items import Inventory


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: `path` such as `users[0].pats[1].scopes[0]`, its line from 1 where it is known, and what to do.

    `file`: its name, where the inventory has several.
    """

    path: str
    line: int | None
    says: str
    file: str = ""


def check(text: str, home: str | None = None) -> tuple[Problem, ...]:
    """Every problem at once, by line. Empty when a run would work on every item.

    `home`: the host of KEY_VAULT_URL; "" where that is not set, None where nobody asks.
    """
    try:
        parts = Parts.of_one(yaml_text.parse(text))
    except Unreadable as problem:
        return (Problem("", problem.line, unreadable(problem)),)
    mistakes = [mistake for mistake in examine(parts, home).problems if not mistake.echo]
    if not mistakes:
        return ()
    lines = Lines(text)
    problems = [Problem(shown(mistake.path), lines.of(mistake.at), mistake.says) for mistake in mistakes]
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def check_files(files: InventoryFiles, home: str | None = None) -> tuple[Problem, ...]:
    """The same of several files together, file by file."""
    parts = of_several(files)
    problems = [Problem("", unread.line, unread.says, unread.name) for unread in parts.unread]
    for mistake in examine(parts, home).problems:
        if not mistake.echo:
            file, inner = split(mistake.path)
            line, name = (None, "") if file is None else (file.line(mistake.at), file.name)
            problems.append(Problem(shown(inner), line, mistake.says, name))
    return tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))


def load(text: str, home: str | None = None) -> Inventory:
    """Read for a run; `home` as for `check`. Raises Misconfigured for unreadable YAML, an invalid `sign_in` or a secret
    named twice.
    """
    try:
        parts = Parts.of_one(yaml_text.parse(text))
    except Unreadable as problem:
        where = f" (line {problem.line})" if problem.line else ""
        cause = f"pats.yaml is not readable{where}: {unreadable(problem)}."
        remedy = "Correct that line; `patrol check` reads it again."
        raise Misconfigured(Code.INVENTORY_UNREADABLE, cause, remedy) from None
    examined = examine(parts, home)
    stopping = [mistake for mistake in examined.problems if mistake.stops]
    if stopping or examined.sign_in is None:
        lines = Lines(text)
        sentences = "; ".join(_with_line(mistake, lines) for mistake in stopping)
        remedy = "Correct it; `patrol check` shows every problem."
        raise Misconfigured(Code.INVENTORY_INVALID, f"pats.yaml: {sentences}.", remedy)
    return examined.inventory(examined.sign_in)


def load_files(files: InventoryFiles, home: str | None = None) -> Inventory:
    """The same of several files. Raises Misconfigured where none, or more than one, says how to sign in."""
    parts = of_several(files)
    examined = examine(parts, home)
    stopping = [mistake for mistake in examined.problems if mistake.stops]
    if stopping or examined.sign_in is None:
        code = Code.INVENTORY_INVALID if parts.parts else Code.INVENTORY_UNREADABLE
        raise Misconfigured(code, sentence(stopping), "Correct it; `patrol check` shows every problem.")
    return examined.inventory(examined.sign_in)


def _with_line(mistake: Found, lines: Lines) -> str:
    line = lines.of(mistake.at)
    return " ".join(filter(None, (shown(mistake.path), f"(line {line})" if line else "", mistake.says)))


def schema() -> dict[str, Any]:
    """The JSON schema of `pats.yaml`, for editors."""
    made = FilePart.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pats.yaml of patrol", **made}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
