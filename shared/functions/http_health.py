"""`GET /api/health`: that the app is up, and when the last run finished. Asks the storage once a minute at most."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

from shared import __version__
from shared.functions.http_answers import Answer
from shared.functions.time_limit import within
from shared.model.clock import instant
from shared.report.brief import last_run
from shared.rotation.threads import nothing
from shared.settings import ROOT, Settings, read

ASK_EVERY = 60.0
QUICK = timedelta(seconds=3)
"""How long a caller waits for the storage: whoever watches health has little patience."""
LOOK_BACK = 10
"""Among so many runs one is not dry and has finished."""


@dataclass(slots=True)
class LastRun:
    """Remembers for a minute when the last run finished; `ask` says it, and gives None where nobody knows."""

    ask: Callable[[], datetime | None]
    time: Callable[[], float] = time.monotonic
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked_at: float | None = None
    last: datetime | None = None

    def finished_at(self) -> datetime | None:
        """Callers never wait for one another: who comes while it is asked gets what was known before."""
        if self.lock.acquire(blocking=False):
            try:
                now = self.time()
                if self.asked_at is None or now - self.asked_at >= ASK_EVERY:
                    self.asked_at = now
                    self.last = self.ask() or self.last
            finally:
                self.lock.release()
        return self.last


def health(last: LastRun) -> Answer:
    """`last_run_finished_at` is null as long as no report is kept, and where the storage does not say."""
    body = {"status": "ok", "version": __version__, "last_run_finished_at": instant(last.finished_at())}
    return Answer(HTTPStatus.OK, body)


def ask_storage(environ: Mapping[str, str] = os.environ) -> datetime | None:
    """When the last run finished, by the reports that are kept. Never raises: the app is up all the same."""
    try:
        settings = read(environ, ROOT)
        return None if settings.storage is None else within(QUICK, lambda: _last_of(settings), nothing)
    except Exception:  # noqa: BLE001  # nothing that fails here is the caller's business
        return None


def _last_of(settings: Settings) -> datetime | None:
    from shared import wiring  # an app without storage loads no SDK to say that it is up

    latest = wiring.world(settings, QUICK, grace=timedelta(0)).runs.latest(LOOK_BACK, settled=False)
    run = last_run(brief for brief in latest if brief.finished_at is not None)
    return None if run is None else run.finished_at


LAST_RUN = LastRun(ask_storage)
