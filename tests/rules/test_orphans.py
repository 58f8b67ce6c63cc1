"""Rule 4: which live PAT with our mark belongs to nothing. In doubt it lives."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.model.clock import VaultInstant
from shared.model.consumers import SonarQube, taker
from shared.model.pats import Pat, PatId
from shared.model.secret_state import CONTENT_TYPE, Nothing, Secret, Unmarked, VersionListing, VersionSeen
from shared.model.tags import Predecessor, write
from shared.rules.orphans import Circumstances, Standing, held_by_current, is_candidate, may_hold, standing, unexplained
from tests.lab.lab import days
from tests.rules.test_plan import CURRENT, FORMER, MARK, NOW, OLDER, SECOND, a_pat, a_stamp, published

ENDS = NOW + days(9)
KNOWN = {pat: a_pat(pat, ends=ENDS) for pat in (CURRENT, FORMER)}
"""What a listing or Get showed of the PATs that versions name: they end when the versions do."""


def version(identity: PatId | None, age: timedelta, name: str = "v") -> VersionSeen:
    tags = write(a_stamp(authorization_id=identity), {}) if identity else {}
    return VersionSeen(f"{name}{identity}", True, NOW - age, ENDS, tags)


def listing(*versions: VersionSeen) -> VersionListing:
    return VersionListing(tuple(versions), VaultInstant(NOW))


def circumstances(secret: Secret | None = None, *, managed: bool = True) -> Circumstances:
    return Circumstances(secret or published(), days(1), managed, MARK)


def orphan(*, minted: timedelta = days(20)) -> Pat:
    return a_pat(OLDER, starts=NOW - minted)


@pytest.mark.parametrize(
    ("age", "expected"), [(timedelta(hours=2) - SECOND, False), (timedelta(hours=2), True)], ids=["young", "two hours"]
)
def test_rule_4_a_young_pat_may_still_be_on_its_way_into_the_vault(age: timedelta, expected: bool) -> None:
    assert is_candidate(orphan(minted=age), published(), NOW) is expected


def test_rule_4_what_the_current_version_names_is_no_orphan() -> None:
    secret = published(stamp=a_stamp(predecessors=(Predecessor(FORMER, NOW),)))
    assert not is_candidate(a_pat(CURRENT), secret, NOW)
    assert not is_candidate(a_pat(FORMER), secret, NOW)
    assert is_candidate(a_pat(OLDER), secret, NOW)
    assert not is_candidate(a_pat(OLDER), Nothing(deleted=True), NOW)
    assert not is_candidate(a_pat(OLDER), Nothing(deleted=None), NOW)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], Standing.OVER),
        ([version(CURRENT, days(1))], Standing.OVER),
        ([version(OLDER, days(9)), version(CURRENT, days(1))], Standing.OVER),
        ([version(OLDER, days(9)), version(CURRENT, days(1) - SECOND)], Standing.KEEP),
        ([version(OLDER, days(9)), version(FORMER, days(5)), version(CURRENT, SECOND)], Standing.OVER),
        ([version(CURRENT, days(9)), version(OLDER, days(1))], Standing.KEEP),
        ([version(OLDER, days(9)), version(None, days(5), "pasted")], Standing.HELD),
        ([version(OLDER, days(9)), version(None, days(5), "pasted"), version(CURRENT, days(2))], Standing.OVER),
        ([version(OLDER, days(9)), version(None, days(2), "pasted"), version(CURRENT, SECOND)], Standing.KEEP),
        ([version(None, days(9), "theirs")], Standing.HELD),
        ([version(OLDER, days(3)), version(FORMER, days(3)), version(CURRENT, days(1) - SECOND)], Standing.KEEP),
        ([version(OLDER, days(3)), version(FORMER, days(3)), version(CURRENT, days(1))], Standing.OVER),
        ([version(OLDER, days(1)), version(CURRENT, days(1))], Standing.OVER),
    ],
    ids=[
        "no version",
        "named by none, and what is there is explained",
        "its successor was current for the whole overlap",
        "a second less",
        "two successors",
        "named by the newest",
        "edited",
        "edited and taken back long ago",
        "the same value pasted without tags, and taken back just now",
        "wiped tags on the only version",
        "a tie and a certain successor, too young",
        "a tie and a certain successor",
        "a tie and nothing after it",
    ],
)
def test_rule_4_an_orphan_is_judged_by_all_versions(versions: list[VersionSeen], expected: Standing) -> None:
    assert standing(orphan(), circumstances(), listing(*versions), KNOWN) is expected


def test_rule_4_versions_of_one_second_tie_and_a_tie_ends_nothing() -> None:
    tied = [version(None, days(3), "pasted"), version(CURRENT, days(3))]
    older = listing(version(OLDER, days(9)), *tied)
    assert standing(orphan(), circumstances(Unmarked(edited=True)), older, KNOWN) is Standing.HELD
    assert standing(orphan(), circumstances(), older, KNOWN) is Standing.OVER


def test_rule_4_of_a_name_that_pats_yaml_lacks_nothing_ends_unless_a_version_says_so() -> None:
    unmanaged = circumstances(managed=False)
    assert standing(orphan(), unmanaged, listing(), KNOWN) is Standing.UNNAMED
    assert standing(orphan(), unmanaged, listing(version(CURRENT, days(1))), KNOWN) is Standing.UNNAMED
    replaced = listing(version(OLDER, days(9)), version(CURRENT, days(1)))
    assert standing(orphan(), unmanaged, replaced, KNOWN) is Standing.OVER


# --- two witnesses ---------------------------------------------------------------------------------------------------


def test_rule_4_a_version_is_explained_by_another_known_pat_that_ends_when_it_does() -> None:
    there = version(CURRENT, days(1))
    assert not may_hold(there, orphan(), KNOWN)
    assert may_hold(there, orphan(), {}), "an id that nobody knows: a person or a tool may have written it"
    assert may_hold(replace(there, expires_on=ENDS + SECOND), orphan(), KNOWN), "the second witness does not agree"
    assert may_hold(replace(there, expires_on=None), orphan(), KNOWN)
    others = {CURRENT: a_pat(CURRENT, ends=ENDS, display_name=MARK.display_name("other-pat"))}
    assert may_hold(there, orphan(), others), "another secret's, which happens to end in the same second"
    assert not may_hold(
        there, orphan(), {CURRENT: a_pat(CURRENT, ends=ENDS, display_name=MARK.display_name("BUILD-pat"))}
    )


@pytest.mark.parametrize("content_type", [CONTENT_TYPE, "text/plain", None])
def test_rule_4_a_version_without_tags_may_hold_what_is_older_than_it(content_type: str | None) -> None:
    wiped = replace(version(None, days(1)), content_type=content_type)
    assert may_hold(wiped, orphan(minted=days(1)), KNOWN)
    assert may_hold(wiped, orphan(minted=days(1) - timedelta(minutes=5)), KNOWN), "two clocks differ by minutes"
    assert not may_hold(wiped, orphan(minted=days(1) - timedelta(minutes=5) - SECOND), KNOWN)


def test_promise_1_an_orphan_that_a_consumer_was_given_last_lives_until_it_was_given_something_newer() -> None:
    def pushed(identity: PatId, age: timedelta) -> VersionSeen:
        one = version(identity, age)
        return replace(one, tags={**one.tags, "pushed-to": "sonarqube https://sonarqube.contoso.com x"})

    given, newer = pushed(OLDER, days(9)), pushed(FORMER, days(5))
    rest = version(FORMER, days(5)), version(CURRENT, days(2))
    assert standing(orphan(), circumstances(), listing(given, *rest), KNOWN) is Standing.WITH_CONSUMER
    assert standing(orphan(), circumstances(), listing(given, newer, rest[1]), KNOWN) is Standing.OVER
    to = SonarQube("https://sonarqube.contoso.com", "x", "sonarqube-token")
    for reachable in ({"given_first": frozenset({taker(to)})}, {"waits_for_nobody": True}):
        there = replace(circumstances(), **reachable)
        assert standing(orphan(), there, listing(given, *rest), KNOWN) is Standing.OVER
    another = replace(circumstances(), given_first=frozenset({taker(replace(to, alm_setting="y"))}))
    assert standing(orphan(), another, listing(given, *rest), KNOWN) is Standing.WITH_CONSUMER


def test_rule_4_what_nobody_has_seen_is_asked_for_before_anything_ends() -> None:
    there = [version(CURRENT, days(1)), version(FORMER, days(2)), version(OLDER, days(3))]
    asked = unexplained(orphan(), there, {CURRENT: KNOWN[CURRENT]})
    assert [stamp.authorization_id for stamp in asked] == [FORMER]
    assert unexplained(orphan(), there, KNOWN) == ()


def test_rule_10_a_current_version_that_names_nobody_s_pat_may_hold_the_live_one() -> None:
    mine, created = orphan(minted=days(3)), NOW - days(3)
    assert held_by_current(created, ENDS, None, [CURRENT], [mine]) is mine
    assert held_by_current(created, ENDS, KNOWN[CURRENT], [CURRENT], [mine]) is None, "explained by what it names"
    assert held_by_current(created, ENDS, a_pat(CURRENT, ends=ENDS + SECOND), [CURRENT], [mine]) is mine
    assert held_by_current(created, ENDS, a_pat(CURRENT, ends=ENDS, display_name="x"), [CURRENT], [mine]) is mine
    assert held_by_current(created, ENDS, None, [CURRENT, OLDER], [mine]) is None, "a predecessor is an older version's"
    assert held_by_current(created - days(1), ENDS, None, [CURRENT], [mine]) is None, "made after the version"


def test_rule_4_facts_that_an_older_version_has_already_explain_no_newer_one() -> None:
    """Tags and expiry of an older version were put back: what the newest really holds is nobody's orphan."""
    again = replace(version(CURRENT, days(1)), version="put back")
    assert standing(orphan(), circumstances(), listing(version(CURRENT, days(9)), again), KNOWN) is Standing.HELD
    assert standing(orphan(), circumstances(), listing(version(FORMER, days(9)), again), KNOWN) is Standing.OVER
    tied = replace(again, created=NOW - days(9))
    assert standing(orphan(), circumstances(), listing(version(CURRENT, days(9)), tied), KNOWN) is Standing.OVER
    young = orphan(minted=days(1) - timedelta(minutes=5) - SECOND)
    assert standing(young, circumstances(), listing(version(CURRENT, days(9)), again), KNOWN) is Standing.OVER


