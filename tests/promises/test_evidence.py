"""Facts are witnessed, not inferred: what once broke a promise, each as it happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS, SONAR, demo_estate, mark
from shared.model.clock import Deadline, Moment, VaultInstant
from shared.model.errors import Code, NotDone, Unclear
from shared.model.pats import Minted, Owner, PatId, Validity
from shared.model.pats import Pat as ListedPat
from shared.model.request import Request
from shared.model.secret_text import SecretText
from shared.model.tags import read
from shared.report.report import Outcome, Report
from shared.rotation.run import run
from shared.rotation.threads import Threads
from shared.rules import may_end
from shared.rules.may_end import MayDisable, MayEnd, MayExtend
from tests.lab.lab import START, THEN, Lab, days, hours, item, outcomes, row

SECRET = "build-pat"


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


def published(*, quick: bool = True, **keys: Any) -> Lab:
    lab = Lab([item(**keys)], quick=quick)
    lab.run()
    return lab


def estate() -> dict[str, Any]:
    """Two users and two organizations, and an empty vault."""
    demo = demo_estate()
    vaults = [{"host": demo["vaults"][0]["host"], "secrets": []}, demo["vaults"][1]]
    return {**demo, "pats": [], "vaults": vaults}


def two_users(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": first},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": second},
    ]


def current_pat(lab: Lab) -> Pat:
    return next(pat for pat in lab.cloud.pats.all() if pat.value == lab.current(SECRET).value)


def tag(lab: Lab, **tags: str | None) -> None:
    """A person or a tool writes tags of the current version; None takes one off."""
    written = {**lab.current(SECRET).tags, **{name.replace("_", "-"): value for name, value in tags.items()}}
    kept = {name: value for name, value in written.items() if value is not None}
    lab.vault.update(SECRET, "", {"tags": kept})


def codes(report: Report) -> list[Code]:
    return [one.error.code for one in report.items if one.error is not None]


# --- the evidence -----------------------------------------------------------------------------------------------


def test_rule_7_evidence_cannot_be_made_but_by_the_rules() -> None:
    owner, at = Owner(AGENTS, "contoso"), VaultInstant(START)
    with pytest.raises(TypeError):
        MayEnd(object(), PatId("a"), owner, SECRET, None, at)
    with pytest.raises(TypeError):
        MayExtend(object(), PatId("a"), owner, "patrol/x/y")
    with pytest.raises(TypeError):
        MayDisable(object(), SECRET, "v")


def test_rule_2_a_write_in_doubt_is_no_evidence_that_a_fresh_pat_may_end() -> None:
    pat = ListedPat(PatId("a"), "patrol/x/y", frozenset(), Validity(START, START + days(1)), None)
    minted, owner, at = (
        Minted(pat, SecretText("v"), Moment(START, hours(0))),
        Owner(AGENTS, "contoso"),
        VaultInstant(START),
    )
    assert may_end.unpublished(minted, owner, SECRET, None, at).pat == "a"
    assert may_end.unpublished(minted, owner, SECRET, NotDone(Code.PUBLISH_REFUSED, "", ""), at).pat == "a"
    with pytest.raises(TypeError):
        may_end.unpublished(minted, owner, SECRET, Unclear(Code.PUBLISH_UNCLEAR, "", ""), at)  # type: ignore[arg-type]


def test_rule_7_the_vault_s_port_refuses_facts_of_another_pat(lab_of: Callable[[bool], Lab]) -> None:
    for quick in (True, False):
        lab = lab_of(quick)
        world = lab.quick_world() if quick else lab.world()
        version = world.vault.current(SECRET).version
        stamp = version.stamp
        assert stamp is not None
        foreign = {**version.tags, "authorization-id": "0" * 8 + "-0000-4000-8000-" + "0" * 12}
        with pytest.raises(ValueError, match="never changes within a version"):
            world.vault.change(SECRET, version, tags=foreign)
        with pytest.raises(ValueError, match="never changes within a version"):
            world.vault.change(SECRET, version, tags={"team": "build"})
        assert read(lab.current(SECRET).tags) == stamp


@pytest.fixture
def lab_of() -> Callable[[bool], Lab]:
    return lambda quick: published(quick=quick)


# --- facts and their version (a push that comes back with another run's version) ----------------------------------


@pytest.mark.parametrize("point", range(1, 26))
def test_promise_1_facts_of_one_pat_are_never_written_on_the_version_of_another(point: int) -> None:
    """A forced rotation between a retirement's read and its last write; no storage, so nobody waits for anybody."""
    lab = Lab([item(then=THEN)])
    lab.sonarqube()
    lab.run()
    lab.wait(days(24))
    lab.run()
    lab.wait(hours(25))
    met = 0

    def between(_: Operation) -> None:
        nonlocal met
        met += 1
        if met == point:
            lab.cloud.before_effect = None
            lab.run(SECRET, force=True)

    lab.cloud.before_effect = between
    lab.run()
    lab.cloud.before_effect = None
    for _ in range(4):
        lab.later(hours(6))
        assert lab.works(SECRET)
    stamp = read(lab.current(SECRET).tags)
    assert stamp is not None
    assert stamp.authorization_id == current_pat(lab).authorization_id


