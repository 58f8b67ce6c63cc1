"""Durations as people write them: a whole number and d, h or m; where seconds matter, s too."""

from __future__ import annotations

import re
from datetime import timedelta

PATTERN = r"[0-9]{1,5}[dhm]"

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}


def parse(text: str) -> timedelta:
    """Read `30d`, `12h` or `45m`. Raises ValueError with words for the person who wrote it."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write a whole number and d, h or m, such as 30d")
    return int(text[:-1]) * _UNITS[text[-1]]


def parse_short(text: str) -> timedelta:
    """Read `45s` as well: for what is a matter of seconds. Raises ValueError as `parse` does."""
    if re.fullmatch(r"[0-9]{1,5}s", text):
        return int(text[:-1]) * _UNITS["s"]
    return parse(text)


def show(duration: timedelta) -> str:
    """One number and unit, the largest that is exact: `36h`, not `1d 12h`. Rounded to whole minutes."""
    minutes = round(duration / timedelta(minutes=1))
    for unit, size in (("d", 24 * 60), ("h", 60)):
        if minutes and minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
