"""SonarQube as a consumer (`then:`): it has the new value before the old PAT ends (promise 1).

What holds for consumers of every kind is in tests/rotation/test_push_of_every_kind.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from sandbox.cloud.sonarqube import AzureSetting
from shared.cli.check_online import check_online
from shared.fan_out.who_is_queued import PlannedItem
from shared.model.errors import Code
from shared.report.report import Outcome
from shared.rotation.observe import secret_seen
from shared.rotation.status import item_status
from shared.rules.plan import rests
from tests.lab.consumers import SONARQUBE
from tests.lab.fakes import FakeFlight, Storage
from tests.lab.lab import THEN, Lab, days, hours, item, outcomes, row
from tests.lab.watched_consumer import WatchedConsumer, due

SETTING = "contoso-azure"


def settings_of(lab: Lab) -> dict[str, AzureSetting]:
    return lab.cloud.sonarqubes["sonarqube.contoso.com"].azure


def test_what_cannot_be_held_is_told_all_along() -> None:
    """A predecessor dies of its own expiry, whatever its consumer does: seven days of failures come before."""
    watched = due(SONARQUBE)
    SONARQUBE.refuse(watched.lab)
    reports = watched.let_pass(days(8))
    assert {one.outcome for one in reports} == {"partial"}
    assert min(watched.dead) >= watched.lab.start + days(30)


@pytest.mark.parametrize("call", ["list_definitions", "update_azure", "validate"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "cut_after_effect"}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "cut_before_effect"}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "hang", "seconds": 300}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "status", "status": 503}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "status", "status": 429}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "status", "status": 401, "body": '{"errors":[{"msg":"x"}]}'}, Code.CONSUMER_REFUSED),
        ({"kind": "status", "status": 400, "body": '{"errors":[{"msg":"<b>no</b>"}]}'}, Code.CONSUMER_REFUSED),
        ({"kind": "foreign", "status": 401}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "foreign", "status": 404}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "redirect"}, Code.CONSUMER_UNREACHABLE),
        ({"kind": "sign_in_page"}, Code.CONSUMER_UNREACHABLE),
    ],
    ids=str,
)
def test_promise_1_no_answer_of_sonarqube_lets_its_copy_die(call: str, fault: dict[str, Any], code: Code) -> None:
    watched = due(SONARQUBE, quick=False)
    watched.lab.cloud.add_fault(f"sonarqube.{call}", call=None, **fault)
    told = [one.error for one in watched.lab.run().items if one.error is not None]
    assert [one.code for one in told] == [code]
    assert "<b>" not in told[0].message
    watched.let_pass(hours(30))
    assert len(watched.lab.live()) == 2
    watched.lab.cloud.faults.clear()
    watched.let_pass(hours(6))
    assert watched.dead == []
    assert watched.takes_current
    assert len(watched.lab.live()) == 1


# --- reconciled, not remembered --------------------------------------------------------------------------------------


def test_promise_1_a_dead_copy_that_the_check_calls_well_is_replaced_by_the_next_full_look() -> None:
    """SonarQube's check takes a page for people (203) for an answer, and calls the dead copy well."""
    watched = due(SONARQUBE, quick=False)
    lab, first = watched.lab, watched.copy
    lab.cloud.switches.sign_in_page = "203"
    watched.remember_looks()
    watched.let_pass(days(2))
    assert watched.takes_current
    SONARQUBE.put_back(lab, first)
    reports = watched.let_pass(days(1))
    assert watched.takes_current
    assert [line for report in reports for line in outcomes(report.items) if "not-pushed" in line] == []
    before = len(lab.operations())
    lab.later(timedelta(minutes=1))
    assert not [name for name in lab.operations()[before:] if name.startswith("sonarqube")], "asked once a day"


