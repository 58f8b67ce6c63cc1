"""Rules 6, 7 and 8: what stands on a new version, how long an overlap lasts, and what a consumer is owed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.model.clock import Moment
from shared.model.consumers import SonarQube, widest_tag, with_taker, without_taker
from shared.model.pats import Minted, Pat, PatId
from shared.model.secret_state import Foreign, Nothing, Published, Secret, Unmarked, VersionSeen
from shared.model.secret_text import SecretText
from shared.model.steps import Because
from shared.model.tags import Predecessor, Stamp, write
from shared.rules import overlap
from shared.rules.overlap import Fate, fate, overlap_end, owes_push, stamp_after
from tests.rules.test_plan import CURRENT, FORMER, MARK, NOW, OLDER, SECOND, a_pat, a_stamp, an_item, days, published

FRESH = PatId("f0000000-0000-4000-8000-000000000009")
SONARQUBE = SonarQube("https://sonarqube.contoso.com", "contoso-azure", "sonarqube-token")
GIVEN = "sonarqube https://sonarqube.contoso.com contoso-azure"
OLD = a_pat(CURRENT, ends=NOW + days(20))


def stamped(because: Because, secret: Secret, old: Pat | None, **keys: Any) -> Stamp:
    at = NOW + timedelta(microseconds=999_999)
    minted = Minted(a_pat(FRESH, ends=NOW + days(30)), SecretText("a value"), Moment(NOW, timedelta(0)))
    return stamp_after(an_item(**keys), because, minted, secret, old, at, MARK)


def facts(*predecessors: Predecessor) -> Stamp:
    return Stamp(MARK.text, FRESH, "contoso", "0c", "svc@contoso.com", "vso.code", predecessors)


def current(*predecessors: Predecessor, **stamp: Any) -> Published:
    return published(stamp=a_stamp(predecessors=predecessors, **stamp))


def test_the_facts_of_a_new_version_are_its_item_s_and_its_pat_s() -> None:
    assert stamped(Because.NOTHING_PUBLISHED, Nothing(), None) == facts()
    wide = stamped(Because.NOTHING_PUBLISHED, Nothing(), None, scopes=("vso.work", "vso.code"), organization="Fabrikam")
    assert (wide.scopes, wide.organization) == ("vso.code vso.work", "Fabrikam")


@pytest.mark.parametrize(
    ("ends", "until"),
    [(days(20), days(1)), (timedelta(hours=3), timedelta(hours=3))],
    ids=["the whole overlap", "until its own expiry"],
)
def test_rule_6_what_is_replaced_stays_for_its_overlap(ends: timedelta, until: timedelta) -> None:
    old = a_pat(CURRENT, ends=NOW + ends)
    assert stamped(Because.NEAR_EXPIRY, current(), old) == facts(Predecessor(CURRENT, NOW + until))
    assert stamped(Because.GONE, current(), None) == facts(), "what is gone has no overlap"


@pytest.mark.parametrize("because", [Because.USER_CHANGED, Because.ORGANIZATION_CHANGED])
def test_rule_13_a_former_owner_s_pat_is_taken_to_live_until_its_listing_says_otherwise(because: Because) -> None:
    assert stamped(because, current(), None) == facts(Predecessor(CURRENT, NOW + days(1)))
    ends_first = replace(current(), expires_on=NOW + timedelta(hours=2))
    assert stamped(because, ends_first, None) == facts(Predecessor(CURRENT, NOW + timedelta(hours=2)))
    assert stamped(because, Unmarked(), None) == facts()


@pytest.mark.parametrize("old", [OLD, None], ids=["listed", "its owner's listing was not read"])
def test_rule_8_an_emergency_ends_every_generation_at_once_and_says_so(old: Pat | None) -> None:
    late, early = Predecessor(FORMER, NOW + days(5)), Predecessor(OLDER, NOW - days(5))
    now = [
        Predecessor(CURRENT, NOW, at_once=True),
        Predecessor(FORMER, NOW, at_once=True),
        Predecessor(OLDER, early.retire_at, at_once=True),
    ]
    assert stamped(Because.EMERGENCY, current(late, early), old) == facts(*now)
    assert stamped(Because.EMERGENCY, Nothing(), None) == facts()


def test_rule_7_earlier_generations_keep_what_was_promised_to_them() -> None:
    """The one that was current last: counted from its successor's `created`, now written down."""
    late, early = Predecessor(FORMER, NOW + timedelta(hours=1)), Predecessor(OLDER, NOW - days(5))
    written_late = replace(current(late, early), created=NOW)
    kept = [Predecessor(CURRENT, NOW + days(1)), Predecessor(FORMER, NOW + days(1)), early]
    assert stamped(Because.NEAR_EXPIRY, written_late, OLD) == facts(*kept)
    shorter = [Predecessor(CURRENT, NOW + timedelta(hours=2)), Predecessor(FORMER, NOW + timedelta(hours=2)), early]
    assert stamped(Because.NEAR_EXPIRY, written_late, OLD, overlap=timedelta(hours=2)) == facts(*shorter)


