"""So many threads for one run: its users side by side, and where a thread is free, the items of one user too."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# Azure DevOps meters each user, and slows one down that asks for much at once (REST rate limits).
MOST_FOR_ONE_USER = 8

Result = TypeVar("Result")


def nothing(*_: object) -> None:
    """What a caller gives that wants no word of it."""


class Threads:
    """`many` threads at most. With one, everything happens in the caller's own thread, in order.

    `enter` prepares each thread, so that its log lines are the caller's.
    """

    def __init__(self, many: int = 8, enter: Callable[..., None] = nothing) -> None:
        self._many = many
        self._enter = enter
        self._lock = threading.Lock()
        self._wanted = 0
        self._pool: ThreadPoolExecutor | None = None

    def side_by_side(self, jobs: Sequence[Callable[[], Result]]) -> list[Result]:
        """Do all jobs, begun in this order; gives their results in this order. A job may use `together`."""
        if self._many <= 1 or not jobs:
            return [job() for job in jobs]
        with ThreadPoolExecutor(self._many, thread_name_prefix="run", initializer=self._enter) as pool:
            self._pool, self._wanted = pool, len(jobs)
            started = [self._start(pool, job) for job in jobs]
            return [job.result() for job in started]

    def together(self, jobs: Sequence[Callable[[], Result]]) -> list[Result]:
        """Inside a job: do these in this order, with the help of threads that no other job wants."""
        results: dict[int, Result] = {}
        waiting = deque(enumerate(jobs))
        helpers: list[Future[None]] = []

        def next_one() -> bool:
            try:
                place, job = waiting.popleft()
            except IndexError:
                return False
            results[place] = job()
            return True

        def help_out() -> None:
            while next_one():
                pass

        while True:
            while len(waiting) > 1 and (pool := self._free_hand(len(helpers))) is not None:
                helpers.append(self._start(pool, help_out))
            if not next_one():
                break
        for helper in helpers:
            helper.result()
        return [results[place] for place in range(len(jobs))]

    def _free_hand(self, lent: int) -> ThreadPoolExecutor | None:
        with self._lock:
            if self._pool is None or self._wanted >= self._many or lent >= MOST_FOR_ONE_USER - 1:
                return None
            self._wanted += 1
            return self._pool

    def _start(self, pool: ThreadPoolExecutor, job: Callable[[], Result]) -> Future[Result]:
        # A thread begins without the caller's context, where the Functions worker keeps the invocation of a log line.
        context = contextvars.copy_context()

        def begun() -> Result:
            try:
                return context.run(job)
            finally:
                with self._lock:
                    self._wanted -= 1

        return pool.submit(begun)
