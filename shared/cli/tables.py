"""Reports and states as tables for a person; one cause is told once, with what it is the cause of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from shared.cli.terminal import Cell, Screen
from shared.model.clock import instant
from shared.model.items import Inventory
from shared.model.secret_state import SecretSeen
from shared.model.steps import Because
from shared.report.causes import Trouble
from shared.report.kept_run import Brief
from shared.report.report import WELL, Outcome, Report, Row
from shared.rotation.enroll import EnrollmentSeen
from shared.rotation.sign_in import blocked
from shared.rotation.status import ItemStatus, Status
from shared.views.explanation import effective_settings, generations, next_step
from shared.views.sums import summed

MOST_NAMES = 10
"""Items that are named below one cause; all of them are in the table."""
MOST_DEEDS = 20
"""Rows that changed something, or would, of which the sentences are shown; longer tables speak for themselves."""

_TONES = {Outcome.DONE: "good", Outcome.PLANNED: "warning", Outcome.HELD: "", Outcome.LEFT: "warning"}
# All is well, and a person is still to do something: end the adopted PAT, replace the credential.
_FOR_A_PERSON = frozenset({Because.ADOPTED, Because.CREDENTIAL_NEAR_EXPIRY, Because.ENROLLMENT_NEAR_END})
_DEEDS = frozenset({Outcome.DONE, Outcome.PLANNED})
_NAMES = 14
"""Width of a field's name."""
_STATES = {"healthy": "good", "due": "warning", "paused": "faint"}


def show_report(screen: Screen, report: Report, empty: str) -> None:
    """The table, then in full sentences what was done and what needs a person. `empty`: what no rows mean."""
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
        head = ("secret", "organization", "step", "outcome", "because", "works until")
        screen.table(head, rows, spare=("organization", "works until", "step", "because"))
    show_causes(screen, ((row.secret, row.says.removeprefix(f"{row.secret}: ")) for row in _worth_telling(report)))
    for leftover in report.leftovers:
        screen.say(
            f"Left over: {leftover.authorization_id} of {leftover.username} in {leftover.organization}", "warning"
        )
        screen.paragraph(leftover.says)
    if report.unmanaged:
        screen.say(f"Not in pats.yaml any more, and left alone: {', '.join(report.unmanaged)}.", "warning")
    if report.misconfigured is not None:
        screen.say(f"{report.misconfigured.message} {report.misconfigured.remedy}", "bad")
    if not rows and report.misconfigured is None:
        screen.say(empty)
        return
    screen.say(summed(report), "good" if not report.exit_code() else "bad")


def show_causes(screen: Screen, sentences: Iterable[tuple[str, str]]) -> None:
    """Pairs of an item and a sentence about it: equal sentences come once, with their items."""
    items: dict[str, list[str]] = {}
    for item, sentence in sentences:
        items.setdefault(sentence, []).append(item)
    for sentence, names in items.items():
        if len(names) == 1:
            screen.paragraph(f"{names[0]}: {sentence}")
            continue
        screen.paragraph(f"{len(names)} items: {sentence}")
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        screen.paragraph(f"{', '.join(names[:MOST_NAMES])}{more}", "    ")


def show_status(screen: Screen, seen: Status, rows: Sequence[ItemStatus], troubles: Mapping[str, Trouble]) -> None:
    """`rows`: those that are shown; `troubles`: by casefolded secret, what is in the way of it."""
    cells = [
        (
            row.secret,
            row.organization,
            Cell(row.state, "bad" if row.because is Because.INVALID else _STATES.get(row.state, "bad")),
            instant(row.expires_on) or "",
            "" if row.days_left is None else f"{row.days_left} d",
            ", ".join(f"until {instant(old.retire_at)}" for old in row.predecessors),
            f"{row.step.value} ({row.because.value}){_when(row.at, seen.as_of)}",
        )
        for row in rows
    ]
    if cells:
        head = ("secret", "organization", "state", "works until", "left", "predecessor", "next")
        screen.table(head, cells, spare=("predecessor", "organization", "next", "left", "works until"))
    else:
        screen.say("No item to show.")
    screen.say("Seen in the vault alone; `plan` also signs in and looks at Azure DevOps.", "faint")
    show_causes(
        screen, ((row.secret, f"{found.cause} {found.remedy}") for row in rows if (found := troubles.get(row.key)))
    )
    for username, block in seen.blocks.items():
        failure = blocked(username, block, enrolled=username in seen.enrolled)
        screen.say(f"Blocked: {username}", "bad")
        screen.paragraph(f"{failure.cause} {failure.remedy}")
    show_enrollments(screen, seen.enrollments)


def _when(at: datetime | None, now: datetime) -> str:
    """When a step comes, after its words: what is due is due now, whatever second it is."""
    if at is None:
        return ""
    return " now" if at <= now else f" {instant(at)}"


_ENROLLED_TONES: Mapping[str, str] = {"good": "good", "ending": "warning", "ended": "bad", "needed": "bad"}


def show_enrollments(screen: Screen, found: Iterable[EnrollmentSeen]) -> None:
    """One line for each user, and the next step where there is one."""
    for enrollment in found:
        until = f", good until {instant(enrollment.good_until)}" if enrollment.good_until is not None else ""
        screen.say(f"Enrolled: {enrollment.username}, {enrollment.state}{until}", _ENROLLED_TONES[enrollment.state])
        if enrollment.state != "good":
            screen.paragraph(f"`patrol enroll {enrollment.username}` leads to a page to sign in at.")


def show_explained(
    screen: Screen,
    row: ItemStatus,
    inventory: Inventory,
    seen: SecretSeen | None,
    trouble: Trouble | None,
    now: datetime,
) -> None:
    """One secret at `now` (vault time): its generations, its settings, what a run does next or what is in its way."""
    screen.say(f"{row.secret}: {row.state}", "good" if row.state == "healthy" else "warning")
    _show_fields(screen, generations(row, seen))
    if settings := list(effective_settings(inventory, row.key)):
        screen.say("As pats.yaml asks for it", "head")
        _show_fields(screen, settings)
    screen.say("What a run does, by the vault alone", "head")
    screen.paragraph(next_step(row, now) if trouble is None else f"{trouble.cause} {trouble.remedy}")


def _show_fields(screen: Screen, fields: Iterable[tuple[str, str]]) -> None:
    for name, text in fields:
        screen.say(f"  {name:{_NAMES}}  {text}")


def show_last_run(screen: Screen, run: Brief | None) -> None:
    """`run`: None where no report is kept, or the storage does not say."""
    if run is None:
        screen.say("No run's report is kept yet.", "faint")
        return
    ended = f"finished {instant(run.finished_at)}" if run.finished_at else f"started {instant(run.started_at)}"
    rest = f"{run.not_well} of {run.items} steps not done" if run.not_well else f"{run.items} steps"
    tone = "" if run.finished_at is None else "good" if run.outcome == "succeeded" else "bad"
    screen.say(f"Last run: {run.outcome}, {rest}, {ended} ({run.door}, {run.run_id}).", tone)


def _worth_telling(report: Report) -> list[Row]:
    deeds = sum(row.outcome in _DEEDS for row in report.items)
    return [
        row
        for row in report.items
        if row.outcome not in WELL or row.because in _FOR_A_PERSON or (row.outcome in _DEEDS and deeds <= MOST_DEEDS)
    ]
