"""`then` of an item: one consumer or a list of them, in the order in which they are given the value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.inventory.mistakes import Found, one_of, shown, validate
from shared.inventory.schema import CONSUMER_PARTS, ServiceConnectionPart, SonarQubePart, WebhookPart
from shared.inventory.yaml_text import Place
from shared.model.consumers import MOST_CONSUMERS, Consumer, taker


def read(raw: Any, path: Place) -> tuple[tuple[Consumer, ...], list[Found]]:
    """The consumers as they are written at `path`, and what is wrong with them."""
    if raw is None:
        return (), []
    if not isinstance(raw, list):
        part, problems = _part(raw, path)
        return () if part is None else (part.consumer(),), problems
    problems = [] if 1 <= len(raw) <= MOST_CONSUMERS else [Found(path, f"must name 1 to {MOST_CONSUMERS} consumers")]
    found: list[Consumer] = []
    for number, entry in enumerate(raw):
        part, wrong = _part(entry, (*path, number))
        problems += wrong
        if part is None:
            continue
        if taker(part.consumer()) in map(taker, found):
            problems.append(Found((*path, number), "is named twice"))
        found.append(part.consumer())
    return tuple(found), problems


def _part(raw: Any, path: Place) -> tuple[_Part | None, list[Found]]:
    kind = raw.get("kind") if isinstance(raw, Mapping) else None
    if kind is not None and str(kind) not in CONSUMER_PARTS:
        return None, [Found((*path, "kind"), one_of(kind, _KINDS))]
    return validate(CONSUMER_PARTS.get(str(kind), _FIRST), raw, path)


def secrets(raw: Any) -> Iterator[Any]:
    """The secrets that consumers name, as written: no PAT is published there."""
    for entry in raw if isinstance(raw, list) else [raw]:
        if isinstance(entry, dict):
            yield from (value for key, value in entry.items() if str(key).endswith("_secret_name"))


class Copies:
    """Which item of the file pushes to what keeps one copy, so that two never take turns in it."""

    def __init__(self) -> None:
        self._first: dict[str, Place] = {}

    def twice(self, then: tuple[Consumer, ...], path: Place) -> Iterator[Found]:
        """They would end each other's PAT there. `path`: the item's."""
        for to in then:
            if not to.keeps_copy:
                continue
            first = self._first.setdefault(to.text.casefold(), path)
            if first is not path:
                says = f"pushes to {to.place} to which {shown(first)} pushes too: one PAT for each"
                yield Found((*path, "then"), says)


_FIRST = next(iter(CONSUMER_PARTS.values()))
_Part = SonarQubePart | ServiceConnectionPart | WebhookPart
_KINDS = ", ".join(f"'{kind}'" for kind in list(CONSUMER_PARTS)[:-1]) + f" or '{list(CONSUMER_PARTS)[-1]}'"
