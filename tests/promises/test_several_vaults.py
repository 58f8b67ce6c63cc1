"""Rule 17: several vaults, each with its listing, mark, pace, breaker and failures; what fails in one stays there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.key_vault import Version
from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.model.errors import Code, Misconfigured, PatrolError, Unclear
from shared.model.ports import Vault as Port
from shared.model.request import Request
from shared.model.secret_state import CONTENT_TYPE, VaultListing
from shared.model.steps import Because
from shared.model.vaults import VaultAddress
from shared.report.report import WELL, Outcome
from shared.rotation.run import run
from shared.rotation.threads import Threads
from tests.lab.consumers import SERVICE_CONNECTION, SONARQUBE, Kind
from tests.lab.fakes import Trouble
from tests.lab.lab import days, hours, item
from tests.lab.several_vaults import AGENTS_VAULT, BESIDE, HOME, WEB, WEB_VAULT, SeveralVaults, outcomes, row_of, two


class Ahead:
    """A vault whose clock is an hour ahead of everybody's."""

    def __init__(self, vault: Port) -> None:
        self._vault = vault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vault, name)

    def listing(self) -> VaultListing:
        return replace(self._vault.listing(), ahead=hours(1))


def test_rule_17_an_item_is_published_to_its_own_vault_under_that_vault_s_mark() -> None:
    lab = two()
    report = lab.run()
    assert set(outcomes(report).values()) == {Outcome.DONE}
    here, there = lab.current("build-pat"), lab.published("build-pat")
    assert lab.lives(here)
    assert lab.lives(there)
    assert here.value != there.value
    assert here.tags["managed-by"] != there.tags["managed-by"]
    assert there.tags["managed-by"] == lab.settings.mark.in_vault(VaultAddress(AGENTS_VAULT)).text
    assert "feeds-pat" not in [secret.name for secret in lab.beside().secrets()]


def test_rule_17_a_user_signs_in_once_and_lists_an_organization_once_for_all_its_vaults() -> None:
    lab = SeveralVaults([item(), item(vault=BESIDE), item(vault=WEB)], quick=False)
    lab.run()
    assert lab.operations().count("pats.list") == 1
    assert len(lab.told("user.signed-in")) == 1
    assert lab.operations().count("vault.list") == 3


@pytest.mark.parametrize(("where", "key"), [("item", "vault"), ("user", "vault"), ("defaults", "vault")])
def test_rule_17_the_vault_stands_on_an_item_a_user_or_in_the_defaults(where: str, key: str) -> None:
    one = item(**({key: BESIDE} if where == "item" else {}))
    user = {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [one]}
    lab = SeveralVaults(
        users=[{**user, **({key: BESIDE} if where == "user" else {})}],
        defaults={key: BESIDE} if where == "defaults" else {},
    )
    report = lab.run()
    assert outcomes(report) == {("build-pat", AGENTS_VAULT): Outcome.DONE}
    assert lab.lives(lab.published("build-pat"))


def test_rule_17_the_address_of_key_vault_url_is_that_vault_however_it_is_written() -> None:
    lab = SeveralVaults([item(vault=f"https://{HOME.upper()}/")])
    assert outcomes(lab.run()) == {("build-pat", HOME): Outcome.DONE}
    assert lab.works("build-pat")


@pytest.mark.parametrize("broken", [HOME, AGENTS_VAULT])
def test_promise_5_a_vault_that_cannot_be_listed_stops_its_items_and_no_others(broken: str) -> None:
    lab = two()
    lab.run()
    lab.wait(days(24))
    lab.cloud.vaults[broken].denied.add("list")
    report = lab.run()
    found = outcomes(report)
    assert all((outcome is Outcome.FAILED) == (vault == broken) for (_, vault), outcome in found.items()), found
    failed = row_of(report, "build-pat", broken)
    assert failed.error is not None
    assert failed.error.code is Code.VAULT_FORBIDDEN
    assert failed.error.remedy
    assert lab.told("vault.failed")[0]["vault"] == broken
    assert report.exit_code() == 1


