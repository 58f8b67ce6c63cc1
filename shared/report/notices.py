"""What is told of a run, and to whom (rule 19): one notice for a cause, a reminder a day, one when it is well again.

Pure: the memory of what was told goes in and comes out. A notice is owed until its recipient took it. Whoever sends it
says so first (`claimed`), so that another run at the same moment leaves it alone, and what came of it last (`settled`);
a run that dies between the two leaves a claim that ends, and the next run sends the same notice, with the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.model.clock import instant
from shared.model.errors import Code
from shared.model.notices import Audience, Event, Notice, NoticeItem
from shared.report.causes import OF_A_USER, Cause, Trouble
from shared.report.met import OF_THE_DEPLOYMENT, PAT_EXPIRING, WARNINGS, Happened, digest, ends_of, met
from shared.report.report import Outcome, Row, Verb
from shared.report.told import Memory, Open, Owed

REMIND_AFTER = timedelta(hours=23)
"""A day, less what two runs of one schedule may differ by."""
LOOK_AGAIN = timedelta(hours=25)
"""Within it every user has had a full look: what none of its runs met is well again."""
OWED_FOR = timedelta(days=3)
"""What a recipient has not taken by then it is not told any more, unless a run still meets it."""
_DEEDS = {
    Verb.ROTATE: "rotated",
    Verb.RENEW: "renewed",
    Verb.RETIRE: "retired",
    Verb.DECOMMISSION: "decommissioned",
    Verb.HOLD: "mended",
}
MOST_ITEMS = 50
LONGEST_TEXT = 1000

# Every run sees these in the vault's listing or in pats.yaml: one that does not meet them shows that they are over.
_SEEN_EACH_TIME = frozenset(
    {
        *(Code.EDITED, Code.FOREIGN, Code.UNMARKED, Code.DISABLED, Code.SECRET_DELETED, Code.ITEM_INVALID),
        *(Code.PAUSED, Code.OWNER_CHANGED),
    }
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice for one recipient, by its key."""

    owed: str
    recipient: str
    notice: Notice

    @property
    def key(self) -> tuple[str, str]:
        """Which of all it is."""
        return self.owed, self.recipient


def decided(memory: Memory, happened: Happened, audience: Audience, now: datetime) -> Memory:
    """The memory with what this run makes known: what opened, what is well again, and what is owed to whom."""
    known = {recipient.key for recipient in audience.recipients}
    open_, found, shown = dict(memory.open), met(happened), _Shown.by(happened)
    failing = {
        name.casefold() for event, cause in found.values() if event is not Event.WARNING for name in cause.secrets
    }
    recovered: dict[str, Open] = {}
    for key, one in memory.open.items():
        left = _held_up(one, shown, now)
        # Where something else is in the way now, that is told, and nothing is well again.
        replaced = one.event is not Event.WARNING and one.secrets and {*map(str.casefold, one.secrets)} <= failing
        if key in found or (left is not None and not replaced):
            open_[key] = replace(one, secrets=left or frozenset())
            continue
        del open_[key]
        if not replaced:
            recovered[key] = one
    over = memory.open.keys() - open_.keys()
    owed = {
        key: kept
        for key, one in memory.owed.items()
        if one.of not in over and (kept := _still_owed(one, known, now)) is not None
    }
    pending = {(one.of, name) for one in owed.values() for name in one.to}
    for key, one in recovered.items():
        _owe_recovery(owed, key, one, shown, audience, now)
    for key, (event, cause) in found.items():
        open_[key] = _seen(open_.get(key), event, cause, happened, now)
        _owe_cause(owed, key, open_[key], cause, pending, happened, audience, now)
    for notice in (_emergency(happened, audience, now), _deeds(happened, audience, now)):
        rows = happened.report.items
        whose = _owners(happened, ((row.name, row.username) for row in rows if row.outcome is not Outcome.HELD))
        to = _takers(audience, notice.event, whose) if notice is not None else {}
        if notice is not None and to:
            owed[notice.id] = Owed(notice, to)
    # One whose report nobody can read any more is not waited for.
    unfinished = {run_id: at for run_id, at in memory.unfinished.items() if now - at < OWED_FOR}
    return replace(memory, open=open_, owed=owed, unfinished=unfinished)


