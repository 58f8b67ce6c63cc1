"""An estate with one consumer of any kind, which is never to be seen with a dead value (promise 1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from shared.report.report import Report
from tests.lab.consumers import Kind
from tests.lab.fakes import FakeHistory
from tests.lab.lab import Lab, days, hours, item


class WatchedConsumer:
    """A consumer that is looked at after every call, and at every step of the clock."""

    def __init__(self, kind: Kind, *, quick: bool = True, **keys: Any) -> None:
        self.kind = kind
        self.lab = Lab([item(then=kind.then, **keys)], quick=quick)
        kind.prepare(self.lab)
        self.dead: list[datetime] = []
        self.lab.cloud.after_effect = self.lab.cloud.before_effect = self.look
        self.lab.trouble.after = self.lab.trouble.before = self.look

    @property
    def copy(self) -> str:
        return self.kind.copy(self.lab)

    @property
    def takes_current(self) -> bool:
        return self.copy == self.lab.current("build-pat").value

    def look(self, _: object = None) -> None:
        if self.copy and self.lab.cloud.pats.authenticate("contoso", self.copy) is None:
            self.dead.append(self.lab.clock.now())

    def end_looking(self) -> None:
        self.lab.cloud.after_effect = self.lab.cloud.before_effect = None
        self.lab.end_trouble()

    def let_pass(self, duration: timedelta) -> list[Report]:
        """Runs every six hours, as the schedule has them; gives their reports."""
        reports = []
        for _ in range(int(duration / hours(6))):
            self.lab.wait(hours(6) - timedelta(seconds=1))
            self.look()
            self.lab.wait(timedelta(seconds=1))
            reports.append(self.lab.run())
            self.look()
        return reports

    def remember_looks(self) -> None:
        """There is a storage, so that a full look is one a day and not every run."""
        self.lab.runs = FakeHistory(self.lab.clock)


def due(kind: Kind, **keys: Any) -> WatchedConsumer:
    """One whose PAT is about to be rotated."""
    watched = WatchedConsumer(kind, **keys)
    watched.lab.run()
    watched.lab.wait(days(24))
    return watched