def test_rule_5_of_a_vault_that_cannot_be_listed_nothing_is_minted_revoked_or_called_an_orphan() -> None:
    lab = two()
    lab.run()
    before = lab.published("build-pat").value
    # Never published, and older than an orphan: of a vault that can be seen it would end.
    mark = lab.settings.mark.in_vault(VaultAddress(AGENTS_VAULT))
    orphan = lab.cloud.pats.seed(
        AGENTS, "contoso", mark.display_name("build-pat"), "vso.code", valid_from=lab.clock.now()
    )
    lab.wait(days(24))
    lab.beside().denied.add("list")
    report = lab.run()
    assert lab.published("build-pat").value == before
    assert orphan.state(lab.clock.now()) == "active"
    assert not [one for one in (*report.leftovers, *report.unmanaged) if "build-pat" in str(one)]
    lab.beside().denied.clear()
    lab.run()
    assert orphan.state(lab.clock.now()) != "active", "and it ends once the vault can be read"


def test_rule_17_where_no_vault_can_be_listed_nothing_is_attempted() -> None:
    lab = two()
    for host in (HOME, AGENTS_VAULT):
        lab.cloud.vaults[host].denied.add("list")
    with pytest.raises(Misconfigured) as failure:
        lab.run()
    assert failure.value.code is Code.VAULT_FORBIDDEN


def test_rule_15_a_vault_with_another_time_stops_its_own_items_alone() -> None:
    lab = two()
    lab.run()
    world = lab.quick_world()

    world = replace(world, elsewhere=lambda address: cast(Port, Ahead(lab.quick_world().vault_at(address))))
    report = run(lab.inventory(), world, lab.settings.mark, Request(), Threads(1))
    failed = row_of(report, "build-pat", AGENTS_VAULT)
    assert failed.error is not None
    assert failed.error.code is Code.CLOCK_SKEW
    assert row_of(report, "build-pat", HOME).outcome is Outcome.HELD


def test_rule_11_a_vault_that_refuses_writes_is_not_minted_for_again_and_the_others_are() -> None:
    names = [f"pat-{number}" for number in range(4)]
    lab = SeveralVaults([*(item(name, vault=BESIDE) for name in names), *(item(name) for name in names)])
    lab.beside().denied.add("set")
    report = lab.run()
    codes = {row.error.code for row in report.items if row.error is not None}
    assert codes == {Code.PUBLISH_FORBIDDEN, Code.VAULT_CLOSED}
    found = outcomes(report)
    assert {found[name, HOME] for name in names} == {Outcome.DONE}
    assert {found[name, AGENTS_VAULT] for name in names} == {Outcome.FAILED}
    assert len(lab.living()) == 4, "what the vault refused was ended again"


def test_promise_2_an_orphan_is_judged_by_the_mark_of_the_vault_that_it_names() -> None:
    lab = two()
    lab.run()
    marks = {host: lab.settings.mark.in_vault(VaultAddress(host)) for host in (AGENTS_VAULT, WEB_VAULT)}
    now = lab.clock.now()
    ours = lab.cloud.pats.seed(
        AGENTS, "contoso", marks[AGENTS_VAULT].display_name("build-pat"), "vso.code", valid_from=now
    )
    nobodys = lab.cloud.pats.seed(
        AGENTS, "contoso", marks[WEB_VAULT].display_name("build-pat"), "vso.code", valid_from=now
    )
    lab.wait(hours(3))
    lab.run()
    assert ours.state(lab.clock.now()) != "active"
    assert nobodys.state(lab.clock.now()) == "active", "no item and no vault of this deployment"
    assert lab.lives(lab.published("build-pat"))
    assert lab.works("build-pat")


# --- an item that moves -----------------------------------------------------------------------------------------------


def moved(**more: Any) -> SeveralVaults:
    """An item that was published at home for three days, and stands in another vault since just now."""
    lab = SeveralVaults([item()], **more)
    lab.run()
    lab.wait(days(3))
    lab.items = [item(vault=BESIDE)]
    return lab


def test_rule_17_an_item_that_moves_is_published_there_first_and_its_old_pat_ends_after_the_overlap() -> None:
    lab = moved()
    old = lab.current("build-pat")
    report = lab.run()
    assert outcomes(report) == {("build-pat", AGENTS_VAULT): Outcome.DONE}
    assert report.unmanaged == ("build-pat",)
    assert lab.lives(lab.published("build-pat"))
    assert lab.lives(old), "in overlap"
    lab.later(hours(23))
    assert lab.lives(old)
    report = lab.later(hours(2))
    assert not lab.lives(old)
    assert [row.because for row in report.items if row.step == "retire"] == ["overlap-over"]
    assert lab.current("build-pat").id == old.id, "never deleted, nor written"
    assert old.enabled
    assert report.unmanaged == ("build-pat",), "told until a person takes it away"
    assert len(lab.living()) == 1