def test_rule_7_who_was_given_what_travels_along() -> None:
    """One consumer may have taken the current value, and another one of the same item none since the one before."""
    earlier = Predecessor(FORMER, NOW + days(5), pushed=True)
    taken = stamped(Because.NEAR_EXPIRY, current(earlier, pushed_to=GIVEN), OLD)
    assert taken.predecessors == (
        Predecessor(CURRENT, NOW + days(1), pushed=True),
        earlier,
    )
    owed = stamped(Because.NEAR_EXPIRY, current(earlier), OLD)
    assert owed.predecessors == (Predecessor(CURRENT, NOW + days(1)), earlier)
    assert taken.pushed_to == owed.pushed_to == "", "the new value was given to nobody yet"
    for because in (Because.EMERGENCY, Because.USER_CHANGED):
        assert stamped(because, current(pushed_to=GIVEN), None).predecessors[0].pushed


def test_rule_7_one_id_stands_once_and_the_one_that_is_replaced_first() -> None:
    again = Predecessor(CURRENT, NOW + days(9))
    assert stamped(Because.NEAR_EXPIRY, current(again), OLD) == facts(Predecessor(CURRENT, NOW + days(1)))
    assert stamped(Because.NEAR_EXPIRY, current(), a_pat(FRESH)) == facts(), "never the current one (rule 9)"
    tied = [Predecessor(one, NOW + days(2)) for one in (OLDER, FORMER)]
    assert overlap.generations(None, tied, CURRENT) == tuple(tied), "of one time the order is the same everywhere"
    assert overlap.generations(None, reversed(tied), CURRENT) == tuple(tied)


# --- how long --------------------------------------------------------------------------------------------------------


def test_rule_6_only_the_overlap_of_the_last_one_counts_from_the_vault_s_word() -> None:
    last, earlier = Predecessor(FORMER, NOW), Predecessor(OLDER, NOW - SECOND)
    secret = replace(current(last, earlier), created=NOW)
    assert overlap_end(last, secret, days(1)) == NOW + days(1)
    assert overlap_end(earlier, secret, days(1)) == NOW - SECOND
    longer = Predecessor(FORMER, NOW + days(3))
    assert overlap_end(longer, replace(current(longer), created=NOW), days(1)) == NOW + days(3)
    assert overlap_end(last, replace(current(), created=NOW), days(1)) == NOW + days(1), "named by no tag yet"


def test_rule_13_of_a_secret_that_left_pats_yaml_what_was_promised_still_holds() -> None:
    secret = current(Predecessor(FORMER, NOW + days(2)), Predecessor(OLDER, NOW - days(2)))
    mine = a_pat(CURRENT, starts=NOW)
    assert overlap.overlap_of(an_item(overlap=days(5)), secret, mine, days(1)) == days(5)
    assert overlap.overlap_of(None, secret, mine, days(1)) == days(2)
    assert overlap.overlap_of(None, secret, mine, days(3)) == days(3), "never less than the file's"
    assert overlap.overlap_of(None, secret, None, days(1)) == days(1)


# --- consumers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "secret", "owes"),
    [
        ({"then": (SONARQUBE,)}, current(), True),
        ({"then": (SONARQUBE,)}, current(pushed_to=GIVEN), False),
        ({"then": (SONARQUBE,)}, current(pushed_to="sonarqube https://sonarqube.contoso.com another"), True),
        ({}, current(), False),
        ({"then": (SONARQUBE,), "decommission": True}, current(), False),
        ({"then": (SONARQUBE,)}, Nothing(), False),
        ({"then": (SONARQUBE,)}, Foreign("patrol/x-123456"), False),
    ],
    ids=["lacks it", "has it", "another consumer has it", "no consumer", "at its end", "nothing published", "not ours"],
)
def test_a_consumer_is_owed_the_current_value(keys: dict[str, Any], secret: Secret, owes: bool) -> None:
    assert owes_push(an_item(**keys), secret) is owes


