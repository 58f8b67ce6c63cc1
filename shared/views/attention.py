"""What needs a person, by what is known without a sign-in: one entry for each cause. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from shared.model.errors import Code
from shared.model.steps import Because
from shared.report.causes import Cause, Trouble, grouped, of_row
from shared.report.kept_run import KeptRun
from shared.report.met import WARNINGS
from shared.report.report import Leftover, Outcome, Row
from shared.rotation.overview import Overview, Runs
from shared.rotation.sign_in import blocked
from shared.rotation.status import ItemStatus, Status

EXPIRED, OVERDUE, MISSING, LEFTOVER, LATE = (
    "expired",
    "overdue",
    "missing",
    "leftover",
    "runs-stopped",
)
"""Causes that are no failure of a run, beside the failures' own codes."""

TITLES: Mapping[str, str] = {
    EXPIRED: "Expired",
    OVERDUE: "Overdue",
    MISSING: "No value is published",
    LEFTOVER: "A live PAT that patrol cannot end",
    Because.CREDENTIAL_NEAR_EXPIRY: "A credential ends soon",
    Because.ENROLLMENT_NEAR_END: "An enrollment ends soon",
    Because.HELD_FOR_READERS: "Kept for its readers",
    Because.STILL_READ: "Readers to look at",
    LATE: "The runs have stopped",
    Code.USER_BLOCKED: "Sign-in refused",
    Code.ENROLLMENT_NEEDED: "Somebody has to sign in once",
    Code.ENROLLMENT_ENDED: "Somebody has to sign in again",
    Code.ITEM_INVALID: "Wrong in pats.yaml",
    Code.INVENTORY_FILE_UNREADABLE: "A file of the inventory cannot be read",
    Code.EDITED: "Edited by hand",
    Code.FOREIGN: "Of another deployment",
    Code.UNMARKED: "Not patrol's",
    Code.DISABLED: "Disabled in the vault",
    Code.SECRET_DELETED: "Deleted in the vault",
    Code.LEAKED_PAT_LIVES: "A leaked PAT still lives",
    Code.MINT_REFUSED: "Azure DevOps made no PAT",
    Code.VERIFY_FAILED: "A new PAT did not work",
    Code.PUBLISH_FORBIDDEN: "The vault refused the write",
    Code.CONSUMER_REFUSED: "A consumer refused the value",
    Code.UNEXPECTED: "patrol itself failed",
}

AT_REST = frozenset({Because.DECOMMISSIONED, Because.NOTHING_TO_END})
"""What such an item lacks is what was asked for."""
_ENDED = frozenset({"expired", "missing", "edited"})
_NOT_LOOKED = frozenset({Outcome.LEFT, Outcome.BUSY})
# What the vault itself shows now: a report from before says nothing of it.
_OF_THE_VAULT = frozenset(
    {
        *(Code.EDITED, Code.FOREIGN, Code.UNMARKED, Code.DISABLED, Code.ITEM_INVALID, Code.PAUSED),
        Code.INVENTORY_FILE_UNREADABLE,
        *(Code.USER_BLOCKED, Code.SIGN_IN_REFUSED, Code.ENROLLMENT_ENDED),
    }
)


@dataclass(frozen=True, slots=True)
class Need:
    """One cause that waits for a person. `pressing`: consumers are hit, or will be before long.

    `since_at_least`: how far back was looked is where it was found, so it may be older.
    """

    cause: Cause
    pressing: bool
    since_at_least: bool = False

    @property
    def title(self) -> str:
        return TITLES.get(self.cause.code, self.cause.code.replace("-", " ").capitalize())


def is_alarming(row: ItemStatus) -> bool:
    """Whether a monitor is told: consumers are or will be without a good value unless somebody acts; or none knows."""
    if row.state == "paused" or row.because in AT_REST:
        return False
    return row.state in _ENDED or row.state == "unknown" or row.because is Because.INVALID or row.overdue


def trouble_of(row: ItemStatus) -> Trouble | None:
    """What is in the way of one item by the vault alone; None where nothing is, or where it lies with its user."""
    if row.state in ("blocked", "paused") or row.because in AT_REST:
        return None
    runs = "`patrol refresh`" if row.is_token else "`patrol run`"
    fail, code = row.fail or row.last_failure, ""
    if fail is not None:
        code, cause, remedy = fail.code.value, fail.message, fail.remedy
    elif row.state == "missing":
        code, cause = MISSING, "no value is published:"
        remedy = f"the next run makes one, and so does {runs}."
    elif row.state == "expired":
        code, cause = EXPIRED, "its value has expired, and no run has replaced it."
        remedy = f"{runs} does, or says what is in the way."
    elif row.overdue:
        code, cause = OVERDUE, "half of the time to replace it is gone, and no run did."
        remedy = f"{runs} does, or says what is in the way."
    else:
        return None
    of_item = Trouble(code, cause, remedy, row.name, row.username, row.organization, row.expires_on)
    return replace(of_item, vault=row.vault)


def needs(seen: Overview) -> tuple[Need, ...]:
    """Every cause, the most pressing first."""
    rows = {row.key: row for row in seen.status.pats}
    failures = _failures(seen.runs, rows)
    troubles = [*_blocks(seen.status), *failures.values()]
    for key, row in rows.items():
        # Why a run failed says more than that it did.
        if key not in failures and (trouble := trouble_of(row)) is not None:
            troubles.append(trouble)
    last = seen.runs.reports[0] if seen.runs.reports else None
    if last is not None:
        troubles += _of_run(last)
    if (late := _late(seen.runs, seen.status.as_of)) is not None:
        troubles.append(late)
    oldest = seen.runs.reports[-1].report.started_at if seen.runs.reports else None
    found = [
        Need(cause, _is_pressing(cause, seen.status.as_of), cause.since is not None and cause.since == oldest)
        for cause in grouped(troubles)
    ]
    return tuple(sorted(found, key=_urgency))


