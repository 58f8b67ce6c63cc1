"""The messages of the queue `patrol-rotations`: one technical user's work in one run. Never a secret (promise 7)."""

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
KIND = "patrol-rotation-1"
MOST_NAMES = 100
"""Longer lists are split: a message holds 48 KB, and a small one is done within a function's time."""
MOST_DELIVERIES = 5
"""`maxDequeueCount` of host.json: after so many failures the host sets a message aside."""

ORGANIZATION = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,48}[0-9A-Za-z])?")

_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_USERNAME = re.compile(r"[^\x00-\x20]{1,256}")
_KEYS = frozenset(
    ("kind", "run_id", "part", "of", "username", "deadline", "secrets", "force", "dry_run", "published_before")
) | {"organizations"}


class NotAMessage(Exception):
    """Somebody else's, or broken. The text says what is wrong, and shows nothing of what stood there."""


@dataclass(frozen=True, slots=True)
class Message:
    """`part` of `of`: which message of its run. `names`: only these secrets of the user; None: whatever is due.

    `organizations`: where else tags in the vault say that the user minted. `deadline`: after it the work is left.
    """

    run_id: str
    part: int
    of: int
    username: str
    deadline: datetime
    names: tuple[str, ...] | None = None
    force: bool = False
    dry_run: bool = False
    published_before: datetime | None = None
    organizations: tuple[str, ...] = ()

    @property
    def looks_at_all(self) -> bool:
        """Whether it is the user's full look, which everyone gets once a day."""
        return self.names is None and not self.dry_run


def write(message: Message) -> str:
    """JSON, as ASCII; what is not asked for is left out."""
    told: dict[str, object] = {
        "kind": KIND,
        "run_id": message.run_id,
        "part": message.part,
        "of": message.of,
        "username": message.username,
        "deadline": instant(message.deadline),
    }
    if message.names is not None:
        told["secrets"] = list(message.names)
    if message.force:
        told["force"] = True
    if message.dry_run:
        told["dry_run"] = True
    if message.published_before is not None:
        told["published_before"] = message.published_before.isoformat()
    if message.organizations:
        told["organizations"] = list(message.organizations)
    return json.dumps(told)


def read(body: bytes) -> Message:
    """Raises NotAMessage for anything that `write` would not have written."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAMessage("it is not JSON") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise NotAMessage(f"it is not of the kind {KIND}")
    if not _KEYS.issuperset(found):
        raise NotAMessage("it has a key that is not known")
    part, of = _number(found, "part"), _number(found, "of")
    if part > of:
        raise NotAMessage("`part` is more than `of`")
    run_id = _text(found, "run_id", re.compile(r"[0-9a-f]{32}"))
    try:
        run_ids.day_of(run_id)
    except ValueError:
        raise NotAMessage("`run_id` is not the id of a run") from None
    names = _texts(found, "secrets", _NAME)
    if names is not None and not 0 < len(names) <= MOST_NAMES:
        raise NotAMessage(f"`secrets` has not 1 to {MOST_NAMES} names")
    message = Message(
        run_id=run_id,
        part=part,
        of=of,
        username=_text(found, "username", _USERNAME),
        deadline=_instant(found, "deadline"),
        names=names,
        force=_flag(found, "force"),
        dry_run=_flag(found, "dry_run"),
        published_before=_instant(found, "published_before") if "published_before" in found else None,
        organizations=_texts(found, "organizations", ORGANIZATION) or (),
    )
    if message.force and (message.names is None or message.published_before is None):
        # Delivered twice it would rotate twice (rule 8).
        raise NotAMessage("`force` stands without `secrets` or without `published_before`")
    return message


def _text(found: Mapping[str, Any], key: str, form: re.Pattern[str]) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise NotAMessage(f"`{key}` is missing or not valid")
    return value


def _texts(found: Mapping[str, Any], key: str, form: re.Pattern[str]) -> tuple[str, ...] | None:
    if key not in found:
        return None
    value = found[key]
    if not isinstance(value, list) or not all(isinstance(one, str) and form.fullmatch(one) for one in value):
        raise NotAMessage(f"`{key}` is not a list of names")
    return tuple(value)


def _number(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise NotAMessage(f"`{key}` is missing or not a number from 1 on")
    return value


def _flag(found: Mapping[str, Any], key: str) -> bool:
    value = found.get(key, False)
    if not isinstance(value, bool):
        raise NotAMessage(f"`{key}` is not true or false")
    return value


def _instant(found: Mapping[str, Any], key: str) -> datetime:
    try:
        at = datetime.fromisoformat(_text(found, key, re.compile(r"[0-9T:.+Z-]{20,40}")))
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotAMessage(f"`{key}` is not an instant") from None
