"""Convergence without locks: two runs at the same moment, interleaved at every call; and a run suspended for hours.

They may waste a PAT. They never publish a dead value, and never end one that is current, about to be published, or was
current before its overlap ended (promises 1 and 3, rules 2, 4 and 8).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from sandbox.cloud.cloud import Operation
from shared.model.errors import Misconfigured
from tests.lab.lab import Lab, hours
from tests.lab.scenarios import SCENARIOS, SECRET, Scenario, either_sign_in
from tests.promises.test_promise_3_stop_anywhere import assert_converges, calls_of, consumer_works, copies_work

MEETING = [one for one in SCENARIOS if not one.asks.get("revoke_first")]
QUICK = (
    "rotation",
    "renewal that must rotate",
    "emergency in overlap",
    "retirement with a consumer",
    "push owed",
    # In it a refresh token is redeemed and renewed, and what comes of it used.
    "rotation, enrolled",
)
"""`make test`: of each kind of step one, where most can go wrong; test_interleavings.py has every two runs there."""


class Watch:
    """Follows what consumers see: when each PAT was current, and whether it died too early."""

    def __init__(self, lab: Lab, overlap: timedelta) -> None:
        self.lab = lab
        self.overlap = overlap
        self.current = ""
        self.replaced_at: dict[str, datetime] = {}

    def look(self) -> None:
        """After every call: what is current works, and what was current still works while its overlap lasts."""
        secret = next((one for one in self.lab.vault.secrets() if one.name == SECRET), None)
        identity = secret.latest.tags.get("authorization-id", "") if secret is not None else ""
        now = self.lab.clock.now()
        if identity != self.current:
            if self.current:
                self.replaced_at[self.current] = now
            self.replaced_at.pop(identity, None)
            self.current = identity
        assert not identity or self.alive(identity), f"the current PAT {identity} is dead"
        for former, at in self.replaced_at.items():
            within = now < at + self.overlap
            pat = self.lab.cloud.pats.pat(former)
            assert not (within and pat.revoked), f"{former} was current until {at} and ended at {now}"
        assert copies_work(self.lab), f"what SonarQube holds is dead at {now}"

    def alive(self, identity: str) -> bool:
        return not self.lab.cloud.pats.pat(identity).revoked


def interleave(lab: Lab, scenario: Scenario, call: int, watch: Watch | None) -> None:
    """Run once; at the given call of that run, another whole run happens."""

    def after(_: Operation) -> None:
        if watch is not None:
            watch.look()

    def before(operation: Operation) -> None:
        if operation.number == call:
            lab.cloud.before_effect = None
            lab.run(*scenario.names, **scenario.asks)

    lab.cloud.before_effect, lab.cloud.after_effect = before, after
    lab.run(*scenario.names, **scenario.asks)
    lab.cloud.before_effect = None


@pytest.mark.parametrize("scenario", either_sign_in(MEETING, quick=QUICK))
def test_two_runs_at_the_same_moment_end_no_pat_that_somebody_uses(scenario: Scenario) -> None:
    emergency = bool(scenario.asks.get("emergency"))
    for call in calls_of(scenario):
        lab = scenario.prepare()
        watch = None if emergency or scenario.ends or scenario.name.startswith("a PAT") else Watch(lab, hours(24))
        interleave(lab, scenario, call, watch)
        assert scenario.ends or consumer_works(lab), f"the value died when two runs met at call {call}"
        for pause in (6, 12):
            lab.later(hours(pause))
        lab.cloud.after_effect = None
        assert_converges(lab, scenario)


SLEEPS = [
    pytest.param(timedelta(minutes=4), marks=pytest.mark.exhaustive),
    timedelta(minutes=30),  # too late to publish, too early for the next timer
    pytest.param(timedelta(hours=7), marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize("sleep", SLEEPS, ids=str)
@pytest.mark.parametrize("scenario", either_sign_in(quick=QUICK))
def test_promise_3_a_run_that_is_suspended_between_two_calls_does_no_harm(scenario: Scenario, sleep: timedelta) -> None:
    for call in calls_of(scenario):
        lab = scenario.prepare()

        def suspend(operation: Operation, lab: Lab = lab, call: int = call) -> None:
            if operation.number == call:
                lab.cloud.before_effect = None
                lab.wait(sleep / 2)
                lab.run()  # what the timer does meanwhile
                lab.wait(sleep / 2)

        lab.cloud.before_effect = suspend
        with suppress(Misconfigured):  # the vault does not take the token of hours ago
            lab.run(*scenario.names, **scenario.asks)
        lab.cloud.before_effect = None
        assert scenario.ends or consumer_works(lab), f"the value was dead after a suspension at call {call}"
        assert_converges(lab, scenario)
