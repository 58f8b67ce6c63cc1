"""One call of the HTTP API before its body is read: headers, query, and what is told of a call that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# What the host reads of a query: the function key, and which of the keys it is.
_OF_THE_KEY = frozenset({"code", "clientid"})


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, as far as the doors look. Header names are lower-case.

    `run_id` or `ticket` stands in the path.
    """

    method: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    run_id: str | None = None
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """`field` as a path, such as `secrets[2]`; "" for the body as a whole."""

    field: str
    says: str


class BadRequest(Exception):
    """The request was not understood whole; nothing was attempted."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{mistake.field} {mistake.says}".strip() for mistake in self.mistakes))


def check_query(query: Mapping[str, str], parameters: Iterable[str] = ()) -> None:
    """Raises BadRequest for every parameter but the key's and `parameters`."""
    known = frozenset(parameters)
    if mistakes := query_mistakes({name: value for name, value in query.items() if name not in known}):
        raise BadRequest(mistakes)


def query_mistakes(query: Mapping[str, str], fields: Iterable[str] = ()) -> list[Mistake]:
    """Every query parameter but the key's: a misspelled one that is passed over would do what it forbids.

    `fields`: of the route's body.
    """
    meant = {_plain(name): name for name in fields}
    found = []
    for name in query:
        if _plain(name) in _OF_THE_KEY:
            continue
        says = "is no query parameter here"
        if meant_field := meant.get(_plain(name)):
            says = f"is not read from the query: write `{meant_field}` into the JSON body"
        found.append(Mistake(shown(name), says))
    return found


def prefers_async(headers: Mapping[str, str]) -> bool:
    """Whether the caller would rather poll (RFC 7240, `Prefer: respond-async`; other preferences may stand beside)."""
    preferences = headers.get("prefer", "").split(",")
    return any(text.partition(";")[0].strip().casefold() == "respond-async" for text in preferences)


def shown(name: str) -> str:
    """A caller's own word, short and plain."""
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in name[:40])
    return plain or "(empty)"


def _plain(name: str) -> str:
    """A name as people mix it up: `Dry_Run`, `dryRun` and `dry-run` are one."""
    return re.sub(r"[-_ ]", "", name).casefold()
