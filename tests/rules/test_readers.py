"""Rule 18: the verdict on a reader, and whom a predecessor is kept for; every condition has a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.model.pats import PatId
from shared.model.readers import Asked, Reader, VaultLogSeen, Verdict, together
from shared.model.secret_state import VersionSeen
from shared.model.tags import AUTHORIZATION_ID, Predecessor
from shared.rules.readers import Kept, ReadBy, Why, kept, laggards, readers, still_asked_for, verdict

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
OLD, NEW, OLDER = ("a" * 32, "b" * 32, "c" * 32)
OLD_PAT, NEW_PAT = (PatId(f"f0000000-0000-4000-8000-00000000000{number}") for number in (1, 2))
AGENT, OTHER = Reader("agent"), Reader("other")
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
PUBLISHED = NOW - 2 * DAY
OVER = NOW - DAY
EXPIRES = NOW + 20 * DAY


def asked(
    last: timedelta,
    version: str = OLD,
    *,
    pinned: bool = False,
    served: bool = True,
    reader: Reader = AGENT,
    first: timedelta | None = None,
) -> Asked:
    """A read `last` before now."""
    return Asked(reader, "Build-Pat", version, pinned, served, NOW - (first or last), NOW - last)


def log(*rows: Asked, until: timedelta = HOUR, whole: bool = True, own: str = "") -> VaultLogSeen:
    seen = {one.reader.key: one.last for one in rows}
    return VaultLogSeen(rows, NOW - until, seen, own, whole)


def version(id_: str, pat: PatId | None, created: datetime) -> VersionSeen:
    tags = {}
    if pat is not None:
        tags = {
            "managed-by": "patrol/contoso-aaaaaa",
            AUTHORIZATION_ID: pat,
            "organization": "contoso",
            "organization-id": "0c000000-0000-4000-8000-000000000001",
            "username": "svc@contoso.com",
            "scopes": "vso.code",
        }
    return VersionSeen(id_, True, created, None, tags)


VERSIONS = (version(NEW, NEW_PAT, PUBLISHED), version(OLD, OLD_PAT, NOW - 25 * DAY))
PREDECESSOR = Predecessor(OLD_PAT, OVER)


@pytest.mark.parametrize(
    ("last", "at_vault", "says"),
    [
        (asked(HOUR), HOUR, Verdict.CURRENT),
        (asked(HOUR, pinned=True), HOUR, Verdict.PINNED),
        (asked(3 * DAY, pinned=True), 3 * DAY, Verdict.PINNED),
        (asked(3 * DAY), HOUR, Verdict.BEHIND),
        (asked(3 * DAY), 3 * DAY, Verdict.UNSEEN),
        (asked(3 * DAY), None, Verdict.UNSEEN),
        (asked(2 * DAY), 2 * DAY, Verdict.UNSEEN),  # the second in which it was published: nobody knows what it got
        (asked(2 * DAY - timedelta(seconds=1)), None, Verdict.CURRENT),
    ],
)
def test_rule_18_the_verdict_is_on_the_last_read(last: Asked, at_vault: timedelta | None, says: Verdict) -> None:
    assert verdict(last, PUBLISHED, None if at_vault is None else NOW - at_vault) is says


def test_rule_18_readers_are_told_once_each_and_patrol_is_none() -> None:
    rows = (
        asked(3 * DAY, first=9 * DAY),
        asked(HOUR, NEW, first=DAY),
        asked(4 * DAY, reader=OTHER),
        asked(HOUR, NEW, reader=Reader("patrol")),
        asked(HOUR, "", served=False, reader=Reader("refused")),
        Asked(AGENT, "another", NEW, False, True, NOW, NOW),
    )
    assert readers("BUILD-PAT", PUBLISHED, log(*rows, own="patrol")) == (
        ReadBy(AGENT, NOW - 9 * DAY, NOW - HOUR, NEW, Verdict.CURRENT),
        ReadBy(OTHER, NOW - 4 * DAY, NOW - 4 * DAY, OLD, Verdict.UNSEEN),
    )


READ_OLD = asked(3 * DAY)


@pytest.mark.parametrize(
    ("rows", "held_by"),
    [
        ((), []),
        ((READ_OLD,), ["agent"]),
        ((READ_OLD, asked(HOUR, NEW)), []),
        ((READ_OLD, asked(HOUR, NEW, served=False)), ["agent"]),  # it was refused, so it has not got it
        ((READ_OLD, asked(HOUR, NEW, reader=OTHER)), ["agent"]),
        (
            (asked(HOUR, NEW, first=2 * DAY), asked(timedelta(minutes=50), pinned=True)),
            ["agent"],
        ),  # back at the old one
        ((asked(32 * DAY + SECOND),), []),  # longer than 30 days before it was replaced
        ((asked(32 * DAY),), ["agent"]),
        ((asked(32 * DAY + SECOND), asked(HOUR, OLDER)), []),  # it never got this one in time
        ((READ_OLD, asked(HOUR, OLDER, pinned=True)), ["agent"]),  # something older still is not newer
        ((READ_OLD, asked(4 * DAY, reader=OTHER)), ["agent", "other"]),
    ],
)
def test_rule_18_who_got_the_old_one_and_nothing_newer_holds_it(rows: tuple[Asked, ...], held_by: list[str]) -> None:
    found = laggards(PREDECESSOR, VERSIONS, "build-pat", log(*rows))
    assert [one.reader.object_id for one in found] == held_by


def test_rule_18_where_no_version_names_the_predecessor_every_older_one_may_be_it() -> None:
    adopted = (version(NEW, NEW_PAT, PUBLISHED), version(OLD, None, NOW - 25 * DAY))
    assert laggards(PREDECESSOR, adopted, "build-pat", log(READ_OLD))
    assert not laggards(PREDECESSOR, adopted[:1], "build-pat", log(READ_OLD))


ONE = ReadBy(AGENT, NOW - 3 * DAY, NOW - 3 * DAY, OLD, Verdict.UNSEEN)
HELD = Kept(OVER + 7 * DAY, Why.READERS, (ONE,))


@pytest.mark.parametrize(
    ("known", "over", "hold", "expires", "at_once", "found"),
    [
        (log(READ_OLD), OVER, 7 * DAY, EXPIRES, False, HELD),
        (log(READ_OLD, asked(HOUR, NEW)), OVER, 7 * DAY, EXPIRES, False, None),
        (log(READ_OLD), OVER, timedelta(0), EXPIRES, False, None),
        (log(READ_OLD), OVER, DAY, EXPIRES, False, None),  # as long as pats.yaml says, and no longer
        (
            log(READ_OLD),
            OVER,
            DAY + timedelta(seconds=1),
            EXPIRES,
            False,
            Kept(NOW + timedelta(seconds=1), Why.READERS, (ONE,)),
        ),
        (log(READ_OLD), OVER, 7 * DAY, NOW, False, None),  # never past its own expiry
        (log(READ_OLD), OVER, 7 * DAY, NOW + HOUR, False, Kept(NOW + HOUR, Why.READERS, (ONE,))),
        (log(READ_OLD), OVER, 7 * DAY, EXPIRES, True, None),  # an emergency's
        (None, OVER, 7 * DAY, EXPIRES, False, Kept(OVER + 7 * DAY, Why.UNREADABLE)),
        (None, OVER, 7 * DAY, EXPIRES, True, None),
        (None, OVER, DAY, EXPIRES, False, None),
        (log(whole=False), OVER, 7 * DAY, EXPIRES, False, Kept(OVER + 7 * DAY, Why.UNREADABLE)),
        (VaultLogSeen(), OVER, 7 * DAY, EXPIRES, False, Kept(OVER + 7 * DAY, Why.SILENT)),
        (log(until=DAY + timedelta(seconds=1)), OVER, 7 * DAY, EXPIRES, False, Kept(OVER + 7 * DAY, Why.SILENT)),
        (log(until=DAY), OVER, 7 * DAY, EXPIRES, False, None),
        (
            log(until=timedelta(0)),
            NOW - timedelta(minutes=29),
            7 * DAY,
            EXPIRES,
            False,
            Kept(NOW - timedelta(minutes=29) + 7 * DAY, Why.SILENT),
        ),
        (log(until=timedelta(0)), NOW - timedelta(minutes=30), 7 * DAY, EXPIRES, False, None),
    ],
)
def test_rule_18_kept_for_readers(
    known: VaultLogSeen | None,
    over: datetime,
    hold: timedelta,
    expires: datetime,
    at_once: bool,
    found: Kept | None,
) -> None:
    predecessor = Predecessor(OLD_PAT, over, at_once=at_once)
    assert kept(predecessor, VERSIONS, "build-pat", known, over, hold, expires, NOW) == found


@pytest.mark.parametrize(
    ("row", "alive", "told"),
    [
        (asked(HOUR, pinned=True), {NEW_PAT}, True),
        (asked(HOUR, pinned=True, served=False), {NEW_PAT}, True),
        (asked(HOUR, pinned=False), {NEW_PAT}, False),
        (asked(HOUR, pinned=True), {NEW_PAT, OLD_PAT}, False),  # in overlap: it may
        (asked(HOUR, NEW, pinned=True), {NEW_PAT}, False),
        (asked(HOUR, "d" * 32, pinned=True), {NEW_PAT}, False),  # nobody's
        (asked(2 * DAY, pinned=True), {NEW_PAT}, False),
    ],
)
def test_rule_18_a_retired_generation_that_is_still_asked_for_is_told(
    row: Asked, alive: set[PatId], told: bool
) -> None:
    found = still_asked_for("build-pat", VERSIONS, frozenset(alive), log(row), NOW - DAY)
    assert [pat for _, pat in found] == ([OLD_PAT] if told else [])


def test_two_tables_are_one_log() -> None:
    one = VaultLogSeen((READ_OLD,), NOW - DAY, {"agent": NOW - DAY})
    other = VaultLogSeen((), NOW, {"agent": NOW, "other": NOW}, whole=False)
    assert together([VaultLogSeen(own="patrol"), one, other]) == VaultLogSeen(
        (READ_OLD,), NOW, {"agent": NOW, "other": NOW}, "patrol", False
    )
