"""Reports and states as tables for a person; one cause is told once, with what it is the cause of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from shared.cli.arguments import PROGRAM
from shared.cli.terminal import Cell, Screen
from shared.model.clock import instant
from shared.model.items import Inventory
from shared.model.secret_state import SecretSeen
from shared.model.steps import Because
from shared.report.brief import Brief
from shared.report.causes import SECRET, Trouble, grouped
from shared.report.report import WELL, Failure, Outcome, Report, Row, Verb
from shared.rotation.enroll import EnrollmentSeen
from shared.rotation.sign_in import blocked
from shared.rotation.status import ItemStatus, Status
from shared.views.explanation import effective_settings, generations, next_step
from shared.views.moments import ahead, distance, spoken, when
from shared.views.sums import states, summed

MOST_NAMES = 10
"""Items that are named below one cause; all of them are in the table."""
MOST_DEEDS = 20
"""Rows that changed something, or would, of which the sentences are shown; longer tables speak for themselves."""
MOST_AT_REST = 20
"""Rows of a table on a terminal about which nothing is to be said."""

_TONES = {Outcome.DONE: "good", Outcome.PLANNED: "warning", Outcome.HELD: "", Outcome.LEFT: "warning"}
# All is well, and a person is still to do something: end the adopted PAT, replace the credential.
_FOR_A_PERSON = frozenset(
    {
        *(Because.ADOPTED, Because.CREDENTIAL_NEAR_EXPIRY, Because.ENROLLMENT_NEAR_END),
        *(Because.HELD_FOR_READERS, Because.STILL_READ),
    }
)
_DEEDS = frozenset({Outcome.DONE, Outcome.PLANNED})
_NAMES = 14
"""Width of a field's name."""
_STATES = {"healthy": "good", "due": "warning", "paused": "faint"}


def show_report(screen: Screen, report: Report, empty: str, *, plan: bool = False, named: bool = False) -> None:
    """The table, then in full sentences what was done and what needs a person.

    `empty`: what no rows mean. `named`: who asked for items by name hears of those that needed nothing too.
    """
    rest = _at_rest(screen, [row.outcome is Outcome.HELD for row in report.items])
    rows = [
        (
            row.name,
            row.organization,
            row.step.value,
            Cell(row.outcome.value, _TONES.get(row.outcome, "bad")),
            row.because.value,
            when(row.expires_on, report.finished_at),
        )
        for row in report.items
        if not rest or row.outcome is not Outcome.HELD
    ]
    if rows:
        head = ("secret", "organization", "step", "outcome", "because", "works until")
        screen.table(head, rows, spare=("organization", "works until", "step", "because"))
    if rest:
        screen.sentence(f"{rest} that are held are not shown; `{PROGRAM} status` lists them.", "faint")
    show_causes(
        screen, ((row.name, row.says.removeprefix(f"{row.name}: ")) for row in _worth_telling(report, named=named))
    )
    for leftover in report.leftovers:
        screen.sentence(
            f"Left over: {leftover.authorization_id} of {leftover.username} in {leftover.organization}", "warning"
        )
        screen.paragraph(leftover.says)
    if report.unmanaged:
        screen.sentence(f"Not in pats.yaml any more, and left alone: {', '.join(report.unmanaged)}.", "warning")
    for told in report.recipients:
        if told.error is not None:
            screen.sentence(f"Not told: {told.recipient}", "warning")
            screen.paragraph(f"{told.error.message} {told.error.remedy}")
    if report.misconfigured is not None:
        screen.sentence(f"{report.misconfigured.message} {report.misconfigured.remedy}", "bad")
    if not report.items and report.misconfigured is None:
        screen.sentence(empty)
        return
    screen.sentence(summed(report, plan=plan), "good" if not report.exit_code() else "bad")


def _at_rest(screen: Screen, quiet: Sequence[bool]) -> int:
    """How many rows are left out because nothing is to be said of them: a person reads no list of hundreds."""
    return sum(quiet) if screen.width is not None and sum(quiet) > MOST_AT_REST else 0


def show_causes(screen: Screen, sentences: Iterable[tuple[str, str]]) -> None:
    """Pairs of an item and a sentence about it: what differs in the item's own name alone comes once, with its items.

    The sentence then says `SECRET` for the name, and its commands follow, ready to be copied.
    """
    for cause in grouped(Trouble("", "", spoken(sentence), item) for item, sentence in sentences):
        names = list(dict.fromkeys(one.secret for one in cause.items))
        if len(names) == 1:
            screen.paragraph(f"{names[0]}: {cause.remedy}")
            continue
        screen.paragraph(f"{len(names)} items: {cause.remedy}")
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        screen.paragraph(f"{', '.join(names[:MOST_NAMES])}{more}", "    ")
        for command in cause.commands(MOST_NAMES) if SECRET in cause.remedy else ():
            screen.paragraph(f"`{command}`", "    ")