def test_a_consumer_that_does_not_answer_the_full_look_is_told_and_asked_again_the_next_day() -> None:
    watched = WatchedConsumer(SONARQUBE, quick=False)
    watched.lab.run()
    watched.remember_looks()
    grant = SONARQUBE.refuse(watched.lab)
    report = watched.lab.later(hours(6))
    assert outcomes(report.items) == ["build-pat rotate failed not-pushed", "build-pat hold held fresh"]
    assert "may lack the published value" in row(report).says
    assert "sonarqube-token" in row(report).says
    assert outcomes(watched.lab.later(hours(6)).items) == ["build-pat hold held fresh"]
    grant()
    assert {one.outcome for one in watched.let_pass(days(1))} == {"succeeded"}


def test_a_full_look_leaves_a_consumer_alone_whose_item_another_runner_has() -> None:
    watched = WatchedConsumer(SONARQUBE, quick=False)
    lab = watched.lab
    lab.run()
    storage = Storage()
    lab.flight = FakeFlight(storage, lab.clock, "here")
    before = len(lab.operations())
    with FakeFlight(storage, lab.clock, "there").held("build-pat"):
        assert outcomes(lab.later(hours(6)).items) == ["build-pat hold held fresh"]
    assert not [name for name in lab.operations()[before:] if name.startswith("sonarqube")]


def test_rule_8_an_emergency_that_ended_what_a_consumer_has_gives_it_the_published_value() -> None:
    """The timer replaced and pushed it before; then an older copy was put back."""
    watched = due(SONARQUBE)
    lab, first = watched.lab, watched.copy
    lab.run()
    SONARQUBE.put_back(lab, first)
    watched.end_looking()
    leaked_at = lab.clock.now() - hours(1)
    lab.wait(hours(1))
    report = lab.run("build-pat", published_before=leaked_at, emergency=True)
    assert "build-pat retire done emergency" in outcomes(report.items)
    assert watched.takes_current


def test_rule_8_an_emergency_ends_the_leaked_pat_before_it_waits_for_a_consumer() -> None:
    watched = due(SONARQUBE, quick=False)
    seen: list[str] = []
    watched.lab.cloud.before_effect = lambda met: seen.append(met.name)
    watched.lab.run("build-pat", emergency=True)
    assert seen.index("pats.revoke") < seen.index("sonarqube.list_definitions")
    assert watched.takes_current


def test_an_emergency_s_predecessor_is_not_held_by_a_later_run_either() -> None:
    watched = due(SONARQUBE, quick=False)
    watched.end_looking()
    SONARQUBE.refuse(watched.lab)
    watched.lab.cloud.add_fault("pats.revoke", "status", call=None, status=503)
    watched.lab.run("build-pat", emergency=True)
    assert len(watched.lab.live()) == 2
    watched.lab.cloud.faults.clear()
    before = len(watched.lab.operations())
    watched.lab.run()
    asked = watched.lab.operations()[before:]
    assert len(watched.lab.live()) == 1
    assert asked.index("pats.revoke") < asked.index("sonarqube.list_definitions")


def test_a_renewed_value_is_not_pushed_again() -> None:
    watched = due(SONARQUBE, strategy="renew")
    assert outcomes(watched.lab.run().items) == ["build-pat renew done near-expiry"]
    assert watched.takes_current


def test_promise_1_then_that_is_taken_off_leaves_alive_what_the_consumer_was_given_last() -> None:
    lab = Lab([item()], quick=True)
    server = lab.sonarqube()
    lab.run()
    lab.items = [item(then=THEN)]
    assert outcomes(lab.later(hours(6)).items) == ["build-pat rotate done not-pushed", "build-pat hold held fresh"]
    assert server.azure[SETTING].pat == lab.current("build-pat").value
    grant = SONARQUBE.refuse(lab)
    lab.later(days(24))
    lab.items = [item()]
    report = lab.later(days(2))
    assert outcomes(report.items) == ["build-pat hold held fresh"]
    (kept,) = report.leftovers
    assert server.azure[SETTING].pat in {
        pat.value for pat in lab.live() if pat.authorization_id == kept.authorization_id
    }
    assert "A consumer was given this PAT and nothing newer" in kept.says
    grant()
    lab.items = [item(then=THEN)]
    assert "build-pat retire done overlap-over" in outcomes(lab.later(hours(6)).items)
    assert len(lab.live()) == 1


