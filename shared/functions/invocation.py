"""How an invocation of the Functions host fails: in words of ours, because the host logs the text of what is raised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.model.errors import PatrolError, defect
from shared.report.report import WELL, Report


@contextmanager
def failing_as(kind: type[Exception]) -> Iterator[None]:
    """Whatever is raised inside fails the invocation as `kind`; a defect without its text, which may carry a secret."""
    try:
        yield
    except kind as failure:
        raise kind(str(failure)) from None
    except Exception as failure:  # noqa: BLE001  # the host would log the text
        error = failure if isinstance(failure, PatrolError) else defect(failure)
        raise kind(f"failed ({error.code}): {error}") from None


def summary(report: Report) -> str:
    """One line for the host's log of a failed invocation."""
    if report.misconfigured is not None:
        failure = report.misconfigured
        return f"run {report.run_id} {report.outcome} ({failure.code}): {failure.message} {failure.remedy}"
    wrong = [row for row in report.items if row.outcome not in WELL]
    codes = sorted({row.error.code if row.error else row.because for row in wrong})
    steps = f"{len(wrong)} of {len(report.items)} steps not done ({', '.join(codes)})"
    return f"run {report.run_id} {report.outcome}: {steps}; see the events item.* of this run."
