"""The frame around a run: what is told of its beginning and its end, whatever comes out, and what is kept of it.

    with heartbeat("run", world, inventory, mark, request) as beat:
        return beat.end(work(beat.world, beat.started_at))

`run.finished` (of a refresh: `refresh.finished`) is what alerts watch, with its `door`: only the timer's tells that the
schedule lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared.model.errors import PatrolError, defect
from shared.model.items import Inventory
from shared.model.ports import Events
from shared.model.request import Request
from shared.model.tags import Mark
from shared.report.kept_run import GIVEN_UP, KeptRun
from shared.report.met import Happened
from shared.report.order import Order
from shared.report.report import Failure, Report, Row
from shared.report.rows import counts
from shared.rotation import notices
from shared.rotation.notices import Standing
from shared.rotation.world import World
from shared.telemetry import with_run_id

Kind = Literal["run", "refresh"]
"""What beats: a run over PATs, or a refresh of tokens, whose report is kept nowhere."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One run's. Of what the `world` tells, every event names the run."""

    kind: Kind
    request: Request
    world: World
    inventory: Inventory
    mark: Mark
    started_at: datetime

    def end(self, report: Report, standing: Standing | None = None) -> Report:
        """Tell how the run ended, keep its report, and tell recipients last; gives the report with what they took."""
        code = report.misconfigured.code if report.misconfigured else None
        _tell_end(self.kind, self.world.tell, self.request, report.outcome, code, rows=report.items)
        self._keep(report)
        return self._notify(report, standing or Standing())

    def hand_over(self, run: KeptRun, orders: Sequence[Order], standing: Standing) -> bool:
        """Keep the head of a run whose messages do its work, then tell of it; gives whether all of it is kept.

        `queued`: messages that an alert may wait for. A request is refused, and sends none, where its report is not
        kept.
        """
        kept = self.world.runs.keep(run, orders)
        queued = len(orders) if kept or self.request.door == "timer" else 0
        outcome = "queued" if orders else run.outcome
        _tell_end(self.kind, self.world.tell, self.request, outcome, queued=queued, rows=run.report.items)
        if not orders:
            self._notify(run.report, standing)
        elif kept and run.deadline is not None and not run.dry_run:
            # Nobody is told before the messages are out: the host sends them when this is over.
            to = notices.audience(self.inventory, self.mark, self.world)
            notices.expect_end(self.world, to, run.run_id, run.deadline + GIVEN_UP)
        return kept

    def break_off(self, failure: Exception) -> None:
        """Tell why nothing came of the run, and keep it."""
        error = failure if isinstance(failure, PatrolError) else defect(failure)
        _tell_end(self.kind, self.world.tell, self.request, "failed", error.code, str(error))
        now = self.world.clock.now()
        report = Report(self.request.run_id, self.started_at, now, (), misconfigured=Failure.of(error))
        self._keep(report)
        self._notify(report, Standing())

    def _notify(self, report: Report, standing: Standing) -> Report:
        to, request = notices.audience(self.inventory, self.mark, self.world), self.request
        if request.dry_run or not to:
            return report
        happened = Happened(
            report,
            self.kind,
            whole=request.names is None,
            emergency=request.emergency,
            ends=standing.ends,
            soon=standing.soon,
            managed=self.inventory.nameable(),
            owners=self.inventory.owners(),
            home=self.world.vault_host,
        )
        rows = notices.tell_end(self.world, to, happened, waits=request.door == "http")
        if not rows:
            return report
        report = replace(report, recipients=rows)
        self._keep(report)
        return report

    def _keep(self, report: Report) -> None:
        if self.kind == "run":
            self.world.runs.keep(KeptRun(report, self.request.door, self.request.dry_run))


@contextmanager
def heartbeat(kind: Kind, world: World, inventory: Inventory, mark: Mark, request: Request) -> Iterator[Heartbeat]:
    """Tell `run.started`; whoever works inside ends it with `end` or `hand_over`. What is raised inside ends it too."""
    world = replace(world, tell=with_run_id(world.tell, request.run_id))
    if kind == "run":
        world.tell("run.started", door=request.door, dry_run=request.dry_run)
    beat = Heartbeat(kind, request, world, inventory, mark, world.clock.now())
    try:
        yield beat
    except Exception as failure:
        beat.break_off(failure)
        raise


@contextmanager
def opening(kind: Kind, tell: Events, request: Request) -> Iterator[None]:
    """Around what must be there before a run can begin: where it is not, the heartbeat comes out all the same."""
    try:
        yield
    except Exception as failure:
        error = failure if isinstance(failure, PatrolError) else defect(failure)
        _tell_end(kind, with_run_id(tell, request.run_id), request, "failed", error.code, str(error))
        raise


def _tell_end(
    kind: Kind,
    tell: Events,
    request: Request,
    outcome: str,
    code: str | None = None,
    says: str | None = None,
    queued: int | None = None,
    rows: Iterable[Row] | None = None,
) -> None:
    many = {} if rows is None else counts(rows)
    if kind == "run":
        tell("run.finished", door=request.door, outcome=outcome, code=code, says=says, queued=queued, **many)
    else:
        tell("refresh.finished", door=request.door, outcome=outcome, code=code, says=says, **many)