def test_rule_17_an_item_that_moved_and_whose_new_vault_fails_keeps_its_old_value() -> None:
    lab = moved()
    lab.beside().denied.add("set")
    old = lab.current("build-pat")
    for _ in range(4):
        report = lab.later(hours(12))
        assert row_of(report, "build-pat", AGENTS_VAULT).outcome is Outcome.FAILED
        assert lab.lives(old)
    lab.beside().denied.clear()
    lab.run()
    assert lab.lives(lab.published("build-pat"))
    assert lab.lives(old)


def test_rule_8_an_emergency_ends_what_a_moved_item_published_before_too() -> None:
    lab = moved()
    old = lab.current("build-pat")
    lab.run()
    new = lab.published("build-pat")
    lab.wait(hours(3))
    report = lab.run("build-pat", emergency=True)
    assert report.exit_code() == 0, report.to_json()
    assert not lab.lives(old)
    assert not lab.lives(new)
    assert lab.lives(lab.published("build-pat"))


def test_rule_7_a_tag_that_names_what_another_vault_still_publishes_ends_nothing() -> None:
    lab = two()
    lab.run()
    here, there = lab.current("build-pat"), lab.published("build-pat")
    there.tags["predecessors"] = f"{here.tags['authorization-id']}@2020-01-01T00:00:00Z"
    report = lab.later(hours(12))
    for _ in range(5):
        report = lab.later(hours(12))
    assert lab.lives(here)
    assert "predecessors" not in there.tags, "what an item of pats.yaml publishes is no predecessor elsewhere"
    assert report.leftovers == ()


@pytest.mark.parametrize("refuses", [False, True], ids=["", "and its consumer refuses all along"])
def test_promise_1_what_was_read_until_an_item_moved_for_the_second_time_does_not_end_with_that_move(
    refuses: bool,
) -> None:
    lab = SeveralVaults([item(then=SONARQUBE.then)])
    SONARQUBE.prepare(lab)
    lab.run()
    if refuses:
        SONARQUBE.refuse(lab)
    lab.items = [item(vault=BESIDE, then=SONARQUBE.then)]
    lab.later(hours(1))
    there = lab.published("build-pat")
    lab.items = [item(then=SONARQUBE.then), item("feeds-pat"), item("stays-pat", vault=BESIDE)]
    lab.later(hours(1))
    lab.later(hours(30))
    old = lab.current("build-pat")
    assert lab.lives(old), "it is what consumers read since it came back"
    lab.items = [item(vault=BESIDE, then=SONARQUBE.then), item("feeds-pat")]
    lab.later(hours(1))
    assert lab.lives(old), "nobody knows since when it is not read any more"
    assert lab.lives(there)


def test_promise_4_an_item_that_vanished_is_left_alone_although_another_vault_has_one_of_its_name() -> None:
    lab = two()
    lab.run()
    here = lab.current("build-pat")
    lab.items = [item(vault=BESIDE), item("feeds-pat")]
    report = lab.later(hours(12))
    for _ in range(7):
        report = lab.later(hours(12))
    assert lab.lives(here)
    assert report.unmanaged == ("build-pat",)


# --- one vault fails at every call in turn ---------------------------------------------------------------------------


def on_the_brink(quick: bool = False) -> SeveralVaults:
    """Two vaults whose next run rotates, retires and mints in both."""
    lab = SeveralVaults([item(), item(vault=BESIDE), item("other-pat"), item("other-pat", vault=BESIDE)])
    lab.run()
    lab.wait(days(24))
    lab.run()
    lab.wait(hours(25))
    lab.items += [item("new-pat"), item("new-pat", vault=BESIDE)]
    lab.quick = quick
    return lab


def calls_to(host: str) -> Iterable[int]:
    lab = on_the_brink()
    first = len(lab.cloud.calls())
    seen: list[int] = []

    def note(operation: Operation) -> None:
        if operation.host == host:
            seen.append(operation.number)

    lab.cloud.before_effect = note
    lab.run()
    return [number - first for number in seen]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("host", [AGENTS_VAULT, pytest.param(HOME, marks=pytest.mark.exhaustive)])
def test_promise_3_killed_at_any_call_to_one_of_two_vaults_nothing_is_lost(host: str, moment: str) -> None:
    for call in calls_to(host):
        lab = on_the_brink()
        first = len(lab.cloud.calls())

        def kill(operation: Operation, at: int = first + call) -> None:
            if operation.number == at:
                raise Killed

        setattr(lab.cloud, f"{moment}_effect", kill)
        with pytest.raises(Killed):
            lab.run()
        lab.cloud.before_effect = lab.cloud.after_effect = None
        converges(lab)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("host", [AGENTS_VAULT, HOME])
