"""Instants and spans as people say them: days where days are left, minutes where minutes are. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

FAR = timedelta(days=2)
"""From here on a day says enough."""
_INSTANT = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\dZ")


def spoken(text: str) -> str:
    """A sentence whose instants are told to the minute, as `2026-03-01 12:00 UTC`; reports keep the seconds."""
    return _INSTANT.sub(r"\1 \2 UTC", text)


def minute(at: datetime) -> str:
    """Such as `2026-03-01 12:00`, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}"


def when(at: datetime | None, now: datetime) -> str:
    """The day; to the minute where that is near. "" for never."""
    if at is None:
        return ""
    return f"{at:%Y-%m-%d}" if abs(at - now) >= FAR else minute(at)


def span(length: timedelta) -> str:
    """In whole days, hours or minutes, never more than it is: `24 days`, `31 h`, `47 min`."""
    if length >= FAR:
        return f"{length.days} days"
    minutes = int(length.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes >= 2 * 60 else f"{minutes} min"


def distance(at: datetime | None, now: datetime) -> str:
    """From now: `in 24 days`, `now`, `11 days ago`. "" for never."""
    if at is None:
        return ""
    if abs(at - now) < timedelta(minutes=1):
        return "now"
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"


def ahead(at: datetime | None, now: datetime) -> str:
    """When a step comes: what is due is due now, however long it has been."""
    return "now" if at is not None and at <= now else distance(at, now)
