"""Writes wait their turn: as fast as Key Vault's limit allows, and no faster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.model.clock import Deadline
from shared.services.rate_limits import SIGN_INS, VERSIONS, Limit, Pace
from tests.lab.lab import Lab, LabClock, item


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def sent(clock: LabClock, pace: Pace, turns: int, budget: timedelta = timedelta(hours=1)) -> list[float]:
    began, deadline = clock.now(), Deadline.after(clock, budget, timedelta(0))
    at = []
    for _ in range(turns):
        pace.turn(clock, deadline)
        at.append((clock.now() - began).total_seconds())
    return at


def test_no_window_holds_more_than_the_limit_and_none_is_wasted() -> None:
    at = sent(Lab().clock, Pace(Limit(300, seconds(10))), 1000)
    assert at[299] == 0.0, "the first ones need not wait"
    assert all(later - earlier >= 10 for earlier, later in zip(at, at[300:], strict=False))
    assert at[-1] == 30.0


def test_time_that_passes_makes_room() -> None:
    clock, pace = Lab().clock, Pace(Limit(2, seconds(10)))
    sent(clock, pace, 2)
    clock.sleep(seconds(7))
    assert sent(clock, pace, 1) == [3.0]


def test_nobody_waits_past_the_deadline() -> None:
    assert sent(Lab().clock, Pace(Limit(2, seconds(10))), 3, seconds(5)) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("limit", [VERSIONS, SIGN_INS], ids=["versions", "sign-ins"])
@pytest.mark.parametrize("processes", [1, 2, 7, 40, 299, 300, 301, 1000])
def test_shares_together_never_take_more_than_the_limit_and_nobody_starves(limit: Limit, processes: int) -> None:
    share = limit.share(processes)
    assert share.most >= 1
    together = processes * share.most / share.within.total_seconds()
    allowed = limit.most / limit.within.total_seconds()
    assert together <= allowed * 1.000001
    if processes in (1, 2, 40):
        assert together >= allowed * 0.9, "little of it is wasted"


@pytest.mark.parametrize("known", [True, False], ids=["known-users", "first-run"])
def test_rule_2_a_run_of_many_is_not_throttled_by_the_vault(known: bool) -> None:
    """A user's first sign-in writes two notes, which the vault counts as any other version."""
    lab = Lab([item(f"pat-{number:03}") for number in range(310)])
    if known:
        lab.sign_everybody_in()
        lab.wait(timedelta(seconds=10))
    lab.cloud.switches.vault_creations_per_10s = 300
    report = lab.run()
    assert report.outcome == "succeeded"
    assert not [call for call in lab.cloud.calls("vault.set") if call.status == 429]
