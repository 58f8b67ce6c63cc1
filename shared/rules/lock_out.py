"""Never lock a user out: a refused sign-in is remembered in the vault until something changed (rule 12).

Smart lock-out counts wrong passwords whatever process sends them, so the memory must outlive a process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from shared.model.clock import whole_seconds
from shared.model.credentials import SignIn
from shared.model.errors import Again, UserRefused
from shared.model.items import digest
from shared.model.tags import BLOCKED_PREFIX, LONGEST_TAG, MANAGED_BY, Mark

LOCK_OUT = timedelta(minutes=30)
DAILY = timedelta(days=1)

UNANSWERED = "unanswered"
_NO_ANSWER = "{} was sent to Entra ID, and no answer came that says what became of it."
_LOOK = "Look at the network between patrol and Entra ID; it is tried again by itself."

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
    """Of an enrolled user: when a person enrolled it, whichever version holds that enrollment now."""
    client_version: str
    """Of the client secret or certificate; a constant for a federated identity, which has none."""

    @classmethod
    def of(cls, username: str, sign_in: SignIn, password_version: str, client_version: str) -> Facts:
        """Compared without regard to case, as Entra ID does."""
        return cls(
            username.casefold(),
            sign_in.tenant.casefold(),
            sign_in.client_id.casefold(),
            password_version,
            client_version,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A remembered refusal; `word` is Entra's number, `times` how often in a row it was refused.

    `cause` and `remedy` are kept, so that every later run can say them again; "" where a note of an older version has
    none.
    """

    facts: Facts
    word: str
    again: Again
    refused_at: datetime
    times: int = 1
    cause: str = ""
    remedy: str = ""

    def next_try(self) -> datetime | None:
        """When a sign-in may be tried although nothing changed; None for never."""
        match self.again:
            case Again.NEVER:
                return None
            case Again.LOCKED if self.times == 1:
                return self.refused_at + LOCK_OUT
            case Again.UNCLEAR:
                return self.refused_at + LOCK_OUT if self.times > 1 else self.refused_at
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
    return Block(facts, refusal.word, refusal.again, whole_seconds(now), times, refusal.cause, refusal.remedy)


def unanswered(facts: Facts, before: Block | None, now: datetime, what: str = "The password") -> Block:
    """The memory of a password, or whatever else `what` is, that went out without an answer that says what came of it.

    Written before the password goes out as well, so that a process that dies in between is remembered. An earlier
    refusal of the same facts is not forgotten by it.
    """
    if before is not None and before.facts == facts and before.again is not Again.UNCLEAR:
        return replace(before, refused_at=whole_seconds(now), times=before.times + 1)
    times = before.times + 1 if before is not None and before.facts == facts else 1
    return Block(facts, UNANSWERED, Again.UNCLEAR, whole_seconds(now), times, _NO_ANSWER.format(what), _LOOK)


def may_pass(block: Block) -> bool:
    """Whether an emergency may try although the block holds: where the password was not judged (rule 12)."""
    return not block.again.judged_the_password


def write(block: Block, mark: Mark) -> dict[str, str]:
    """The note of a block, as tags."""
    facts = block.facts
    written = {
        **_write_facts(facts, mark),
        "state": "blocked",
        "code": block.word,
        "again": block.again.value,
        "refused-at": block.refused_at.strftime(_FORMAT),
        "times": str(block.times),
        "cause": block.cause[:LONGEST_TAG],
        "remedy": block.remedy[:LONGEST_TAG],
    }
    return {name: value for name, value in written.items() if value}


def proven(facts: Facts, mark: Mark) -> dict[str, str]:
    """The note of facts with which the user signed in: they may be sent again without a note before."""
    return {**_write_facts(facts, mark), "state": "proven"}


def is_proven(tags: Mapping[str, str], facts: Facts) -> bool:
    """Whether the note says that the user signed in with exactly these facts."""
    return tags.get("state") == "proven" and _read_facts(tags) == facts


def released(tags: Mapping[str, str]) -> dict[str, str]:
    """The note after a person let patrol try again; what it remembers stays."""
    return {**tags, "state": "released"}


def read(tags: Mapping[str, str]) -> Block | None:
    """The block a note remembers; None when it was released, proven, or does not read as ours."""
    facts = _read_facts(tags)
    if tags.get("state") != "blocked" or facts is None:
        return None
    try:
        return Block(
            facts,
            tags["code"],
            Again(tags["again"]),
            datetime.strptime(tags["refused-at"], _FORMAT).replace(tzinfo=UTC),
            int(tags["times"]),
            tags.get("cause", ""),
            tags.get("remedy", ""),
        )
    except (KeyError, ValueError):
        return None


def weight(tags: Mapping[str, str]) -> int:
    """Which of two words of one second comes last, as Key Vault's times have no more: a person's, then a refusal's."""
    return {"released": 2, "blocked": 1}.get(tags.get("state", ""), 0)


def strongest(words: Iterable[Mapping[str, str]], facts: Facts) -> Block | None:
    """What a note says of `facts`, by the tags of all its versions, newest first.

    A word without a verdict (an attempt that was announced, an answer that was lost) never takes back a verdict on the
    same facts: a slow process may write it later. A release by a person, and a success, end what is older. Of other
    facts the newest word counts.
    """
    newest: Block | None = None
    doubt: Block | None = None
    for tags in words:
        if tags.get("state") in ("released", "proven"):
            break
        block = read(tags)
        if block is None:
            continue
        newest = newest or block
        if block.facts == facts and block.again is not Again.UNCLEAR:
            return block
        if block.facts == facts:
            doubt = doubt or block
    return doubt or newest


def _write_facts(facts: Facts, mark: Mark) -> dict[str, str]:
    return {
        MANAGED_BY: mark.text,
        "username": facts.username,
        "tenant": facts.tenant,
        "client-id": facts.client_id,
        "password-version": facts.password_version,
        "client-secret-version": facts.client_version,
    }


def _read_facts(tags: Mapping[str, str]) -> Facts | None:
    names = ("username", "tenant", "client-id", "password-version", "client-secret-version")
    if not all(name in tags for name in names):
        return None
    return Facts(*(tags[name] for name in names))
