"""Lives of PATs as lengths on a line, for pictures: where it began, where it is due, where it ends. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.model.secret_state import VersionSeen
from shared.rotation.status import ItemStatus

WIDTH = 200
"""Of a picture, in its own units."""


@dataclass(frozen=True, slots=True)
class Life:
    """One item's value: all in units from its making. `old_ends`: of the values before it that still work."""

    now: float
    due: float | None
    old_ends: tuple[float, ...]
    says: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One version of a secret on the line of all of them. `word`: what it is now."""

    version: VersionSeen
    word: str
    starts: float
    ends: float


@dataclass(frozen=True, slots=True)
class Line:
    """All generations from the first one's making to the last one's end; `now` in the same units."""

    begins: datetime
    ends: datetime
    now: float
    generations: tuple[Generation, ...]


def life(row: ItemStatus, now: datetime) -> Life | None:
    """None where nothing is published that ends."""
    made, ends = row.made_at, row.expires_on
    if made is None or ends is None or ends <= made:
        return None
    parts = [f"Made {made:%Y-%m-%d}"]
    if row.due_at is not None:
        parts.append(f"due {row.due_at:%Y-%m-%d}")
    parts.append(f"{'ends' if ends > now else 'ended'} {ends:%Y-%m-%d}")
    live = [old for old in row.predecessors if old.retire_at > now]
    parts += [f"the old value ends {old.retire_at:%Y-%m-%d %H:%M}" for old in live]
    return Life(
        now=_place(now, made, ends),
        due=None if row.due_at is None else _place(row.due_at, made, ends),
        old_ends=tuple(_place(old.retire_at, made, ends) for old in live),
        says=", ".join(parts),
    )


def line(versions: Iterable[VersionSeen], row: ItemStatus, now: datetime, most: int = 12) -> Line | None:
    """The last `most` versions of a secret; None where there is none. Of what has no end, the end is now."""
    newest_first = sorted(versions, key=lambda version: version.created, reverse=True)[:most]
    if not newest_first:
        return None
    begins = newest_first[-1].created
    ends = max(max(version.expires_on or now, version.created) for version in newest_first)
    ends = max(ends, now)
    live = {old.id for old in row.predecessors if old.retire_at > now}
    found = []
    for at, version in enumerate(newest_first):
        stamp = version.stamp
        until = version.expires_on or now
        word = "current" if at == 0 else "before"
        if stamp is not None and stamp.authorization_id in live:
            word = "in overlap"
            until = next(old.retire_at for old in row.predecessors if old.id == stamp.authorization_id)
        elif at > 0:
            until = min(until, newest_first[at - 1].created)
        if not version.enabled:
            word = "disabled"
        elif at == 0 and stamp is None:
            word = "not patrol's"
        elif at == 0 and until <= now:
            word = "expired"
        found.append(Generation(version, word, _place(version.created, begins, ends), _place(until, begins, ends)))
    return Line(begins, ends, _place(now, begins, ends), tuple(found))


def _place(at: datetime, begins: datetime, ends: datetime) -> float:
    whole = (ends - begins).total_seconds()
    return round(min(max((at - begins).total_seconds() / whole, 0.0), 1.0) * WIDTH, 1) if whole > 0 else 0.0
