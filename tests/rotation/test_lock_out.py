"""Promise 6 and rule 12: a refused credential is not tried again until something changed."""

from __future__ import annotations

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, CLIENT, SONAR, demo_estate, mark
from shared.model.errors import Code
from shared.report.report import Outcome
from shared.rules.lock_out import note_name
from tests.lab.lab import Lab, days, hours, item, row


def requests_for(lab: Lab, upn: str = AGENTS) -> int:
    return lab.cloud.directory.user(upn).token_requests


def wrong_password() -> Lab:
    lab = Lab([item()])
    lab.cloud.directory.set_password(AGENTS, "changed by a person")
    return lab


def test_promise_6_forty_eight_hourly_runs_with_a_wrong_password_make_one_token_request() -> None:
    lab = wrong_password()
    first = lab.run()
    assert row(first).outcome is Outcome.BLOCKED
    assert row(first).error is not None
    assert "AADSTS50126" in row(first).says
    for _ in range(47):
        report = lab.later(hours(1))
        assert report.exit_code() == 3
    assert requests_for(lab) == 1
    assert lab.cloud.directory.user(AGENTS).wrong_passwords == 1


def test_rule_12_a_new_version_of_the_password_releases_the_user() -> None:
    lab = wrong_password()
    lab.run()
    credentials = lab.cloud.vaults["patrol-demo-creds.vault.azure.net"]
    credentials.set_secret("svc-agents-password", "changed by a person")
    assert lab.later(hours(1)).exit_code() == 0
    assert lab.works("build-pat")
    assert lab.vault.secret(note_name(AGENTS)).latest.tags["state"] == "proven"
    assert lab.later(hours(1)).unmanaged == (), "what patrol keeps for itself is no item that vanished"


def test_rule_12_a_new_version_of_the_client_secret_releases_the_user() -> None:
    lab = wrong_password()
    lab.run()
    lab.cloud.directory.apps[CLIENT].secrets.add("a new one")
    lab.cloud.vaults["patrol-demo-creds.vault.azure.net"].set_secret("patrol-client-secret", "a new one")
    lab.later(hours(1))
    assert requests_for(lab) == 2


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (UserState.MFA_REQUIRED, "AADSTS50076"),
        (UserState.DISABLED, "AADSTS50057"),
        (UserState.CONSENT_MISSING, "AADSTS65001"),
        (UserState.NOT_ASSIGNED, "AADSTS50105"),
        (UserState.CONDITIONAL_ACCESS, "AADSTS53003"),
    ],
    ids=str,
)
def test_rule_12_what_does_not_judge_the_password_is_tried_once_a_day(state: UserState, word: str) -> None:
    lab = Lab([item()])
    lab.cloud.directory.user(AGENTS).state = state
    report = lab.run()
    assert word in row(report).says
    for _ in range(23):
        lab.later(hours(1))
    assert requests_for(lab) == 1
    lab.later(hours(1))
    assert requests_for(lab) == 2
    lab.cloud.directory.user(AGENTS).state = UserState.NORMAL
    for _ in range(24):
        report = lab.later(hours(1))
    assert report.exit_code() == 0
    assert requests_for(lab) == 3


def test_rule_12_a_lock_out_is_tried_once_after_half_an_hour_then_once_a_day() -> None:
    lab = Lab([item()])
    lab.cloud.directory.lock_out_for = days(30)
    user = lab.cloud.directory.user(AGENTS)
    user.state = UserState.LOCKED
    lab.run()
    lab.later(hours(0.4))
    assert requests_for(lab) == 1
    lab.later(hours(0.2))
    assert requests_for(lab) == 2
    for _ in range(23):
        lab.later(hours(1))
    assert requests_for(lab) == 2
    lab.later(hours(1))
    assert requests_for(lab) == 3


def two_users() -> Lab:
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item("one-pat")]},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": [item("two-pat")]},
    ]
    return Lab(users=users, estate=estate)


def test_promise_5_a_throttled_sign_in_of_one_user_does_not_fail_another() -> None:
    lab = two_users()
    lab.cloud.add_fault("entra.token", "status", call=None, where=AGENTS, status=429, headers={"Retry-After": "3600"})
    report = lab.run()
    assert row(report, "one-pat").outcome is Outcome.FAILED
    assert row(report, "two-pat").outcome is Outcome.DONE


def test_promise_5_a_defect_while_ending_one_user_s_orphan_does_not_stop_another() -> None:
    lab = two_users()
    lab.run()
    lab.cloud.pats.seed(AGENTS, "contoso", mark("one-pat"), valid_from=lab.clock.now())

    def defect(met: Operation) -> None:
        if met.name == "pats.revoke":
            raise ZeroDivisionError("its text may carry a secret")

    lab.wait(days(24))
    lab.cloud.before_effect = defect
    report = lab.run()
    assert [one.outcome for one in report.items if one.secret == "one-pat"] == [Outcome.FAILED, Outcome.DONE]
    assert row(report, "two-pat").outcome is Outcome.DONE
    assert "its text" not in str(report.to_json())


def test_rule_12_a_refused_client_secret_is_one_message_and_blocks_nobody() -> None:
    lab = two_users()
    lab.cloud.directory.apps[CLIENT].secrets.clear()
    report = lab.run()
    assert report.exit_code() == 2
    assert report.misconfigured is not None
    assert report.misconfigured.code is Code.CLIENT_REFUSED
    assert len(lab.cloud.calls("entra.token")) == 1
    assert [one.latest.tags["state"] for one in lab.vault.secrets()] == ["released"]


def test_an_unknown_tenant_is_misconfigured_before_any_password_is_sent() -> None:
    lab = two_users()
    body = '{"error":"invalid_tenant","error_codes":[90002],"error_description":"AADSTS90002: x"}'
    lab.cloud.add_fault("entra.discovery", "status", call=None, status=400, body=body)
    report = lab.run()
    assert report.exit_code() == 2
    assert report.misconfigured is not None
    assert report.misconfigured.code is Code.TENANT_UNKNOWN
    assert lab.cloud.calls("entra.token") == []


def test_a_credential_near_its_own_expiry_is_told_in_every_run() -> None:
    lab = Lab([item()])
    credentials = lab.cloud.vaults["patrol-demo-creds.vault.azure.net"]
    soon = int((lab.clock.now() + days(10)).timestamp())
    credentials.update("patrol-client-secret", "", {"attributes": {"exp": soon}})
    for report in (lab.run(), lab.later(hours(6))):
        assert row(report, "patrol-client-secret").because == "credential-near-expiry"
        assert report.exit_code() == 0