# --- tags are hints -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quick", [True, False], ids=["fakes", "adapters"])
def test_rule_4_an_id_that_nobody_knows_makes_the_live_pat_no_orphan(quick: bool) -> None:
    lab = published(quick=quick)
    mine = current_pat(lab)
    lab.wait(days(3))
    tag(lab, authorization_id="deadbeef-0000-4000-8000-000000000000")
    report = lab.run()
    assert row(report).because == "edited"
    assert not mine.revoked
    assert [one.authorization_id for one in report.leftovers] == [mine.authorization_id]
    assert "may hold its value" in report.leftovers[0].says
    for _ in range(8):
        lab.later(hours(6))
    assert not mine.revoked
    lab.run(SECRET, force=True, adopt=True)
    lab.later(hours(23))
    assert not mine.revoked, "its overlap counts from the take-back"
    lab.later(hours(2))
    assert mine.revoked
    assert lab.works(SECRET)


@pytest.mark.parametrize("content_type", ["application/vnd.patrol.azure-devops-pat", None])
def test_rule_4_wiped_tags_and_content_type_make_the_live_pat_no_orphan(content_type: str | None) -> None:
    lab = published()
    mine = current_pat(lab)
    lab.wait(days(3))
    lab.vault.update(SECRET, "", {"tags": {}, "contentType": content_type or ""})
    report = lab.run()
    assert row(report).because == "edited"
    for _ in range(12):
        lab.later(hours(6))
    assert not mine.revoked
    assert lab.works(SECRET)


def test_rule_7_a_past_date_on_the_current_id_disables_nothing() -> None:
    lab = published()
    lab.wait(days(2))
    tag(lab, predecessors=f"{current_pat(lab).authorization_id}@2026-01-01T00:00:00Z!")
    assert row(lab.run()).outcome is Outcome.HELD
    assert lab.current(SECRET).enabled
    assert lab.works(SECRET)


@pytest.mark.parametrize("quick", [True, False], ids=["fakes", "adapters"])
def test_promise_4_a_stranger_s_pat_is_not_renewed_whatever_the_tag_says(quick: bool) -> None:
    lab = published(quick=quick, strategy="renew")
    mine = current_pat(lab)
    lab.wait(days(24))
    stranger = lab.cloud.pats.seed(AGENTS, "contoso", "somebody's own", "vso.wiki", valid_from=lab.clock.now())
    before = (stranger.display_name, stranger.scope, stranger.valid_to)
    tag(lab, authorization_id=stranger.authorization_id)
    report = lab.run()
    assert row(report).because == "edited"
    assert (stranger.display_name, stranger.scope, stranger.valid_to) == before
    for _ in range(4):
        lab.later(hours(6))
    assert not stranger.revoked
    assert not mine.revoked


def test_rule_7_a_pat_that_a_person_renamed_is_rotated_and_not_renewed() -> None:
    lab = published(strategy="renew")
    mine = current_pat(lab)
    mine.display_name = "renamed in the portal"
    lab.wait(days(24))
    assert outcomes(lab.run().items) == ["build-pat rotate done renewing-no-longer-helps"]
    report = lab.later(hours(25))
    assert not mine.revoked, "it does not carry our mark any more"
    assert [one.authorization_id for one in report.leftovers] == [mine.authorization_id]