def claimed(memory: Memory, now: datetime, until: datetime) -> tuple[Memory, tuple[Delivery, ...]]:
    """The memory in which everything that is owed is this run's to send until `until`, and what that is."""
    owed, deliveries = {}, []
    for key, one in memory.owed.items():
        mine = [name for name, other in one.to.items() if other is None or other <= now]
        owed[key] = replace(one, to={**one.to, **dict.fromkeys(mine, until)})
        deliveries += [Delivery(key, name, one.notice) for name in mine]
    deliveries.sort(key=lambda one: (one.notice.event is not Event.EMERGENCY, one.notice.at))
    return replace(memory, owed=owed), tuple(deliveries)


def settled(memory: Memory, deliveries: Iterable[Delivery], taken: Container[tuple[str, str]], now: datetime) -> Memory:
    """The memory after sending: what was `taken`, by its key, is told; the rest is owed and free for the next run."""
    open_, owed = dict(memory.open), dict(memory.owed)
    for one in deliveries:
        kept = owed.get(one.owed)
        if kept is None or one.recipient not in kept.to:
            continue
        to = {**kept.to, one.recipient: None}
        if one.key in taken:
            del to[one.recipient]
            if kept.of in open_:
                cause = open_[kept.of]
                open_[kept.of] = replace(cause, told={**cause.told, one.recipient: now})
        owed[one.owed] = replace(kept, to=to)
    return replace(memory, open=open_, owed={key: one for key, one in owed.items() if one.to})


# --- what stays open --------------------------------------------------------------------------------------------------


def _seen(before: Open | None, event: Event, cause: Cause, happened: Happened, now: datetime) -> Open:
    secrets = frozenset(cause.secrets)
    since = cause.since or happened.report.started_at
    subject = _elsewhere(cause, happened.home) or cause.subject
    made = Open(event, cause.code, subject, cause.cause, cause.remedy, happened.kind, since, now, secrets)
    if before is None:
        return made
    kept = {name.casefold() for name in secrets}
    older = frozenset(name for name in before.secrets if name.casefold() not in kept)
    return replace(made, since=before.since, secrets=secrets | older, told=before.told)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A run by what its rows show: by casefolded secret all of them and the last that did something; by casefolded name
    the users of whom anything was done.
    """

    happened: Happened
    rows: Mapping[str, list[Row]]
    done: Mapping[str, Row]
    users: frozenset[str]

    @classmethod
    def by(cls, happened: Happened) -> _Shown:
        rows: dict[str, list[Row]] = {}
        for row in happened.report.items:
            rows.setdefault(row.name.casefold(), []).append(row)
        done = [row for row in happened.report.items if row.outcome is Outcome.DONE]
        by_name = {row.name.casefold(): row for row in done}
        return cls(happened, rows, by_name, frozenset(row.username.casefold() for row in done))


def _held_up(one: Open, shown: _Shown, now: datetime) -> frozenset[str] | None:
    """What a cause still holds up as far as this run shows; None: nothing, it is well again."""
    happened = shown.happened
    report = happened.report
    if not one.secrets or one.code in OF_THE_DEPLOYMENT:
        same = happened.whole and happened.kind == one.kind and report.misconfigured is None
        return None if same else one.secrets
    if one.code in OF_A_USER and one.subject.casefold() in shown.users:
        return None
    rows = shown.rows
    left = frozenset(name for name in one.secrets if not _is_well(one, rows.get(name.casefold()), name, happened, now))
    return left or None


def _is_well(one: Open, rows: list[Row] | None, name: str, happened: Happened, now: datetime) -> bool:
    """Whether this run shows that a cause no longer holds up a secret.

    That nothing was to be done shows little: what failed at a user's daily look is not met by the runs in between.
    """
    if rows is None and one.code == Code.INVENTORY_FILE_UNREADABLE:
        return happened.whole
    if rows is None and happened.managed is None and one.code not in WARNINGS:
        return False
    quiet = happened.whole and now - one.seen_at >= LOOK_AGAIN
    if one.code in WARNINGS:
        return quiet
    if one.code == PAT_EXPIRING:
        return happened.whole or _did(rows)
    if rows is None:
        return happened.whole and (quiet or name.casefold() not in (happened.managed or ()))
    if any(row.outcome not in (Outcome.DONE, Outcome.HELD) for row in rows):
        return False
    return _did(rows) or quiet or one.code in _SEEN_EACH_TIME


def _did(rows: list[Row] | None) -> bool:
    return any(row.outcome is Outcome.DONE for row in rows or ())


# --- what is owed -----------------------------------------------------------------------------------------------------


def _takers(audience: Audience, event: Event, owners: frozenset[str]) -> dict[str, datetime | None]:
    """Who is told of such, and of what belongs to these `owners`."""
    return {one.key: None for one in audience.recipients if event in one.on and one.hears_of(owners)}


def _owners(happened: Happened, named: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Whom secrets belong to, each with its user."""
    return frozenset(owner for names in named for owner in happened.owners.of(*names))


