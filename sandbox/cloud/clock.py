"""The clocks of the sandbox. Every instant is aware UTC."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Stands still until somebody moves it. Safe to share between threads."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("the sandbox's clock needs an aware instant")
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._now

    def move(self, by: timedelta) -> datetime:
        """Move by `by` (may be negative); gives the new instant."""
        with self._lock:
            self._now += by
            return self._now


class ShiftedClock:
    """Real time plus an offset that can be moved; for the server, whose clients live in real processes."""

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self._offset = offset
        self._lock = threading.Lock()

    @property
    def offset(self) -> timedelta:
        return self._offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def move(self, by: timedelta) -> datetime:
        """Move by `by` (may be negative); gives the new instant."""
        with self._lock:
            self._offset += by
        return self.now()
