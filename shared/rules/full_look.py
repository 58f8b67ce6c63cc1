"""When a technical user is looked at in full: once a day, spread over the day by name (rule 13)."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta

DAY = timedelta(days=1)


def slot(username: str) -> timedelta:
    """A user's time of the day (UTC) for a full look: the same on every machine, spread evenly by name."""
    return DAY * (zlib.crc32(username.casefold().encode()) / 2**32)


def look_is_due(username: str, last: datetime | None, now: datetime) -> bool:
    """Whether the user's slot has come since its last full look."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    came = midnight + slot(username)
    return last is None or last < (came if came <= now else came - DAY)