def _still_owed(one: Owed, known: Collection[str], now: datetime) -> Owed | None:
    """Without recipients that are gone; None: nobody is told it any more. What a run meets again is made anew."""
    under_way = {name: until for name, until in one.to.items() if until is not None and until > now}
    over = one.of != "" or now - one.notice.at >= OWED_FOR
    to = {name: until for name, until in (under_way if over else one.to).items() if name in known}
    return replace(one, to=to) if to else None


def _owe_cause(
    owed: dict[str, Owed],
    key: str,
    one: Open,
    cause: Cause,
    pending: Container[tuple[str, str]],
    happened: Happened,
    audience: Audience,
    now: datetime,
) -> None:
    """Owe a cause to whoever takes such and does not know it, and a reminder to whoever was told a day ago.

    `pending`: causes, by key, each with a recipient that is owed it already.
    """
    whose = _owners(happened, ((trouble.secret, trouble.username) for trouble in cause.items))
    wishing = [name for name in _takers(audience, one.event, whose) if (key, name) not in pending]
    first = [name for name in wishing if name not in one.told]
    again = [name for name in wishing if name in one.told and now - one.told[name] >= REMIND_AFTER]
    for names, reminder in ((first, False), (again, True)):
        if not names:
            continue
        day = (now - one.since) // timedelta(days=1) if reminder else 0
        notice = replace(
            _notice(audience, happened, now, one.event, cause.code, key, f"{one.since} {reminder} {day}"),
            subject=_vault_of(cause, audience) or cause.subject,
            cause=_short(cause.cause),
            remedy=_short(cause.remedy),
            reminder=reminder,
            since=one.since,
            serious_at=cause.serious_at,
        )
        notice = _with_items(notice, [_item_of(trouble) for trouble in cause.items if trouble.secret], happened)
        before = owed.get(notice.id)
        owed[notice.id] = Owed(notice, {**(before.to if before else {}), **dict.fromkeys(names)}, key)


def _owe_recovery(owed: dict[str, Owed], key: str, one: Open, shown: _Shown, audience: Audience, now: datetime) -> None:
    """Only who was told that something is wrong is told that it is well."""
    known = {recipient.key for recipient in audience.recipients if Event.RECOVERED in recipient.on}
    to: dict[str, datetime | None] = {name: None for name in one.told if name in known}
    if not to:
        return
    happened, rows = shown.happened, shown.done
    items = [
        _item_of_row(rows[name.casefold()], happened) if name.casefold() in rows else NoticeItem(name)
        for name in sorted(one.secrets, key=str.casefold)
    ]
    notice = replace(
        _notice(audience, happened, now, Event.RECOVERED, one.code, key, str(one.since)),
        subject=one.subject or (audience.vault if one.code in OF_THE_DEPLOYMENT else ""),
        cause=_short(f"Well again since {instant(happened.report.finished_at)}. It was: {one.cause}"),
        since=one.since,
    )
    owed[notice.id] = Owed(_with_items(notice, items, happened), to)


