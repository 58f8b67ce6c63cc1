"""Clock followers: processes that run under the sandbox's clock and say when they have caught up with a move."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sandbox.cloud.clock import ShiftedClock

PATIENCE = 3.0
"""Seconds an answer waits for a follower; one that stays silent longer is taken for dead and dropped."""


@dataclass(slots=True)
class _Follower:
    seen: int = -1


class Followers:
    """Every move of the clock is a version; an answer goes out when all followers have acknowledged the newest."""

    def __init__(self, clock: ShiftedClock) -> None:
        self._clock = clock
        self._version = 0
        self._followers: dict[str, _Follower] = {}
        self._changed = asyncio.Condition()

    def state(self) -> dict[str, Any]:
        return {
            "now": self._clock.now().isoformat(),
            "offset": self._clock.offset.total_seconds(),
            "version": self._version,
            "followers": len(self._followers),
        }

    async def move(self, seconds: float) -> dict[str, Any]:
        """Move and wait for the followers, so that the caller's next look finds them moved."""
        async with self._changed:
            self._clock.move(timedelta(seconds=seconds))
            self._version += 1
            self._changed.notify_all()
        await self.settled()
        return self.state()

    async def follow(self, name: str, seen: int, wait: float) -> dict[str, Any]:
        """Acknowledge version `seen`; answers at the next move, or unchanged after `wait` seconds."""
        try:
            async with self._changed:
                self._followers.setdefault(name, _Follower()).seen = seen
                self._changed.notify_all()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait_for(lambda: self._version > seen), wait)
        except asyncio.CancelledError:  # its process ended, and said nothing
            await self.leave(name)
            raise
        return self.state()

    async def leave(self, name: str) -> None:
        async with self._changed:
            self._followers.pop(name, None)
            self._changed.notify_all()

    async def settled(self) -> None:
        """Return when every follower has seen the newest version."""
        if all(follower.seen >= self._version for follower in self._followers.values()):
            return
        async with self._changed:
            try:
                await asyncio.wait_for(
                    self._changed.wait_for(
                        lambda: all(follower.seen >= self._version for follower in self._followers.values())
                    ),
                    PATIENCE,
                )
            except TimeoutError:
                for name in [name for name, follower in self._followers.items() if follower.seen < self._version]:
                    del self._followers[name]
