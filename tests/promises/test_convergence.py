"""Convergence without locks: two runs at the same moment, interleaved at every call; and a run suspended for hours.

What meets goes through the real adapters, call by call; what the timer does before and after goes without HTTP.
They may waste a PAT. They never publish a dead value, and never end one that is current, about to be published, or was
current before its overlap ended (promises 1 and 3, rules 2, 4 and 8).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from shared.model.errors import Misconfigured
from tests.lab.lab import Lab, hours
from tests.lab.scenarios import ENROLLED, SCENARIOS, SECRET, Scenario, either_sign_in, mark_of
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

    def after(self, _: str) -> None:
        """The same at the ports."""
        self.look()

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
        lab.cloud.after_effect = None
        if watch is not None:
            lab.trouble.after = watch.after
        lab.quick = True
        for pause in (6, 12):
            lab.later(hours(pause))
        lab.end_trouble()
        assert_converges(lab, scenario)


TOO_LATE = timedelta(minutes=30)  # to publish, and too early for the next timer
SLEEPS = (timedelta(minutes=4), TOO_LATE, timedelta(hours=7))


def suspensions() -> list[Any]:
    """Every step with every sleep; how a user signs in and how long a run sleeps meet in what `make test` takes.

    `make chaos` has the rest of the product.
    """

    def mark(scenario: Scenario, sleep: timedelta) -> Any:
        if sleep == TOO_LATE:
            return mark_of(scenario, QUICK)
        wanted = scenario.name in QUICK or not scenario.enrolled
        return pytest.mark.exhaustive if wanted else pytest.mark.chaos

    return [
        pytest.param(scenario, sleep, id=f"{scenario}-{sleep}", marks=mark(scenario, sleep))
        for sleep in SLEEPS
        for scenario in (*SCENARIOS, *ENROLLED)
    ]


@pytest.mark.parametrize(("scenario", "sleep"), suspensions())
def test_promise_3_a_run_that_is_suspended_between_two_calls_does_no_harm(scenario: Scenario, sleep: timedelta) -> None:
    for call in calls_of(scenario):
        lab = scenario.prepare()

        def suspend(operation: Operation, lab: Lab = lab, call: int = call) -> None:
            if operation.number == call:
                lab.cloud.before_effect = None
                lab.wait(sleep / 2)
                lab.quick = True
                lab.run()  # what the timer does meanwhile
                lab.wait(sleep / 2)

        lab.cloud.before_effect = suspend
        with suppress(Misconfigured):  # the vault does not take the token of hours ago
            lab.run(*scenario.names, **scenario.asks)
        lab.cloud.before_effect = None
        assert scenario.ends or consumer_works(lab), f"the value was dead after a suspension at call {call}"
        assert_converges(lab, scenario)