def _emergency(happened: Happened, audience: Audience, now: datetime) -> Notice | None:
    """What an emergency came to; None where there was none, or all of it had been done before."""
    report = happened.report
    if not happened.emergency:
        return None
    wrong = [error for row in report.items if row.outcome is not Outcome.DONE and (error := row.error) is not None]
    wrong += [report.misconfigured] if report.misconfigured is not None else []
    replaced = sorted({row.name for row in report.items if row.version}, key=str.casefold)
    if not wrong and not any(row.outcome is Outcome.DONE for row in report.items):
        return None
    said = []
    if replaced:
        said.append(f"Replaced because of an emergency: {_named(replaced)}. Whatever uses it must read it again now.")
    if wrong:
        said.append(f"Not all of it was done: {wrong[0].message}")
    elif replaced:
        said.append("Every older value is dead.")
    notice = replace(
        _notice(audience, happened, now, Event.EMERGENCY, Event.EMERGENCY.value, report.run_id, ""),
        subject=replaced[0] if len(replaced) == 1 else "",
        cause=_short(" ".join(said) or "An emergency ended older values, and nothing was replaced."),
        remedy=_short(wrong[0].remedy) if wrong else "",
    )
    return _with_items(notice, _items_of_rows(report.items, happened), happened)


def _deeds(happened: Happened, audience: Audience, now: datetime) -> Notice | None:
    """What a run over PATs did; tokens are replaced every hour, and nobody wants that told."""
    rows = [row for row in happened.report.items if row.outcome is Outcome.DONE]
    if not rows or happened.kind != "run":
        return None
    many = Counter(_DEEDS[row.step] for row in rows)
    notice = replace(
        _notice(audience, happened, now, Event.DONE, Event.DONE.value, happened.report.run_id, ""),
        subject=rows[0].name if len({row.name for row in rows}) == 1 else "",
        cause=f"Done: {', '.join(f'{number} {deed}' for deed, number in sorted(many.items()))}.",
    )
    return _with_items(notice, _items_of_rows(rows, happened), happened)


def _notice(
    audience: Audience, happened: Happened, now: datetime, event: Event, code: str, key: str, more: str
) -> Notice:
    """One that names nothing yet. Its id is the same for every run that would tell the same."""
    id_ = digest(f"{audience.deployment} {audience.vault} {event} {key} {more}")
    return Notice(id_, event, code, "", "", "", now, audience.deployment, audience.vault, happened.report.run_id)


def _with_items(notice: Notice, items: Iterable[NoticeItem], happened: Happened) -> Notice:
    """The first to end come first; one that several rows tell of stands there once, with whom it belongs to."""
    once = {item.secret.casefold(): replace(item, owner=_owner_of(item, happened)) for item in items}
    in_order = sorted(once.values(), key=lambda item: (item.expires_on is None, item.expires_on, item.secret))
    return replace(notice, items=tuple(in_order[:MOST_ITEMS]), items_in_all=len(in_order))


def _owner_of(item: NoticeItem, happened: Happened) -> str:
    return ", ".join(happened.owners.of(item.secret, item.username))


def _item_of(trouble: Trouble) -> NoticeItem:
    who = (trouble.secret, trouble.username, trouble.organization)
    return NoticeItem(*who, trouble.ends, vault=trouble.vault)


def _item_of_row(row: Row, happened: Happened) -> NoticeItem:
    return NoticeItem(row.name, row.username, row.organization, ends_of(row, happened), row.version, vault=row.vault)


def _items_of_rows(rows: Iterable[Row], happened: Happened) -> list[NoticeItem]:
    """One for each secret: of its rows, the one that wrote a version."""
    return [_item_of_row(row, happened) for row in sorted(rows, key=lambda row: bool(row.version))]


def _vault_of(cause: Cause, audience: Audience) -> str:
    if cause.code not in OF_THE_DEPLOYMENT:
        return ""
    return _elsewhere(cause, audience.vault) or ("" if cause.subject else audience.vault)


def _elsewhere(cause: Cause, home: str) -> str:
    """The vault of several that alone is the cause."""
    hosts = {item.vault for item in cause.items}
    return hosts.pop() if cause.code in OF_THE_DEPLOYMENT and len(hosts) == 1 and not hosts <= {"", home} else ""


def _named(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{', '.join(names[:10])}{more}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
