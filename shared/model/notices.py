"""Notices and who is told: the words that recipients and `notify:` share (rule 19)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Event(StrEnum):
    """What a notice is about. `done` goes to nobody who does not wish for it, `test` comes of `notify --test`, and
    `published` goes to webhooks of `then` alone.
    """

    FAILED = "failed"
    BLOCKED = "blocked"
    WARNING = "warning"
    EMERGENCY = "emergency"
    RECOVERED = "recovered"
    DONE = "done"
    TEST = "test"
    PUBLISHED = "published"


EVENTS = tuple(event for event in Event if event not in (Event.TEST, Event.PUBLISHED))
"""What `on:` may name."""
BY_DEFAULT = frozenset(EVENTS) - {Event.DONE}


class Kind(StrEnum):
    """What a recipient understands. Never guessed from its host: many kinds live under one domain."""

    TEAMS = "teams"
    TEAMS_CARD = "teams-card"
    SLACK = "slack"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where notices go. Its address, and what a webhook's are signed with, are secrets of the credentials' vault."""

    kind: Kind
    url_secret_name: str
    on: frozenset[Event] = BY_DEFAULT
    signing_secret_name: str = ""
    allow_private: bool = False
    owners: frozenset[str] = frozenset()
    """Casefolded: only of what belongs to these it is told; none: of everything."""

    @property
    def key(self) -> str:
        """By what it is remembered."""
        return self.url_secret_name.casefold()

    def hears_of(self, owners: Iterable[str]) -> bool:
        """Whether it is told of what belongs to these."""
        return not self.owners or any(owner.casefold() in self.owners for owner in owners)

    def __str__(self) -> str:
        return f"The {self.kind} recipient {self.url_secret_name}"


@dataclass(frozen=True, slots=True)
class InvalidRecipient:
    """One that `pats.yaml` spoilt; it alone is told nothing. `name`: its secret's, or its place in the file."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class NoticeItem:
    """One PAT or token that a notice is about. `version`: of its secret, where this run wrote one.

    `secret`: as callers write it, `label/name` where several vaults have one of its name. `vault`: its host.
    """

    secret: str
    username: str = ""
    organization: str = ""
    expires_on: datetime | None = None
    version: str = ""
    owner: str = ""
    vault: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a recipient is told. `id` is the same however often one notice is sent; no text holds a value.

    `subject`: the user, organization, secret or vault that is the cause; "" where several secrets share one. `since`:
    from when it is known; `serious_at`: when the first value stops working. `items` are the first few of
    `items_in_all`.
    """

    id: str
    event: Event
    code: str
    subject: str
    cause: str
    remedy: str
    at: datetime
    deployment: str
    vault: str
    run_id: str
    items: tuple[NoticeItem, ...] = ()
    items_in_all: int = 0
    reminder: bool = False
    since: datetime | None = None
    serious_at: datetime | None = None


def narrowed(notice: Notice, to: Recipient) -> Notice:
    """As a recipient of some owners' is told it: others' secrets are not its business."""
    if not to.owners:
        return notice
    mine = tuple(item for item in notice.items if to.hears_of(item.owner.split(", ")))
    return replace(notice, items=mine, items_in_all=len(mine))


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told of a deployment, and by which names it is known."""

    recipients: tuple[Recipient, ...] = ()
    invalid: tuple[InvalidRecipient, ...] = ()
    deployment: str = ""
    vault: str = ""

    def __bool__(self) -> bool:
        return bool(self.recipients or self.invalid)