def test_rule_10_the_same_value_pasted_again_without_tags_keeps_its_overlap_after_the_take_back() -> None:
    lab = published()
    mine = current_pat(lab)
    lab.wait(days(3))
    lab.vault.set_secret(SECRET, mine.value)
    assert row(lab.run()).because == "edited"
    lab.run(SECRET, force=True, adopt=True)
    lab.later(hours(23))
    assert not mine.revoked
    lab.later(hours(2))
    assert mine.revoked


# --- an emergency is judged by what holds after it ----------------------------------------------------------------


def leaked(lab: Lab) -> Pat:
    return current_pat(lab)


def test_rule_8_a_leaked_pat_ends_also_when_the_timer_replaced_it_after_the_request_arrived() -> None:
    lab = published()
    lab.wait(days(24))
    bad, asked_at = leaked(lab), lab.clock.now()
    lab.wait(timedelta(minutes=1))
    lab.run()
    report = lab.run(SECRET, emergency=True, arrived_at=asked_at)
    assert "build-pat hold held already-replaced" in outcomes(report.items)
    assert bad.revoked
    assert report.exit_code() == 0
    assert lab.works(SECRET)


def test_rule_8_a_pat_that_leaked_before_an_earlier_rotation_ends() -> None:
    lab = published(overlap="5d")
    bad, leaked_at = leaked(lab), lab.clock.now() + days(1)
    lab.wait(days(24))
    lab.run()
    assert not bad.revoked
    assert lab.run(SECRET, emergency=True, published_before=leaked_at).exit_code() == 0
    assert bad.revoked
    assert lab.works(SECRET)


@pytest.mark.parametrize("change", ["user", "organization"])
@pytest.mark.parametrize("revoke_first", [False, True])
def test_rule_8_a_pat_of_a_former_owner_ends(change: str, revoke_first: bool) -> None:
    lab = Lab(users=two_users([item(SECRET)], []), estate=estate(), quick=True)
    lab.run()
    bad = leaked(lab)
    lab.wait(days(2))
    moved = item(SECRET) if change == "user" else item(SECRET, organization="fabrikam")
    lab.users = two_users([], [moved]) if change == "user" else two_users([moved], [])
    report = lab.run(SECRET, emergency=True, revoke_first=revoke_first)
    assert bad.revoked
    assert report.exit_code() == 0


def test_rule_8_revoke_first_ends_no_value_that_was_published_after_it_was_asked_for() -> None:
    """The timer replaces what leaked between the emergency's look and its first revoke: consumers have read that."""
    lab = published(quick=False)
    lab.wait(days(24))
    bad = leaked(lab)
    fresh: list[str] = []

    def between(met: Operation) -> None:
        if met.name == "vault.versions" and not fresh:
            fresh.append("")
            lab.wait(timedelta(seconds=5))
            lab.run()
            fresh[0] = current_pat(lab).authorization_id

    lab.cloud.before_effect = between
    report = lab.run(SECRET, emergency=True, revoke_first=True)
    lab.cloud.before_effect = None
    assert report.exit_code() == 0
    assert bad.revoked
    assert not lab.cloud.pats.pat(fresh[0]).revoked
    assert lab.works(SECRET)


def test_rule_8_what_cannot_be_confirmed_dead_is_a_failed_row_with_the_command_that_ends_it() -> None:
    lab = Lab(users=two_users([item(SECRET)], []), estate=estate(), quick=True)
    lab.run()
    bad = leaked(lab)
    lab.wait(days(2))
    (_, other) = two_users([], [item(SECRET)])
    lab.users = [other]
    report = lab.run(SECRET, emergency=True)
    assert not bad.revoked
    assert Code.LEAKED_PAT_LIVES in codes(report)
    assert report.exit_code() == 1
    told = next(one for one in report.items if one.error and one.error.code is Code.LEAKED_PAT_LIVES)
    command = f"patrol pats revoke {bad.authorization_id} --user {AGENTS} --organization contoso"
    assert command in told.says