def test_promise_1_then_that_is_taken_off_leaves_alive_what_was_given_last_also_when_no_tag_names_it_any_more() -> None:
    """The tag `predecessors` holds three: what no longer fits is found by its mark, and judged by all versions."""
    watched = due(SONARQUBE)
    lab, given = watched.lab, watched.copy
    lab.items = [item()]
    lab.run()
    kept = {name: value for name, value in lab.current("build-pat").tags.items() if name != "predecessors"}
    lab.vault.update("build-pat", "", {"tags": kept})
    report = lab.later(days(2))
    assert lab.cloud.pats.authenticate("contoso", given) is not None
    assert ["A consumer was given this PAT" in one.says for one in report.leftovers] == [True]
    lab.items = [item(then=THEN)]
    lab.later(hours(6))
    assert watched.takes_current
    assert watched.dead == []
    assert len(lab.live()) == 1


def test_another_setting_is_another_consumer() -> None:
    watched = WatchedConsumer(SONARQUBE)
    watched.lab.run()
    settings = settings_of(watched.lab)
    settings["other"] = AzureSetting("other", "https://dev.azure.com/contoso", "")
    watched.lab.items = [item(then={**THEN, "alm_setting": "other"})]
    watched.lab.later(hours(6))
    assert settings["other"].pat == watched.lab.current("build-pat").value


def test_the_setting_s_address_stays_and_one_of_another_organization_is_refused() -> None:
    watched = WatchedConsumer(SONARQUBE, quick=False)
    settings_of(watched.lab)[SETTING].url = "https://contoso.visualstudio.com"
    watched.lab.run()
    assert settings_of(watched.lab)[SETTING].url == "https://contoso.visualstudio.com"
    watched = WatchedConsumer(SONARQUBE, quick=False)
    settings_of(watched.lab)[SETTING].url = "https://dev.azure.com/fabrikam/"
    error = row(watched.lab.run()).error
    assert error is not None
    assert "another organization than contoso" in error.message
    assert watched.copy == ""


def test_a_check_that_fails_after_the_push_is_told_with_what_may_be_missing() -> None:
    watched = WatchedConsumer(SONARQUBE, quick=False)
    watched.lab.cloud.switches.projects_with_code_scope = False
    error = row(watched.lab.run()).error
    assert error is not None
    assert "vso.project" in error.remedy
    assert watched.takes_current


def test_a_refused_token_is_tried_once_in_a_run() -> None:
    lab = Lab([item(then=THEN), item("other-pat", then={**THEN, "alm_setting": "other"})])
    lab.sonarqube()
    SONARQUBE.refuse(lab)
    lab.run()
    assert [name for name in lab.operations() if name.startswith("sonarqube")] == ["sonarqube.list_definitions"]


def test_one_refused_setting_leaves_the_server_s_others_alone() -> None:
    lab = Lab([item("other-pat", then={**THEN, "alm_setting": "other"}), item(then=THEN)])
    server = lab.sonarqube()
    report = lab.run()
    assert sorted(outcomes(report.items)) == [
        "build-pat rotate done not-pushed",
        "build-pat rotate done nothing-published",
        "other-pat rotate done nothing-published",
        "other-pat rotate failed not-pushed",
    ]
    assert server.azure[SETTING].pat == lab.current("build-pat").value


def test_promise_7_neither_the_value_nor_the_token_travels_in_an_address() -> None:
    watched = due(SONARQUBE, quick=False)
    watched.lab.run()  # tests/conftest.py looks for both in every address, log and report
    calls = [call for call in watched.lab.cloud.calls() if call.operation.startswith("sonarqube")]
    assert {call.query for call in calls} == {"", f"key={SETTING}"}


