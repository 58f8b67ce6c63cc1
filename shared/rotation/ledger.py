"""What one process knows of sign-ins."""

from __future__ import annotations

import threading

from shared.model.items import User
from shared.rules.lock_out import Block


class Ledger:
    """What one process knows of sign-ins, shared by all its runs: who is being tried, and what was refused."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, threading.RLock] = {}
        self._blocks: dict[str, Block] = {}

    def turn(self, user: User) -> threading.RLock:
        """One attempt at a time for one user."""
        with self._lock:
            return self._turns.setdefault(user.key, threading.RLock())

    def block(self, user: User) -> Block | None:
        """The refusal that this process remembers of a user; None: none."""
        with self._lock:
            return self._blocks.get(user.key)

    def keep(self, user: User, block: Block | None) -> None:
        """Remember a refusal."""
        with self._lock:
            if block is None:
                self._blocks.pop(user.key, None)
            else:
                self._blocks[user.key] = block