@pytest.mark.parametrize("seed", range(4))
def test_rule_8_every_generation_ends_however_many_there_are(seed: int) -> None:
    lab = Lab([item(overlap="6d")], quick=True)
    lab.cloud.chance.text(seed + 1)  # other ids: once the guid decided which generation survived
    lab.run()
    for _ in range(4):
        lab.wait(days(24))
        lab.run()
        lab.items = [item(overlap="6d", scopes=["vso.code", "vso.build"])]
        lab.wait(days(1))
        lab.run()
        lab.items = [item(overlap="6d")]
        lab.wait(days(1))
        lab.run()
    assert len(lab.live(SECRET)) > 3
    report = lab.run(SECRET, emergency=True)
    assert report.exit_code() == 0
    assert [pat.value for pat in lab.live(SECRET)] == [lab.current(SECRET).value]
    versions = lab.vault.secret(SECRET).versions.values()
    assert [one.value for one in versions if one.enabled] == [lab.current(SECRET).value]


def test_rule_8_a_renamed_pat_is_told_and_not_touched() -> None:
    lab = published()
    bad = leaked(lab)
    bad.display_name = "renamed in the portal"
    lab.wait(days(2))
    report = lab.run(SECRET, emergency=True)
    assert not bad.revoked
    assert Code.LEAKED_PAT_LIVES in codes(report)
    assert bad.authorization_id in str(report.to_json())


def test_rule_8_of_an_edited_secret_it_says_which_pat_may_still_work() -> None:
    lab = published()
    bad = leaked(lab)
    lab.wait(days(2))
    lab.vault.set_secret(SECRET, "pasted by a person")
    report = lab.run(SECRET, emergency=True)
    assert not bad.revoked
    assert codes(report) == [Code.EDITED, Code.LEAKED_PAT_LIVES]
    assert bad.authorization_id in str(report.to_json())


def test_promise_1_a_rotation_under_way_is_not_ended_by_an_emergency() -> None:
    """The timer has minted and not yet published: its PAT carries our mark and no version names it."""
    lab = published(quick=False)
    lab.wait(days(24))
    asked: list[Report] = []

    def between(met: Operation) -> None:
        if met.name == "vault.set" and met.subject == SECRET and not asked:
            lab.cloud.before_effect = None
            asked.append(lab.run(SECRET, emergency=True))

    lab.cloud.before_effect = between
    lab.run()
    assert asked
    assert lab.works(SECRET)


@pytest.mark.parametrize("late", [timedelta(minutes=50), timedelta(hours=25)])
def test_rule_8_a_late_write_is_no_emergency(late: timedelta) -> None:
    """The network delivers the publish later than the overlap is long: the predecessor keeps the whole of it."""
    lab = Lab([item(overlap="40m" if late < hours(1) else "1d")])
    lab.run()
    lab.wait(days(24))
    old = current_pat(lab)

    def slow(met: Operation) -> None:
        if met.name == "vault.set" and met.subject == SECRET:
            lab.cloud.before_effect = None
            lab.wait(late)

    lab.cloud.before_effect = slow
    lab.run()
    assert not old.revoked
    assert all(one.enabled for one in lab.vault.secret(SECRET).versions.values())
    lab.later(timedelta(minutes=30))
    assert not old.revoked


def test_rule_8_an_emergency_is_written_down_and_taken_up_by_the_next_run() -> None:
    lab = published()
    bad = leaked(lab)
    lab.wait(days(2))
    lab.trouble.before = lambda operation: (
        Unclear(Code.DEVOPS_UNAVAILABLE, "no answer", "-") if operation == "pats.revoke" else None
    )
    report = lab.run(SECRET, emergency=True)
    assert Code.LEAKED_PAT_LIVES in codes(report)
    assert lab.current(SECRET).tags["predecessors"].endswith("Z!")
    lab.end_trouble()
    lab.later(timedelta(minutes=10))
    assert bad.revoked
    assert "predecessors" not in lab.current(SECRET).tags


# --- former owners ------------------------------------------------------------------------------------------------


def test_promise_2_a_decommissioned_item_s_former_owner_leaves_nothing() -> None:
    lab = Lab(users=two_users([item(SECRET)], []), estate=estate(), quick=True)
    lab.run()
    lab.wait(days(3))
    lab.users = two_users([], [item(SECRET)])
    lab.run()
    lab.wait(hours(3))
    lab.users = two_users([], [item(SECRET, decommission=True)])
    assert lab.run().exit_code() == 0
    assert lab.live(SECRET) == []


