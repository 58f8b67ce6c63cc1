"""Random histories of two users in two organizations: consumers, owners that change, tags that drift, a second runner,
kills, and answers of somebody in between. Values judge, never tags (tests/lab/judge.py, tests/lab/invariants.py).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sandbox.cloud.faults import Fault
from sandbox.cloud.foreign_answers import FORMS, STATUSES
from sandbox.cloud.key_vault import Vault, Version
from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.model.errors import Code, PatrolError, Unclear
from shared.report.report import Outcome, Report, Verb
from tests.lab.fakes import FakeHistory
from tests.lab.judge import Judge
from tests.lab.lab import MADE, THEN, Lab, days, hours, item

PUSHED, PLAIN, RENEWED, STAYS = "pushed-pat", "plain-pat", "renewed-pat", "stays-pat"
SECRETS = (PUSHED, PLAIN, RENEWED)
OVERLAP = days(1)
USERS = {AGENTS: "svc-agents-password", SONAR: "svc-sonar-password"}
WRITES = ("vault.set", "vault.update", "pats.create", "pats.update", "pats.revoke", "sonarqube.update_azure")
QUIET = 16
"""So many undisturbed runs, four a day, after the last disturbance."""

Meets = Callable[[str], PatrolError | None]
names = st.sampled_from(SECRETS)
calls = st.integers(1, 30)
asked = st.sampled_from([{}, {"force": True}, {"emergency": True}])


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


class Undisturbed(RuleBasedStateMachine):
    """Each item has a user and an organization that may change; what is pushed stays where SonarQube's setting is."""

    quick: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        demo = demo_estate()
        vaults = [{"host": demo["vaults"][0]["host"], "secrets": []}, demo["vaults"][1]]
        self.lab = self.make_lab({**demo, "pats": [], "vaults": vaults})
        MADE.remove(self.lab)  # its invariants are looked at below, and hundreds of labs are not kept
        self.lab.runs = FakeHistory(self.lab.clock)
        self.owners = dict.fromkeys(SECRETS, (AGENTS, "contoso"))
        self.keys: dict[str, dict[str, Any]] = {PUSHED: {"then": THEN}, PLAIN: {}, RENEWED: {"strategy": "renew"}}
        self.write()
        self.lab.sonarqube()
        self.judges: dict[str, Any] = {name: self.judge_of(name) for name in SECRETS}
        self.begin()
        self.meet()
        self.run_once()

    def make_lab(self, estate: dict[str, Any]) -> Lab:
        return Lab(estate=estate, quick=self.quick)

    def judge_of(self, name: str) -> Judge:
        return Judge(self.lab, name, OVERLAP)

    def begin(self) -> None:
        """What there is besides."""

    def newest(self, name: str) -> Version:
        """What consumers read now; KeyError where there is nothing yet."""
        vault: Vault = self.judges[name].vault
        return vault.secret(name).latest

    def live(self, name: str) -> list[Pat]:
        return self.lab.live(name)

    def write(self) -> None:
        mine: dict[str, list[dict[str, Any]]] = {user: [] for user in USERS}
        for name, (user, organization) in self.owners.items():
            mine[user].append(item(name, organization=organization, **self.keys[name]))
        # Of an organization that neither pats.yaml nor any version names nobody can know.
        mine[SONAR].append(item(STAYS, organization="fabrikam"))
        self.lab.users = [
            {"username": user, "password_secret_name": password, "pats": mine[user]} for user, password in USERS.items()
        ]

    # what happens at a call

    def meet(self, before: Meets | None = None, after: Meets | None = None) -> None:
        """What happens before and after each call of the next run; the judge looks after all of them."""

        def looked(name: str) -> PatrolError | None:
            self.look()
            return after(name) if after is not None else None

        self.lab.trouble.before = before or (lambda _: None)
        self.lab.trouble.after = looked

    def look(self) -> None:
        for judge in self.judges.values():
            judge.look()

    def at_call(self, call: int, act: Callable[[], None]) -> None:
        """`act` happens at one call of the next run; nothing happens at the calls that it makes itself."""
        many = 0

        def met(_: str) -> None:
            nonlocal many
            many += 1
            if many == call:
                self.meet()
                try:
                    act()
                finally:
                    self.meet(met)

        self.meet(met)

    def run_once(self, *wanted: str, **asks: Any) -> Report | None:
        self.lab.wait(timedelta(seconds=2))  # no two versions of one item are of one second
        leaked = {name: self.judges[name].readable() for name in wanted}
        for name in wanted if asks.get("emergency") else ():
            self.judges[name].emergency(self.lab.clock.now(), revoke_first=bool(asks.get("revoke_first")))
        try:
            report = self.lab.run(*wanted, **asks)
        except PatrolError as failure:
            note(f"{self.lab.clock.now():%m-%d %H:%M} {wanted} {asks}: {failure.code}")
            return None
        done = [one for one in report.items if (one.step, one.outcome) != (Verb.HOLD, Outcome.HELD)]
        told = [f"{one.secret} {one.step} {one.outcome} {one.because}" for one in done]
        note(f"{self.lab.clock.now():%m-%d %H:%M} {wanted} {asks}: {told}")
        if asks.get("emergency") and not report.exit_code():
            for name in wanted:
                self.judges[name].has_ended_all(leaked[name])
        return report

    # time, the timer and people who ask

    @rule(pause=st.sampled_from([1, 6, 12, 24, 24 * 7]))
    def time_passes_and_the_timer_fires(self, pause: int) -> None:
        self.lab.wait(hours(pause))
        self.meet()
        self.run_once()

    @rule(name=names)
    def somebody_forces(self, name: str) -> None:
        self.meet()
        self.run_once(name, force=True)

    @rule(name=names, first=st.booleans())
    def a_pat_leaks(self, name: str, first: bool) -> None:
        self.meet()
        self.run_once(name, emergency=True, revoke_first=first)

    # pats.yaml

    @rule(name=st.sampled_from([PLAIN, RENEWED]), user=st.sampled_from(list(USERS)), far=st.booleans())
    def the_owner_changes(self, name: str, user: str, far: bool) -> None:
        self.owners[name] = (user, "fabrikam" if far else "contoso")
        note(f"{name} is {self.owners[name]}'s")
        self.write()

    @rule(there=st.booleans())
    def then_comes_and_goes(self, there: bool) -> None:
        self.keys[PUSHED] = {"then": THEN} if there else {}
        note(f"then: {there}")
        self.write()

    @rule(name=names)
    def somebody_revokes(self, name: str) -> None:
        for pat in self.live(name)[:1]:
            note(f"a person revokes {pat.authorization_id}")
            self.judges[name].by_hand.add(pat.authorization_id)
            self.lab.cloud.pats.revoke_as_person(pat.authorization_id)

    # a second runner, and a first one that dies

    @rule(call=calls, kill=st.booleans(), name=names, asks=asked)
    def two_runs_meet(self, call: int, kill: bool, name: str, asks: dict[str, bool]) -> None:
        """At a call of the timer's run a whole other one happens; the first goes on, or never."""

        def another() -> None:
            self.run_once(*([name] if asks else []), **asks)
            if kill:
                note("the first one is killed")
                raise Killed

        self.at_call(call, another)
        with suppress(Killed):
            self.run_once()

    @rule(call=calls, after=st.booleans(), name=names, asks=asked)
    def a_run_is_killed(self, call: int, after: bool, name: str, asks: dict[str, bool]) -> None:
        many = 0

        def strike(_: str) -> None:
            nonlocal many
            many += 1
            if many == call:
                raise Killed

        note(f"killed {'after' if after else 'before'} call {call}")
        self.meet(None, strike) if after else self.meet(strike)
        with suppress(Killed):
            self.run_once(*([name] if asks else []), **asks)

    @rule(operation=st.sampled_from(WRITES), name=names, asks=asked)
    def an_answer_is_lost(self, operation: str, name: str, asks: dict[str, bool]) -> None:
        """After the effect. What the adapters make of an answer that is nobody's they are held to elsewhere."""
        note(f"the answer of {operation} is lost")
        self.meet(None, lambda known: Unclear(Code.UNEXPECTED, "lost", "-") if known == operation else None)
        self.run_once(*([name] if asks else []), **asks)

    # what holds

    @invariant()
    def nothing_is_broken(self) -> None:
        self.look()
        judged = [f"{name}: {one}" for name, judge in self.judges.items() for one in judge.broken]
        broken = [*self.lab.watch.broken, *judged]
        assert not broken, broken

    def do_what_messages_say(self, report: Report) -> None:
        for one in report.items:
            if one.because == "unmarked":
                self.keys[one.secret] = {**self.keys[one.secret], "adopt": True}
                self.write()
            if one.because == "edited":
                self.run_once(one.secret, force=True, adopt=True)

    def settle(self) -> None:
        """Nobody disturbs anything any more."""
        self.lab.cloud.faults.clear()
        self.meet()
        self.keys[PUSHED] = {"then": THEN}
        self.write()

    def teardown(self) -> None:
        """Once it is quiet, and people have taken back what they wrote over, all is well and nothing is left over."""
        self.settle()
        report = None
        for number in range(QUIET):
            self.lab.wait(hours(6))
            report = self.run_once()
            if report is not None and number < 4:
                self.do_what_messages_say(report)
        self.nothing_is_broken()
        assert report is not None
        assert report.exit_code() == 0, report.to_json()
        for name, (_, organization) in self.owners.items():
            version = self.newest(name)
            works = version.enabled and self.lab.cloud.pats.authenticate(organization, version.value) is not None
            assert works, f"promise 3: {name}"
            now, since = self.lab.clock.now(), self.judges[name].successors()
            # What fell due in the last days is in its overlap yet; the run after that ends it.
            until = self.longest(name) + hours(6)
            over = [pat for pat in self.live(name) if now >= since.get(pat.value, pat.valid_from) + until]
            left = [pat for pat in over if pat.value != version.value and not self.is_told(pat, report)]
            assert not left, f"promise 2: {name} at {now}: {left}"
        self.look_at_copies()

    def longest(self, name: str) -> timedelta:
        """How long a predecessor may live."""
        return OVERLAP

    def is_told(self, pat: Pat, report: Report) -> bool:
        """Whether it is left alone on purpose."""
        return False

    def look_at_copies(self) -> None:
        found = [one.pat for server in self.lab.cloud.sonarqubes.values() for one in server.azure.values()]
        assert found == [self.newest(PUSHED).value], "promise 1: SonarQube's copy"


