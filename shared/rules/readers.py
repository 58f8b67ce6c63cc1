"""What a vault's log says of who reads: the verdict on each reader, and whom a predecessor is kept for (rule 18).

Pure. A log is minutes late and may be silent; silence never ends anything early.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.model.readers import Asked, Reader, VaultLogSeen, Verdict
from shared.model.secret_state import VersionSeen
from shared.model.tags import Predecessor

READ_WITHIN = timedelta(days=30)
"""Whoever read a value so long before it was replaced, or later, is taken to use it still."""
LATE = timedelta(minutes=30)
"""Rows of a log may be missing for so long; three to ten minutes are usual."""
SAME_SECOND = timedelta(seconds=1)
"""A vault tells `created` in whole seconds: within that second nobody knows which version came first."""


@dataclass(frozen=True, slots=True)
class ReadBy:
    """What one reader read of one secret. `last_version`: the one it got last, as the log names it.

    `known`: whether it reads by right; None where nobody said who does.
    """

    reader: Reader
    first_read: datetime
    last_read: datetime
    last_version: str
    verdict: Verdict
    known: bool | None = None


def readers(
    secret: str, published_at: datetime, log: VaultLogSeen, by_right: frozenset[str] | None = None
) -> tuple[ReadBy, ...]:
    """Everybody who read a secret whose current version was published then, last one first.

    `by_right`: object ids in lower case; None where nobody said.
    """
    found = [_read_by(asked, published_at, log) for asked in _by_reader(log.of(secret)).values()]
    told = [replace(one, known=_is_known(one.reader, by_right)) for one in found]
    return tuple(sorted(told, key=lambda one: (one.last_read, one.reader.key), reverse=True))


def _is_known(reader: Reader, by_right: frozenset[str] | None) -> bool | None:
    """By its object id, as the right to read is given; who has none in the log is unknown."""
    return None if by_right is None else reader.object_id.casefold() in by_right


def _by_reader(asked: Iterable[Asked]) -> dict[str, list[Asked]]:
    """Of those who were served."""
    found: dict[str, list[Asked]] = {}
    for one in asked:
        if one.served:
            found.setdefault(one.reader.key, []).append(one)
    return found


def _read_by(asked: list[Asked], published_at: datetime, log: VaultLogSeen) -> ReadBy:
    last = _last(asked)
    return ReadBy(
        last.reader,
        min(one.first for one in asked),
        last.last,
        last.version,
        verdict(last, published_at, log.seen.get(last.reader.key)),
    )


def _last(asked: Iterable[Asked]) -> Asked:
    """The last one; of two at one moment the one that names its version, which is the more doubtful."""
    return max(asked, key=lambda one: (one.last, one.pinned))


def verdict(last: Asked, published_at: datetime, at_vault: datetime | None) -> Verdict:
    """What the last read says. `at_vault`: when the reader was last seen at the vault for anything."""
    if last.pinned:
        return Verdict.PINNED
    since = published_at + SAME_SECOND
    if last.last >= since:
        return Verdict.CURRENT
    return Verdict.BEHIND if at_vault is not None and at_vault >= since else Verdict.UNSEEN


class Why(StrEnum):
    """Why a predecessor is kept after its overlap."""

    READERS = "readers"
    UNREADABLE = "unreadable"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Kept:
    """A predecessor lives on until then at most, because of these readers, or because nobody knows."""

    until: datetime
    why: Why
    readers: tuple[ReadBy, ...] = ()


def kept(
    predecessor: Predecessor,
    versions: Iterable[VersionSeen],
    secret: str,
    log: VaultLogSeen | None,
    over: datetime,
    hold: timedelta,
    expires: datetime,
    now: datetime,
) -> Kept | None:
    """Whether a predecessor whose overlap was over at `over` is kept for its readers; None: it may end.

    `log`: None where it could not be read. `expires`: when the PAT ends by itself. An emergency is never held.
    """
    until = min(over + hold, expires)
    if predecessor.at_once or hold <= timedelta(0) or now >= until:
        return None
    if log is None or not log.whole:
        return Kept(until, Why.UNREADABLE)
    # Everything up to the overlap's end has to have arrived: something later has, and its delay has passed.
    if log.until is None or log.until < over or now < over + LATE:
        return Kept(until, Why.SILENT)
    lagging = laggards(predecessor, tuple(versions), secret, log)
    return Kept(until, Why.READERS, lagging) if lagging else None


def laggards(
    predecessor: Predecessor, versions: tuple[VersionSeen, ...], secret: str, log: VaultLogSeen
) -> tuple[ReadBy, ...]:
    """Readers who got the predecessor in the 30 days before it was replaced, or later, and nothing newer since."""
    old, replaced_at = _versions_of(predecessor, versions)
    newer = {one.version.casefold() for one in versions if replaced_at is not None and one.created >= replaced_at}
    newer -= old
    since = None if replaced_at is None else replaced_at - READ_WITHIN
    found = []
    for asked in _by_reader(log.of(secret)).values():
        got = [one for one in asked if one.version in old and (since is None or one.last >= since)]
        last = _last(asked)
        if got and last.version not in newer:
            found.append(_read_by(asked, replaced_at or last.last, log))
    return tuple(sorted(found, key=lambda one: (one.last_read, one.reader.key), reverse=True))


def _versions_of(predecessor: Predecessor, versions: tuple[VersionSeen, ...]) -> tuple[set[str], datetime | None]:
    """The versions that hold the predecessor, and when the first one after them was made.

    Where no version names it, such as of one that was adopted, every version but the newest may hold it.
    """
    ordered = sorted(versions, key=lambda version: version.created)
    named = [version for version in ordered if version.names(predecessor.id)] or ordered[:-1]
    if not named:
        return set(), None
    after = [version for version in ordered if version.created > named[-1].created]
    return {version.version.casefold() for version in named}, after[0].created if after else None


def still_asked_for(
    secret: str, versions: Iterable[VersionSeen], alive: frozenset[str], log: VaultLogSeen, since: datetime
) -> tuple[tuple[ReadBy, str], ...]:
    """Who asked since then by its id for a version whose PAT is retired, and for which one.

    `alive`: authorization ids of the current PAT and of predecessors in overlap.
    """
    ids = {version.version.casefold(): version.stamp for version in versions}
    found = []
    for one in log.of(secret):
        stamp = ids.get(one.version)
        if one.pinned and one.last >= since and stamp is not None and stamp.authorization_id not in alive:
            found.append((ReadBy(one.reader, one.first, one.last, one.version, Verdict.PINNED), stamp.authorization_id))
    return tuple(sorted(found, key=lambda pair: (pair[0].last_read, pair[0].reader.key), reverse=True))