@pytest.mark.parametrize("change", ["user", "organization"])
def test_promise_2_what_was_minted_before_the_owner_changed_and_never_published_ends(change: str) -> None:
    others = [item("other-pat", organization="fabrikam"), item("another-pat")]
    lab = Lab(users=two_users([item(SECRET)], others), estate=estate(), quick=True)
    lab.trouble.before = lambda operation: (
        Unclear(Code.PUBLISH_UNCLEAR, "no answer", "-") if operation == "vault.set" and lab.live(SECRET) else None
    )
    lab.run()
    lab.end_trouble()
    (lost,) = lab.live(SECRET)
    moved = item(SECRET) if change == "user" else item(SECRET, organization="fabrikam")
    lab.users = two_users([], [moved, *others]) if change == "user" else two_users([moved], others)
    lab.later(hours(6))
    lab.later(hours(6))
    assert lost.revoked
    assert lab.works(SECRET, "contoso" if change == "user" else "fabrikam")


def test_promise_3_an_emergency_that_revoked_first_and_was_killed_after_minting_leaves_no_item_edited() -> None:
    """Get does not know what was revoked; the listing of revoked ones does, and says that the version held it."""
    lab = published()
    lab.run(SECRET, emergency=True)
    replaced = current_pat(lab)
    lab.wait(timedelta(minutes=1))

    def killed(operation: str) -> None:
        if operation == "vault.set":
            raise Killed

    lab.trouble.before = killed
    with pytest.raises(Killed):
        lab.run(SECRET, emergency=True, revoke_first=True)
    lab.end_trouble()
    assert replaced.revoked
    assert outcomes(lab.later(hours(3)).items)[0] == f"{SECRET} rotate done gone"
    assert lab.works(SECRET)
    lab.later(hours(26))
    assert [pat.value for pat in lab.live(SECRET)] == [lab.current(SECRET).value]


def test_rule_10_the_id_of_another_revoked_pat_makes_no_witness() -> None:
    lab = published()
    lab.wait(days(3))
    lab.run(SECRET, emergency=True)
    held = current_pat(lab)
    lab.wait(hours(1))
    (ended,) = [pat for pat in lab.cloud.pats.all() if pat.revoked]
    tag(lab, authorization_id=ended.authorization_id)
    assert outcomes(lab.later(hours(3)).items) == [f"{SECRET} hold failed edited"]
    assert not held.revoked


def test_rule_8_a_young_pat_under_another_s_id_is_not_taken_for_one_on_its_way() -> None:
    """Somebody wrote another PAT's id on the version: what it really holds leaked, and is named by nothing."""
    lab = Lab([item(SECRET), item("other-pat")], quick=True)
    lab.run()
    leaked = current_pat(lab)
    lab.wait(timedelta(minutes=20))
    other = lab.current("other-pat")
    assert other.expires == lab.current(SECRET).expires, "of one run, and so two witnesses by chance"
    tag(lab, authorization_id=other.tags["authorization-id"])
    report = lab.run(SECRET, emergency=True)
    assert report.exit_code() == 1
    assert not leaked.revoked
    assert codes(report) == [Code.EDITED, Code.LEAKED_PAT_LIVES]


def test_promise_1_another_item_s_id_on_a_version_of_the_same_second_ends_nothing() -> None:
    lab = Lab([item(SECRET), item("other-pat")], quick=True)
    lab.run()
    held = current_pat(lab)
    tag(lab, authorization_id=lab.current("other-pat").tags["authorization-id"])
    reports = [lab.later(hours(6)) for _ in range(8)]
    assert not held.revoked
    assert codes(reports[-1]) == [Code.EDITED]


def test_promise_8_a_plan_tells_no_expiry_of_a_pat_that_is_proved_dead() -> None:
    lab = published()
    lab.wait(days(3))
    lab.cloud.pats.revoke_as_person(current_pat(lab).authorization_id)
    planned = row(lab.run(dry_run=True), SECRET)
    assert (planned.outcome, planned.because, planned.expires_on) == (Outcome.PLANNED, "gone", None)


