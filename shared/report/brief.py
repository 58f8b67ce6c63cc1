"""A run in one row, for a list of runs that reads no report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.model.clock import instant, read_instant
from shared.report.kept_run import KeptRun
from shared.report.report import WELL


@dataclass(frozen=True, slots=True)
class Brief:
    """One row of `GET /api/runs`. `not_well`: how many of the rows need somebody, or another run."""

    run_id: str
    door: str
    dry_run: bool
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    items: int
    not_well: int

    @classmethod
    def of(cls, run: KeptRun) -> Brief:
        items, started = run.report.items, run.report.started_at
        not_well = sum(row.outcome not in WELL for row in items)
        return cls(run.run_id, run.door, run.dry_run, started, run.finished_at, run.outcome, len(items), not_well)

    @classmethod
    def of_facts(cls, run_id: str, facts: Mapping[str, str]) -> Brief:
        """What `facts` made. Raises KeyError or ValueError for anything else."""
        started = read_instant(facts["started_at"])
        if started is None:
            raise ValueError("a run has begun")
        return cls(
            run_id,
            facts["door"],
            facts["dry_run"] == "true",
            started,
            read_instant(facts.get("finished_at")),
            facts["outcome"],
            int(facts["items"]),
            int(facts["not_well"]),
        )

    def facts(self) -> dict[str, str]:
        """As text, kept beside the report so that a list of runs reads no report."""
        facts = {**self.to_json(), "dry_run": str(self.dry_run).lower()}
        return {key: str(value) for key, value in facts.items() if key != "run_id" and value is not None}

    def to_json(self) -> dict[str, object]:
        """One entry of `GET /api/runs`."""
        return {
            "run_id": self.run_id,
            "door": self.door,
            "dry_run": self.dry_run,
            "started_at": instant(self.started_at),
            "finished_at": instant(self.finished_at),
            "outcome": self.outcome,
            "items": self.items,
            "not_well": self.not_well,
        }


def last_run(latest: Iterable[Brief]) -> Brief | None:
    """The last of these runs that was meant: a dry run rotates nothing."""
    return max((brief for brief in latest if not brief.dry_run), key=lambda brief: brief.run_id, default=None)
