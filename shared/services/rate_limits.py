"""Writing to a vault no faster than it takes: waiting one's turn costs less than bouncing off 429s."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from shared.model.clock import Clock, Deadline


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` in any `within`."""

    most: int
    within: timedelta

    def share(self, processes: int) -> Limit:
        """An even share where so many processes work at once: together they never take more than all of it."""
        if processes <= self.most:
            return Limit(self.most // processes, self.within)
        return Limit(1, self.within * processes / self.most)


# Key Vault takes 300 new secret versions in 10 s, for each vault (service limits). A little wider, for what arrives
# later than its neighbour was sent.
VERSIONS = Limit(300, timedelta(seconds=10.2))

# Entra ID publishes no number. More would make nothing faster: what a vault takes in a minute belongs to fewer users
# (docs/performance.md).
SIGN_INS = Limit(400, timedelta(minutes=1))


class Pace:
    """Turns within a limit, counted for one process."""

    def __init__(self, limit: Limit = VERSIONS) -> None:
        self._within = limit.within
        self._turns: deque[timedelta] = deque(maxlen=limit.most)
        self._lock = threading.Lock()

    def turn(self, clock: Clock, deadline: Deadline) -> None:
        """Wait for one's turn; at once where it would come after the deadline, because the vault may take it yet."""
        with self._lock:
            now = clock.elapsed()
            full = len(self._turns) == self._turns.maxlen
            at = max(now, self._turns[0] + self._within) if full else now
            if at - now >= deadline.left():
                return
            self._turns.append(at)
        if at > now:
            clock.sleep(at - now)
