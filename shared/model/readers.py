"""Who reads a published value, and who uses a PAT, as the logs of others tell it: text from outside, and hints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from shared.model.pats import PatId


@dataclass(frozen=True, slots=True)
class Reader:
    """An identity that a vault's log shows. `name` is a person's, where its token had one; "" for what is unknown."""

    object_id: str
    app_id: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.object_id or self.app_id or "somebody without an id"

    @property
    def key(self) -> str:
        """By what it is told apart."""
        return (self.object_id or self.app_id or self.name).casefold()


@dataclass(frozen=True, slots=True)
class Asked:
    """What one reader asked a vault for between `first` and `last`: one version of one secret.

    `version`: the one that was served, or that was asked for where nothing was `served`. `pinned`: the request named
    it. `secret` as the log spells it.
    """

    reader: Reader
    secret: str
    version: str
    pinned: bool
    served: bool
    first: datetime
    last: datetime


@dataclass(frozen=True)
class VaultLogSeen:
    """A vault's log from some time on. `until`: when its newest row was written, of whatever kind; None: it has none.

    `own`: the object id of patrol itself, "" where it is not known. `seen`: when each reader was last at the vault for
    anything, by its key. `whole`: False where the service gave a part of its answer.
    """

    asked: tuple[Asked, ...] = ()
    until: datetime | None = None
    seen: Mapping[str, datetime] = field(default_factory=dict)
    own: str = ""
    whole: bool = True

    def of(self, secret: str) -> tuple[Asked, ...]:
        """What others than patrol asked of one secret."""
        return tuple(self._of_others.get(secret.casefold(), ()))

    @cached_property
    def _of_others(self) -> Mapping[str, list[Asked]]:
        """By casefolded secret: a run asks for each of its items."""
        found: dict[str, list[Asked]] = {}
        for one in self.asked:
            if not (self.own and one.reader.key == self.own):
                found.setdefault(one.secret.casefold(), []).append(one)
        return found


def together(parts: Iterable[VaultLogSeen]) -> VaultLogSeen:
    """What several tables tell of one vault."""
    found = list(parts)
    seen: dict[str, datetime] = {}
    for part in found:
        for key, at in part.seen.items():
            seen[key] = max(at, seen.get(key, at))
    return VaultLogSeen(
        tuple(one for part in found for one in part.asked),
        max((part.until for part in found if part.until is not None), default=None),
        seen,
        next((part.own for part in found if part.own), ""),
        all(part.whole for part in found),
    )


class Verdict(StrEnum):
    """What a reader's last read says of it."""

    CURRENT = "current"
    """It got the value that is published now."""
    BEHIND = "behind"
    """It got an earlier one, and it has been at the vault since."""
    PINNED = "pinned"
    """It asked for a version by its id."""
    UNSEEN = "unseen"
    """It has not been at the vault since the rotation."""


@dataclass(frozen=True, slots=True)
class Use:
    """What Azure DevOps' audit log ties to one PAT. A hit proves use; that there is none proves nothing."""

    authorization_id: PatId
    at: datetime
    action: str
    ip_address: str
    user_agent: str
