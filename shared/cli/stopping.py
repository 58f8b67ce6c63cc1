"""What holds when a command is stopped by Ctrl-C or SIGTERM, at any moment."""

from __future__ import annotations

from collections.abc import Callable

from shared.model.secret_text import printable

NOTHING_CHANGED = "Nothing was changed."
SAFE = "That is safe: the next run goes on from what it finds."


class Stopping:
    """What is said then; a command replaces `says`. A signal's handler asks, so nothing here waits for a lock."""

    def __init__(self) -> None:
        self.quiet = False
        """Whether Ctrl-C is how it ends, so that there is nothing to say."""
        self.says: Callable[[], str] = lambda: NOTHING_CHANGED

    def sentence(self) -> str:
        """One printable line."""
        return printable(f"patrol: stopped. {self.says()}")
