"""Who is queued, and when: pure decisions of the dispatcher."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from shared.fan_out import who_is_queued
from shared.fan_out.who_is_queued import PlannedItem, by_user, elsewhere, has_work
from shared.inventory.pats_yaml import load
from shared.model.items import Inventory, Item, User
from shared.model.pats import PatId
from shared.model.secret_state import Foreign, Nothing, Published, Secret, Unmarked
from shared.model.tags import Predecessor, Stamp
from shared.report.order import MOST_ORGANIZATIONS
from shared.rules.full_look import DAY, look_is_due, slot
from tests.lab.lab import Lab, days, hours, item

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
RUNS_A_DAY = 4


def estate(**more: Any) -> Inventory:
    return load(Lab([item(**more)]).pats_yaml())


def the_item(**more: Any) -> Item:
    return estate(**more).users[0].items[0]


def published(ends: timedelta, *predecessors: Predecessor, enabled: bool = True, **stamp: Any) -> Published:
    one = the_item()
    known = Stamp("patrol/x", PatId("a"), one.organization, "", one.username, " ".join(one.scopes), tuple(predecessors))
    return Published(replace(known, **stamp), NOW + ends - days(30), NOW + ends, enabled, {})


@pytest.mark.parametrize(
    ("users", "limit", "over"), [(25, 25, False), (26, 25, True), (1, 0, True), (9999, None, False)]
)
def test_the_queue_takes_over_above_so_many_users(users: int, limit: int | None, over: bool) -> None:
    assert who_is_queued.above(users, limit) is over


def test_slots_spread_users_evenly_over_the_day_and_stay_where_they_are() -> None:
    names = [f"svc-{number:05}@contoso.com" for number in range(4000)]
    hours_of = Counter(int(slot(name) / hours(1)) for name in names)
    assert set(hours_of) == set(range(24))
    assert max(hours_of.values()) < 1.4 * 4000 / 24
    assert slot("SVC-1@Contoso.com") == slot("svc-1@contoso.com")
    assert slot("svc-agents@contoso.com") == timedelta(seconds=12130, microseconds=299664), "the same on every machine"


@pytest.mark.parametrize("name", [f"svc-{number}@contoso.com" for number in range(20)])
def test_each_user_gets_one_full_look_a_day_by_the_first_run_after_its_slot(name: str) -> None:
    looks: list[datetime] = []
    first = NOW.replace(hour=0) + hours(1)
    for number in range(RUNS_A_DAY * 10):
        now = first + number * DAY / RUNS_A_DAY
        if look_is_due(name, looks[-1] if looks else None, now):
            looks.append(now)
    gaps = {later - earlier for earlier, later in pairwise(looks[1:])}
    assert gaps == {DAY}
    assert timedelta(0) <= (looks[1] - NOW.replace(hour=0) - slot(name)) % DAY < DAY / RUNS_A_DAY


def test_a_look_that_was_missed_is_made_up_for_at_the_next_run() -> None:
    name = "svc-agents@contoso.com"
    came = NOW.replace(hour=0) + slot(name)
    assert look_is_due(name, None, NOW)
    assert not look_is_due(name, came, came + hours(1))
    assert look_is_due(name, came - hours(1), came)
    assert not look_is_due(name, came, came + hours(23.9))
    assert look_is_due(name, came, came + DAY)
    assert look_is_due(name, came - days(3), came - hours(1)), "yesterday's slot was missed"


OVER = Predecessor(PatId("b"), NOW - hours(1))
IN_OVERLAP = Predecessor(PatId("b"), NOW + hours(1))
MANY_DAYS = days(20)


@pytest.mark.parametrize(
    ("keys", "secret", "queued"),
    [
        ({}, published(MANY_DAYS), False),
        ({}, published(days(6)), True),
        ({}, published(days(-1)), True),
        ({}, Nothing(), True),
        ({}, published(MANY_DAYS, OVER), True),
        ({}, published(MANY_DAYS, IN_OVERLAP), False),
        ({}, published(MANY_DAYS, scopes="vso.build"), True),
        ({}, published(MANY_DAYS, username="other@contoso.com"), True),
        ({"decommission": True}, published(MANY_DAYS), True),
        ({"adopt": True}, Unmarked(), True),
        ({"paused": True}, published(days(1)), False),
        ({"paused": True}, published(MANY_DAYS, OVER), False),
        ({}, published(MANY_DAYS, enabled=False), False),
        ({}, Unmarked(), False),
        ({}, Unmarked(edited=True), False),
        ({}, Foreign("patrol/other"), False),
    ],
    ids=[
        "healthy",
        "due",
        "expired",
        "nothing published",
        "overlap over",
        "in overlap",
        "scopes changed",
        "user changed",
        "to be decommissioned",
        "to be adopted",
        "paused",
        "paused, overlap over",
        "disabled by a person",
        "not ours",
        "edited",
        "another deployment's",
    ],
)
def test_nothing_due_nothing_queued(keys: dict[str, Any], secret: Secret, queued: bool) -> None:
    one = the_item(**keys)
    assert has_work([PlannedItem.of(one, secret, NOW)], NOW) is queued


def test_names_are_divided_by_user_and_then_by_a_hundred() -> None:
    pats = [item(f"pat-{number:03}") for number in range(250)]
    one = load(Lab(pats).pats_yaml())
    parts = by_user(one, frozenset(f"pat-{number:03}" for number in range(250)))
    assert [len(mine) for _, mine in parts] == [100, 100, 50]
    assert sorted(name for _, mine in parts for name in mine) == [f"pat-{number:03}" for number in range(250)]
    assert by_user(one, ["no-such-pat"]) == []


def test_where_else_a_user_may_have_minted_without_what_no_organization_can_be_called() -> None:
    user: User = estate().users[0]
    found = elsewhere(user, ("contoso", "Fabrikam", "", "../x", "two words", "x" * 51), (), NOW)
    assert found == ("Fabrikam",)
    assert elsewhere(user, (), (), NOW) == ()


def test_rule_13_more_organizations_than_one_order_takes_are_looked_at_in_turns() -> None:
    user: User = estate().users[0]
    names = tuple(f"o{number:03}" for number in range(250))
    looks = [elsewhere(user, ("minted-here", "O000"), names, NOW + days(day)) for day in range(3)]
    assert {len(found) for found in looks} == {MOST_ORGANIZATIONS}
    assert {found[:2] for found in looks} == {("minted-here", "O000")}, "where tags say that it minted, every day"
    assert {name.casefold() for found in looks for name in found} == {*names, "minted-here"}
