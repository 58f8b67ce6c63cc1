"""The rules as a truth table at exact boundaries. Pure: no clock, no network."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model.items import Item, Strategy
from shared.model.pats import Pat, PatId, Validity
from shared.model.secret_state import (
    Foreign,
    Nothing,
    Published,
    Secret,
    Seen,
    Unmarked,
)
from shared.model.steps import (
    Because,
    Decommission,
    Fail,
    Hold,
    Mend,
    Recover,
    Renew,
    Rotate,
    Step,
    Wait,
)
from shared.model.tags import Mark, Predecessor, Stamp, write
from shared.rules.due import due_at, margin, urgency
from shared.rules.overlap import Fate, fate, generations, overlap_end, retire_at
from shared.rules.plan import Asked, plan

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MARK = Mark("patrol/prod-abcdef")
CURRENT, FORMER, OLDER = (PatId(f"a0000000-0000-4000-8000-00000000000{number}") for number in (1, 2, 3))


def days(number: float) -> timedelta:
    return timedelta(days=number)


def an_item(**more: Any) -> Item:
    known: dict[str, Any] = {
        "secret": "build-pat",
        "username": "svc@contoso.com",
        "organization": "contoso",
        "scopes": ("vso.code",),
        "lifetime": days(30),
        "rotate_before": days(7),
        "overlap": days(1),
    }
    return Item(**{**known, **more})


def a_stamp(**more: Any) -> Stamp:
    stamp = Stamp(MARK.text, CURRENT, "contoso", "0c", "svc@contoso.com", "vso.code")
    return replace(stamp, **more)


def published(life: timedelta = days(30), left: timedelta = days(20), **more: Any) -> Published:
    """Current for `life - left` already."""
    stamp = more.pop("stamp", a_stamp())
    ends = NOW + left
    return replace(Published(stamp, ends - life, ends, True, write(stamp, {})), **more)


def a_pat(identity: PatId = CURRENT, ends: datetime = NOW + days(20), **more: Any) -> Pat:
    name = more.pop("display_name", MARK.display_name("build-pat"))
    starts = more.pop("starts", NOW - days(10))
    return Pat(identity, name, frozenset({"vso.code"}), Validity(starts, ends), "0c")


def seen(secret: Secret, **more: Any) -> Seen:
    return Seen(secret, **more)


def step(item: Item, what: Seen, asked: Asked | None = None) -> tuple[type[Step], Because]:
    planned = plan(item, what, NOW, asked)
    return type(planned), planned.because


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (days(7) + SECOND, (Hold, Because.FRESH)),
        (days(7), (Rotate, Because.NEAR_EXPIRY)),
        (SECOND, (Rotate, Because.NEAR_EXPIRY)),
        (timedelta(0), (Rotate, Because.EXPIRED)),
        (-days(1), (Rotate, Because.EXPIRED)),
    ],
    ids=["a second early", "at the margin", "a second before expiry", "at expiry", "after it"],
)
def test_rule_6_a_pat_falls_due_at_its_margin(left: timedelta, expected: tuple[type[Step], Because]) -> None:
    assert step(an_item(), seen(published(left=left))) == expected


@pytest.mark.parametrize(
    ("life", "left", "expected"),
    [(days(8), days(4) + SECOND, Hold), (days(8), days(4), Rotate), (days(1), timedelta(hours=12), Rotate)],
)
def test_rule_6_the_margin_is_at_most_half_of_the_granted_life(
    life: timedelta, left: timedelta, expected: type[Step]
) -> None:
    assert step(an_item(), seen(published(life, left)))[0] is expected


@given(rotate_before=st.integers(1, 400), life=st.integers(1, 400))
def test_rule_6_the_margin_is_the_smaller_of_both(rotate_before: int, life: int) -> None:
    item = an_item(rotate_before=days(rotate_before))
    assert margin(item, days(life)) == min(days(rotate_before), days(life) / 2)


def test_rule_6_the_earlier_of_what_vault_and_api_say_counts() -> None:
    shortened = a_pat(ends=NOW + days(3))
    assert step(an_item(), seen(published(), pat=shortened)) == (Rotate, Because.NEAR_EXPIRY)
    longer = a_pat(ends=NOW + days(90))
    assert step(an_item(), seen(published(left=days(3)), pat=longer)) == (Rotate, Because.NEAR_EXPIRY)


def test_rule_9_renew_is_planned_until_the_value_reaches_its_max_age() -> None:
    item = an_item(strategy=Strategy.RENEW, max_age=days(100))
    assert step(item, seen(published(left=days(7)))) == (Renew, Because.NEAR_EXPIRY)
    assert step(item, seen(published(life=days(101) - SECOND, left=days(1) - SECOND)))[1] is Because.MAX_AGE
    assert due_at(item, published(life=days(200), left=days(150)), NOW + days(150)) == NOW + days(50)


@pytest.mark.parametrize(
    ("item", "what", "expected"),
    [
        (an_item(), Seen(Nothing()), (Rotate, Because.NOTHING_PUBLISHED)),
        (an_item(), Seen(Nothing(deleted=True)), (Fail, Because.DELETED)),
        (an_item(recover_deleted=True), Seen(Nothing(deleted=True)), (Recover, Because.DELETED)),
        (an_item(), Seen(Foreign("patrol/other-123456")), (Fail, Because.FOREIGN)),
        (an_item(adopt=True), Seen(Foreign("patrol/other-123456")), (Fail, Because.FOREIGN)),
        (an_item(), Seen(Unmarked()), (Fail, Because.UNMARKED)),
        (an_item(adopt=True), Seen(Unmarked()), (Rotate, Because.ADOPTED)),
        (an_item(adopt=True), Seen(Unmarked(edited=True)), (Fail, Because.EDITED)),
        (an_item(), Seen(published(), gone=True), (Rotate, Because.GONE)),
        (an_item(), Seen(published(enabled=False)), (Fail, Because.DISABLED)),
        (an_item(), Seen(published(enabled=False), gone=True), (Rotate, Because.GONE)),
        (an_item(scopes=("vso.code", "vso.build")), Seen(published()), (Rotate, Because.SCOPES_CHANGED)),
        (an_item(username="new@contoso.com"), Seen(published()), (Rotate, Because.USER_CHANGED)),
        (an_item(username="SVC@contoso.com"), Seen(published()), (Hold, Because.FRESH)),
        (an_item(organization="fabrikam"), Seen(published()), (Rotate, Because.ORGANIZATION_CHANGED)),
        (an_item(organization="renamed"), Seen(published(), pat=a_pat()), (Mend, Because.RENAMED)),
        (an_item(paused=True), Seen(published(left=days(1))), (Hold, Because.PAUSED)),
        (an_item(paused=True), Seen(Nothing()), (Hold, Because.PAUSED)),
        (an_item(decommission=True), Seen(published()), (Decommission, Because.DECOMMISSIONED)),
        (an_item(decommission=True), Seen(published(enabled=False)), (Hold, Because.DECOMMISSIONED)),
        (
            an_item(decommission=True),
            Seen(published(enabled=False), pat=a_pat()),
            (Decommission, Because.DECOMMISSIONED),
        ),
        (an_item(decommission=True), Seen(Unmarked()), (Hold, Because.NOTHING_TO_END)),
        (an_item(decommission=True), Seen(Foreign("x")), (Hold, Because.NOTHING_TO_END)),
    ],
    ids=lambda value: getattr(value, "secret", None) if isinstance(value, Seen) else None,
)
def test_what_an_item_needs(item: Item, what: Seen, expected: tuple[type[Step], Because]) -> None:
    assert step(item, what) == expected


def asked(at: datetime = NOW, **more: Any) -> Asked:
    return Asked(published_before=at, **more)


@pytest.mark.parametrize(
    ("created", "force", "emergency"),
    [
        (NOW - SECOND, (Rotate, Because.FORCED), (Rotate, Because.EMERGENCY)),
        (NOW, (Hold, Because.ALREADY_REPLACED), (Rotate, Because.EMERGENCY)),
        (NOW + SECOND, (Hold, Because.ALREADY_REPLACED), (Hold, Because.ALREADY_REPLACED)),
    ],
    ids=["the second before", "within the second", "the second after"],
)
def test_rule_8_in_doubt_force_leaves_alone_and_emergency_replaces(
    created: datetime, force: tuple[type[Step], Because], emergency: tuple[type[Step], Because]
) -> None:
    what = seen(published(created=created))
    request = NOW + timedelta(milliseconds=600)
    assert step(an_item(), what, asked(request, force=True)) == force
    assert step(an_item(), what, asked(request, emergency=True)) == emergency


def in_overlap(left: timedelta) -> Published:
    return published(stamp=a_stamp(predecessors=(Predecessor(FORMER, NOW + left),)))


def test_rule_7_force_waits_for_the_overlap_and_what_is_due_does_not() -> None:
    assert step(an_item(), seen(in_overlap(SECOND)), asked(force=True)) == (Wait, Because.IN_OVERLAP)
    assert step(an_item(), seen(in_overlap(timedelta(0))), asked(force=True)) == (Rotate, Because.FORCED)
    assert step(an_item(), seen(in_overlap(SECOND)), asked(emergency=True)) == (Rotate, Because.EMERGENCY)
    due = replace(in_overlap(SECOND), expires_on=NOW + days(1))
    assert step(an_item(), seen(due), asked(force=True)) == (Rotate, Because.NEAR_EXPIRY)


def test_rule_10_an_edited_secret_is_taken_back_only_when_both_are_said() -> None:
    what = seen(Unmarked(edited=True))
    assert step(an_item(), what, asked(force=True))[0] is Fail
    assert step(an_item(), what, asked(emergency=True))[0] is Fail
    assert step(an_item(), what, asked(force=True, adopt=True)) == (Rotate, Because.TAKEN_BACK)


def test_a_paused_item_is_not_forced_and_not_spared_in_an_emergency() -> None:
    assert step(an_item(paused=True), seen(published()), asked(force=True)) == (Fail, Because.PAUSED)
    assert step(an_item(paused=True), seen(published()), asked(emergency=True)) == (Rotate, Because.EMERGENCY)


# --- generations -----------------------------------------------------------------------------------------------------


def test_rule_6_the_overlap_ends_at_the_predecessor_s_own_expiry_at_the_latest() -> None:
    assert retire_at(an_item(), NOW + days(9), NOW) == NOW + days(1)
    assert retire_at(an_item(), NOW + timedelta(hours=2), NOW) == NOW + timedelta(hours=2)


def test_promise_1_an_overlap_is_never_shorter_than_its_successor_was_current() -> None:
    one = Predecessor(FORMER, NOW + days(1))
    late = published(stamp=a_stamp(predecessors=(one,)), created=NOW + timedelta(minutes=3))
    assert overlap_end(one, late, days(1)) == NOW + days(1) + timedelta(minutes=3)
    at_once = Predecessor(FORMER, NOW, at_once=True)
    emergency = published(stamp=a_stamp(predecessors=(at_once,)), created=NOW + SECOND)
    assert overlap_end(at_once, emergency, days(1)) == NOW


def test_rule_8_two_times_alone_are_no_emergency_however_late_the_write_arrived() -> None:
    one = Predecessor(FORMER, NOW)
    late = published(stamp=a_stamp(predecessors=(one,)), created=NOW + timedelta(hours=25))
    assert overlap_end(one, late, days(1)) == NOW + timedelta(hours=49)


def test_rule_7_the_tag_holds_three_at_most_and_never_the_current_one() -> None:
    many = [Predecessor(PatId(f"b{number}"), NOW + days(number)) for number in range(5)]
    kept = generations(Predecessor(FORMER, NOW + days(9)), [*many, Predecessor(CURRENT, NOW)], CURRENT)
    assert [one.id for one in kept] == [FORMER, "b4", "b3"]


@pytest.mark.parametrize(
    ("listed", "at", "expected"),
    [
        (a_pat(FORMER), NOW, Fate.REVOKE),
        (a_pat(FORMER), NOW + SECOND, Fate.KEEP),
        (None, NOW - days(9), Fate.LOOK),
        (a_pat(FORMER, display_name="a person's"), NOW, Fate.STRANGER),
        (a_pat(FORMER, display_name=MARK.display_name("other-pat")), NOW, Fate.STRANGER),
        (a_pat(FORMER, display_name="patrol/other-123456/build-pat"), NOW, Fate.STRANGER),
        (a_pat(FORMER, display_name=MARK.display_name("BUILD-pat")), NOW, Fate.REVOKE),
    ],
)
def test_rule_7_only_our_mark_for_this_very_secret_lets_a_pat_be_ended(
    listed: Pat | None, at: datetime, expected: Fate
) -> None:
    one = Predecessor(FORMER, at)
    secret = published(stamp=a_stamp(predecessors=(one,)))
    assert fate(one, secret, listed, an_item(), "build-pat", MARK, days(1), NOW) is expected


def test_rule_7_adopt_names_a_pat_that_may_be_ended_without_our_mark() -> None:
    one = Predecessor(FORMER, NOW)
    secret = published(stamp=a_stamp(predecessors=(one,)))
    listed = a_pat(FORMER, display_name="made by hand")
    assert fate(one, secret, listed, an_item(adopt=FORMER), "build-pat", MARK, days(1), NOW) is Fate.REVOKE
    assert fate(one, secret, listed, an_item(adopt=True), "build-pat", MARK, days(1), NOW) is Fate.STRANGER


def test_rule_9_the_current_id_is_never_retired() -> None:
    one = Predecessor(CURRENT, NOW)
    secret = published(stamp=a_stamp(predecessors=(one,)))
    assert fate(one, secret, a_pat(), an_item(), "build-pat", MARK, days(1), NOW) is Fate.FORGET


def test_rule_14_the_most_urgent_comes_first() -> None:
    emergency = urgency(seen(published()), Rotate(Because.EMERGENCY), NOW)
    missing = urgency(seen(Nothing()), Rotate(Because.NOTHING_PUBLISHED), NOW)
    dead = urgency(seen(published(), gone=True), Rotate(Because.GONE), NOW)
    soon = urgency(seen(published(left=days(1))), Rotate(Because.NEAR_EXPIRY), NOW)
    later = urgency(seen(published(left=days(3))), Rotate(Because.NEAR_EXPIRY), NOW)
    assert sorted([later, soon, missing, emergency, dead]) == [emergency, missing, dead, soon, later]