def test_rule_4_an_overlap_never_outlasts_the_pat_itself() -> None:
    ends = a_pat(OLDER, ends=NOW, starts=NOW - days(20))
    replaced = listing(version(OLDER, days(9)), version(CURRENT, SECOND))
    assert standing(ends, circumstances(), replaced, KNOWN) is Standing.OVER
    later = replace(ends, validity=replace(ends.validity, ends=NOW + SECOND))
    assert standing(later, circumstances(), replaced, KNOWN) is Standing.KEEP


def test_rule_10_of_several_live_pats_the_newest_is_what_a_version_may_hold() -> None:
    created, five = NOW - days(3), timedelta(minutes=5)
    pats = [a_pat(FORMER, starts=created - days(2)), a_pat(OLDER, starts=created + five)]
    assert held_by_current(created, ENDS, None, [CURRENT], pats) is pats[1]
    assert held_by_current(created, ENDS, None, [CURRENT], reversed(pats)) is pats[1]
    assert held_by_current(created - SECOND, ENDS, None, [CURRENT], pats) is pats[0]


def test_promise_1_of_two_versions_of_one_second_that_may_hold_it_neither_succeeds_the_other() -> None:
    """Before, the same value pasted twice within a second ended a day later, while it was current."""
    pasted = listing(version(OLDER, days(9)), version(None, days(3), "pasted"), version(None, days(3), "again"))
    unmarked = circumstances(Unmarked(edited=False))
    assert standing(orphan(), unmarked, replace(pasted, versions=pasted.versions[1:]), KNOWN) is Standing.HELD


