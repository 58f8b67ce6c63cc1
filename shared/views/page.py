"""The page: what needs somebody, every PAT, what comes and what was. Values in, one HTML document out; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from urllib.parse import urlencode

from shared.model.items import Inventory
from shared.model.readers import Verdict
from shared.model.secret_state import VersionSeen
from shared.model.steps import Because
from shared.report.brief import Brief, last_run
from shared.report.causes import Cause, grouped, of_row
from shared.report.kept_run import KeptRun
from shared.report.report import Outcome, Verb
from shared.rotation.overview import Overview
from shared.rotation.status import ItemStatus
from shared.rotation.who_reads import Readers
from shared.views import html
from shared.views.attention import Need, expected, needs
from shared.views.explanation import effective_settings, next_step
from shared.views.lives import Life, life, line

STATES = ("healthy", "due", "expired", "missing", "edited", "foreign", "paused", "blocked", "unknown")
ROWS = 100
"""Of one page behind the door."""
ROWS_OF_A_FILE = 1_000
AHEAD = timedelta(days=30)
MARKS = 16
NAMES = 8
"""Items that are named in one place; their number is always told."""

TONES: Mapping[str, str] = {"healthy": "good", "due": "warning", "paused": "", "unknown": "warning"}
RUN_TONES: Mapping[str, str] = {"succeeded": "good", "running": "", "partial": "warning", "failed": "bad"}
READER_TONES: Mapping[Verdict, str] = {
    Verdict.CURRENT: "good",
    Verdict.BEHIND: "bad",
    Verdict.PINNED: "bad",
    Verdict.UNSEEN: "warning",
}
_DEEDS = {
    Verb.ROTATE: "replaced",
    Verb.RENEW: "renewed",
    Verb.RETIRE: "old value ends",
    Verb.DECOMMISSION: "decommissioned",
}

Link = Callable[..., str]
"""Gives the address of another view of the page by its query; "" where there is none, as in a file."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the page comes from."""

    version: str
    deployment: str
    vault: str
    inventory: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which PATs are listed; no states: of every state. `number` counts pages from 1."""

    states: frozenset[str] = frozenset()
    words: str = ""
    number: int = 1
    rows: int = ROWS

    @property
    def state(self) -> str:
        """As an address has it: one, or all."""
        return next(iter(self.states)) if len(self.states) == 1 else ""

    def of(self, rows: list[ItemStatus]) -> list[ItemStatus]:
        words = self.words.casefold().split()
        return [
            row
            for row in rows
            if (not self.states or row.state in self.states)
            and all(
                word in f"{row.secret}\n{row.vault}\n{row.username}\n{row.organization}\n{row.owner}".casefold()
                for word in words
            )
        ]


@dataclass(frozen=True, slots=True)
class Listed:
    """One PAT in the list."""

    row: ItemStatus
    life: Life | None
    next: str
    change: str
    tone: str
    waits: bool


@dataclass(frozen=True, slots=True)
class Day:
    """What one day brings: sentences with the names that they are about."""

    day: date
    brings: tuple[tuple[str, tuple[str, ...]], ...]
    replaced: int


def links(code: str) -> Link:
    """Addresses behind a door that was opened with this function key, "" where the key was in a header."""

    def link(**query: object) -> str:
        given = {name: str(value) for name, value in query.items() if value not in ("", None)}
        # A caller's own words may be half a pair of letters, which no encoding takes.
        return f"?{urlencode({**given, **({'code': code} if code else {})}, errors='replace')}"

    return link


def no_links(**_: object) -> str:
    return ""


def _to_known(link: Link, seen: Overview) -> Link:
    """`link`, for secrets of the status alone: a credential or a name that left pats.yaml has no view."""
    known = {row.key for row in seen.status.pats}

    def to_known(**query: object) -> str:
        secret = str(query.get("secret") or "").casefold()
        return "" if secret and secret not in known else link(**query)

    return to_known


def estate(seen: Overview, facts: Facts, link: Link = no_links, wanted: Wanted | None = None, code: str = "") -> str:
    """The whole estate. `code`: the function key, for the form that filters."""
    wanted = wanted or Wanted(rows=ROWS_OF_A_FILE)
    now, found = seen.status.as_of, needs(seen)
    waiting = {secret.casefold() for need in found for secret in need.cause.secrets}
    rows = wanted.of(sorted(seen.status.pats, key=_soonest))
    pages = max(1, -(-len(rows) // wanted.rows))
    wanted = replace(wanted, number=min(max(wanted.number, 1), pages))
    first = (wanted.number - 1) * wanted.rows
    return html.document(
        "estate.html.jinja",
        facts=facts,
        now=now,
        link=_to_known(link, seen),
        code=code,
        headline=headline(seen, waiting, found),
        run_line=_run_line(seen),
        needs=found,
        listed=[_listed(row, now, row.key in waiting) for row in rows[first : first + wanted.rows]],
        many=len(rows),
        first=first,
        pages=pages,
        wanted=wanted,
        states=[state for state in STATES if any(row.state == state for row in seen.status.pats)],
        total=len(seen.status.pats),
        days=_ahead(seen),
        runs=seen.runs.latest[:MARKS],
        run_tones=RUN_TONES,
        unknown=seen.runs.unknown,
        last=_told(seen.runs.reports[0]) if seen.runs.reports else None,
        names=NAMES,
    )


def one_pat(
    seen: Overview,
    row: ItemStatus,
    versions: tuple[VersionSeen, ...],
    inventory: Inventory,
    facts: Facts,
    link: Link,
    readers: Readers | None = None,
) -> str:
    """One PAT: its generations on a line, the settings that hold for it, what a run would do and why.

    `readers`: who reads it by the vault's log; None where no log is named.
    """
    now, key = seen.status.as_of, row.key
    mine = [need for need in needs(seen) if key in {secret.casefold() for secret in need.cause.secrets}]
    said = [
        (run.report.started_at, run.report.run_id, told.says.removeprefix(f"{told.name}: "))
        for run in seen.runs.reports
        for told in run.report.items
        if told.name.casefold() == key
    ]
    return html.document(
        "pat.html.jinja",
        facts=facts,
        now=now,
        link=_to_known(link, seen),
        listed=_listed(row, now, bool(mine)),
        needs=mine,
        line=line(versions, row, now),
        settings=list(effective_settings(inventory, row)),
        next=next_step(row, now),
        said=said,
        readers=readers,
        tones=READER_TONES,
        names=NAMES,
    )


def one_run(run: KeptRun, facts: Facts, now: datetime, link: Link) -> str:
    """One run: what it could not do, cause by cause, and what it did."""
    return html.document(
        "run.html.jinja",
        facts=facts,
        now=now,
        link=link,
        run=Brief.of(run),
        told=_told(run),
        run_tones=RUN_TONES,
        names=NAMES,
    )


def headline(seen: Overview, waiting: set[str], found: tuple[Need, ...]) -> str:
    """How the estate is, in one line."""
    rows = seen.status.pats
    many, known = sum(row.key in waiting for row in rows), {row.key for row in rows}
    other = sum(known.isdisjoint(secret.casefold() for secret in need.cause.secrets) for need in found)
    paused = sum(row.state == "paused" and row.key not in waiting for row in rows)
    well = len(rows) - many - paused
    parts = []
    if many:
        parts.append(f"{_count(many, 'PAT')} {'needs' if many == 1 else 'need'} you.")
    if other:
        parts.append(f"{_count(other, 'other matter' if many else 'matter')} {'needs' if other == 1 else 'need'} you.")
    if not parts:
        parts.append(f"All {_count(well, 'PAT')} are well." if well > 1 else f"{_count(well, 'PAT')} is well.")
    elif well:
        parts.append(f"{well} {'is' if well == 1 else 'are'} well.")
    if paused:
        parts.append(f"{paused} {'is' if paused == 1 else 'are'} paused.")
    return " ".join(parts) if rows or found else "pats.yaml has no PATs yet."


def _count(many: int, noun: str) -> str:
    return f"{many:,} {noun}{'' if many == 1 else 's'}"


def _run_line(seen: Overview) -> tuple[Brief | None, datetime | None]:
    """The last run that was meant, and when the next one is expected."""
    at, _ = expected(seen.runs)
    return last_run(seen.runs.latest), at if at is not None and at > seen.status.as_of else None


def _soonest(row: ItemStatus) -> tuple[int, float, str]:
    """What consumers miss now first, what nobody waits for last."""
    at_rest = row.state == "paused" or row.because in (Because.DECOMMISSIONED, Because.NOTHING_TO_END)
    ends = row.expires_on
    return (2 if at_rest else 1 if ends else 0, ends.timestamp() if ends else 0.0, row.key)


def _listed(row: ItemStatus, now: datetime, waits: bool) -> Listed:
    return Listed(row, life(row, now), _next(row, now), _change(row, now), TONES.get(row.state, "bad"), waits)


def _next(row: ItemStatus, now: datetime) -> str:
    if row.step is Verb.HOLD:
        return "waits for a person" if row.fail or row.state == "blocked" else row.because.value.replace("-", " ")
    deed = _DEEDS[row.step]
    held = " or later" if row.step is Verb.RETIRE and row.held_until is not None else ""
    return f"{deed} by the next run{held}" if row.at is None or row.at <= now else f"{deed} {row.at:%Y-%m-%d}{held}"


def _change(row: ItemStatus, now: datetime) -> str:
    if row.made_at is None:
        return ""
    ago = _ago(now - row.made_at)
    live = [old for old in row.predecessors if old.retire_at > now]
    if not live:
        return f"made {ago}"
    least = "" if row.held_until is None else " at least"
    return f"replaced {ago}; the old value works{least} until {max(old.retire_at for old in live):%Y-%m-%d %H:%M}"


def _ago(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    if hours < 1:
        return "just now" if age < timedelta(minutes=2) else f"{int(age.total_seconds() // 60)} minutes ago"
    if hours < 48:
        return f"{hours} {'hour' if hours == 1 else 'hours'} ago"
    return f"{hours // 24} days ago"


def _ahead(seen: Overview) -> tuple[Day, ...]:
    """Day by day what the next 30 bring, by the plan that the vault alone allows."""
    now = seen.status.as_of
    found: dict[date, dict[str, list[str]]] = {}

    def brings(at: datetime | None, what: str, name: str) -> None:
        if at is not None and at <= now + AHEAD:
            found.setdefault(max(at, now).date(), {}).setdefault(what, []).append(name)

    for row in seen.status.pats:
        if row.step is Verb.HOLD:
            continue
        what = "renewed" if row.step is Verb.RENEW else "replaced"
        if row.step is Verb.DECOMMISSION:
            brings(row.at, "decommissioned", row.secret)
        else:
            brings(row.due_at if row.step is Verb.RETIRE else row.at, what, row.secret)
        for old in row.predecessors:
            brings(old.retire_at, "old value ends" if row.held_until is None else "old value may end", row.secret)
    for ending in seen.endings:
        brings(ending.at, f"{ending.what} ends", ending.name)
    return tuple(
        Day(
            day,
            tuple((what, tuple(sorted(names, key=str.casefold))) for what, names in sorted(brought.items())),
            len(brought.get("replaced", [])) + len(brought.get("renewed", [])),
        )
        for day, brought in sorted(found.items())
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What a run said: what it could not do by cause, what it did, and how many rows needed nothing."""

    started_at: datetime
    run_id: str
    causes: tuple[Cause, ...]
    deeds: tuple[tuple[str, tuple[str, ...]], ...]
    rest: int


def _told(run: KeptRun) -> Told:
    report = run.report
    causes = grouped(trouble for row in report.items if (trouble := of_row(row)) is not None)
    sentences: dict[str, list[str]] = {}
    for row in report.items:
        if row.outcome in (Outcome.DONE, Outcome.PLANNED, Outcome.LEFT, Outcome.BUSY):
            sentences.setdefault(row.says.removeprefix(f"{row.name}: "), []).append(row.name)
    deeds = tuple((says, tuple(names)) for says, names in sentences.items())
    told = sum(len(cause.items) for cause in causes) + sum(len(names) for _, names in deeds)
    return Told(report.started_at, report.run_id, causes, deeds, len(report.items) - told)
