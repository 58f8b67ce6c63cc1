"""The times of one item, and how they have to fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.model import durations

SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Times:
    """The times of one item, which have to fit together."""

    lifetime: timedelta
    rotate_before: timedelta
    overlap: timedelta
    max_age: timedelta
    hold_for_readers: timedelta

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Times:
        """`values` are as written, and each reads well."""
        lifetime, overlap, max_age = (durations.parse(values[key]) for key in ("lifetime", "overlap", "max_age"))
        margin, hold = _margin(values["rotate_before"], lifetime), durations.parse(values["hold_for_readers"])
        return cls(lifetime, margin, overlap, max_age, hold)

    def mistakes(self, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The key and what is wrong with it, in the words it was written in."""
        if not SHORTEST <= self.lifetime <= LONGEST:
            yield "lifetime", f"is {values['lifetime']} and must be from 1h to 365d"
        elif self.max_age < self.lifetime:
            yield "max_age", f"is {values['max_age']} and must not be shorter than lifetime, {values['lifetime']}"
        if self.rotate_before >= self.lifetime:
            says = f"is {values['rotate_before']} and must be shorter than lifetime, {values['lifetime']}"
            yield "rotate_before", says
        if self.overlap > self.rotate_before:
            says = f"is {values['overlap']} and must not be longer than rotate_before, {values['rotate_before']}"
            yield "overlap", f"{says}: the old PAT dies before it ends"
        if self.hold_for_readers > self.lifetime:
            says = f"is {values['hold_for_readers']} and must not be longer than lifetime, {values['lifetime']}"
            yield "hold_for_readers", f"{says}: no PAT is kept past its own expiry"


def _margin(text: str, lifetime: timedelta) -> timedelta:
    """As a time, in whole seconds like every other one."""
    if not text.endswith("%"):
        return durations.parse(text)
    return timedelta(seconds=int(lifetime.total_seconds()) * int(text[:-1]) // 100)