def test_rule_11_there_must_be_room_for_the_tag_of_the_consumer_before_minting() -> None:
    for mine, taken in ((item(then=THEN), True), (item(), False)):
        lab = Lab([mine])
        lab.sonarqube()
        lab.run()
        own = {f"own-{number}": "x" for number in range(8)}
        lab.vault.update("build-pat", "", {"tags": {**lab.current("build-pat").tags, **own}})
        report = lab.later(days(24))
        codes = [one.error.code for one in report.items if one.error]
        assert codes == ([Code.PUBLISH_WOULD_FAIL] if taken else [])


def test_rule_13_a_new_technical_user_s_value_is_pushed_before_the_former_owner_s_pat_ends() -> None:
    lab = Lab(estate={**demo_estate(), "pats": [], "vaults": demo_vaults()}, quick=True)
    server = lab.sonarqube()

    def owners(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"username": "svc-agents@contoso.com", "password_secret_name": "svc-agents-password", "pats": mine},
            {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": theirs},
        ]

    lab.users = owners([item(then=THEN)], [])
    lab.run()
    first = server.azure[SETTING].pat
    lab.users = owners([], [item(then=THEN)])
    grant = SONARQUBE.refuse(lab)
    lab.later(hours(6))
    lab.later(days(2))
    assert lab.cloud.pats.authenticate("contoso", first) is not None
    grant()
    lab.later(hours(6))
    assert server.azure[SETTING].pat == lab.current("build-pat").value
    assert lab.cloud.pats.authenticate("contoso", first) is None


def demo_vaults() -> list[dict[str, Any]]:
    published, credentials, *_ = demo_estate()["vaults"]
    return [{"host": published["host"], "secrets": []}, credentials]


def test_rule_13_a_decommissioned_item_owes_its_consumer_nothing() -> None:
    """Its secret is disabled, so what was not pushed before can never be; and nobody is to use it."""
    watched = due(SONARQUBE)
    lab, allow = watched.lab, SONARQUBE.refuse(watched.lab)
    lab.run()
    lab.items = [item(then=THEN, decommission=True)]
    assert lab.later(hours(6)).exit_code() == 0
    allow()
    for _ in range(5):
        report = lab.later(hours(6))
        assert outcomes(report.items) == ["build-pat hold held decommissioned"]
    assert lab.live() == []


def test_promise_2_an_orphan_of_a_decommissioned_item_ends_without_a_push() -> None:
    """A run at the same moment had minted it and was killed; the secret is disabled, so nothing can be pushed."""
    watched = due(SONARQUBE)
    lab = watched.lab
    lab.items = [item(then=THEN, decommission=True)]
    lab.run()
    name = lab.settings.mark.display_name("build-pat")
    lost = lab.cloud.pats.seed(AGENTS, "contoso", name, "vso.code", valid_from=lab.clock.now())
    report = lab.later(hours(3))
    assert lost.revoked
    assert report.exit_code() == 0, report.to_json()


def test_a_paused_item_is_not_pushed_and_a_dry_run_tells_what_it_would_push() -> None:
    lab = Lab([item()], quick=True)
    server = lab.sonarqube()
    lab.run()
    lab.items = [item(then=THEN, paused=True)]
    assert outcomes(lab.run().items) == ["build-pat hold held paused"]
    lab.items = [item(then=THEN)]
    report = lab.run(dry_run=True)
    assert outcomes(report.items) == ["build-pat rotate planned not-pushed", "build-pat hold held fresh"]
    assert (
        row(report).says
        == "build-pat: SonarQube https://sonarqube.contoso.com (contoso-azure) would be given the published value."
    )
    assert server.azure[SETTING].pat == ""


def test_one_pushed_item_per_run_is_one_row_however_often_it_is_asked_for() -> None:
    """The overlap is over and the push was owed: pushed once, then revoked."""
    watched = due(SONARQUBE, quick=False)
    grant = SONARQUBE.refuse(watched.lab)
    watched.lab.run()
    grant()
    before = len(watched.lab.operations())
    watched.lab.later(days(2))
    assert watched.lab.operations()[before:].count("sonarqube.update_azure") == 1


