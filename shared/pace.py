"""Writing to a vault no faster than it takes: waiting one's turn costs less than bouncing off 429s."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timedelta

from shared.clock import Clock, Deadline

# Key Vault takes 300 new secret versions in 10 s, for each vault (service limits). A little wider, for what arrives
# later than its neighbour was sent.
MOST, WITHIN = 300, timedelta(seconds=10.2)

# Entra ID publishes no number for sign-ins with a password; some hundreds a minute pass (docs/performance.md).
MOST_SIGN_INS = 200


class Pace:
    """At most `most` turns in any `within`, counted for one process."""

    @classmethod
    def share(cls, most: int, processes: int) -> Pace:
        """An even share where so many processes work at once; never none."""
        return cls(max(1, most // processes))

    def __init__(self, most: int = MOST, within: timedelta = WITHIN) -> None:
        self._within = within
        self._turns: deque[datetime] = deque(maxlen=most)
        self._lock = threading.Lock()

    def turn(self, clock: Clock, deadline: Deadline) -> None:
        """Wait for one's turn; at once where it would come after the deadline, because the vault may take it yet."""
        with self._lock:
            now = clock.now()
            full = len(self._turns) == self._turns.maxlen
            at = max(now, self._turns[0] + self._within) if full else now
            if at - now >= deadline.left():
                return
            self._turns.append(at)
        if at > now:
            clock.sleep(at - now)
