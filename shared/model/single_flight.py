"""One runner at a time for one item: waiting for a turn, and the single flight of one who is alone.

The turns themselves are leases on blobs (`leases.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from shared.model.clock import Clock, Deadline
from shared.model.errors import Busy, Code

ASK_EVERY = timedelta(seconds=1)

Answer = TypeVar("Answer")


class Alone:
    """Where no storage is configured (a laptop, a cron job): every turn is given at once.

    Two runs at one moment may then waste a PAT, and harm none that is used: the engine converges.
    """

    @contextmanager
    def take(self, secret: str, until: Deadline) -> Iterator[Turn]:  # noqa: ARG002  # nobody is waited for
        yield Unwatched()


@dataclass(frozen=True, slots=True)
class Unwatched:
    """A turn that nobody sees; `idle_for` is what it says of the item."""

    idle_for: timedelta | None = None

    def idle(self) -> timedelta | None:
        return self.idle_for

    def worked(self) -> None:
        """Nobody looks."""


def ask_until(clock: Clock, until: Deadline, ask: Callable[[], Answer | None]) -> Answer | None:
    """Ask once, then about every second until `until` has passed; None: never got an answer."""
    while (answer := ask()) is None and (ahead := until.ahead()) > timedelta(0):
        clock.sleep(min(ASK_EVERY, ahead))
    return answer


def held_elsewhere(holder: str | None, since: str | None) -> Busy:
    """The item is another's; a holder of some seconds has not given a name yet."""
    who = f": {holder}" if holder else ""
    when = f" since {since}" if since else ""
    return Busy(
        Code.ROTATED_ELSEWHERE,
        f"Another runner is rotating it{who}{when}.",
        "Ask again in a minute: what it publishes may be what you asked for; one that died frees the item by then.",
    )


class Turn(Protocol):
    """One's turn at one item, held until it is left."""

    def idle(self) -> timedelta | None:
        """How long before this turn was taken the item was last worked on by anyone; None: nobody ever did.

        Never longer than it was, so that what was seen of the item within it can still be relied on. Zero where that is
        not known: look again. None where there are no turns (no storage): nobody says more than was seen.
        """
        ...

    def worked(self) -> None:
        """Say, before leaving, that the item was changed."""
        ...


class SingleFlight(Protocol):
    """One runner at a time for one item."""

    def take(self, secret: str, until: Deadline) -> AbstractContextManager[Turn]:
        """Wait for one's turn at the item until `until` has passed; ask at least once.

        Raises Busy (`Code.ROTATED_ELSEWHERE`) when another still has it then, and for nothing else: without storage an
        item goes on without a turn, because the engine converges without. Leaving never raises.
        """
        ...