def expected(runs: Runs) -> tuple[datetime | None, timedelta | None]:
    """When the next run is expected, and how long lies between two: by those that came by the last one's door."""
    starts = _starts(runs)
    if len(starts) < 3:
        return None, None
    gaps = sorted(later - earlier for later, earlier in pairwise(starts))
    gap = gaps[len(gaps) // 2]
    return starts[0] + gap, gap


def _starts(runs: Runs) -> list[datetime]:
    """Of the runs that a schedule began, latest first: the timer's where there is one."""
    meant = [brief for brief in runs.latest if not brief.dry_run]
    doors = {brief.door for brief in meant}
    door = "timer" if "timer" in doors else "command-line"
    return [brief.started_at for brief in meant if brief.door == door]


def _late(runs: Runs, now: datetime) -> Trouble | None:
    at, gap = expected(runs)
    if at is None or gap is None or now <= at + gap:
        return None
    last = _starts(runs)[0]
    cause = f"No run has begun since {last:%Y-%m-%d %H:%M} UTC; there was one every {_hours(gap)} before."
    remedy = "Look at the timer function `rotate_due`, or at the cron job: nothing is replaced until it runs again."
    return Trouble(LATE, cause, remedy, since=at)


def _hours(gap: timedelta) -> str:
    minutes = round(gap.total_seconds() / 60)
    return f"{minutes // 60} h" if minutes >= 60 and minutes % 60 == 0 else f"{minutes} min"


def _blocks(status: Status) -> Iterable[Trouble]:
    """One for each item of a blocked user, so that its card names them; one for a user without items too."""
    held_up: dict[str, list[ItemStatus]] = {}
    for row in status.pats:
        if row.state == "blocked":
            held_up.setdefault(row.username.casefold(), []).append(row)
    for username, block in status.blocks.items():
        failure = blocked(username, block, enrolled=username in status.enrolled)
        of_user = Trouble(failure.code.value, failure.cause, failure.remedy, username=username, since=block.refused_at)
        mine = held_up.get(username, [])
        for row in mine:
            yield replace(
                of_user,
                secret=row.name,
                username=row.username,
                organization=row.organization,
                ends=row.expires_on,
                vault=row.vault,
            )
        if not mine:
            yield of_user


def _failures(runs: Runs, rows: Mapping[str, ItemStatus]) -> dict[str, Trouble]:
    """By casefolded secret: what its last run could not do, and since when it could not."""
    found: dict[str, Trouble] = {}
    well: set[str] = set()
    for run in runs.reports:
        failing = {
            row.name.casefold(): trouble
            for row in run.report.items
            if (now := rows.get(row.name.casefold())) and (trouble := _in_run(row, run, now)) is not None
        }
        looked_at = {row.name.casefold() for row in run.report.items if row.outcome not in _NOT_LOOKED}
        well |= looked_at - failing.keys()
        for key in failing.keys() - well:
            found[key] = replace(found.get(key, failing[key]), since=run.report.started_at)
    return found


def _in_run(row: Row, run: KeptRun, now: ItemStatus) -> Trouble | None:
    trouble = of_row(row, ends=now.expires_on, since=run.report.started_at)
    if trouble is None or trouble.code in _OF_THE_VAULT or now.state == "blocked":
        return None
    return trouble


def _of_run(run: KeptRun) -> Iterable[Trouble]:
    """What the last run said of no item: what ended it, live PATs it could not end, credentials that end."""
    report = run.report
    if report.misconfigured is not None:
        error = report.misconfigured
        yield Trouble(error.code.value, error.message, error.remedy, since=report.started_at)
    for leftover in report.leftovers:
        yield _left_over(leftover)
    for row in report.items:
        if row.because in WARNINGS:
            says = row.says.removeprefix(f"{row.secret}: ")
            cause = f"{says[:1].upper()}{says[1:]}"
            yield Trouble(row.because.value, cause, "", row.secret, row.username, "", row.expires_on)


def _left_over(leftover: Leftover) -> Trouble:
    who = f"{leftover.authorization_id} of {leftover.username} in {leftover.organization}"
    says = leftover.says.removeprefix(f"{leftover.secret}: ")
    where = f"--user {leftover.username} --organization {leftover.organization}"
    return Trouble(
        LEFTOVER,
        f"PAT {who}: {says}",
        f"`patrol pats get {leftover.authorization_id} {where}` shows it.",
        leftover.secret,
        leftover.username,
        leftover.organization,
    )


SOON = timedelta(days=2)


def _is_pressing(cause: Cause, now: datetime) -> bool:
    if cause.code in (EXPIRED, MISSING, LATE, Code.LEAKED_PAT_LIVES, Code.EDITED, Code.DISABLED, Code.CLIENT_REFUSED):
        return True
    return cause.serious_at is not None and cause.serious_at <= now + SOON


def _urgency(need: Need) -> tuple[bool, float, str]:
    at = need.cause.serious_at
    return (not need.pressing, at.timestamp() if at is not None else 0.0, need.cause.code)
