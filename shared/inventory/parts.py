"""Several files as one inventory: which holds `sign_in`, and which cannot be read and so has items nobody knows.

A team's file holds `users` and `service_principals`. What is true for everybody (`sign_in`, `defaults`, `notify`,
`administrator`) stands in one file, so that no team decides it for the others, and a file that cannot be read takes its
own items out of a run and changes nothing for those of the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.inventory import yaml_text
from shared.inventory.mistakes import Found, located, shown, unreadable
from shared.inventory.yaml_text import InFile, Place, Unreadable
from shared.model.inventory_files import InventoryFile, InventoryFiles

FOR_EVERYBODY = ("defaults", "notify", "administrator")
"""What stands beside `sign_in`."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one file holds. `at` begins every place in it: nothing where there is one file only."""

    raw: Mapping[str, Any]
    at: Place = ()

    @property
    def name(self) -> str:
        """The file's; "" where there is one only."""
        file = self.at[0] if self.at else None
        return file.name if isinstance(file, InFile) else ""

    def may_misspell_users(self, unknown: Iterable[str]) -> bool:
        """Whether a key that is not known may hold technical users: of a team's file, whatever it is called."""
        known = ("sign_in", "users", *FOR_EVERYBODY, "service_principals")
        near = (difflib.get_close_matches(key, known, n=1) for key in unknown)
        return any("sign_in" not in self.raw or found == ["users"] for found in near)

    def inside(self, problems: Iterable[Found]) -> list[Found]:
        """Mistakes by their place from the top of this file, in the inventory as a whole."""
        return [replace(problem, path=(*self.at, *problem.path)) for problem in problems]


@dataclass(frozen=True, slots=True)
class Unread:
    """A file whose items nobody knows. `line` is known where its YAML is wrong."""

    name: str
    says: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.name}:{self.line}" if self.line else self.name
        return f"{where} {self.says}"


@dataclass(frozen=True, slots=True)
class Parts:
    """`head` is the one with `sign_in`; None where no run can begin, and `problems` say why."""

    parts: tuple[Part, ...]
    head: Part | None
    several: bool = False
    unread: tuple[Unread, ...] = ()
    problems: tuple[Found, ...] = ()

    @classmethod
    def of_one(cls, raw: Any) -> Parts:
        """Of the text of one file that stands for itself."""
        if isinstance(raw, dict):
            return cls((Part(raw),), Part(raw))
        return cls((), None, problems=(Found((), "it must hold the keys sign_in and users", stops=True),))


def of_several(files: InventoryFiles) -> Parts:
    """All files together, in the order of their names. A file that cannot be read is no part."""
    parts: list[Part] = []
    unread: list[Unread] = []
    for file in files.files:
        part = _read(file)
        if isinstance(part, Part):
            parts.append(part)
        else:
            unread.append(part)
    heads = [part for part in parts if "sign_in" in part.raw]
    if len(heads) == 1:
        (head,) = heads
        problems = tuple(problem for part in parts if part is not head for problem in _not_there(part, head))
        return Parts(tuple(parts), head, True, tuple(unread), problems)
    problems = tuple(_two_heads(heads)) if heads else (_no_head(files, unread),)
    return Parts(tuple(parts), None, True, tuple(unread), problems)


def in_one(files: InventoryFiles) -> dict[str, Any]:
    """What several files say, as one file would. Of a file that cannot be read, nothing."""
    parts = of_several(files)
    whole = dict(parts.head.raw) if parts.head is not None else {}
    users: dict[str, dict[str, Any]] = {}
    principals: list[Any] = []
    for part in parts.parts:
        for user in _list(part.raw.get("users")):
            if isinstance(user, dict):
                entry = users.setdefault(str(user.get("username")).casefold(), {**user, "pats": []})
                entry["pats"] += _list(user.get("pats"))
        principals += _list(part.raw.get("service_principals"))
    whole["users"] = list(users.values())
    return {**whole, "service_principals": principals} if principals else whole


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _read(file: InventoryFile) -> Part | Unread:
    if file.text is None:
        return Unread(file.name, file.broken)
    try:
        raw = yaml_text.parse(file.text)
    except Unreadable as problem:
        return Unread(file.name, f"is not readable: {unreadable(problem)}", problem.line)
    if isinstance(raw, dict) and raw:
        return Part(raw, (InFile(file.name, file.text),))
    # What was written half-way, or emptied by mistake, must not look as if its items were taken out on purpose.
    return Unread(file.name, "holds no keys: write `users:` in it, or take the file away")


def _no_head(files: InventoryFiles, unread: list[Unread]) -> Found:
    if not files.files:
        return Found((), f"{files.where} holds no file whose name ends with .yaml", stops=True)
    says = f"none of the files in {files.where} has `sign_in`"
    if unread:
        says = f"{says} that can be read, and {'; '.join(map(str, unread))}"
    return Found((), says, stops=True)


def _two_heads(heads: list[Part]) -> Iterator[Found]:
    """Which of them to believe nobody can say, and a password goes where `sign_in` points."""
    places: list[Place] = [(*head.at, "sign_in") for head in heads]
    for place in places:
        others = " and ".join(shown(other) for other in places if other != place)
        yield Found(place, f"stands at {others} too: keep one", stops=True)


def _not_there(part: Part, head: Part) -> Iterator[Found]:
    """Keys that only the file with `sign_in` may have."""
    for key in FOR_EVERYBODY:
        if key in part.raw:
            place: Place = (*head.at, key if key in head.raw else "sign_in")
            says = f"stands at {shown(place)} too: keep that one" if key in head.raw else _move_it(head, place)
            yield Found((*part.at, key), says)


def _move_it(head: Part, place: Place) -> str:
    file = head.at[0]
    where = located(file, place) if isinstance(file, InFile) else ""
    return f"holds for everybody: move it to the file that has sign_in ({where})"
