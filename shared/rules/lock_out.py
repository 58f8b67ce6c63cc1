"""Never lock a user out: a refused sign-in is remembered in the vault until something changed (rule 12).

Smart lock-out counts wrong passwords whatever process sends them, so the memory must outlive a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.model.clock import whole_seconds
from shared.model.credentials import SignIn
from shared.model.errors import Again, UserRefused
from shared.model.items import digest
from shared.model.tags import BLOCKED_PREFIX, MANAGED_BY, Mark

LOCK_OUT = timedelta(minutes=30)
DAILY = timedelta(days=1)

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def note_name(username: str) -> str:
    """The secret that remembers a refusal: `patrol-blocked-<12 hex of SHA-256 of the UPN>`."""
    return BLOCKED_PREFIX + digest(username)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sign-in was made of; a change of any of them is a reason to try again."""

    username: str
    tenant: str
    client_id: str
    password_version: str
    client_version: str
    """Of the client secret or certificate; a constant for a federated identity, which has none."""

    @classmethod
    def of(cls, username: str, sign_in: SignIn, password_version: str, client_version: str) -> Facts:
        return cls(
            username.casefold(),
            sign_in.tenant.casefold(),
            sign_in.client_id.casefold(),
            password_version,
            client_version,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A remembered refusal; `word` is Entra's number, `times` how often in a row it was refused."""

    facts: Facts
    word: str
    again: Again
    refused_at: datetime
    times: int = 1

    def next_try(self) -> datetime | None:
        """When a sign-in may be tried although nothing changed; None for never."""
        match self.again:
            case Again.NEVER:
                return None
            case Again.LOCKED if self.times == 1:
                return self.refused_at + LOCK_OUT
            case _:
                return self.refused_at + DAILY

    def holds(self, facts: Facts, now: datetime) -> bool:
        """Whether signing in with `facts` must wait."""
        if facts != self.facts:
            return False
        again = self.next_try()
        return again is None or now < again


def remembered(facts: Facts, refusal: UserRefused, before: Block | None, now: datetime) -> Block:
    """The memory of one more refusal."""
    in_a_row = before is not None and before.facts == facts and before.again is refusal.again
    times = before.times + 1 if before is not None and in_a_row else 1
    return Block(facts, refusal.word, refusal.again, whole_seconds(now), times)


def write(block: Block, mark: Mark) -> dict[str, str]:
    facts = block.facts
    return {
        MANAGED_BY: mark.text,
        "state": "blocked",
        "username": facts.username,
        "tenant": facts.tenant,
        "client-id": facts.client_id,
        "password-version": facts.password_version,
        "client-secret-version": facts.client_version,
        "code": block.word,
        "again": block.again.value,
        "refused-at": block.refused_at.strftime(_FORMAT),
        "times": str(block.times),
    }


def released(tags: Mapping[str, str]) -> dict[str, str]:
    return {**tags, "state": "released"}


def read(tags: Mapping[str, str]) -> Block | None:
    """The block a note remembers; None when it was released or does not read as ours."""
    if tags.get("state") != "blocked":
        return None
    try:
        return Block(
            Facts(
                tags["username"],
                tags["tenant"],
                tags["client-id"],
                tags["password-version"],
                tags["client-secret-version"],
            ),
            tags["code"],
            Again(tags["again"]),
            datetime.strptime(tags["refused-at"], _FORMAT).replace(tzinfo=UTC),
            int(tags["times"]),
        )
    except (KeyError, ValueError):
        return None