def test_the_token_that_cannot_be_read_is_told_by_the_name_of_its_secret() -> None:
    watched = due(SONARQUBE, quick=False)
    watched.lab.cloud.vaults["patrol-demo-creds.vault.azure.net"].delete("sonarqube-token")
    error = row(watched.lab.run()).error
    assert error is not None
    assert error.code is Code.CONSUMER_TOKEN_UNREADABLE
    assert "sonarqube-token" in error.message


def test_check_online_finds_what_a_push_needs_and_changes_nothing() -> None:
    watched = WatchedConsumer(SONARQUBE, quick=False)
    lab = watched.lab

    def finding() -> tuple[bool, str]:
        found = check_online(lab.inventory(), lab.settings, lab.world())
        (one,) = [one for one in found if one.what.startswith("find SonarQube")]
        return one.well, one.says

    assert finding() == (True, "")
    assert not any(call.effect for call in lab.cloud.calls() if call.operation.startswith("sonarqube"))
    del settings_of(watched.lab)[SETTING]
    assert finding()[0] is False
    assert "has no Azure DevOps setting of that key" in finding()[1]
    SONARQUBE.refuse(watched.lab)
    assert "Administer System" in finding()[1]
    assert watched.lab.cloud.calls("sonarqube.update_azure") == []


def test_a_run_without_time_leaves_a_push_for_the_next_one() -> None:
    lab = Lab([item()])
    lab.sonarqube()
    lab.run()
    lab.items = [item(then=THEN)]

    def late(met: Operation) -> None:
        if met.name == "pats.list":
            lab.wait(timedelta(minutes=30))

    lab.cloud.after_effect = late
    assert [one.outcome for one in lab.run().items] == [Outcome.LEFT]
    lab.cloud.after_effect = None
    assert outcomes(lab.run().items)[0] == "build-pat rotate done not-pushed"


def test_status_and_the_dispatcher_see_a_push_that_is_owed_in_the_listing_alone() -> None:
    lab = Lab([item()], quick=True)
    lab.sonarqube()
    lab.run()
    lab.items = [item(then=THEN)]
    (mine,) = lab.inventory().items()

    def seen() -> tuple[str, bool]:
        secret = secret_seen("build-pat", lab.quick_world().vault.listing(), lab.quick_world().vault, lab.settings.mark)
        now = lab.clock.now()
        known = PlannedItem.of(mine, secret, now)
        return item_status(mine, secret, None, now).because, not rests(mine, secret, known.step, now)

    assert seen() == ("not-pushed", True)
    lab.run()
    assert seen() == ("near-expiry", False)


@pytest.mark.parametrize("again", ["forced", "scopes"])
def test_promise_1_a_second_rotation_before_the_push_does_not_end_what_sonarqube_holds(again: str) -> None:
    """Its overlap was over long before the new version: that is no emergency, which waits for no consumer."""
    watched = due(SONARQUBE)
    lab = watched.lab
    grant = SONARQUBE.refuse(watched.lab)
    lab.run()
    lab.wait(days(2))
    if again == "scopes":
        lab.items = [item(then=THEN, scopes=["vso.code", "vso.build"])]
    report = lab.run("build-pat", force=again == "forced")
    assert [one.outcome for one in report.items if one.step == "rotate" and one.because != "not-pushed"] == ["done"]
    watched.let_pass(days(2))
    assert watched.dead == []
    grant()
    watched.let_pass(days(3))
    assert watched.dead == []
    assert watched.takes_current
    assert len(lab.live()) == 1


def test_rule_8_an_emergency_after_the_second_rotation_waits_for_no_consumer() -> None:
    watched = due(SONARQUBE)
    lab = watched.lab
    SONARQUBE.refuse(watched.lab)
    lab.run()
    lab.wait(days(2))
    lab.run("build-pat", force=True)
    lab.run("build-pat", emergency=True)
    assert [pat.authorization_id for pat in lab.live()] == [lab.current("build-pat").tags["authorization-id"]]
