"""What is in the way, told once for each cause with everything that it holds up. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.model.errors import Code
from shared.report.report import Outcome, Row

SECRET = "SECRET"
"""Stands for an item's own name where several items have one cause."""

OF_A_USER = frozenset(
    {
        Code.CREDENTIAL_UNREADABLE,
        Code.SIGN_IN_REFUSED,
        Code.SIGN_IN_UNAVAILABLE,
        Code.SIGN_IN_UNCLEAR,
        Code.USER_BLOCKED,
        Code.NOTE_UNWRITABLE,
        Code.PRINCIPAL_REFUSED,
        Code.ENROLLMENT_NEEDED,
        Code.ENROLLMENT_ENDED,
    }
)
OF_AN_ORGANIZATION = frozenset(
    {Code.ORGANIZATION_UNKNOWN, Code.ORGANIZATION_DENIED, Code.DEVOPS_UNAVAILABLE, Code.DEVOPS_UNCLEAR}
)
_COMMAND = re.compile(r"`([^`\n]+)`")
_TOGETHER = ("patrol rotate ", "patrol emergency ", "patrol status ")
"""Commands that take several secrets at once."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is in the way of one item. `since`: from when on that is known; `ends`: when its value stops working.

    `secret`: as callers write it, `label/name` where several vaults have one of its name. `vault`: its host.
    """

    code: str
    cause: str
    remedy: str
    secret: str = ""
    username: str = ""
    organization: str = ""
    ends: datetime | None = None
    since: datetime | None = None
    vault: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause. `cause` and `remedy` say `SECRET` for the name of an item where several differ in it alone.

    `subject`: the user, organization or secret that it lies with; "" where several secrets share it.
    """

    code: str
    cause: str
    remedy: str
    subject: str
    items: tuple[Trouble, ...]

    @property
    def since(self) -> datetime | None:
        """From when on it is known."""
        return min((item.since for item in self.items if item.since is not None), default=None)

    @property
    def serious_at(self) -> datetime | None:
        """When the first of its items stops working; None where nobody knows, or nothing published depends on it."""
        return min((item.ends for item in self.items if item.ends is not None), default=None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What it holds up, by name."""
        return tuple(sorted({item.secret for item in self.items if item.secret}, key=str.casefold))

    def commands(self, most: int = 10) -> tuple[str, ...]:
        """What the remedy says to run, ready to be copied; for `most` items at most."""
        found: dict[str, None] = {}
        for command in _COMMAND.findall(self.remedy):
            if " " not in command:
                continue
            names = self.secrets[:most]
            if SECRET not in command or len(self.secrets) == 1:
                found[command] = None
            elif command.startswith(_TOGETHER):
                found[command.replace(SECRET, " ".join(names))] = None
            else:
                found |= dict.fromkeys(command.replace(SECRET, name) for name in names)
        return tuple(found)


def grouped(troubles: Iterable[Trouble]) -> tuple[Cause, ...]:
    """By cause: one for all items that it stops, in the order in which they come."""
    found: dict[tuple[str, str, str], list[Trouble]] = {}
    for trouble in troubles:
        cause, remedy = without(trouble.secret, trouble.cause), without(trouble.secret, trouble.remedy)
        found.setdefault((trouble.code, cause, remedy), []).append(trouble)
    return tuple(_cause(*key, tuple(items)) for key, items in found.items())


def of_row(row: Row, *, ends: datetime | None = None, since: datetime | None = None) -> Trouble | None:
    """What is in the way by a row of a report; None for one that is well, or was not reached."""
    if row.error is None or row.outcome not in (Outcome.FAILED, Outcome.BLOCKED):
        return None
    error = row.error
    code, who = error.code.value, (row.name, row.username, row.organization)
    return Trouble(code, error.message, error.remedy, *who, ends, since, row.vault)


def _cause(code: str, cause: str, remedy: str, items: tuple[Trouble, ...]) -> Cause:
    first = items[0]
    names = {item.secret for item in items}
    subject = ""
    if code in OF_A_USER:
        subject = first.username
    elif code in OF_AN_ORGANIZATION:
        subject = first.organization
    elif len(names) == 1:
        subject, cause, remedy = first.secret, first.cause, first.remedy
    return Cause(code, cause, remedy, subject, items)


def without(secret: str, text: str) -> str:
    """The text with `SECRET` for the item's own name, as a whole word."""
    if not secret or secret not in text:
        return text
    return re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", SECRET, text)