def test_promise_1_what_was_replaced_after_an_emergency_that_was_not_confirmed_has_its_overlap() -> None:
    lab = published()
    lab.wait(days(3))
    leaked = current_pat(lab)
    lab.trouble.before = lambda operation: (
        Unclear(Code.REVOKE_UNCLEAR, "-", "-") if operation == "pats.revoke" else None
    )
    assert lab.run(SECRET, emergency=True).exit_code() == 1
    lab.end_trouble()
    assert not leaked.revoked
    replaced, version = current_pat(lab), lab.current(SECRET)
    lab.wait(timedelta(minutes=10))
    lab.run(SECRET, force=True)
    assert leaked.revoked
    assert not replaced.revoked
    assert version.enabled
    lab.later(hours(25))
    assert replaced.revoked


# --- time ---------------------------------------------------------------------------------------------------------


def test_rule_15_a_clock_that_steps_during_a_run_ends_no_predecessor_early() -> None:
    lab = published()
    lab.wait(days(24))
    old = current_pat(lab)
    lab.run()
    lab.wait(hours(3))
    clock = SteppingClock(lab, hours(30))
    clock.run()
    assert clock.stepped
    assert not old.revoked
    assert lab.works(SECRET)


@pytest.mark.parametrize("by", [hours(30), -hours(30)], ids=str)
@pytest.mark.parametrize(("a_call_takes", "reached"), [(timedelta(0), True), (timedelta(minutes=6), False)], ids=str)
def test_rule_15_a_clock_that_steps_neither_ends_a_run_nor_stretches_it(
    by: timedelta, a_call_takes: timedelta, reached: bool
) -> None:
    lab = Lab([item(f"pat-{number}") for number in range(4)], quick=True)
    lab.run()
    lab.wait(days(24))
    clock = SteppingClock(lab, by, a_call_takes=a_call_takes)
    report = clock.run()
    assert clock.stepped
    assert (Outcome.LEFT not in {one.outcome for one in report.items}) is reached


def test_rule_2_what_was_verified_for_too_long_is_not_published_although_the_clock_was_set_back() -> None:
    lab = published()
    before = current_pat(lab)
    lab.wait(days(24))
    clock = SteppingClock(lab, -hours(1), at="pats.create")
    lab.trouble.before = lambda operation: lab.wait(
        timedelta(minutes=6) if operation.startswith("devops") else hours(0)
    )
    assert codes(clock.run()) == [Code.PUBLISH_LATE]
    assert current_pat(lab) is before
    assert [pat.value for pat in lab.live(SECRET)] == [before.value], "the fresh one was ended"


class SteppingClock:
    """A machine's clock that is right until the call `at` was made, and off `by` so much from then on."""

    def __init__(self, lab: Lab, by: timedelta, at: str = "vault.list", a_call_takes: timedelta = timedelta(0)) -> None:
        self._lab, self._by, self._at, self._a_call_takes = lab, by, at, a_call_takes
        self.stepped = False

    def run(self) -> Report:
        lab = self._lab
        lab.trouble.after = self.after
        world = replace(lab.quick_world(), clock=self, deadline=Deadline.after(self, timedelta(minutes=20)))
        return run(lab.inventory(), world, lab.settings.mark, Request(), Threads(1))

    def now(self) -> datetime:
        return self._lab.clock.now() + (self._by if self.stepped else timedelta(0))

    def elapsed(self) -> timedelta:
        return self._lab.clock.elapsed()

    def sleep(self, duration: timedelta) -> None:
        self._lab.clock.sleep(duration)

    def after(self, operation: str) -> None:
        self.stepped = self.stepped or operation == self._at
        self._lab.wait(self._a_call_takes)


def test_rule_4_a_deletion_that_has_not_settled_ends_no_pat_of_an_item_that_is_gone() -> None:
    lab = Lab([item(), item("other-pat")], quick=True)
    lab.run()
    mine = current_pat(lab)
    lab.wait(days(2))
    lab.vault.delete(SECRET)
    lab.vault.settle()
    lab.vault.purge(SECRET)  # in neither listing, as a deletion that has not settled is
    lab.items = [item("other-pat")]
    report = lab.run()
    assert not mine.revoked
    assert [one.authorization_id for one in report.leftovers] == [mine.authorization_id]
    assert mark(SECRET) == mine.display_name
