"""Reports and states as tables for a person."""

from __future__ import annotations

from shared.cli.terminal import Cell, Screen
from shared.model.clock import instant
from shared.model.steps import Because
from shared.report.kept_run import Brief
from shared.report.report import WELL, Outcome, Report
from shared.rotation.sign_in import blocked
from shared.rotation.status import Status

_TONES = {Outcome.DONE: "good", Outcome.PLANNED: "warning", Outcome.HELD: "", Outcome.LEFT: "warning"}
# All is well, and a person is still to do something: end the adopted PAT, replace the credential.
_FOR_A_PERSON = frozenset({Because.ADOPTED, Because.CREDENTIAL_NEAR_EXPIRY})
_STATES = {"healthy": "good", "due": "warning", "paused": "faint"}


def show_report(screen: Screen, report: Report) -> None:
    """The table, then in full sentences what needs a person."""
    rows = [
        (
            row.secret,
            row.organization,
            row.step.value,
            Cell(row.outcome.value, _TONES.get(row.outcome, "bad")),
            row.because.value,
            instant(row.expires_on) or "",
        )
        for row in report.items
    ]
    if rows:
        screen.table(("secret", "organization", "step", "outcome", "because", "works until"), rows)
    for row in report.items:
        if row.outcome not in WELL or row.because in _FOR_A_PERSON:
            screen.paragraph(row.says)
    for leftover in report.leftovers:
        screen.say(
            f"Left over: {leftover.authorization_id} of {leftover.username} in {leftover.organization}", "warning"
        )
        screen.paragraph(leftover.says)
    if report.unmanaged:
        screen.say(f"Not in pats.yaml any more, and left alone: {', '.join(report.unmanaged)}.", "warning")
    if report.misconfigured is not None:
        screen.say(f"{report.misconfigured.message} {report.misconfigured.remedy}", "bad")
    well = sum(row.outcome in WELL for row in report.items)
    screen.say(
        f"{report.outcome}: {well} of {len(report.items)} steps are well.", "good" if not report.exit_code() else "bad"
    )


def show_status(screen: Screen, seen: Status) -> None:
    rows = [
        (
            one.secret,
            one.organization,
            Cell(one.state, "bad" if one.because is Because.INVALID else _STATES.get(one.state, "bad")),
            instant(one.expires_on) or "",
            "" if one.days_left is None else f"{one.days_left} d",
            ", ".join(f"until {instant(old.retire_at)}" for old in one.predecessors),
            f"{one.step.value} ({one.because.value}){f' {instant(one.at)}' if one.at else ''}",
        )
        for one in seen.pats
    ]
    if rows:
        screen.table(("secret", "organization", "state", "works until", "left", "predecessor", "next"), rows)
    screen.say("Seen in the vault alone; `plan` also signs in and looks at Azure DevOps.", "faint")
    for username, block in seen.blocks.items():
        failure = blocked(username, block)
        screen.say(f"Blocked: {username}", "bad")
        screen.paragraph(f"{failure.cause} {failure.remedy}")


def show_last_run(screen: Screen, run: Brief | None) -> None:
    if run is None:
        screen.say("No run's report is kept yet.", "faint")
        return
    ended = f"finished {instant(run.finished_at)}" if run.finished_at else f"started {instant(run.started_at)}"
    rest = f"{run.not_well} of {run.items} steps not done" if run.not_well else f"{run.items} steps"
    tone = "" if run.finished_at is None else "good" if run.outcome == "succeeded" else "bad"
    screen.say(f"Last run: {run.outcome}, {rest}, {ended} ({run.door}, {run.run_id}).", tone)
