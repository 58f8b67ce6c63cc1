"""Random estates, policies, people and faults, with the promises as invariants; a failure prints its history."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sandbox.cloud.seed import AGENTS
from shared.model.errors import Busy, Code, Denied, Misconfigured, PatrolError, Unclear
from tests.lab.lab import Lab, days, hours, item

SECRETS = ("one-pat", "two-pat", "three-pat")
OPERATIONS = (
    "vault.list",
    "vault.set",
    "vault.get",
    "vault.update",
    "vault.versions",
    "pats.create",
    "pats.list",
    "pats.get",
    "pats.update",
    "pats.revoke",
    "devops.connection_data",
    "entra.token",
)
LONGEST_OUTAGE = days(3)
"""Less than half of the margin, with the waits in between: no tool could outlast a longer one."""


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


class Estate(RuleBasedStateMachine):
    """One technical user, three items; time, people, Azure and the operator take turns."""

    def __init__(self) -> None:
        super().__init__()
        self.lab = Lab([item(name) for name in SECRETS], quick=True)
        self.last_good = self.lab.clock.now()
        self.replaced: dict[str, datetime] = {}
        self.current: dict[str, str] = {}

    @initialize(
        strategy=st.sampled_from(["rotate", "renew"]),
        lifetime=st.sampled_from(["30d", "60d"]),
        overlap=st.sampled_from(["0d", "12h", "2d"]),
    )
    def begin(self, strategy: str, lifetime: str, overlap: str) -> None:
        changes = {"strategy": strategy, "lifetime": lifetime, "overlap": overlap, "rotate_before": "10d"}
        self.lab.items = [item(name, **changes) for name in SECRETS]
        self.overlap = {"0d": days(0), "12h": hours(12), "2d": days(2)}[overlap]
        note(f"items: {changes}")
        self.run_once()

    def run_once(self, *names: str, **asks: Any) -> None:
        try:
            report = self.lab.run(*names, **asks)
        except Misconfigured as failure:
            note(f"{self.lab.clock.now():%m-%d %H:%M} run {names} {asks}: {failure.code}")
            return
        told = [f"{one.secret} {one.step} {one.outcome} {one.because}" for one in report.items]
        note(f"{self.lab.clock.now():%m-%d %H:%M} run {names} {asks}: {told}")
        if not report.exit_code():
            self.last_good = self.lab.clock.now()

    @rule(pause=st.sampled_from([1, 6, 12, 24]))
    def time_passes_and_the_timer_fires(self, pause: int) -> None:
        self.lab.wait(hours(pause))
        if self.lab.clock.now() - self.last_good > LONGEST_OUTAGE:
            note("the outage ends")
            self.lab.end_trouble()
        self.run_once()

    @rule(
        operation=st.sampled_from(OPERATIONS),
        after=st.booleans(),
        kind=st.sampled_from([Unclear, Busy, Denied]),
        every=st.integers(1, 3),
    )
    def an_outage_begins(self, operation: str, after: bool, kind: type[PatrolError], every: int) -> None:
        kind = Unclear if after else kind
        calls = 0

        def strike(name: str) -> PatrolError | None:
            nonlocal calls
            if name != operation:
                return None
            calls += 1
            return kind(Code.UNEXPECTED, f"{operation}: an outage.", "Wait.") if calls % every == 0 else None

        note(f"outage: {operation} {'after' if after else 'before'} {kind.__name__} every {every}")
        self.lab.end_trouble()
        if after:
            self.lab.trouble.after = strike
        else:
            self.lab.trouble.before = strike

    @rule()
    def the_outage_ends(self) -> None:
        self.lab.end_trouble()

    @rule(call=st.integers(1, 25), after=st.booleans())
    def a_run_is_killed(self, call: int, after: bool) -> None:
        calls = 0

        def strike(_: str) -> PatrolError | None:
            nonlocal calls
            calls += 1
            if calls == call:
                raise Killed
            return None

        note(f"killed {'after' if after else 'before'} call {call}")
        self.lab.end_trouble()
        setattr(self.lab.trouble, "after" if after else "before", strike)
        with suppress(Killed):
            self.run_once()
        self.lab.end_trouble()

    @rule(name=st.sampled_from(SECRETS))
    def somebody_forces(self, name: str) -> None:
        self.run_once(name, force=True)

    @rule(name=st.sampled_from(SECRETS), first=st.booleans())
    def a_pat_leaks(self, name: str, first: bool) -> None:
        self.lab.end_trouble()
        self.replaced.clear()
        self.current.pop(name, None)
        self.run_once(name, emergency=True, revoke_first=first)

    @rule(name=st.sampled_from(SECRETS))
    def somebody_revokes(self, name: str) -> None:
        self.lab.end_trouble()
        identity = self.identity(name)
        if identity:
            note(f"a person revokes {name}'s PAT {identity}")
            self.lab.cloud.pats.revoke_as_person(identity)
            self.current.pop(name, None)
            self.run_once()

    @rule(name=st.sampled_from(SECRETS), scopes=st.sampled_from([["vso.code"], ["vso.code", "vso.build"]]))
    def the_scopes_change(self, name: str, scopes: list[str]) -> None:
        note(f"scopes of {name}: {scopes}")
        self.lab.items = [{**one, "scopes": scopes} if one["secret"] == name else one for one in self.lab.items]

    @rule(longest=st.sampled_from([None, days(14), days(30)]))
    def the_policy_changes(self, longest: timedelta | None) -> None:
        note(f"maximum lifetime: {longest}")
        self.lab.cloud.pats.organization("contoso").policies.max_lifetime = longest

    @precondition(lambda self: bool(self.current))
    @rule(name=st.sampled_from(SECRETS))
    def somebody_makes_a_pat_of_that_name(self, name: str) -> None:
        self.lab.cloud.pats.seed(AGENTS, "contoso", name, "vso.code", valid_from=self.lab.clock.now())

    @invariant()
    def promise_1_what_is_published_works(self) -> None:
        for name in SECRETS:
            if self.identity(name):
                assert self.lab.works(name), f"{name} is dead at {self.lab.clock.now()}"

    @invariant()
    def promise_1_what_was_current_works_for_the_whole_overlap(self) -> None:
        now = self.lab.clock.now()
        for name in SECRETS:
            identity, before = self.identity(name), self.current.get(name)
            if before and before != identity:
                self.replaced[before] = now
            if identity:
                self.current[name] = identity
        for identity, at in self.replaced.items():
            ended = self.lab.cloud.pats.pat(identity).revoked
            assert not (ended and now < at + self.overlap), f"{identity} was current until {at} and ended by {now}"

    @invariant()
    def promise_4_nobody_else_s_pat_is_touched(self) -> None:
        for pat in self.lab.cloud.pats.all():
            assert pat.display_name not in SECRETS or not pat.revoked

    def identity(self, name: str) -> str:
        try:
            return str(self.lab.current(name).tags.get("authorization-id", ""))
        except KeyError:
            return ""

    def teardown(self) -> None:
        """Promise 2: once it is quiet, only the current ones live."""
        self.lab.end_trouble()
        self.lab.cloud.pats.organization("contoso").policies.max_lifetime = None
        for _ in range(16):
            self.lab.wait(hours(6))
            self.run_once()
        now = self.lab.clock.now()
        current = {self.identity(name) for name in SECRETS}
        overlapping = {
            one.split("@")[0]
            for name in SECRETS
            for one in self.lab.current(name).tags.get("predecessors", "").split()
            if one.split("@")[1] > now.strftime("%Y-%m-%dT%H:%M:%SZ")
        }
        left = {pat.authorization_id for pat in self.lab.live()} - current - overlapping
        assert not left, f"left over: {left}"
        assert all(self.lab.works(name) for name in SECRETS)


THOROUGH = settings(
    max_examples=500, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False
)
QUICK = settings(THOROUGH, max_examples=60, stateful_step_count=25, derandomize=True)


def test_promises_1_2_and_4_hold_on_random_estates() -> None:
    run_state_machine_as_test(Estate, settings=QUICK)


@pytest.mark.chaos
def test_promises_1_2_and_4_hold_on_very_many_random_estates() -> None:
    run_state_machine_as_test(Estate, settings=THOROUGH)