def show_status(screen: Screen, seen: Status, rows: Sequence[ItemStatus], troubles: Mapping[str, Trouble]) -> None:
    """`rows`: those that are shown; `troubles`: by casefolded secret, what is in the way of it."""
    now = seen.as_of
    rest = _at_rest(screen, [_is_quiet(row) for row in rows])
    cells = [
        (
            row.name,
            row.organization,
            Cell(row.state, "bad" if row.because is Because.INVALID else _STATES.get(row.state, "bad")),
            when(row.expires_on, now),
            distance(row.expires_on, now),
            ", ".join(f"ends {ahead(old.retire_at, now)}{later}" for old in row.predecessors),
            _next(row, now),
            row.because.value,
        )
        for row in rows
        if not rest or not _is_quiet(row)
        for later in ["" if row.held_until is None else " or later"]
    ]
    if cells:
        head = ("secret", "organization", "state", "works until", "ends", "predecessor", "next", "because")
        screen.table(head, cells, spare=("predecessor", "organization", "works until", "because", "next"))
    elif not rows:
        screen.sentence("No item to show.")
    if rest:
        says = f"{rest} that are healthy are not shown; `{PROGRAM} status --state healthy | cat` lists them."
        screen.sentence(says, "faint")
    screen.sentence(states(rows))
    screen.sentence(f"Seen in the vault alone; `{PROGRAM} plan` also signs in and looks at Azure DevOps.", "faint")
    show_causes(
        screen, ((row.name, f"{found.cause} {found.remedy}") for row in rows if (found := troubles.get(row.key)))
    )
    for username, block in seen.blocks.items():
        failure = blocked(username, block, enrolled=username in seen.enrolled)
        screen.sentence(f"Blocked: {username}", "bad")
        screen.paragraph(f"{failure.cause} {failure.remedy}")
    show_enrollments(screen, seen.enrollments, now)


def _is_quiet(row: ItemStatus) -> bool:
    return row.state == "healthy" and row.step is not Verb.RETIRE


def _next(row: ItemStatus, now: datetime) -> str:
    """What a run does, and when."""
    if row.step is not Verb.HOLD:
        return f"{row.step.value} {ahead(row.at, now)}".rstrip()
    return row.step.value if row.at is None else f"tried again {ahead(row.at, now)}"


_ENROLLED_TONES: Mapping[str, str] = {"good": "good", "ending": "warning", "ended": "bad", "needed": "bad"}


def show_enrollments(screen: Screen, found: Iterable[EnrollmentSeen], now: datetime) -> None:
    """One line for each user, and the next step where there is one."""
    for enrollment in found:
        tone = _ENROLLED_TONES[enrollment.state]
        screen.sentence(f"Enrolled: {enrollment.username}, {_how_long(enrollment, now)}", tone)
        if enrollment.state != "good":
            screen.paragraph(f"`{PROGRAM} enroll {enrollment.username}` leads to a page to sign in at.")


def _how_long(enrollment: EnrollmentSeen, now: datetime) -> str:
    """How an enrollment stands, in words that say what is to come."""
    until = enrollment.good_until
    if until is None:
        return "nobody has enrolled it yet"
    word = {"ended": "ended", "ending": "ends"}.get(enrollment.state, "good until")
    return f"{word} {instant(until)} ({distance(until, now)})"


def show_explained(
    screen: Screen,
    row: ItemStatus,
    inventory: Inventory,
    seen: SecretSeen | None,
    trouble: Trouble | None,
    now: datetime,
) -> None:
    """One secret at `now` (vault time): its generations, its settings, what a run does next or what is in its way."""
    screen.sentence(f"{row.name}: {row.state}", "good" if row.state == "healthy" else "warning")
    screen.fields(generations(row, seen, now), _NAMES)
    if settings := list(effective_settings(inventory, row)):
        screen.say("As pats.yaml asks for it", "head")
        screen.fields(settings, _NAMES)
    screen.say("What a run does, by the vault alone", "head")
    says = next_step(row, now) if trouble is None else f"{trouble.cause} {trouble.remedy}"
    screen.paragraph(f"{says[:1].upper()}{says[1:]}")


def show_last_run(screen: Screen, run: Brief | None, now: datetime) -> None:
    """`run`: None where no report is kept, or the storage does not say."""
    if run is None:
        screen.sentence("No run's report is kept yet.", "faint")
        return
    at = run.finished_at or run.started_at
    told = "finished" if run.finished_at else "started"
    rest = f"{run.not_well} of {run.items} steps not done" if run.not_well else f"{run.items} steps"
    tone = "" if run.finished_at is None else "good" if run.outcome == "succeeded" else "bad"
    says = f"Last run: {run.outcome}, {rest}, {told} {instant(at)} ({distance(at, now)}; {run.door}, {run.run_id})."
    screen.sentence(says, tone)


def _worth_telling(report: Report, *, named: bool) -> list[Row]:
    of_use = _DEEDS | {Outcome.HELD} if named else _DEEDS
    deeds = sum(row.outcome in of_use for row in report.items)
    failures: dict[str, list[Failure]] = {}
    for row in report.items:
        if row.error is not None:
            failures.setdefault(row.secret, []).append(row.error)
    return [
        row
        for row in report.items
        if row.outcome not in WELL or row.because in _FOR_A_PERSON or (row.outcome in of_use and deeds <= MOST_DEEDS)
        if row.error is None or not _is_within_another(row.error, failures[row.secret])
    ]


def _is_within_another(said: Failure, of_secret: Iterable[Failure]) -> bool:
    """Whether another row of the same secret says all of it and more: in an emergency, what still lives."""
    return any(
        len(other.message) > len(said.message) and said.message in other.message and said.remedy in other.remedy
        for other in of_secret
    )
