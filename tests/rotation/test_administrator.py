"""An emergency whose user cannot sign in: an administrator ends what leaked, or the row says what a person does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS, CLIENT, CREDENTIALS_VAULT, SONAR, demo_estate
from shared.inventory import pats_yaml
from shared.model.errors import Code
from shared.model.items import User
from shared.report.report import Outcome, Report, Row
from tests.lab.lab import Lab, days, hours, item
from tests.lab.shell import Shell

ADMIN = SONAR
LEAKED = "build-pat"


class AdministeredLab(Lab):
    """`administrator` in pats.yaml."""

    administrator = ADMIN

    def _tree(self) -> dict[str, Any]:
        tree = super()._tree()
        return {**tree, "administrator": self.administrator} if self.administrator else tree


@pytest.fixture(params=["fakes", "adapters"])
def lab(request: pytest.FixtureRequest) -> Lab:
    return a_lab(quick=request.param == "fakes")


def a_lab(*, quick: bool = True, administrator: str = ADMIN, rights: bool = True) -> Lab:
    """A published PAT whose user was disabled two days later."""
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    users: list[dict[str, Any]] = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item()]},
        {"username": ADMIN, "enrolled": True, "pats": []},
    ]
    made = AdministeredLab(users=users, estate=estate, quick=True)
    made.administrator = administrator
    made.enroll(ADMIN)
    if rights:
        made.cloud.pats.organization("contoso").administrators.add(ADMIN)
        made.cloud.directory.app(CLIENT).consented |= {"vso.tokenadministration", "vso.identity"}
    assert made.run().exit_code() == 0
    made.wait(days(2))
    made.cloud.directory.user(AGENTS).state = UserState.DISABLED
    made.quick = quick
    return made


def emergency(lab: Lab) -> Report:
    return lab.run(LEAKED, emergency=True)


def leaked(lab: Lab) -> Pat:
    return lab.cloud.pats.pat(lab.current(LEAKED).tags["authorization-id"])


def endings(report: Report) -> list[Row]:
    return [row for row in report.items if row.step == "retire"]


def test_rule_8_the_administrator_ends_what_its_user_cannot_and_says_that_it_takes_an_hour(lab: Lab) -> None:
    report = emergency(lab)
    assert leaked(lab).state(lab.clock.now()) == "revoked"
    (row,) = endings(report)
    assert row.outcome is Outcome.FAILED, "that it is dead is not confirmed yet"
    assert row.error is not None
    assert row.error.code is Code.LEAKED_PAT_LIVES
    assert f"{ADMIN} revoked it as administrator" in row.error.message
    assert "up to an hour" in row.error.message
    assert "in an hour" in row.error.remedy
    blocked = next(row for row in report.items if row.step == "hold")
    assert blocked.outcome is Outcome.BLOCKED
    assert report.exit_code() == 3


def test_rule_8_the_next_emergency_confirms_it_and_a_run_replaces_it_once_the_user_is_back(lab: Lab) -> None:
    emergency(lab)
    lab.wait(hours(1))
    assert endings(emergency(lab)) == [], "it is dead by the service's own word"
    lab.cloud.directory.user(AGENTS).state = UserState.NORMAL
    lab.wait(hours(25))
    assert lab.run().exit_code() == 0
    assert lab.works(LEAKED)


def test_rule_5_a_revocation_that_does_not_hold_yet_is_not_taken_for_death(lab: Lab) -> None:
    lab.cloud.switches.admin_revocation_minutes = 60
    emergency(lab)
    assert leaked(lab).state(lab.clock.now()) == "active"
    lab.wait(timedelta(minutes=61))
    assert leaked(lab).state(lab.clock.now()) == "revoked"


def test_rule_7_without_display_names_two_witnesses_stand_in_for_the_mark() -> None:
    """The one recorded listing shows null for each: our version names the PAT, and ends when it does."""
    lab = a_lab(quick=False)
    lab.cloud.switches.admin_listing_names = False
    mine = lab.cloud.pats.seed(AGENTS, "contoso", "a person's own", "vso.code", valid_from=lab.clock.now() - days(1))
    emergency(lab)
    assert leaked(lab).state(lab.clock.now()) == "revoked"
    assert mine.state(lab.clock.now()) == "active"


def test_promise_4_a_tag_that_names_a_strangers_pat_ends_it_by_no_administrator() -> None:
    lab = a_lab(quick=False)
    lab.cloud.switches.admin_listing_names = False
    mine = lab.cloud.pats.seed(AGENTS, "contoso", "a person's own", "vso.code", valid_from=lab.clock.now() - days(1))
    current = lab.current(LEAKED)
    forged = {"tags": {**current.tags, "authorization-id": mine.authorization_id}}
    lab.vault.update(LEAKED, current.id, forged)
    report = emergency(lab)
    assert mine.state(lab.clock.now()) == "active"
    assert report.exit_code() != 0


@pytest.mark.parametrize("administrator", ["", ADMIN], ids=["nobody is named", "without the right"])
def test_promise_8_who_cannot_end_it_is_told_what_a_person_does_by_hand(administrator: str) -> None:
    lab = a_lab(administrator=administrator, rights=False)
    (row,) = endings(emergency(lab))
    assert row.error is not None
    assert row.error.code is Code.LEAKED_PAT_LIVES
    assert leaked(lab).authorization_id in row.error.message
    assert "_apis/tokenadmin/revocations" in row.error.remedy
    assert "Project Collection Administrator" in row.error.remedy
    assert leaked(lab).state(lab.clock.now()) == "active"
    if administrator:
        assert f"Nor could {ADMIN}" in row.error.message


def test_rule_8_an_emergency_whose_user_signs_in_asks_no_administrator(lab: Lab) -> None:
    lab.cloud.directory.user(AGENTS).state = UserState.NORMAL
    lab.wait(days(2))
    before = leaked(lab)
    assert emergency(lab).exit_code() == 0
    assert before.revoked
    assert lab.works(LEAKED)
    assert not [call for call in lab.operations() if call.startswith("tokenadmin")]


def test_promise_1_without_a_successor_nobody_but_an_administrator_ends_what_is_published() -> None:
    """The item moved to a user whom nobody has enrolled; who minted what is published could still sign in."""
    lab = a_lab(administrator="")
    lab.cloud.directory.user(AGENTS).state = UserState.NORMAL
    lab.users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": []},
        {"username": SONAR, "enrolled": True, "pats": [item()]},
    ]
    lab.cloud.vaults[CREDENTIALS_VAULT].delete(User(SONAR, "", enrolled=True).credential_name)
    report = emergency(lab)
    assert lab.works(LEAKED)
    (row,) = endings(report)
    assert row.error is not None
    assert row.error.code is Code.LEAKED_PAT_LIVES
    assert leaked(lab).authorization_id in row.error.message
    assert "--revoke-first" in row.error.remedy or "patrol pats revoke" in row.error.remedy


def test_only_an_emergency_has_an_administrator_end_anything(lab: Lab) -> None:
    lab.wait(days(30))
    assert lab.run().exit_code() == 3
    assert not [call for call in lab.operations() if call.startswith("tokenadmin")]
    assert lab.run(LEAKED, emergency=True, dry_run=True) is not None
    assert not [call for call in lab.operations() if call.startswith("tokenadmin")]


@pytest.mark.parametrize("operation", ["tokenadmin.list", "tokenadmin.revoke", "identities.read"])
@pytest.mark.parametrize("fault", ["cut_before_effect", "cut_after_effect", "garbage", "sign_in_page"])
def test_promise_8_an_odd_answer_to_an_administrator_is_told_as_what_may_live(operation: str, fault: str) -> None:
    lab = a_lab(quick=False)
    lab.cloud.add_fault(operation, fault, call=None)
    (row,) = endings(emergency(lab))
    assert row.error is not None
    assert row.error.code is Code.LEAKED_PAT_LIVES
    assert leaked(lab).authorization_id in row.says
    lab.cloud.faults.clear()
    emergency(lab)
    assert leaked(lab).state(lab.clock.now()) == "revoked"


def test_an_administrators_listing_is_read_to_its_last_page() -> None:
    lab = a_lab(quick=False)
    for number in range(45):
        lab.cloud.pats.seed(AGENTS, "contoso", f"other {number}", "vso.code", valid_from=lab.clock.now() - days(3))
    lab.cloud.pats.pat(leaked(lab).authorization_id)
    emergency(lab)
    assert leaked(lab).state(lab.clock.now()) == "revoked"
    assert len([call for call in lab.operations() if call == "tokenadmin.list"]) >= 3


@pytest.mark.parametrize("rights", [True, False])
def test_check_online_says_whether_the_administrator_could(rights: bool, tmp_path: Path) -> None:
    lab = a_lab(quick=False, rights=rights)
    lab.cloud.directory.user(AGENTS).state = UserState.NORMAL
    shell = Shell(lab, tmp_path)
    code, document = shell.json("check", "--online")
    (found,) = [row for row in document["online"] if "as the administrator" in row["what"]]
    assert found["well"] is rights
    assert code == (0 if rights else 1)
    assert rights or "vso.tokenadministration" in found["says"]


def test_rule_16_an_administrator_without_items_stays_enrolled() -> None:
    lab = a_lab()
    lab.cloud.directory.user(AGENTS).state = UserState.NORMAL
    for _ in range(100):
        assert lab.later(days(1)).exit_code() == 0
    assert len(lab.kept(ADMIN)) > 10
    assert leaked(lab).state(lab.clock.now()) == "active"
    lab.cloud.directory.user(AGENTS).state = UserState.DISABLED
    emergency(lab)
    assert leaked(lab).state(lab.clock.now()) == "revoked"


@pytest.mark.parametrize(
    ("administrator", "says"),
    [
        ("nobody@contoso.com", "is none of `users:`"),
        (AGENTS, "signs in with a password"),
        ("5", "is none of `users:`"),
    ],
)
def test_check_tells_an_administrator_who_could_not(administrator: str, says: str) -> None:
    lab = a_lab(administrator=administrator)
    problems = pats_yaml.check(lab.pats_yaml())
    assert [says in problem.says and problem.path == "administrator" for problem in problems] == [True]
    assert pats_yaml.load(lab.pats_yaml()).administrator == ""
