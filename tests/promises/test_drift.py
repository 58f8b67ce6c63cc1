"""What people do to PATs, secrets and pats.yaml behind patrol's back (rules 4, 5, 7, 8, 10 and 13)."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate, mark
from shared.model.errors import Code, Denied, Misconfigured, PatrolError
from shared.report.report import Outcome
from tests.lab.lab import Lab, days, hours, item, outcomes, row


def published(**more: Any) -> Lab:
    lab = Lab([item(**more)])
    lab.run()
    lab.wait(days(2))
    return lab


def two_users() -> Lab:
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    lab = Lab(estate=estate)
    lab.users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item()]},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": []},
    ]
    return lab


@pytest.mark.parametrize("get_revoked", ["authorizationNotFound", "returned", "404"])
def test_rule_5_a_pat_that_a_person_revoked_is_replaced_once_that_is_proved(get_revoked: str) -> None:
    lab = published()
    if get_revoked != "404":
        lab.cloud.switches.get_revoked = get_revoked
    lab.cloud.pats.revoke_as_person(lab.live()[0].authorization_id)
    assert outcomes(lab.run().items) == ["build-pat rotate done gone"]
    assert lab.works("build-pat")
    assert "predecessors" not in lab.current("build-pat").tags


def test_rule_5_a_listing_that_fails_at_its_second_page_mints_and_revokes_nothing() -> None:
    lab = published()
    lab.cloud.switches.page_size_limit = 1
    lab.cloud.pats.seed(AGENTS, "contoso", "another", "vso.code", valid_from=lab.clock.now())
    lab.cloud.add_fault("pats.list", "garbage", call=None, where="continuationToken")
    before = len(lab.cloud.pats.all())
    report = lab.run()
    assert row(report).outcome is Outcome.FAILED
    assert len(lab.cloud.pats.all()) == before
    assert lab.works("build-pat")


def test_rule_5_a_vault_listing_that_fails_at_its_second_page_stops_the_run() -> None:
    lab = published()
    for number in range(30):
        lab.vault.seed(f"other-{number}", "x")
    lab.cloud.add_fault("vault.list", "status", call=None, where="skiptoken", status=500)
    with pytest.raises(Misconfigured) as caught:
        lab.run()
    assert caught.value.code is Code.VAULT_UNREACHABLE
    assert lab.cloud.calls("pats.list") == lab.cloud.calls("pats.list")[:1]


def test_rule_10_an_edited_value_is_neither_read_nor_replaced_until_taken_back() -> None:
    lab = published()
    lab.vault.set_secret("build-pat", "pasted by a person")
    reads = len(lab.cloud.calls("vault.get"))
    report = lab.run()
    assert row(report).error is not None
    assert row(report).because == "edited"
    assert lab.current("build-pat").value == "pasted by a person"
    assert len(lab.cloud.calls("vault.get")) == reads + 2  # the two credentials
    assert len(lab.live()) == 1
    report = lab.run("build-pat", force=True, adopt=True)
    assert outcomes(report.items) == ["build-pat rotate done taken-back"]
    assert lab.works("build-pat")
    for _ in range(6):
        lab.later(hours(6))
    assert [one.authorization_id for one in lab.live()] == [lab.current("build-pat").tags["authorization-id"]]


def test_promise_4_an_unmarked_secret_is_left_alone() -> None:
    lab = Lab([item()])
    lab.vault.seed("build-pat", "a person's", created=lab.clock.now())
    report = lab.run()
    assert row(report).because == "unmarked"
    assert report.exit_code() == 1
    assert lab.current("build-pat").value == "a person's"
    assert lab.cloud.calls("pats.create") == []


def test_rule_3_two_deployments_never_touch_each_other() -> None:
    estate = {**demo_estate(), "pats": []}
    other = "patrol-demo-other.vault.azure.net"
    first = estate["vaults"][0]["host"]
    estate["vaults"] = [{"host": first, "secrets": []}, estate["vaults"][1], {"host": other, "secrets": []}]
    one = Lab([item()], estate=estate, environment={"DEPLOYMENT_NAME": "prod"})
    two = Lab([item()], environment={"DEPLOYMENT_NAME": "prod", "KEY_VAULT_URL": f"https://{other}"})
    two.cloud, two.manual, two.clock = one.cloud, one.manual, one.clock
    two.watch.cloud = one.cloud
    for _ in range(160):
        one.run()
        two.later(hours(6))
        assert one.works("build-pat")
        assert two.works("build-pat")
    live = {pat.authorization_id for pat in one.live("build-pat")} | {p.authorization_id for p in two.live("build-pat")}
    assert len(live) == len(one.cloud.live_pats())
    assert one.settings.mark != two.settings.mark


def test_rule_3_a_secret_with_another_deployment_s_mark_fails_naming_it() -> None:
    lab = published()
    tags = {**lab.current("build-pat").tags, "managed-by": "patrol/staging-abcdef"}
    lab.vault.update("build-pat", "", {"tags": tags})
    report = lab.run()
    assert row(report).because == "foreign"
    assert "patrol/staging-abcdef" in row(report).says


@pytest.mark.parametrize(
    ("change", "because"),
    [({"scopes": ["vso.code", "vso.build"]}, "scopes-changed"), ({"organization": "fabrikam"}, "organization-changed")],
    ids=["scopes", "organization"],
)
def test_rule_13_a_changed_item_is_rotated_and_its_predecessor_retired(change: dict[str, Any], because: str) -> None:
    lab = two_users()
    lab.run()
    lab.users[0]["pats"] = [item(**change)]
    report = lab.later(days(1))
    assert row(report).because == because
    for _ in range(6):
        report = lab.later(hours(6))
    assert [one.authorization_id for one in lab.live()] == [lab.current("build-pat").tags["authorization-id"]]
    assert report.exit_code() == 0
    assert report.leftovers == ()


def test_rule_13_a_changed_user_s_predecessor_is_retired_with_the_old_user() -> None:
    lab = two_users()
    lab.run()
    lab.users[0]["pats"], lab.users[1]["pats"] = [], [item()]
    report = lab.later(days(1))
    assert row(report).because == "user-changed"
    assert len(lab.live()) == 2
    for _ in range(6):
        report = lab.later(hours(6))
    assert [(one.owner, one.authorization_id) for one in lab.live()] == [
        (SONAR, lab.current("build-pat").tags["authorization-id"])
    ]
    assert "predecessors" not in lab.current("build-pat").tags


def test_rule_13_a_former_user_who_is_not_in_the_file_leaves_a_leftover_in_every_run() -> None:
    lab = two_users()
    lab.run()
    old = lab.current("build-pat").tags["authorization-id"]
    lab.users = [{**lab.users[1], "pats": [item()]}]
    for report in (lab.later(days(1)), lab.later(hours(6)), lab.later(days(2))):
        assert [one.authorization_id for one in report.leftovers] == [old]
    assert {one.authorization_id for one in lab.live()} == {old, lab.current("build-pat").tags["authorization-id"]}


def test_rule_13_a_decommissioned_item_s_pat_ends_and_its_secret_is_disabled() -> None:
    lab = published()
    lab.items = [item(decommission=True)]
    assert outcomes(lab.run().items) == ["build-pat decommission done decommissioned"]
    assert lab.live() == []
    assert not lab.current("build-pat").enabled
    before = [call for call in lab.cloud.calls() if call.effect]
    assert outcomes(lab.run().items) == ["build-pat hold held decommissioned"]
    after = [call for call in lab.cloud.calls() if call.effect]
    assert {call.operation for call in after[len(before) :]} <= {"entra.token", "identity.token"}


def test_rule_13_an_item_that_vanished_is_unmanaged_and_its_value_goes_on_working() -> None:
    lab = published()
    lab.items = [item("other-pat")]
    report = lab.run()
    assert report.unmanaged == ("build-pat",)
    assert lab.works("build-pat")
    assert row(report, "other-pat").outcome is Outcome.DONE


def test_a_renamed_organization_is_written_on_the_tags_and_rotates_nothing() -> None:
    lab = published()
    lab.cloud.pats.rename_organization("contoso", "contoso-new")
    assert row(lab.run()).error is not None
    assert lab.current("build-pat").tags["organization"] == "contoso"
    lab.items = [item(organization="contoso-new")]
    assert outcomes(lab.run().items) == ["build-pat hold done renamed"]
    assert lab.current("build-pat").tags["organization"] == "contoso-new"
    assert len(lab.cloud.pats.all()) == 1


def test_rule_11_a_soft_deleted_secret_is_told_before_minting_and_recovered_when_asked_for() -> None:
    lab = published()
    lab.vault.delete("build-pat")
    lab.vault.settle()
    report = lab.run()
    assert row(report).error is not None
    assert row(report).because == "deleted"
    assert "recover" in row(report).says
    assert len(lab.live()) == 1  # rule 4: kept while its secret is soft-deleted
    lab.items = [item(recover_deleted=True)]
    report = lab.run()
    assert report.exit_code() == 0
    assert lab.works("build-pat")


def test_rule_11_too_many_tags_fail_before_minting() -> None:
    lab = published()
    crowd = {f"own-{number}": "x" for number in range(9)}
    lab.vault.update("build-pat", "", {"tags": {**lab.current("build-pat").tags, **crowd}})
    mints = len(lab.cloud.calls("pats.create"))
    report = lab.run("build-pat", force=True)
    assert row(report).error is not None
    assert row(report).error.code is Code.PUBLISH_WOULD_FAIL  # type: ignore[union-attr]
    assert len(lab.cloud.calls("pats.create")) == mints


def test_rule_11_a_vault_that_refused_the_writes_of_two_secrets_is_not_minted_for_again() -> None:
    lab = Lab([item(f"pat-{number}") for number in range(5)])
    lab.run()  # signed in before, so that the user is known
    lab.wait(days(24))
    minted = len(lab.cloud.calls("pats.create"))
    lab.vault.denied.add("set")
    report = lab.run()
    assert report.outcome == "failed"
    assert len(lab.cloud.calls("pats.create")) == minted + 2
    assert len(lab.live()) == 5
    assert [one.error.code for one in report.items if one.error].count(Code.VAULT_CLOSED) == 3


def test_rule_11_what_refuses_one_secret_alone_closes_the_vault_for_no_other() -> None:
    """A policy, a conditioned role or its own lock: its PAT is made and ended, and everything else is published."""
    lab = Lab([item(f"pat-{number}") for number in range(5)], quick=True)
    refused: list[str] = []

    def policy(operation: str) -> PatrolError | None:
        if operation == "vault.set" and len(refused) < 1 and lab.live():
            refused.append(operation)
            return Denied(Code.PUBLISH_FORBIDDEN, "HTTP 403 ForbiddenByPolicy", "-")
        return None

    lab.trouble.before = policy
    report = lab.run()
    assert sorted(one.outcome for one in report.items) == [Outcome.DONE] * 4 + [Outcome.FAILED]
    assert [one.error.code for one in report.items if one.error] == [Code.PUBLISH_FORBIDDEN]
    assert len(lab.live()) == 4


def test_rule_7_a_forged_tag_ends_nobody_s_pat() -> None:
    lab = published()
    victim = lab.cloud.pats.seed(AGENTS, "contoso", "somebody's own", "vso.code", valid_from=lab.clock.now())
    other = lab.cloud.pats.seed(AGENTS, "contoso", mark("other-pat"), "vso.code", valid_from=lab.clock.now())
    forged = f"{victim.authorization_id}@2026-01-01T00:00:00Z {other.authorization_id}@2026-01-01T00:00:00Z"
    lab.vault.update("build-pat", "", {"tags": {**lab.current("build-pat").tags, "predecessors": forged}})
    report = lab.run()
    assert not victim.revoked
    assert not other.revoked
    assert {one.authorization_id for one in report.leftovers} == {victim.authorization_id, other.authorization_id}


def test_rule_4_an_orphan_is_ended_after_two_hours_and_not_before() -> None:
    lab = published()
    orphan = lab.cloud.pats.seed(AGENTS, "contoso", mark("build-pat"), "vso.code", valid_from=lab.clock.now())
    lab.later(hours(1.9))
    assert not orphan.revoked
    report = lab.later(hours(0.2))
    assert orphan.revoked
    assert "build-pat retire done orphan" in outcomes(report.items)
    assert lab.works("build-pat")


def test_rule_4_a_pat_that_an_older_version_names_keeps_its_overlap() -> None:
    lab = published(overlap="5d")
    lab.run("build-pat", force=True)
    former = next(
        one for one in lab.live() if one.authorization_id != lab.current("build-pat").tags["authorization-id"]
    )
    tags = {key: value for key, value in lab.current("build-pat").tags.items() if key != "predecessors"}
    lab.vault.update("build-pat", "", {"tags": tags})
    lab.later(days(4.9))
    assert not former.revoked
    lab.later(days(0.2))
    assert former.revoked


def test_rule_15_a_skewed_clock_stops_the_run_before_anything_is_done() -> None:
    lab = published()
    lab.skew = hours(1)
    with pytest.raises(Misconfigured) as caught:
        lab.run()
    assert caught.value.code is Code.CLOCK_SKEW


def test_a_pat_that_expired_unnoticed_is_replaced_without_a_predecessor() -> None:
    lab = published()
    lab.wait(days(60))
    assert not lab.works("build-pat")
    assert outcomes(lab.run().items) == ["build-pat rotate done expired"]
    assert lab.works("build-pat")
    assert "predecessors" not in lab.current("build-pat").tags


def test_a_renamed_item_is_a_new_one_and_the_old_one_is_unmanaged() -> None:
    lab = published()
    lab.items = [item("renamed-pat")]
    report = lab.run()
    assert report.unmanaged == ("build-pat",)
    assert lab.works("renamed-pat")
    assert lab.works("build-pat")


def test_rule_5_a_pat_that_get_still_shows_does_not_count_as_gone() -> None:
    lab = published()
    empty = '{"continuationToken":"","patTokens":[]}'
    lab.cloud.add_fault("pats.list", "status", call=None, times=2, status=200, body=empty)
    assert outcomes(lab.run().items) == ["build-pat hold held fresh"]
    assert len(lab.cloud.pats.all()) == 1


def test_promise_1_a_predecessor_that_may_be_all_that_works_is_not_ended() -> None:
    lab = published()
    lab.run("build-pat", force=True)
    current = lab.current("build-pat").tags["authorization-id"]
    former = next(pat for pat in lab.live() if pat.authorization_id != current)
    lab.cloud.pats.revoke_as_person(current)
    lab.cloud.pats.organization("contoso").policies.creation_restricted = True
    report = lab.later(days(2))
    assert row(report).outcome is Outcome.FAILED
    assert not former.revoked
    lab.cloud.pats.organization("contoso").policies.creation_restricted = False
    lab.run()
    assert lab.works("build-pat")
    lab.later(hours(25))
    assert former.revoked
    assert lab.works("build-pat")


def test_rule_7_what_is_taken_off_the_tags_is_taken_off_the_current_version_alone() -> None:
    lab = published()
    for _ in range(3):
        lab.run("build-pat", force=True)
        lab.wait(days(2))
        before = {one.id: dict(one.tags) for one in lab.vault.secret("build-pat").versions.values()}
        current = lab.current("build-pat").id
        lab.run()
        for one in lab.vault.secret("build-pat").versions.values():
            if one.id != current:
                assert one.tags == before[one.id]
        assert "predecessors" not in lab.current("build-pat").tags


@pytest.mark.parametrize("quick", [False, True], ids=["adapters", "fakes"])
def test_promise_1_a_published_value_whose_tags_somebody_took_away_is_kept_alive(quick: bool) -> None:
    """Without tags no version names its PAT, so it looks like an orphan; its content type still says whose it is."""
    lab = Lab([item()], quick=quick)
    lab.run()
    version = lab.current("build-pat")
    lab.vault.update("build-pat", version.id, {"tags": {}})
    for _ in range(3):
        report = lab.later(hours(6))
        error = row(report).error
        assert error is not None
        assert error.code is Code.EDITED
        assert lab.works("build-pat")
    taken_back = lab.run("build-pat", force=True, adopt=True)
    assert row(taken_back).outcome is Outcome.DONE
    lab.later(hours(23))
    assert len(lab.live("build-pat")) == 2, "who read the old value before can use it for the overlap"
    lab.later(hours(2))
    assert [pat.authorization_id for pat in lab.live("build-pat")] == [
        lab.current("build-pat").tags["authorization-id"]
    ]
    assert lab.works("build-pat")


@pytest.mark.parametrize("in_file", [True, False])
def test_promise_1_a_deleted_secret_that_patrol_may_not_look_for_keeps_its_pat(in_file: bool) -> None:
    """Somebody may recover it, and consumers use its PAT meanwhile."""
    lab = Lab([item()])
    lab.run()
    lab.wait(hours(3))
    (pat,) = lab.live()
    lab.vault.delete("build-pat")
    lab.vault.denied.add("deleted")
    if not in_file:
        lab.items = [item("other-pat")]
    for _ in range(2):
        lab.run()
        lab.wait(hours(6))
    assert not pat.revoked


def test_promise_1_a_deletion_that_has_not_settled_keeps_its_pat() -> None:
    lab = Lab([item()])
    lab.run()
    lab.wait(hours(3))
    (pat,) = lab.live()
    lab.cloud.switches.delete_refusals = 4
    lab.vault.delete("build-pat")
    report = lab.run()
    assert row(report).error is not None
    assert not pat.revoked


def test_rule_5_a_404_that_is_not_the_vault_s_own_proves_nothing() -> None:
    """A proxy or a wrong private endpoint answers so: no older version is seen that names the PAT in overlap."""
    lab = Lab([item()])
    lab.run()
    lab.later(days(24))
    lab.wait(hours(3))
    pats = lab.live()
    del lab.current("build-pat").tags["predecessors"]
    lab.cloud.add_fault("vault.versions", "status", status=404, body="<html>", content_type="text/html", call=None)
    lab.run()
    assert len(pats) == 2
    assert not any(pat.revoked for pat in pats)