class TwoUsers(Undisturbed):
    """And people and tools write metadata."""

    def tag(self, name: str, **tags: str | None) -> None:
        try:
            kept = {**self.newest(name).tags, **{key.replace("_", "-"): value for key, value in tags.items()}}
        except KeyError:
            return
        note(f"tags of {name}: {tags}")
        self.judges[name].vault.update(
            name, "", {"tags": {key: value for key, value in kept.items() if value is not None}}
        )

    @rule(name=names)
    def predecessors_are_wiped(self, name: str) -> None:
        self.tag(name, predecessors=None)

    @rule(name=names, other=names)
    def another_id_is_written(self, name: str, other: str) -> None:
        known = [pat.authorization_id for pat in self.lab.cloud.pats.all()]
        self.tag(name, authorization_id=known[len(known) * SECRETS.index(other) // len(SECRETS)])

    @rule(name=names)
    def all_tags_are_wiped(self, name: str) -> None:
        with suppress(KeyError):
            self.tag(name, **dict.fromkeys(self.newest(name).tags))

    @rule(name=names)
    def somebody_pastes_the_same_value_again(self, name: str) -> None:
        with suppress(KeyError):
            note(f"pasted over {name}")
            self.judges[name].vault.set_secret(name, self.newest(name).value)

    @rule(name=names)
    def somebody_takes_it_back(self, name: str) -> None:
        self.meet()
        self.run_once(name, force=True, adopt=True)


class OverHttp(TwoUsers):
    """With the real adapters, to which somebody in between answers after the service did what was asked."""

    quick = False

    @rule(
        operation=st.sampled_from(WRITES),
        status=st.sampled_from(STATUSES),
        form=st.sampled_from(FORMS),
        name=names,
        asks=asked,
    )
    def somebody_else_answers(self, operation: str, status: int, form: str, name: str, asks: dict[str, bool]) -> None:
        note(f"{operation} is answered with {status} and a {form}")
        fault = Fault(operation, "foreign", None, status=status, form=form, after_effect=True)
        self.lab.cloud.faults.add(fault)
        self.run_once(*([name] if asks else []), **asks)
        self.lab.cloud.faults.clear()


THOROUGH = settings(
    max_examples=400, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False
)
FIXED = settings(THOROUGH, max_examples=40, stateful_step_count=20, derandomize=True)


def test_promises_1_2_3_and_4_hold_for_two_users_and_a_second_runner() -> None:
    run_state_machine_as_test(TwoUsers, settings=FIXED)


@pytest.mark.exhaustive
def test_promises_1_2_3_and_4_hold_in_more_histories() -> None:
    run_state_machine_as_test(TwoUsers, settings=settings(FIXED, max_examples=150, stateful_step_count=40))


@pytest.mark.exhaustive
def test_promises_1_2_3_and_4_hold_whoever_answers_in_a_service_s_place() -> None:
    run_state_machine_as_test(OverHttp, settings=settings(FIXED, max_examples=8))


@pytest.mark.chaos
@pytest.mark.parametrize(("machine", "many"), [(TwoUsers, 400), (OverHttp, 40)], ids=["ports", "adapters"])
def test_promises_1_2_3_and_4_hold_in_very_many_histories(machine: type[TwoUsers], many: int) -> None:
    run_state_machine_as_test(machine, settings=settings(THOROUGH, max_examples=many))