def test_promise_1_a_tie_succeeds_nothing_where_nobody_says_what_is_current() -> None:
    """Two runs published in one second, and somebody wrote another id on what came last."""
    tied = listing(version(PatId("another-item-s"), days(3)), version(CURRENT, days(3)))
    assert standing(orphan(), circumstances(Unmarked(edited=True)), tied, KNOWN) is Standing.HELD


def test_rule_7_tags_that_somebody_took_off_may_have_said_that_a_consumer_was_given_it() -> None:
    pushed = version(OLDER, days(9))
    pushed = replace(pushed, tags={**pushed.tags, "pushed-to": "sonarqube https://sonar.contoso.com ado"})
    wiped, current = version(None, days(5), "wiped"), version(CURRENT, days(3))
    given = listing(pushed, wiped, current)
    assert standing(orphan(), circumstances(), given, KNOWN) is Standing.WITH_CONSUMER
    assert standing(orphan(), replace(circumstances(), waits_for_nobody=True), given, KNOWN) is Standing.OVER
    never = listing(version(OLDER, days(9)), wiped, current)
    assert standing(orphan(), circumstances(), never, KNOWN) is Standing.OVER


def test_rule_7_a_consumer_may_have_what_the_last_pushed_version_holds_whatever_id_it_says() -> None:
    pushed = version(PatId("another-item-s"), days(5))
    pushed = replace(pushed, tags={**pushed.tags, "pushed-to": "sonarqube https://sonar.contoso.com ado"})
    given = listing(pushed, version(CURRENT, days(3)))
    assert standing(orphan(), circumstances(), given, KNOWN) is Standing.WITH_CONSUMER
