"""The messages of the queue `patrol-rotations`: each points to one technical user's work in one run, and says no more.

What is to be done is the order that whoever planned the run kept in the host's storage: who may write to the queue asks
for nothing of its own (no force, no organization, no instant). Never a secret (promise 7).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.model import run_ids
from shared.model.clock import instant

QUEUE, POISON = "patrol-rotations", "patrol-rotations-poison"
KIND = "patrol-rotation-2"
OLD_KIND = "patrol-rotation-1"
"""Of a patrol that wrote the whole order into the message: some may be under way while a new version is deployed."""
MOST_NAMES = 100
"""Longer lists are split, so that each message is done within a function's time."""
MOST_DELIVERIES = 5
"""`maxDequeueCount` of host.json: after so many failures the host sets a message aside."""
MOST_MESSAGES = 1_000_000

ORGANIZATION = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,48}[0-9A-Za-z])?")

_USERNAME = re.compile(r"[^\s]{1,256}")
_KEYS = frozenset(("kind", "run_id", "part", "of", "username", "deadline"))
_OLD_KEYS = _KEYS | {"organizations"}
_ASKED_FOR = frozenset(("secrets", "force", "dry_run", "published_before"))


class NotAMessage(Exception):
    """Somebody else's, or broken. The text says what is wrong, and shows nothing of what stood there."""


@dataclass(frozen=True, slots=True)
class DueWork:
    """Whose work a message is for, where it is for whatever is due: then a lost order loses no rotation."""

    username: str
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """`part` of `of`: which message of its run. `due` is None where only the order says what is asked for."""

    run_id: str
    part: int
    of: int
    due: DueWork | None = None


def write(message: Message) -> str:
    """JSON, as ASCII."""
    written: dict[str, object] = {
        "kind": KIND,
        "run_id": message.run_id,
        "part": message.part,
        "of": message.of,
    }
    if message.due is not None:
        written |= {"username": message.due.username, "deadline": instant(message.due.deadline)}
    return json.dumps(written)


def read(body: bytes) -> Message:
    """Raises NotAMessage for anything that `write` would not have written, nor an older version for what is due."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAMessage("it is not JSON") from None
    if not isinstance(found, dict) or found.get("kind") not in (KIND, OLD_KIND):
        raise NotAMessage(f"it is not of the kind {KIND}")
    old = found["kind"] == OLD_KIND
    if old and _ASKED_FOR & found.keys():
        raise NotAMessage(
            "an older version of patrol wrote it for what was asked for by name or as a dry run, and a message alone "
            "is not believed any more; send the request again"
        )
    if not (_OLD_KEYS if old else _KEYS).issuperset(found):
        raise NotAMessage("it has a key that is not known")
    part, of = _number(found, "part"), _number(found, "of")
    if part > of:
        raise NotAMessage("`part` is more than `of`")
    run_id = found.get("run_id")
    if not isinstance(run_id, str) or not run_ids.is_id(run_id):
        raise NotAMessage("`run_id` is not the id of a run")
    due = None
    if old or "username" in found or "deadline" in found:
        due = DueWork(_username(found), _instant(found, "deadline"))
    return Message(run_id, part, of, due)


def _username(found: Mapping[str, Any]) -> str:
    """As pats.yaml takes them: no blank, no line break of any kind, nothing that turns the direction of a line."""
    value = found.get("username")
    if not isinstance(value, str) or not _USERNAME.fullmatch(value) or not value.isprintable():
        raise NotAMessage("`username` is missing or not valid")
    return value


def _number(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_MESSAGES:
        raise NotAMessage(f"`{key}` is missing or not a number from 1 on")
    return value


def _instant(found: Mapping[str, Any], key: str) -> datetime:
    value = found.get(key)
    try:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9T:.+Z-]{20,40}", value):
            raise ValueError
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotAMessage(f"`{key}` is not an instant") from None
