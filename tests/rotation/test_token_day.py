"""A day of an Entra token, minute by minute (promise 1 for tokens): never less than 15 minutes of life left."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest

from shared.model.errors import Busy, Code, Denied, Misconfigured, PatrolError, Refused, Unclear
from shared.rules.token_plan import LEAST_LEFT
from tests.lab.lab import Lab
from tests.lab.token_estates import lab, left, minutes, principal, versions

DAY = 24 * 60
OUTAGES: tuple[tuple[str, str, type[PatrolError]], ...] = (
    ("vault.get", "before", Unclear),
    ("vault.get", "before", Denied),
    ("vault.set", "before", Unclear),
    ("vault.set", "after", Unclear),
    ("vault.set", "before", Denied),
    ("vault.update", "before", Denied),
    ("vault.update", "after", Unclear),
    ("entra.token", "before", Busy),
    ("entra.token", "before", Misconfigured),
    ("entra.token", "after", Unclear),
    ("devops.connection_data", "before", Unclear),
    ("devops.connection_data", "before", Refused),
    ("timer", "before", Unclear),
)


def a_day(made: Lab, look: list[bool]) -> int:
    """A day whose timer fires every ten minutes where `look` says so; gives the minutes with too little."""
    dead = 0
    for minute in range(DAY):
        if minute % 10 == 0 and look[minute // 10]:
            made.refresh()
        dead += left(made) < LEAST_LEFT
        made.wait(minutes(1))
    return dead


@pytest.mark.parametrize(("life", "refreshes"), [(60, 48), (75, 36), (90, 29)])
def test_promise_1_a_day_without_trouble_in_calls_and_versions(life: int, refreshes: int) -> None:
    made = lab(quick=False)
    made.cloud.switches.service_token_minutes = life
    assert a_day(made, [True] * 144) == 0
    assert len(versions(made)) == refreshes
    # Beside these, a lease taken and given back for each refresh. The numbers stand in docs/which-credential.md.
    assert Counter(made.operations()) == {
        "vault.get": 144 + 2 * refreshes,
        "vault.deleted": 2,
        "entra.discovery": refreshes,
        "entra.token": refreshes,
        "devops.connection_data": refreshes,
        "vault.set": refreshes,
        "vault.update": refreshes - 2,
    }
    assert [version.enabled for version in versions(made)] == [False] * (refreshes - 2) + [True, True]
    print(f"{life} min: {len(made.operations())} calls, {refreshes} versions, 0 dead minutes")


@pytest.mark.parametrize("life", range(60, 91, 5))
@pytest.mark.parametrize("share", ["10%", "50%", "75%", "99%"])
def test_promise_1_whatever_the_share_every_second_look_may_fail(life: int, share: str) -> None:
    made = lab(principal(refresh_below=share))
    made.cloud.switches.service_token_minutes = life
    for first in (0, 1):
        assert a_day(made, [number == 0 or number % 2 == first for number in range(144)]) == 0


@pytest.mark.parametrize("seed", range(6))
def test_promises_1_and_3_a_day_of_outages_has_no_minute_with_too_little(seed: int) -> None:
    chance = random.Random(seed)
    made = lab()
    made.refresh()
    after = failed = 0
    for minute in range(DAY):
        if minute % 10 == 0:
            made.cloud.switches.service_token_minutes = chance.randint(60, 90)
            # After an outage comes a look that works, as in every outage that is shorter than ten minutes.
            trouble = None if after else chance.choice((None, *OUTAGES))
            after = 0 if trouble is None else 1
            failed += look_amid(made, trouble)
        assert left(made) >= LEAST_LEFT, f"seed {seed}, minute {minute}"
        made.wait(minutes(1))
    assert failed > 5
    made.end_trouble()
    for _ in range(9):
        made.wait(minutes(10))
        made.refresh()
    assert sum(version.enabled for version in versions(made)) == 2


def look_amid(made: Lab, trouble: tuple[str, str, type[PatrolError]] | None) -> int:
    """One firing of the timer; gives 1 where something failed."""
    made.end_trouble()
    if trouble is not None:
        operation, moment, kind = trouble
        if operation == "timer":
            return 0
        strike = {operation: kind(Code.UNEXPECTED, f"{operation}: an outage.", "Wait.")}
        setattr(made.trouble, moment, strike.get)
    report = made.refresh()
    return int(report.exit_code() != 0)


def test_promise_8_people_are_told_before_the_promise_breaks_and_the_first_look_after_mends_it() -> None:
    made = lab()
    made.refresh()
    made.trouble.before = {"entra.token": Busy(Code.SIGN_IN_UNAVAILABLE, "An outage.", "Wait.")}.get
    told_at = None
    while left(made) > timedelta(0):
        made.wait(minutes(10))
        made.refresh()
        if told_at is None and made.told("pat.expiring"):
            told_at = left(made)
    assert told_at is not None
    assert told_at >= LEAST_LEFT
    made.end_trouble()
    made.refresh()
    assert left(made) == minutes(60)
