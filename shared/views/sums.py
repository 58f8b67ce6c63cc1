"""A report in one sentence: how many of what. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from shared.report.report import WELL, Outcome, Report, Row, Verb

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


def summed(report: Report) -> str:
    """Such as `Plan: 6 to replace, 1 to renew, 1 old PAT to end, 2 untouched.`"""
    rows = report.items
    planned = any(row.outcome is Outcome.PLANNED for row in rows)
    parts = [
        *_counted(rows, Outcome.PLANNED, _PLANNED),
        *_counted(rows, Outcome.DONE, _DONE),
    ]
    touched = {row.secret.casefold() for row in rows if row.outcome is not Outcome.HELD}
    untouched = {row.secret.casefold() for row in rows} - touched
    if untouched:
        parts.append(f"{len(untouched)} untouched")
    not_done = {row.secret.casefold() for row in rows if row.outcome not in WELL}
    if not_done:
        parts.append(f"{len(not_done)} not done")
    head = "Plan" if planned else report.outcome.capitalize()
    return f"{head}: {', '.join(parts)}."


def dead(report: Report) -> str:
    """How an emergency ends that did all of it: what is dead, and who must read again now."""
    names = sorted({row.secret for row in report.items}, key=str.casefold)
    values = "The old value is dead; this secret" if len(names) == 1 else "The old values are dead; these secrets"
    return f"{values} must be read again now: {', '.join(names)}."


def _counted(rows: Iterable[Row], outcome: Outcome, words: dict[Verb, str]) -> Iterable[str]:
    found = [row.step for row in rows if row.outcome is outcome]
    for verb, says in words.items():
        many = found.count(verb)
        if many:
            yield f"{many} {says.format(noun='PAT' if many == 1 else 'PATs')}"