def test_rule_8_only_an_emergency_waits_for_no_consumer() -> None:
    one = Predecessor(FORMER, NOW)
    assert overlap.waits_for_consumers(one, an_item(then=(SONARQUBE,)))
    assert not overlap.waits_for_consumers(replace(one, at_once=True), an_item(then=(SONARQUBE,)))
    assert not overlap.waits_for_consumers(one, an_item())
    assert not overlap.waits_for_consumers(one, None)


@pytest.mark.parametrize(
    ("but", "expected"),
    [
        ({}, Fate.PUSHED),
        ({"item": an_item(then=(SONARQUBE,))}, Fate.PUSHED),
        ({"item": None}, Fate.PUSHED),
        ({"pushed": False}, Fate.REVOKE),
        ({"at_once": True}, Fate.REVOKE),
        ({"pushed_to": GIVEN}, Fate.PUSHED),
        ({"early": SECOND}, Fate.KEEP),
    ],
    ids=["then left pats.yaml", "then is there", "item left", "never given", "emergency", "has a newer one", "early"],
)
def test_promise_1_of_what_a_consumer_was_given_the_versions_tell_who_has_nothing_newer(
    but: dict[str, Any], expected: Fate
) -> None:
    flags = {"pushed": True, **{name: but[name] for name in ("pushed", "at_once") if name in but}}
    one = Predecessor(FORMER, NOW, **flags)
    secret = current(one, pushed_to=but.get("pushed_to", ""))
    item, now = but.get("item", an_item()), NOW - but.get("early", timedelta(0))
    assert fate(one, secret, a_pat(FORMER), item, "build-pat", MARK, days(1), now) is expected


OTHER = replace(SONARQUBE, alm_setting="other")


def given_to(pat: PatId, age: timedelta, *to: SonarQube) -> VersionSeen:
    tags = write(replace(a_stamp(), authorization_id=pat, pushed_to=widest_tag(to)), {})
    return VersionSeen(str(pat), True, NOW - age, None, tags)


@pytest.mark.parametrize(
    ("newer", "then", "left"),
    [
        ([given_to(CURRENT, days(1))], (), True),
        ([given_to(CURRENT, days(1))], (SONARQUBE,), False),
        ([given_to(CURRENT, days(1), SONARQUBE)], (), False),
        ([given_to(CURRENT, days(1), OTHER)], (OTHER,), True),
        ([given_to(OLDER, days(2), SONARQUBE), given_to(CURRENT, days(1), OTHER)], (), False),
        ([given_to(CURRENT, days(1), SONARQUBE, OTHER)], (), False),
    ],
    ids=["taken off", "is given the current one first", "has it", "another has it", "has one between", "both have it"],
)
def test_promise_1_a_consumer_is_left_with_what_it_was_given_last(
    newer: list[VersionSeen], then: tuple[SonarQube, ...], left: bool
) -> None:
    versions = [given_to(FORMER, days(9), SONARQUBE), *newer]
    first = overlap.given_first(an_item(then=then))
    assert overlap.left_with_consumer(FORMER, versions, first) is left


def test_each_of_several_consumers_is_owed_by_itself() -> None:
    mine = an_item(then=(SONARQUBE, OTHER))
    assert overlap.owed(mine, current()) == (SONARQUBE, OTHER)
    assert overlap.owed(mine, current(pushed_to=GIVEN)) == (OTHER,), "a version that a list was not known to"
    assert overlap.owed(mine, current(pushed_to=with_taker(GIVEN, OTHER))) == ()
    assert overlap.owed(mine, current(pushed_to=without_taker(with_taker(GIVEN, OTHER), SONARQUBE))) == (SONARQUBE,)


def test_promise_1_of_a_version_whose_tags_were_taken_off_nobody_can_tell_who_was_given_it() -> None:
    one = Predecessor(FORMER, NOW, pushed=True)
    wiped = VersionSeen("1", True, NOW - days(9), None)
    after = given_to(CURRENT, days(1))
    assert overlap.stays_with_consumer(one, current(one), [wiped, after], an_item())
    assert not overlap.stays_with_consumer(one, current(one), [wiped, after], an_item(then=(SONARQUBE,)))
    assert not overlap.stays_with_consumer(one, current(one, pushed_to=GIVEN), [wiped, after], an_item())
