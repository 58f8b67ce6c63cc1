"""Work beside a request: the answer goes out in time, whatever the work is still waiting for.

Work that is not done then goes on, and may be lost with its instance: it is safe to abandon (promise 3).
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, TypeVar

Result = TypeVar("Result")


class NotInTime(Exception):
    """The work goes on without us."""


class _Work(threading.Thread, Generic[Result]):
    def __init__(self, work: Callable[[], Result], enter: Callable[[], None]) -> None:
        super().__init__(name="request", daemon=True)
        self._work = work
        self._enter = enter
        self.result: Result
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._enter()
            self.result = self._work()
        except Exception as failure:  # noqa: BLE001  # raised again where it is waited for
            self.failure = failure


def within(limit: timedelta, work: Callable[[], Result], enter: Callable[[], None]) -> Result:
    """Do `work` in a thread of its own, which `enter` prepares, and give what it gives; raises what it raises.

    Raises NotInTime after `limit`. Real time: it is the caller's patience that is measured.
    """
    context = contextvars.copy_context()
    thread = _Work(lambda: context.run(work), enter)
    thread.start()
    thread.join(limit.total_seconds())
    if thread.is_alive():
        raise NotInTime
    if thread.failure is not None:
        raise thread.failure
    return thread.result
