"""The frame around a run: what is told of its beginning and its end, whatever comes out, and what is kept of it.

    with heartbeat("run", world, request) as beat:
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
from shared.model.ports import Events
from shared.model.request import Request
from shared.report.kept_run import KeptRun, Order
from shared.report.report import Failure, Report, Row
from shared.report.rows import counts
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
    started_at: datetime

    def end(self, report: Report) -> Report:
        """Tell how the run ended, and keep its report."""
        code = report.misconfigured.code if report.misconfigured else None
        _tell_end(self.kind, self.world.tell, self.request, report.outcome, code, rows=report.items)
        self._keep(report)
        return report

    def hand_over(self, run: KeptRun, orders: Sequence[Order]) -> bool:
        """Keep the head of a run whose messages do its work, then tell of it; gives whether all of it is kept.

        `queued`: messages that an alert may wait for. A request is refused, and sends none, where its report is not
        kept.
        """
        kept = self.world.runs.keep(run, orders)
        queued = len(orders) if kept or self.request.door == "timer" else 0
        outcome = "queued" if orders else run.outcome
        _tell_end(self.kind, self.world.tell, self.request, outcome, queued=queued, rows=run.report.items)
        return kept

    def break_off(self, failure: Exception) -> None:
        """Tell why nothing came of the run, and keep it."""
        error = failure if isinstance(failure, PatrolError) else defect(failure)
        _tell_end(self.kind, self.world.tell, self.request, "failed", error.code, str(error))
        now = self.world.clock.now()
        self._keep(Report(self.request.run_id, self.started_at, now, (), misconfigured=Failure.of(error)))

    def _keep(self, report: Report) -> None:
        if self.kind == "run":
            self.world.runs.keep(KeptRun(report, self.request.door, self.request.dry_run))


@contextmanager
def heartbeat(kind: Kind, world: World, request: Request) -> Iterator[Heartbeat]:
    """Tell `run.started`; whoever works inside ends it with `end` or `hand_over`. What is raised inside ends it too."""
    world = replace(world, tell=with_run_id(world.tell, request.run_id))
    if kind == "run":
        world.tell("run.started", door=request.door, dry_run=request.dry_run)
    beat = Heartbeat(kind, request, world, world.clock.now())
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
