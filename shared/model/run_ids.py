"""The id of a run: 32 hex digits that begin with the time (UUID version 7, RFC 9562), so that runs sort by age and the
place where a report is kept can be told from the id alone.
"""

from __future__ import annotations

import re
import secrets
import uuid
from datetime import UTC, datetime

_ID = re.compile(r"[0-9a-f]{32}")


def new(now: datetime | None = None) -> str:
    """An id of its own, made at `now` (default: this machine's time)."""
    at = int((now or datetime.now(UTC)).timestamp() * 1000)
    number = (at & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=number).hex


def is_id(text: str) -> bool:
    """Whether `day_of` takes it."""
    try:
        day_of(text)
    except ValueError:
        return False
    return True


def day_of(run_id: str) -> str:
    """The UTC day on which the run began, such as `2026-03-01`. Raises ValueError for what is no id of ours."""
    if _ID.fullmatch(run_id) is None:
        raise ValueError("a run's id has 32 hex digits")
    try:
        return datetime.fromtimestamp(int(run_id[:12], 16) / 1000, UTC).strftime("%Y-%m-%d")
    except (OverflowError, OSError) as failure:
        raise ValueError("not the id of a run") from failure