def test_promise_5_a_vault_that_fails_at_any_call_leaves_the_other_one_s_items_alone(host: str, moment: str) -> None:
    """Every port call to one vault in turn has no answer; the other vault's items are all done in that very run."""
    call = 0
    while True:
        lab = on_the_brink(quick=True)
        asked = Asked(call)
        lab.trouble_at[host] = Trouble(**{moment: asked})
        report = lab.run()
        del lab.trouble_at[host]
        if asked.times <= call:
            break
        other = AGENTS_VAULT if host == HOME else HOME
        rows = [row for row in report.items if row.vault == other]
        # Patrol's own notes are in the vault of KEY_VAULT_URL: without them nobody signs in (rule 12).
        noted = host == HOME and {row.because for row in rows} == {Because.USER_FAILED}
        assert noted or {row.outcome for row in rows} <= WELL, (call, report.to_json())
        converges(lab)
        call += 1
    assert call > 5


@dataclass
class Asked:
    """Loses the answer of one call to a vault, `at` calls after its first."""

    at: int
    times: int = 0

    def __call__(self, _: str) -> PatrolError | None:
        self.times += 1
        return Unclear(Code.VAULT_UNCLEAR, "no answer", "-") if self.times == self.at + 1 else None


class Killed(BaseException):
    """Not an Exception: nothing in the product may catch it."""


def converges(lab: SeveralVaults) -> None:
    """The next runs succeed, and after the overlap only what is current lives."""
    lab.quick = True
    report = lab.later(hours(6))
    assert {row.outcome for row in report.items} <= WELL, report.to_json()
    for _ in range(6):
        lab.later(hours(10))
    names = ["build-pat", "other-pat", "new-pat"]
    current = [lab.current(name) for name in names] + [lab.published(name) for name in names]
    assert all(map(lab.lives, current))
    assert {pat.value for pat in lab.living()} == {version.value for version in current}


# --- consumers of what moves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SONARQUBE, SERVICE_CONNECTION], ids=str)
@pytest.mark.parametrize("moment", ["with the move", "after it"])
def test_promise_1_what_a_consumer_was_given_before_a_move_lives_on_where_then_is_taken_off(
    moment: str, kind: Kind
) -> None:
    lab = SeveralVaults([item(then=kind.then)])
    kind.prepare(lab)
    lab.run()
    old = lab.current("build-pat")
    assert kind.copy(lab) == old.value
    if moment == "after it":
        takes = kind.refuse(lab)
        lab.items = [item(vault=BESIDE, then=kind.then)]
        lab.later(hours(1))
        takes()
    lab.items = [item(vault=BESIDE)]
    report = lab.later(hours(1))
    for _ in range(5):
        report = lab.later(hours(12))
    assert lab.lives(old), "the consumer has nothing newer"
    told = [one for one in report.leftovers if one.authorization_id == old.tags["authorization-id"]]
    assert told, "and it is told until somebody ends it"
    lab.items = [item(vault=BESIDE, then=kind.then)]
    lab.later(hours(12))
    lab.later(hours(12))
    assert kind.copy(lab) == lab.published("build-pat").value
    assert not lab.lives(old)


@pytest.mark.parametrize("change", ["user", "organization"])
def test_rule_13_what_a_moved_item_left_is_ended_by_its_former_owner(change: str) -> None:
    def owned_by(user: str, **more: Any) -> list[dict[str, Any]]:
        passwords = {AGENTS: "svc-agents-password", SONAR: "svc-sonar-password"}
        kept = item("stays-pat", organization="fabrikam")
        return [
            {
                "username": name,
                "password_secret_name": password,
                "pats": ([item(**more)] if name == user else []) + ([kept] if name == SONAR else []),
            }
            for name, password in passwords.items()
        ]

    lab = SeveralVaults(users=owned_by(SONAR), estate=demo_estate())
    lab.run()
    old = lab.current("build-pat")
    lab.users = owned_by(SONAR, vault=BESIDE)
    lab.later(hours(1))
    moved_to = (
        owned_by(AGENTS, vault=BESIDE) if change == "user" else owned_by(SONAR, vault=BESIDE, organization="fabrikam")
    )
    lab.users = moved_to
    lab.later(hours(1))
    assert lab.lives(old)
    for _ in range(5):
        lab.later(hours(12))
    assert not lab.lives(old)


