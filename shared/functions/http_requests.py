"""What a caller of the HTTP API writes, read strictly: a request that is not understood whole does nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.model.clock import MOST_SKEW
from shared.model.request import Request

LARGEST = 64 * 1024
ROTATE = ("secrets", "force", "dry_run", "published_before")
EMERGENCY = ("secrets", "revoke_first", "published_before")

# Key Vault's own rule for names; anything else is not echoed.
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
# What the host reads of a query: the function key, and which of the keys it is.
_OF_THE_KEY = frozenset({"code", "clientid"})
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, as far as the doors look. Header names are lower-case; `run_id` stands in the path."""

    method: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """`field` as a path, such as `secrets[2]`; "" for the body as a whole."""

    field: str
    says: str


class BadRequest(Exception):
    """The request was not understood; nothing was attempted."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{mistake.field} {mistake.says}".strip() for mistake in self.mistakes))


def check_query(query: Mapping[str, str], fields: Iterable[str] = ()) -> None:
    """Refuse every query parameter but the key's: a misspelled one that is passed over would do what it forbids.

    `fields`: of the route's body. Raises BadRequest with every problem.
    """
    problems = _query_problems(query, fields)
    if problems:
        raise BadRequest(problems)


def prefers_async(headers: Mapping[str, str]) -> bool:
    """Whether the caller would rather poll (RFC 7240, `Prefer: respond-async`; other preferences may stand beside)."""
    preferences = headers.get("prefer", "").split(",")
    return any(one.partition(";")[0].strip().casefold() == "respond-async" for one in preferences)


def read_rotate(body: bytes, query: Mapping[str, str], now: datetime) -> Request:
    """Read the body of `POST /api/rotate`; empty means everything that is due. Raises BadRequest with every problem."""
    given, problems = _fields(body, query, ROTATE, now)
    if given.get("force") and "secrets" not in given:
        problems.append(Mistake("force", "needs `secrets`: name what is to be rotated whether due or not"))
    if problems:
        raise BadRequest(problems)
    return Request(
        names=given.get("secrets"),
        force=given.get("force", False),
        dry_run=given.get("dry_run", False),
        published_before=given.get("published_before"),
        arrived_at=now,
        door="http",
    )


def read_emergency(body: bytes, query: Mapping[str, str], now: datetime) -> Request:
    """Read the body of `POST /api/emergency`, which names the leaked secrets. Raises BadRequest with every problem."""
    given, problems = _fields(body, query, EMERGENCY, now)
    if "secrets" not in given:
        problems.append(Mistake("secrets", "is required: name what leaked"))
    if problems:
        raise BadRequest(problems)
    return Request(
        names=given["secrets"],
        emergency=True,
        revoke_first=given.get("revoke_first", False),
        published_before=given.get("published_before"),
        arrived_at=now,
        door="http",
    )


def _fields(
    body: bytes, query: Mapping[str, str], known: tuple[str, ...], now: datetime
) -> tuple[dict[str, Any], list[Mistake]]:
    """The fields that were given, and what is wrong with them."""
    problems = _query_problems(query, known)
    document = _object(body)
    fields: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            problems.append(Mistake(_shown(name), f"is not known; known are {', '.join(known)}"))
            continue
        fields[name], wrong = _READERS[name](name, value, now)
        problems += wrong
    return fields, problems


def _query_problems(query: Mapping[str, str], fields: Iterable[str]) -> list[Mistake]:
    meant = {_plain(field): field for field in fields}
    problems = []
    for name in query:
        if _plain(name) in _OF_THE_KEY:
            continue
        field = meant.get(_plain(name))
        says = (
            f"is not read from the query: write `{field}` into the JSON body" if field else "is no query parameter here"
        )
        problems.append(Mistake(_shown(name), says))
    return problems


def _plain(name: str) -> str:
    """A name as people mix it up: `Dry_Run`, `dryRun` and `dry-run` are one."""
    return re.sub(r"[-_ ]", "", name).casefold()


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST:
        raise BadRequest([Mistake("", f"The body is larger than {LARGEST // 1024} KiB")])
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_once) if text.strip() else {}
    except _Twice as failure:
        raise BadRequest([Mistake(_shown(failure.name), "stands there twice")]) from None
    except (ValueError, RecursionError):
        raise BadRequest([Mistake("", "The body is not JSON")]) from None
    if not isinstance(document, dict):
        raise BadRequest([Mistake("", "The body is not a JSON object")])
    return document


class _Twice(Exception):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


Read = tuple[Any, list[Mistake]]


def _flag(name: str, value: Any, _: datetime) -> Read:
    return value, [] if isinstance(value, bool) else [Mistake(name, "is not true or false")]


def _names(name: str, value: Any, _: datetime) -> Read:
    if not isinstance(value, list):
        return (), [Mistake(name, "is not a list of secret names")]
    if not value:
        return (), [Mistake(name, "names no secret")]
    wrong = [
        Mistake(f"{name}[{number}]", "is not the name of a secret (letters, digits and hyphens)")
        for number, one in enumerate(value)
        if not isinstance(one, str) or not _NAME.fullmatch(one)
    ]
    return tuple(value), wrong


def _instant(name: str, value: Any, now: datetime) -> Read:
    try:
        if not isinstance(value, str) or not _INSTANT.fullmatch(value):
            raise ValueError
        at = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return now, [Mistake(name, "is not an instant with its offset, such as 2026-03-01T12:00:00Z")]
    if at > now + MOST_SKEW:
        # Every repetition of the request would rotate again until then (rule 8).
        return now, [Mistake(name, "lies in the future")]
    return at, []


_READERS: Mapping[str, Callable[[str, Any, datetime], Read]] = {
    "secrets": _names,
    "force": _flag,
    "dry_run": _flag,
    "revoke_first": _flag,
    "published_before": _instant,
}


def _shown(name: str) -> str:
    """A caller's own word, short and plain."""
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in name[:40])
    return plain or "(empty)"
