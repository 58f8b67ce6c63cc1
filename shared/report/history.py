"""Where reports outlive their run: the port, and what stands in where no storage is configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from shared.model.errors import Code, Misconfigured
from shared.model.items import User
from shared.report.brief import Brief
from shared.report.kept_run import KeptRun, MessageDone
from shared.report.order import Order


class History(Protocol):
    """Where reports outlive their run. Writing never raises: what was rotated counts, and not what is told of it."""

    def keep(self, run: KeptRun, orders: Sequence[Order] = ()) -> bool:
        """Keep a run's report, or the head of one that waits for its messages; `orders[n - 1]` is part n's.

        Gives whether all of it is kept.
        """
        ...

    def order(self, run_id: str, part: int) -> Order | None:
        """What a message is to do; None: nothing of it is kept. Raises as `read` does."""
        ...

    def add(self, run_id: str, part: MessageDone, of: int) -> bool:
        """Add what one delivery of one of `of` messages did. Gives whether all of them may have ended by now."""
        ...

    def read(self, run_id: str) -> KeptRun | None:
        """A run with the parts that came so far; None: there is none.

        Raises Denied when the storage does not allow it, Unclear when it does not answer, and NotDone for a report that
        cannot be understood.
        """
        ...

    def latest(self, most: int, *, settled: bool = True) -> tuple[Brief, ...]:
        """The last runs, latest first. Raises Denied or Unclear.

        `settled`: those that wait for messages are read whole, to tell how they stand.
        """
        ...

    def looked(self, user: User) -> None:
        """Remember that a technical user had its full look just now."""
        ...

    def looks(self) -> Mapping[str, datetime]:
        """When users had their last full look, by `User.digest`; empty where nobody can tell."""
        ...


class NoHistory:
    """`History` without a storage: reports go to whoever asked, and are kept nowhere."""

    def keep(self, run: KeptRun, orders: Sequence[Order] = ()) -> bool:  # noqa: ARG002  # nowhere
        return False

    def order(self, run_id: str, part: int) -> Order | None:  # noqa: ARG002  # nothing is kept
        return None

    def add(self, run_id: str, part: MessageDone, of: int) -> bool:  # noqa: ARG002  # nobody keeps it
        return False

    def read(self, run_id: str) -> KeptRun | None:  # noqa: ARG002  # nothing is kept under any id
        raise _no_storage()

    def latest(self, most: int, *, settled: bool = True) -> tuple[Brief, ...]:  # noqa: ARG002  # there are none
        raise _no_storage()

    def looked(self, user: User) -> None:
        """Nobody remembers."""

    def looks(self) -> Mapping[str, datetime]:
        return {}


def _no_storage() -> Misconfigured:
    return Misconfigured(
        Code.SETTINGS_INVALID,
        "Reports are not kept: no storage of a Functions host is configured.",
        "Set AzureWebJobsStorage, or AzureWebJobsStorage__accountName and its companions (README, Settings).",
    )