# --- an emergency of what moved --------------------------------------------------------------------------------------


def test_rule_8_an_emergency_ends_earlier_generations_in_the_vault_that_the_item_left_too() -> None:
    lab = moved()
    lab.items = [item()]
    lab.run("build-pat", force=True)
    lab.items = [item(vault=BESIDE)]
    lab.later(hours(1))
    assert len(lab.living()) == 3, "the one in overlap, the one that was current, and the new one"
    lab.wait(hours(3))
    report = lab.run("build-pat", emergency=True)
    assert report.exit_code() == 0, report.to_json()
    assert [one.value for one in lab.living()] == [lab.published("build-pat").value]


def test_rule_8_what_an_emergency_had_to_end_when_it_was_stopped_ends_although_the_item_moves() -> None:
    lab = moved()
    lab.items = [item()]
    leaked = lab.current("build-pat")

    def kill(operation: str) -> None:
        if operation == "pats.revoke":
            raise Killed

    lab.trouble.before = kill
    with pytest.raises(Killed):
        lab.run("build-pat", emergency=True)
    lab.end_trouble()
    assert lab.lives(leaked)
    lab.items = [item(vault=BESIDE)]
    lab.later(hours(1))
    lab.later(hours(6))
    assert not lab.lives(leaked)


def test_rule_8_a_dead_pat_of_the_vault_that_was_left_keeps_no_later_predecessor_alive() -> None:
    lab = moved()
    lab.run()
    lab.cloud.pats.revoke_as_person(lab.current("build-pat").tags["authorization-id"])
    assert lab.run("build-pat", emergency=True).exit_code() == 0
    lab.wait(days(2))
    lab.run("build-pat", force=True)
    for _ in range(3):
        lab.later(hours(12))
    assert [one.value for one in lab.living()] == [lab.published("build-pat").value]


def with_a_copy_put_back(*, named: bool) -> tuple[SeveralVaults, Version, Callable[[], None]]:
    """An item that moves while its consumer, to which somebody gave the older value again, takes nothing; that value's
    version, and how the consumer takes again. `named`: whether a tag says that it was replaced.
    """
    lab = SeveralVaults([item(then=SONARQUBE.then)])
    SONARQUBE.prepare(lab)
    lab.run()
    old = lab.current("build-pat")
    lab.wait(hours(1))
    lab.run("build-pat", force=True)
    if not named:
        del lab.current("build-pat").tags["predecessors"]
    takes = SONARQUBE.refuse(lab)
    SONARQUBE.put_back(lab, old.value)
    lab.items = [item(vault=BESIDE, then=SONARQUBE.then)]
    return lab, old, takes


@pytest.mark.parametrize("named", [True, False], ids=["", "named by no tag any more"])
@pytest.mark.parametrize("fails", ["the consumer", "the new vault"])
def test_promise_1_a_copy_that_somebody_put_back_lives_until_the_consumer_has_what_the_new_vault_publishes(
    fails: str, named: bool
) -> None:
    lab, old, takes = with_a_copy_put_back(named=named)
    lab.later(hours(1))
    if fails == "the new vault":
        takes()
        SONARQUBE.put_back(lab, old.value)
        lab.beside().denied.add("list")
    lab.later(hours(30))
    assert lab.lives(old), "it is what the consumer uses"
    lab.beside().denied.clear()
    takes()
    lab.later(hours(6))
    lab.later(hours(6))
    assert SONARQUBE.copy(lab) == lab.published("build-pat").value
    assert not lab.lives(old)


def test_rule_2_an_orphan_of_a_vault_that_was_left_is_judged_again_after_its_consumers_were_given_the_value() -> None:
    """They take their time, and a person rolls the vault that was left back meanwhile: then that is what it holds."""
    lab, old, takes = with_a_copy_put_back(named=False)
    lab.later(hours(31))
    takes()
    given: list[str] = []

    def between(name: str) -> None:
        if name != "sonarqube.update_azure":
            return
        given.append(name)
        if len(given) == 1:
            raise ValueError  # an odd answer ends the item's own push, so it is given once more, before the orphan ends
        lab.vault.set_secret("build-pat", old.value, old.tags, CONTENT_TYPE, expires=old.expires)

    lab.trouble.before = between
    lab.run()
    lab.trouble.before = lambda _: None
    assert len(given) == 2
    assert lab.lives(old)
