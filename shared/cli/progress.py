"""A long run on a terminal: one line with how much is done, how fast, and how long it may still take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from shared.cli.terminal import Output
from shared.report.report import Row

LONG = 50
"""Items from which a bar tells more than a line for each step."""
EVERY = 0.1
WIDTH = 30
"""Of the bar itself, where there is room for it."""
UNKNOWN = 80
"""Columns of a terminal that does not say how many it has."""


class Bar:
    """Written to a terminal only. `items`: by casefolded name, what is worked on; `now` counts seconds."""

    def __init__(self, out: Output, items: Iterable[str], now: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._items = frozenset(items)
        self._now = now
        self._began = self._shown = now()
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def add(self, row: Row) -> None:
        """One row of the report: its item is done with. Safe to call from any thread."""
        with self._lock:
            self._seen |= self._items & {row.name.casefold()}
            if self._now() - self._shown >= EVERY:
                self._show()

    def end(self) -> None:
        """Leave the line as it is."""
        with self._lock:
            self._show()
            self._out.write("\n", flush=True)

    def step(self, name: str, /, **fields: object) -> None:
        """Steps are not shown beside a bar; what failed is in the report."""

    def _show(self) -> None:
        self._shown = self._now()
        # In the last column a terminal would begin a new line, and the next one could not be written over this one.
        width = (self._out.columns() or UNKNOWN) - 1
        shown = line(len(self._seen), len(self._items), self._shown - self._began, width)
        self._out.write(f"\r{shown}\x1b[K", flush=True)


def line(done: int, items: int, seconds: float, width: int = UNKNOWN) -> str:
    """The bar as text of at most `width` cells; the time left is empty until there is a rate."""
    rate = done / seconds if seconds > 0 else 0.0
    left = f", {_clock((items - done) / rate)} left" if rate and done < items else ""
    text = f"{done:,} of {items:,}, {rate:.1f} a second{left}"
    room = max(min(WIDTH, width - len(text) - 1), 0)
    filled = room * done // items if items else room
    return f"{'█' * filled}{'░' * (room - filled)} {text}".strip()[:width]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
