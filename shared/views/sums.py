"""A report or a status in one sentence: how many of what. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from shared.model.steps import Because
from shared.report.report import WELL, Outcome, Report, Row, Verb
from shared.rotation.status import ItemStatus

_PLANNED = {
    Verb.ROTATE: "to replace",
    Verb.RENEW: "to renew",
    Verb.RETIRE: "old {noun} to end",
    Verb.DECOMMISSION: "to decommission",
}
_DONE = {
    Verb.ROTATE: "replaced",
    Verb.RENEW: "renewed",
    Verb.RETIRE: "old {noun} ended",
    Verb.DECOMMISSION: "decommissioned",
}


_OF_NO_ITEM = frozenset({Because.CREDENTIAL_NEAR_EXPIRY, Because.ENROLLMENT_NEAR_END})
"""Rows that warn of what patrol signs in with."""
_QUIET = ("due", "healthy", "paused")
"""What nobody has to do anything about comes last."""


def summed(report: Report, *, plan: bool = False) -> str:
    """Such as `Plan: 6 to replace, 1 to renew, 1 old PAT to end, 2 untouched.` `plan`: it is of one."""
    rows = [row for row in report.items if row.because not in _OF_NO_ITEM]
    parts = [
        *_counted(rows, Outcome.PLANNED, _PLANNED, "to give to a consumer"),
        *_counted(rows, Outcome.DONE, _DONE, "given to a consumer"),
    ]
    touched = {row.name.casefold() for row in rows if row.outcome is not Outcome.HELD}
    untouched = {row.name.casefold() for row in rows} - touched
    if untouched:
        parts.append(f"{len(untouched)} untouched")
    not_done = {row.name.casefold() for row in rows if row.outcome not in WELL}
    if not_done:
        parts.append(f"{len(not_done)} not done")
    head = "Plan" if plan or any(row.outcome is Outcome.PLANNED for row in rows) else report.outcome.capitalize()
    return f"{head}: {', '.join(parts)}."


def states(rows: Sequence[ItemStatus]) -> str:
    """Such as `8 items: 1 expired, 3 due, 4 healthy.`"""
    found = Counter(row.state for row in rows)
    parts = [f"{found[state]} {state}" for state in sorted(found, key=lambda state: (state in _QUIET, state))]
    return f"{len(rows)} {'item' if len(rows) == 1 else 'items'}{': ' if parts else ''}{', '.join(parts)}."


def dead(report: Report) -> str:
    """How an emergency ends that did all of it: what is dead, and who must read again now."""
    names = sorted({row.name for row in report.items if row.because not in _OF_NO_ITEM}, key=str.casefold)
    given = sorted({row.name for row in report.items if _is_push(row) and row.outcome is Outcome.DONE})
    values = (
        "The old value is dead; whoever reads this secret must read it"
        if len(names) == 1
        else "The old values are dead; whoever reads these secrets must read them"
    )
    consumers = f" The consumer of {', '.join(given)} was given the new value." if given else ""
    return f"{values} again now: {', '.join(names)}.{consumers}"


def _is_push(row: Row) -> bool:
    return row.because is Because.NOT_PUSHED


def _counted(rows: Iterable[Row], outcome: Outcome, words: Mapping[Verb, str], given: str) -> Iterable[str]:
    """`given`: what becomes of consumers."""
    met = [row for row in rows if row.outcome is outcome]
    found = Counter(row.step for row in met if not _is_push(row))
    for verb, says in words.items():
        if many := found[verb]:
            yield f"{many} {says.format(noun='PAT' if many == 1 else 'PATs')}"
    if pushes := sum(map(_is_push, met)):
        yield f"{pushes} {given}"
