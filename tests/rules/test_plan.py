"""The rules as a truth table at exact boundaries. Pure: no clock, no network."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model.consumers import SonarQube
from shared.model.items import Item, Strategy, User
from shared.model.pats import Pat, PatId, Validity
from shared.model.secret_state import (
    Foreign,
    Nothing,
    Published,
    Secret,
    SecretSeen,
    Seen,
    Unmarked,
    VaultListing,
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
from shared.rules.due import due_at, expiring, is_pressing, margin, most_urgent_first, urgency
from shared.rules.full_look import look_is_due, slot
from shared.rules.needs_a_person import edited
from shared.rules.overlap import Fate, fate, generations, overlap_end, retire_at
from shared.rules.plan import Asked, plan, rests

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MARK = Mark("patrol/prod-abcdef")
SONARQUBE = SonarQube("https://sonarqube.contoso.com", "contoso-azure", "sonarqube-token")
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
        (an_item(), Seen(published(), gone=True, misnamed=True), (Rotate, Because.MISNAMED)),
        (an_item(), Seen(published(left=-days(1)), gone=True, misnamed=True), (Rotate, Because.EXPIRED)),
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


@pytest.mark.parametrize(
    ("item", "secret", "what", "expected"),
    [
        (an_item(), published(), Hold(Because.FRESH), True),
        (an_item(), published(), Wait(NOW), True),
        (an_item(), published(), Rotate(Because.NEAR_EXPIRY), False),
        (an_item(), published(), Mend(), False),
        (an_item(), in_overlap(SECOND), Hold(Because.FRESH), True),
        (an_item(), in_overlap(timedelta(0)), Hold(Because.FRESH), False),
        (an_item(paused=True), in_overlap(timedelta(0)), Hold(Because.PAUSED), True),
        (an_item(), Nothing(), Hold(Because.NOTHING_TO_END), True),
        (an_item(then=(SONARQUBE,)), published(), Hold(Because.FRESH), False),
        (an_item(then=(SONARQUBE,)), published(), edited(an_item()), True),
        (an_item(then=(SONARQUBE,), paused=True), published(), Hold(Because.PAUSED), True),
    ],
)
def test_rule_12_where_the_vault_alone_shows_that_nothing_is_to_be_done_nobody_signs_in(
    item: Item, secret: Secret, what: Step, expected: bool
) -> None:
    assert rests(item, secret, what, NOW) is expected


def test_rule_12_one_overlap_that_is_over_is_something_to_do() -> None:
    both = a_stamp(predecessors=(Predecessor(FORMER, NOW - SECOND), Predecessor(OLDER, NOW + days(1))))
    assert not rests(an_item(), published(stamp=both), Hold(Because.FRESH), NOW)


def test_rule_13_a_former_owner_s_item_is_decommissioned_only_where_its_pat_is_listed() -> None:
    moved = an_item(decommission=True, username="new@contoso.com")
    assert step(moved, seen(published())) == (Fail, Because.USER_CHANGED)
    assert step(moved, seen(published(), pat=a_pat())) == (Decommission, Because.DECOMMISSIONED)
    assert step(moved, seen(published(enabled=False))) == (Hold, Because.DECOMMISSIONED)
    tagged = a_stamp(predecessors=(Predecessor(FORMER, NOW),))
    assert step(an_item(decommission=True), seen(published(stamp=tagged, enabled=False)))[0] is Decommission
    said = plan(moved, seen(published()), NOW)
    assert isinstance(said, Fail)
    assert "svc@contoso.com in contoso" in said.cause


@pytest.mark.parametrize("life", [days(30), days(4)], ids=["the item's margin", "half of the granted life"])
def test_rule_8_an_item_presses_when_half_of_its_margin_is_over(life: timedelta) -> None:
    half = min(days(7), life / 2) / 2
    assert is_pressing(an_item(), seen(published(life=life, left=half)), NOW)
    assert not is_pressing(an_item(), seen(published(life=life, left=half + SECOND)), NOW)
    assert not is_pressing(an_item(), seen(Nothing()), NOW)
    assert not is_pressing(an_item(), seen(published(expires_on=None)), NOW)


def listed(name: str = "build-pat", left: timedelta = days(20), **more: Any) -> SecretSeen:
    there = SecretSeen(name, True, NOW + left - days(30), NOW + left, None, write(a_stamp(), {}))
    return replace(there, **more)


@pytest.mark.parametrize(
    ("item", "there", "expected"),
    [
        (an_item(), listed(left=days(3.5)), [NOW + days(3.5)]),
        (an_item(), listed(left=days(3.5) + SECOND), []),
        (an_item(paused=True), listed(left=days(1)), []),
        (an_item(decommission=True), listed(left=days(1)), []),
        (an_item(), listed(left=days(1), tags={}), []),
        (an_item(), listed(left=days(1), expires_on=None), []),
        (an_item(secret="other-pat"), listed(left=days(1)), []),
    ],
    ids=["half of the margin", "a second more", "paused", "at its end", "not ours", "no expiry", "not there"],
)
def test_what_is_about_to_expire_is_told_when_half_of_its_margin_is_over(
    item: Item, there: SecretSeen, expected: list[datetime]
) -> None:
    listing = VaultListing({there.key: there})
    assert expiring([item], listing, {}, MARK, NOW) == [(item, at) for at in expected]


def test_what_a_run_has_just_published_counts_and_the_other_items_go_on() -> None:
    items = [an_item(secret="gone-pat"), an_item(), an_item(secret="last-pat")]
    listing = VaultListing({name: listed(name, days(1)) for name in ("build-pat", "last-pat")})
    assert expiring(items, listing, {"build-pat": NOW + days(29)}, MARK, NOW) == [(items[2], NOW + days(1))]


def test_rule_14_users_take_turns_between_organizations_the_most_urgent_first() -> None:
    def user(name: str, organization: str, left: float | None) -> User:
        mine = an_item(secret=name, organization=organization)
        if left is not None:
            rows[name] = listed(name, days(left))
        return User(name, "password", (mine,))

    rows: dict[str, SecretSeen] = {}
    users = [user("a", "One", 9), user("b", "one", 5), user("c", "two", 7), user("d", "one", None), User("e", "", ())]
    ordered = most_urgent_first(users, lambda user: [rows.get(item.key) for item in user.items])
    assert [one.username for one in ordered] == ["d", "e", "c", "b", "a"]


def test_rule_14_a_user_is_as_urgent_as_its_first_expiry() -> None:
    rows = {name: listed(name, days(left)) for name, left in (("x", 9), ("y", 2), ("z", 5))}
    rows["w"] = listed("w", expires_on=None)
    two = User("two", "password", (an_item(secret="x"), an_item(secret="y")))
    one = User("one", "password", (an_item(secret="z"), an_item(secret="w")))
    half = User("half", "password", (an_item(secret="x"), an_item(secret="not there")))
    assert most_urgent_first([one, two, half], lambda user: [rows.get(item.key) for item in user.items]) == [
        half,
        two,
        one,
    ]


@pytest.mark.parametrize(
    ("last", "due"),
    [(None, True), (timedelta(0), False), (-SECOND, True), (-days(1), True)],
    ids=["never", "in its slot", "a second before its slot", "yesterday"],
)
def test_rule_13_a_full_look_is_due_once_a_user_s_slot_has_come(last: timedelta | None, due: bool) -> None:
    for name in ("svc-agents@contoso.com", "SVC-other@contoso.com"):
        midnight = NOW.replace(hour=0)
        came = midnight + slot(name)
        at = None if last is None else came + last
        assert look_is_due(name, at, came) is due
        assert look_is_due(name, at, came + timedelta(hours=1)) is due
        before = came - SECOND
        assert not look_is_due(name, came - days(1), before), "not before its slot of today"
        assert look_is_due(name, came - days(1) - SECOND, before)
    assert timedelta(0) <= slot("a") < days(1)
    assert slot("A") == slot("a") == timedelta(days=1) * (0xE8B7BE43 / 2**32)
