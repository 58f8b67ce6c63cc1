"""Before, while and after a value is published: rules 2 and 11, verification, policies (promises 1 and 2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.seed import AGENTS
from shared.model.errors import Code
from shared.report.report import Outcome
from tests.lab.lab import Lab, days, hours, item, outcomes, row


def due(**more: Any) -> Lab:
    """One item, published 24 days ago and due now; its estate was made without HTTP."""
    lab = Lab([item(**more)], quick=True)
    lab.run()
    lab.wait(days(24))
    lab.quick = False
    return lab


def code_of(lab: Lab, **asks: Any) -> Code:
    report = lab.run(**asks)
    failure = row(report).error
    assert row(report).outcome is Outcome.FAILED
    assert failure is not None
    assert failure.remedy
    return failure.code


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (
            403,
            '{"error":{"code":"Forbidden","message":"x","innererror":{"code":"ForbiddenByRbac"}}}',
            "publish-forbidden",
        ),
        (409, '{"error":{"code":"Conflict","innererror":{"code":"ObjectIsDeletedButRecoverable"}}}', "secret-deleted"),
        (400, '{"error":{"code":"BadParameter","message":"x"}}', "publish-refused"),
        (429, '{"error":{"code":"Throttled","message":"x"}}', "vault-unreachable"),
    ],
)
def test_rule_2_a_plain_refusal_ends_the_fresh_pat_and_leaves_the_old_one_current(
    status: int, body: str, code: str
) -> None:
    lab = due()
    before = lab.current("build-pat")
    lab.cloud.add_fault("vault.set", "status", call=None, status=status, body=body)
    assert code_of(lab) == code
    assert len(lab.cloud.calls("vault.set")) == 1
    assert lab.current("build-pat") == before
    assert lab.works("build-pat")
    assert [pat.authorization_id for pat in lab.live()] == [before.tags["authorization-id"]]


def test_rule_2_a_vault_that_cannot_be_reached_is_a_plain_refusal() -> None:
    lab = due()
    lab.unreachable_for = "vault.set"
    assert code_of(lab) == Code.VAULT_UNREACHABLE
    assert len(lab.live()) == 1


def test_rule_2_doubt_is_settled_by_reading_back_and_never_revokes() -> None:
    lab = due()
    lab.cloud.add_fault("vault.set", "status", status=500, after_effect=True)
    assert outcomes(lab.run().items) == ["build-pat rotate done near-expiry"]
    assert len(lab.cloud.calls("vault.set")) == 1
    assert lab.works("build-pat")


def test_rule_2_a_500_after_the_effect_and_then_429s_revokes_nothing() -> None:
    lab = due()
    lab.cloud.add_fault("vault.set", "status", status=500, after_effect=True)
    lab.cloud.add_fault("vault.get", "status", call=None, status=429, where="build-pat")
    assert code_of(lab) == Code.PUBLISH_UNCLEAR
    assert lab.works("build-pat")
    assert len(lab.live()) == 2
    lab.cloud.faults.clear()
    for _ in range(6):
        lab.later(hours(6))
    assert len(lab.live()) == 1
    assert lab.works("build-pat")


def suspended(lab: Lab, operation: str, duration: timedelta, moment: str) -> None:
    def suspend(met: Operation) -> None:
        if met.name == operation:
            setattr(lab.cloud, f"{moment}_effect", None)
            lab.wait(duration)

    setattr(lab.cloud, f"{moment}_effect", suspend)


def test_rule_2_nothing_is_published_more_than_five_minutes_after_minting() -> None:
    lab = due()
    suspended(lab, "devops.connection_data", timedelta(minutes=6), "after")
    assert code_of(lab) == Code.PUBLISH_LATE
    assert len(lab.live()) == 1
    assert lab.works("build-pat")


def test_rule_2_a_write_that_arrives_hours_late_is_mended_in_the_same_run() -> None:
    lab = due()

    def suspend(met: Operation) -> None:
        if met.name == "vault.set":
            lab.cloud.before_effect = None
            lab.wait(hours(3))
            lab.run()  # the timer, meanwhile: it ends what it must take for an orphan
            lab.wait(hours(1))

    lab.cloud.before_effect = suspend
    lab.run()
    assert lab.works("build-pat")


def died_late(lab: Lab, meanwhile: Callable[[], object]) -> None:
    """The write arrives when its PAT is dead; `meanwhile` happens before whoever wrote it asks whether it works."""
    state = "before"

    def suspend(met: Operation) -> None:
        nonlocal state
        if met.name == "vault.set" and met.subject == "build-pat" and state == "before":
            state = "suspended"
            lab.wait(hours(3))
            lab.run()
            lab.wait(hours(1))
            state = "late"
        elif met.name == "devops.connection_data" and state == "late":
            lab.cloud.before_effect = None
            meanwhile()

    lab.cloud.before_effect = suspend


def test_rule_10_what_a_person_pasted_over_a_late_value_is_not_overwritten_by_its_mending() -> None:
    lab = due()
    died_late(lab, lambda: lab.vault.set_secret("build-pat", "pasted by a person"))
    assert code_of(lab) == Code.EDITED
    assert lab.current("build-pat").value == "pasted by a person"


def test_rule_10_a_late_version_that_a_person_disabled_is_not_replaced_by_its_mending() -> None:
    lab = due()
    died_late(lab, lambda: lab.vault.update("build-pat", "", {"attributes": {"enabled": False}}))
    assert code_of(lab) == Code.DISABLED
    assert not lab.current("build-pat").enabled


def test_rule_2_a_late_value_that_another_run_replaced_is_left_to_it() -> None:
    lab = due()

    def replace_it() -> None:
        lab.wait(timedelta(seconds=2))
        lab.run("build-pat", force=True, adopt=True)

    died_late(lab, replace_it)
    assert code_of(lab) == Code.VAULT_UNCLEAR
    assert lab.works("build-pat")


def late_orphan(lab: Lab, meanwhile: Callable[[], object]) -> None:
    """The write of a suspended run arrives while another one ends its PAT as an orphan."""
    name = lab.live()[0].display_name
    at = lab.clock.now() - hours(3)
    lost = lab.cloud.pats.seed(AGENTS, "contoso", name, "vso.code", valid_from=at, valid_to=at + days(20))
    tags = {**lab.current("build-pat").tags, "authorization-id": lost.authorization_id}

    def write(met: Operation) -> None:
        if met.name == "pats.revoke":
            lab.cloud.before_effect = None
            lab.vault.set_secret("build-pat", lost.value, tags=tags, expires=int(lost.valid_to.timestamp()))
            meanwhile()

    lab.cloud.before_effect = write


def test_rule_2_who_ended_an_orphan_replaces_it_where_it_became_current_at_that_moment() -> None:
    lab = Lab([item()])
    lab.run()
    lab.wait(days(3))
    late_orphan(lab, lambda: None)
    assert "build-pat rotate done died-while-published" in outcomes(lab.run().items)
    assert lab.works("build-pat")


@pytest.mark.parametrize("keys", [{"decommission": True}, {"paused": True}], ids=str)
def test_rule_2_who_ended_an_orphan_replaces_nothing_that_pats_yaml_says_to_leave_or_end(keys: dict[str, Any]) -> None:
    lab = Lab([item()])
    lab.run()
    lab.wait(days(3))
    lab.items = [item(**keys)]
    late_orphan(lab, lambda: None)
    report = lab.run()
    assert not [one for one in report.items if one.step == "rotate"]


@pytest.mark.parametrize("fault", ["sign_in_page", "redirect", "wrong_type"])
def test_a_pat_that_never_verifies_is_ended_and_nothing_is_published(fault: str) -> None:
    lab = due()
    before = lab.current("build-pat")
    lab.cloud.add_fault("devops.connection_data", fault, call=None)
    report = lab.run()
    assert row(report).error is not None
    assert row(report).error.code in (Code.VERIFY_FAILED, Code.VERIFY_UNCLEAR)  # type: ignore[union-attr]
    assert lab.current("build-pat") == before
    assert len(lab.live()) == 1
    assert len(lab.cloud.calls("pats.create")) == 1


def test_a_new_pat_is_given_some_seconds_to_spread() -> None:
    lab = due()
    lab.cloud.switches.new_pat_refusals = 4
    assert row(lab.run()).outcome is Outcome.DONE
    assert lab.works("build-pat")


def test_scopes_that_cannot_read_connection_data_are_told_about_the_verify_key() -> None:
    lab = Lab([item(scopes=["vso.packaging"])])
    lab.cloud.switches.connection_data_for_narrow_scopes = False
    report = lab.run()
    assert row(report).error is not None
    assert "`verify`" in row(report).says
    assert lab.live() == []
    lab.items = [item(scopes=["vso.packaging"], verify="_apis/packaging/feeds?api-version=7.1")]
    assert row(lab.run()).outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("policy", "scopes", "word"),
    [
        ({"full_scope_restricted": True}, ["app_token"], "fullScopePatPolicyViolation"),
        ({"creation_restricted": True}, ["vso.code"], "disablePatCreationPolicyViolation"),
        ({"max_lifetime": days(7), "lifetime_form": "refuse"}, ["vso.code"], "patLifespanPolicyViolation"),
    ],
)
def test_a_policy_that_refuses_is_named_with_its_remedy(policy: dict[str, Any], scopes: list[str], word: str) -> None:
    lab = Lab([item(scopes=scopes, allow_full_access=True)])
    for name, value in policy.items():
        setattr(lab.cloud.pats.organization("contoso").policies, name, value)
    report = lab.run()
    assert row(report).error is not None
    assert row(report).error.code is Code.MINT_REFUSED  # type: ignore[union-attr]
    assert word in row(report).says
    assert len(lab.cloud.calls("pats.create")) == 1


@pytest.mark.parametrize("how", ["expiredPatCannotBeExtended", "patLifespanPolicyViolation", "authorizationNotFound"])
def test_rule_9_a_refused_renewal_becomes_a_rotation_in_the_same_run(how: str) -> None:
    lab = due(strategy="renew")
    lab.cloud.add_fault("pats.update", "pat_error", error=how)
    assert outcomes(lab.run().items) == ["build-pat rotate done renewing-no-longer-helps"]
    assert lab.works("build-pat")


def test_rule_9_a_renewal_that_moves_nothing_becomes_a_rotation_in_the_same_run() -> None:
    lab = due(strategy="renew")
    lab.cloud.pats.organization("contoso").policies.max_lifetime = days(30)
    assert outcomes(lab.run().items) == ["build-pat rotate done renewing-no-longer-helps"]


def test_rule_9_a_renewal_that_ends_the_value_becomes_a_rotation_in_the_same_run() -> None:
    lab = due(strategy="renew")
    lab.cloud.switches.update_keeps_secret = False
    assert outcomes(lab.run().items) == ["build-pat rotate done renewing-no-longer-helps"]
    assert lab.works("build-pat")


def test_rule_9_a_value_that_reached_its_max_age_is_rotated() -> None:
    lab = due(strategy="renew", max_age="40d")
    assert row(lab.run()).step == "renew"
    assert row(lab.later(days(17))).because == "max-age"


def test_rule_14_what_the_budget_does_not_reach_is_left_most_urgent_first() -> None:
    lab = Lab([item(f"pat-{number}", lifetime=f"{30 + number}d") for number in range(6)], quick=True)
    lab.run()
    lab.wait(days(29))
    lab.quick = False
    lab.cloud.add_fault("pats.create", "delay", call=None, seconds=20)
    report = lab.run(budget=timedelta(seconds=50))
    assert [one.secret for one in report.items if one.outcome is Outcome.DONE] == ["pat-0", "pat-1", "pat-2"]
    assert [one.secret for one in report.items if one.outcome is Outcome.LEFT] == ["pat-3", "pat-4", "pat-5"]
    assert report.exit_code() == 1
    lab.cloud.faults.clear()
    assert [one.secret for one in lab.run().items if one.step == "rotate"] == ["pat-3", "pat-4", "pat-5"]


GUID = "0c000000-0000-4000-8000-000000000001"


def connection(user: str = AGENTS, identity: str = "b" * 8, instance: str = GUID) -> str:
    account = {"Account": {"$type": "System.String", "$value": user}}
    return json.dumps({"authenticatedUser": {"id": identity, "properties": account}, "instanceId": instance})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (connection(), None),
        (connection(user=AGENTS.upper()), None),
        (connection(identity="aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"), Code.VERIFY_FAILED),
        (connection(instance="0f000000-0000-4000-8000-000000000002"), Code.VERIFY_FAILED),
        ('{"authenticatedUser": null}', Code.VERIFY_UNCLEAR),
        ("{}", Code.VERIFY_UNCLEAR),
    ],
    ids=["itself", "in capitals", "anonymous", "another organization", "nobody", "nothing"],
)
def test_promise_1_a_200_is_proof_only_for_the_right_user_in_the_right_organization(
    body: str, code: Code | None
) -> None:
    lab = due()
    before = lab.current("build-pat")
    lab.cloud.add_fault("devops.connection_data", "status", call=None, status=200, body=body)
    report = lab.run()
    assert (row(report).outcome is Outcome.DONE) == (code is None)
    assert (lab.current("build-pat") == before) == (code is not None)
    if code is not None:
        assert row(report).error is not None
        assert row(report).error.code is code  # type: ignore[union-attr]
        assert len(lab.live()) == 1
