"""What recipients were told, remembered between runs: the values, the port, and what stands in without a storage.

The memory is one document that runs change by a conditional write, so that of two at one moment one tells. Nothing in
it opens anything: recipients are known by the names of their secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from shared.model.clock import instant, read_instant
from shared.model.notices import Event, Notice, NoticeItem


@dataclass(frozen=True, slots=True)
class Open:
    """A cause that is not well again. `seen_at`: when a run last met it; `told`: when each recipient took the last one.

    `kind`: of the runs that met it; the others do not look at what it is about.
    """

    event: Event
    code: str
    subject: str
    cause: str
    remedy: str
    kind: str
    since: datetime
    seen_at: datetime
    secrets: frozenset[str]
    told: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Owed:
    """A notice that somebody has not taken yet. `to`: recipients, and until when a run that tells them has them.

    `of`: the key of the open cause that it tells; "" for what happened once.
    """

    notice: Notice
    to: Mapping[str, datetime | None]
    of: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """By key: what is open, and what is owed. `unfinished`: by id, until when runs over the queue may still end.

    Its end is told by whoever takes a run out of these.
    """

    open: Mapping[str, Open] = field(default_factory=dict)
    owed: Mapping[str, Owed] = field(default_factory=dict)
    unfinished: Mapping[str, datetime] = field(default_factory=dict)

    def expecting(self, run_id: str, until: datetime) -> Memory:
        """With a run whose end is to be told."""
        return replace(self, unfinished={**self.unfinished, run_id: until})

    def without(self, run_id: str) -> Memory:
        """Without that run: it is told now."""
        return replace(self, unfinished={key: at for key, at in self.unfinished.items() if key != run_id})


class ToldBefore(Protocol):
    """Where the memory is kept."""

    def read(self) -> tuple[Memory, str]:
        """The memory, and the mark of how it was read. Raises Denied, Unclear, or NotDone for what is none."""
        ...

    def write(self, memory: Memory, read_as: str) -> bool:
        """Keep it, unless somebody wrote since it was read so: then False, and nothing changed. Raises as `read`."""
        ...


class Forgetful:
    """Where no storage is configured: every run tells what it meets, and nobody is told that it is well again."""

    def read(self) -> tuple[Memory, str]:
        return Memory(), ""

    def write(self, memory: Memory, read_as: str) -> bool:  # noqa: ARG002  # nowhere
        return True


# --- as JSON ----------------------------------------------------------------------------------------------------------


def memory_json(memory: Memory) -> dict[str, object]:
    """As it is kept."""
    return {
        "open": {key: _open_json(one) for key, one in memory.open.items()},
        "owed": {
            key: {
                "notice": notice_json(one.notice),
                "to": {name: instant(until) for name, until in one.to.items()},
                "of": one.of,
            }
            for key, one in memory.owed.items()
        },
        "unfinished": {run_id: instant(until) for run_id, until in memory.unfinished.items()},
    }


def read_memory(found: Mapping[str, Any]) -> Memory:
    """What `memory_json` made. Raises AttributeError, KeyError, TypeError or ValueError for anything else."""
    return Memory(
        {key: _read_open(one) for key, one in found["open"].items()},
        {
            key: Owed(
                _read_notice(one["notice"]),
                {name: read_instant(until) for name, until in one["to"].items()},
                one["of"],
            )
            for key, one in found["owed"].items()
        },
        {run_id: _at(until) for run_id, until in found["unfinished"].items()},
    )


def _open_json(one: Open) -> dict[str, object]:
    return {
        "event": one.event.value,
        "code": one.code,
        "subject": one.subject,
        "cause": one.cause,
        "remedy": one.remedy,
        "kind": one.kind,
        "since": instant(one.since),
        "seen_at": instant(one.seen_at),
        "secrets": sorted(one.secrets),
        "told": {name: instant(at) for name, at in one.told.items()},
    }


def _read_open(found: Mapping[str, Any]) -> Open:
    return Open(
        Event(found["event"]),
        found["code"],
        found["subject"],
        found["cause"],
        found["remedy"],
        found["kind"],
        _at(found["since"]),
        _at(found["seen_at"]),
        frozenset(found["secrets"]),
        {name: _at(at) for name, at in found["told"].items()},
    )


def notice_json(notice: Notice) -> dict[str, object]:
    """Everything a notice says, without what it is sent in."""
    return {
        "id": notice.id,
        "event": notice.event.value,
        "code": notice.code,
        "subject": notice.subject,
        "cause": notice.cause,
        "remedy": notice.remedy,
        "at": instant(notice.at),
        "deployment": notice.deployment,
        "vault": notice.vault,
        "run_id": notice.run_id,
        "items": [item_json(item) for item in notice.items],
        "items_in_all": notice.items_in_all,
        "reminder": notice.reminder,
        "since": instant(notice.since),
        "serious_at": instant(notice.serious_at),
    }


def item_json(item: NoticeItem) -> dict[str, object]:
    """One item as a notice names it."""
    return {
        "secret": item.secret,
        "username": item.username,
        "organization": item.organization,
        "expires_on": instant(item.expires_on),
        "version": item.version or None,
        "owner": item.owner or None,
        "vault": item.vault or None,
    }


def _read_notice(found: Mapping[str, Any]) -> Notice:
    return Notice(
        **{
            **found,
            "event": Event(found["event"]),
            "at": _at(found["at"]),
            "items": tuple(_read_item(item) for item in found["items"]),
            "since": read_instant(found["since"]),
            "serious_at": read_instant(found["serious_at"]),
        }
    )


def _read_item(found: Mapping[str, Any]) -> NoticeItem:
    ends, version = read_instant(found["expires_on"]), found["version"] or ""
    # What an older version kept has neither.
    owner, vault = found.get("owner") or "", found.get("vault") or ""
    return NoticeItem(found["secret"], found["username"], found["organization"], ends, version, owner, vault)


def _at(text: str) -> datetime:
    at = read_instant(text)
    if at is None:
        raise ValueError("an instant is missing")
    return at
