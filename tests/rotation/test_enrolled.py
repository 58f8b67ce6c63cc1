"""Rule 16: a user without a password signs in by what a person's enrollment left, through the same ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, CLIENT, CREDENTIALS_VAULT, IDENTITY_CLIENT, PERSON, enroll
from shared.model.clock import VaultTime
from shared.model.errors import Code
from shared.model.items import User
from shared.report.report import Outcome
from shared.rotation.sign_in import SignIns
from tests.lab.certificate_texts import a_certificate, a_key, pem
from tests.lab.lab import Lab, days, hours, item, row
from tests.rotation.test_sign_in_ledger import estate

NAME = User(AGENTS, "", enrolled=True).credential_name
ENROLLED = [{"username": AGENTS, "enrolled": True, "pats": [item()]}]


@pytest.fixture(params=["fakes", "adapters"])
def lab(request: pytest.FixtureRequest) -> Lab:
    return a_lab(quick=request.param == "fakes")


def a_lab(**more: Any) -> Lab:
    made = Lab(users=ENROLLED, **more)
    made.enroll()
    return made


def asked(lab: Lab) -> int:
    """How often a token was asked for as the user."""
    return lab.cloud.directory.user(AGENTS).token_requests


def code(lab: Lab) -> Code | None:
    error = row(lab.run()).error
    return None if error is None else error.code


def test_rule_16_an_enrolled_user_is_rotated_for_and_mfa_is_no_matter(lab: Lab) -> None:
    lab.cloud.directory.user(AGENTS).state = UserState.MFA_REQUIRED
    assert lab.run().exit_code() == 0
    assert lab.works("build-pat")
    assert not [call for call in lab.cloud.calls("vault.get") if call.subject == "svc-agents-password"]


def test_rule_16_enrollments_in_a_vault_of_their_own_are_read_and_renewed_there_alone() -> None:
    own = "patrol-demo-enrolled.vault.azure.net"
    lab = Lab(users=ENROLLED, environment={"ENROLLMENTS_VAULT_URL": f"https://{own}"})
    lab.cloud.add_vault(own)
    enroll(lab.cloud, AGENTS, own)
    assert lab.run().exit_code() == 0
    lab.wait(days(8))
    assert lab.run().exit_code() == 0
    assert len(lab.cloud.vaults[own].secret(NAME).versions) == 2, "renewed once it was a week old"
    assert {call.host for call in lab.cloud.calls("vault.set")} == {own, lab.settings.vault_host}, (
        "passwords: read only"
    )
    assert lab.works("build-pat")


@pytest.mark.parametrize("kind", ["client_secret_name", "client_certificate_name", "identity"])
def test_rule_16_any_of_the_apps_credentials_redeems(kind: str) -> None:
    names = {"client_secret_name": "patrol-client-secret", "client_certificate_name": "patrol-cert"}
    lab = a_lab(sign_in={kind: names[kind]} if kind in names else {})
    certificate = a_certificate(a_key(), begins=lab.start - days(1), ends=lab.start + days(90))
    lab.cloud.vaults[CREDENTIALS_VAULT].seed("patrol-cert", pem(a_key(), certificate))
    lab.cloud.directory.app(CLIENT).trusted.add_certificate(pem(None, certificate))
    assert lab.run().exit_code() == 0
    assert lab.works("build-pat")


def test_rule_16_nobody_enrolled_yet_is_blocked_and_nothing_goes_out(lab: Lab) -> None:
    lab.cloud.vaults[CREDENTIALS_VAULT].delete(NAME)
    report = lab.run()
    assert report.exit_code() == 3
    found = row(report)
    assert found.outcome is Outcome.BLOCKED
    assert found.error is not None
    assert found.error.code is Code.ENROLLMENT_NEEDED
    assert f"patrol enroll {AGENTS}" in found.error.remedy
    assert asked(lab) == 0
    (told,) = lab.told("user.blocked")
    assert told["code"] == "enrollment-needed"


def test_rule_16_a_new_refresh_token_is_kept_when_the_kept_one_is_over_a_week_old(lab: Lab) -> None:
    lab.run()
    lab.later(days(7))
    assert len(lab.kept()) == 1
    lab.later(hours(1))
    assert len(lab.kept()) == 2
    older, newer = lab.kept()
    assert older.value != newer.value
    assert newer.tags == older.tags, "the same enrollment, of the same person"
    assert newer.content_type == "application/vnd.patrol.refresh-token"
    assert newer.expires == newer.created + 90 * 86400


def test_rule_16_the_new_refresh_token_is_written_before_the_access_token_is_used() -> None:
    lab = a_lab()
    lab.run()
    lab.wait(days(8))
    before = len(lab.cloud.calls())
    lab.run("build-pat", force=True)
    met = [(call.operation, call.subject) for call in lab.cloud.calls()][before:]
    written = met.index(("vault.set", NAME))
    used = next(number for number, (operation, _) in enumerate(met) if operation.startswith(("pats.", "devops.")))
    assert written < used


def test_rule_16_a_year_of_runs_writes_at_most_60_versions_for_a_user() -> None:
    lab = a_lab(quick=True)
    notes = lab.vault
    for _ in range(365 * 4):
        assert lab.later(hours(6)).exit_code() == 0
    assert 50 <= len(lab.kept()) <= 60
    mine = [secret for secret in notes.secrets() if secret.name.startswith("patrol-blocked-")]
    assert sum(len(secret.versions) for secret in mine) == 1, (
        "an enrollment is proven once, however often it is renewed"
    )


def test_promise_7_a_year_of_renewals_leaves_no_refresh_token_anywhere_but_in_its_secret() -> None:
    """tests/conftest.py looks through logs, reports, events, tags and addresses for every one of them."""
    lab = a_lab(quick=True)
    for _ in range(52):
        assert lab.later(days(7.1)).exit_code() == 0
    tokens = {version.value for version in lab.kept()}
    assert len(tokens) == len(lab.kept()) == 53
    others = [version for secret in lab.vault.secrets() for version in secret.versions.values()]
    assert not [version for version in others if version.value in tokens]


def test_rule_16_a_vault_that_takes_no_version_stops_nothing_and_warns_before_the_end(lab: Lab) -> None:
    lab.run()
    lab.cloud.vaults[CREDENTIALS_VAULT].denied.add("set")
    lab.wait(days(70))
    report = lab.run()
    assert report.exit_code() == 0
    assert [one for one in report.items if one.because == "enrollment-near-end"] == []
    assert lab.told("enrollment.not-renewed")[-1]["username"] == AGENTS
    report = lab.later(days(7))
    (warning,) = [one for one in report.items if one.because == "enrollment-near-end"]
    assert "2026-05-30" in warning.says
    assert f"patrol enroll {AGENTS}" in warning.says
    assert lab.told("enrollment.ending")
    assert report.exit_code() == 0
    assert lab.later(days(14)).exit_code() == 3, "90 days without a new one"


def test_rule_16_the_version_before_is_tried_once_and_what_it_gives_is_kept(lab: Lab) -> None:
    """Somebody, or a write that went wrong, left a newest version that is good for nothing."""
    lab.run()
    first = lab.kept()[0]
    lab.wait(hours(1))
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    vault.seed(NAME, "0.a-refresh-token-of-nobody", tags=first.tags, content_type=first.content_type)
    lab.wait(days(24))
    report = lab.run()
    assert report.exit_code() == 0
    assert lab.works("build-pat")
    assert len(lab.kept()) == 3
    assert lab.later(hours(1)).exit_code() == 0


def test_rule_16_an_ended_enrollment_is_told_with_cause_and_remedy_and_tried_once_a_day(lab: Lab) -> None:
    lab.run()
    lab.wait(hours(1))
    lab.cloud.directory.revoke_tokens(AGENTS)
    lab.wait(days(24))
    before = asked(lab)
    report = lab.run()
    assert report.exit_code() == 3
    error = row(report).error
    assert error is not None
    assert error.code is Code.ENROLLMENT_ENDED
    assert "AADSTS50173" in error.message
    assert "revoked" in error.message
    assert f"patrol enroll {AGENTS}" in error.remedy
    for _ in range(3):
        again = row(lab.later(hours(6))).error
        assert again is not None
        assert again.code is Code.ENROLLMENT_ENDED
        assert "AADSTS50173" in again.message
    assert asked(lab) == before + 1
    lab.later(hours(7))
    assert asked(lab) == before + 2, "once a day"


def test_rule_16_a_new_enrollment_releases_at_once(lab: Lab) -> None:
    lab.run()
    lab.wait(hours(1))
    lab.cloud.directory.revoke_tokens(AGENTS)
    lab.wait(days(24))
    assert lab.run().exit_code() == 3
    lab.wait(timedelta(minutes=5))
    lab.enroll()
    assert lab.run().exit_code() == 0
    assert lab.works("build-pat")


@pytest.mark.parametrize(
    ("number", "cause", "remedy"),
    [
        (50173, "revoked", "audit log"),
        (700082, "90 days", "schedule-stopped"),
        (70008, "has expired", "Enroll the user again"),
        (50078, "older than the tenant lets it be", "remember multi-factor"),
        (50076, "multi-factor authentication", "exempt"),
        (50079, "multi-factor authentication", "exempt"),
        (53003, "Conditional Access policy", "Exclude"),
        (530032, "Conditional Access policy", "Exclude"),
        (53000, "Conditional Access policy", "Exclude"),
        (65001, "consent", "admin consent"),
        (700084, "single-page", "platform Web"),
        (50132, "password was changed", "Enroll"),
        (50020, "guest", "member of the tenant"),
        (90072, "guest", "member of the tenant"),
        (50057, "disabled", "Enable"),
        (50105, "assigned", "Assign"),
    ],
)  # fmt: skip
def test_rule_16_each_refusal_says_why_it_ended_and_what_to_do(number: int, cause: str, remedy: str) -> None:
    lab = a_lab()
    lab.cloud.directory.user(AGENTS).refresh_refusal = number
    error = row(lab.run()).error
    assert error is not None
    assert error.code is Code.ENROLLMENT_ENDED
    assert f"AADSTS{number}" in error.message
    assert cause in error.message
    assert remedy in error.remedy
    assert f"patrol enroll {AGENTS}" in error.remedy


def test_rule_16_a_sign_in_frequency_policy_is_named_with_its_period_and_the_next_end_is_known(lab: Lab) -> None:
    lab.run()
    lab.cloud.switches.sign_in_frequency_hours = 30 * 24
    lab.cloud.switches.sign_in_frequency_for = "all"
    lab.wait(days(31))
    error = row(lab.run()).error
    assert error is not None
    assert error.code is Code.ENROLLMENT_ENDED
    assert "AADSTS70043" in error.message
    assert "30d" in error.message
    assert "2026-03-01" in error.message, "when the refused one was issued"
    assert "every 30d" in error.remedy
    assert lab.kept()[-1].tags["longest-life"] == str(30 * 86400)


def test_rule_16_a_policy_that_is_known_is_warned_of_14_days_before_it_ends_the_next_one() -> None:
    lab = a_lab(quick=True)
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    tags = {**lab.kept()[0].tags, "longest-life": str(30 * 86400)}
    vault.update(NAME, lab.kept()[0].id, {"tags": tags})
    assert not [one for one in lab.run().items if one.because == "enrollment-near-end"]
    assert not [one for one in lab.later(days(15)).items if one.because == "enrollment-near-end"]
    (warning,) = [one for one in lab.later(days(1)).items if one.because == "enrollment-near-end"]
    assert "2026-03-31" in warning.says
    assert lab.kept()[-1].tags["longest-life"] == str(30 * 86400), "renewing does not put it off"
    lab.wait(days(30))
    lab.run()
    assert "longest-life" not in lab.kept()[-1].tags, "it lived on, so that policy is gone"


def test_rule_16_somebody_elses_refresh_token_signs_nobody_in(lab: Lab) -> None:
    lab.run()
    lab.cloud.directory.add_user(PERSON, "sandbox-password-alice")
    token = lab.cloud.directory.enroll(PERSON, CLIENT)
    lab.wait(hours(1))
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    for version in lab.kept():
        vault.update(NAME, version.id, {"attributes": {"enabled": False}})
    vault.seed(NAME, token.refresh_token, tags=lab.kept()[0].tags)
    lab.wait(days(24))
    error = row(lab.run()).error
    assert error is not None
    assert error.code is Code.ENROLLMENT_ENDED
    assert "somebody else" in error.message


def test_rule_16_a_token_of_another_app_registration_is_not_redeemed() -> None:
    """Two deployments with apps of their own share the credentials' vault: neither takes the other's."""
    lab = a_lab(quick=True)
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    tags = {**lab.kept()[0].tags, "client-id": IDENTITY_CLIENT}
    lab.wait(hours(1))
    vault.seed(NAME, "0.a-refresh-token-of-another-app", tags=tags)
    assert lab.run().exit_code() == 0
    for version in lab.kept():
        vault.update(NAME, version.id, {"tags": tags})
    lab.wait(days(25))
    assert code(lab) is Code.ENROLLMENT_NEEDED


def test_rule_16_two_lost_answers_in_a_row_hold_and_a_lost_one_ends_nothing() -> None:
    lab = a_lab()
    lab.run()
    lab.wait(days(25))
    lab.cloud.add_fault("entra.token", "cut_after_effect", call=None)
    before = asked(lab)
    for _ in range(5):
        assert lab.run().exit_code() != 0
        lab.wait(timedelta(minutes=4))
    assert asked(lab) - before == 2
    error = row(lab.run()).error
    assert error is not None
    assert "The refresh token of the enrollment was sent" in error.message
    lab.cloud.faults.clear()
    lab.wait(hours(1))
    assert lab.run().exit_code() == 0


def test_rule_16_too_many_requests_and_an_unavailable_entra_block_nobody() -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.token", "status", call=1, status=503, body="{}")
    lab.run()
    lab.cloud.faults.clear()
    assert lab.later(timedelta(minutes=1)).exit_code() == 0


def test_rule_16_a_public_client_is_told_for_everybody_and_ends_no_enrollment() -> None:
    lab = a_lab()
    lab.cloud.directory.app(CLIENT).public = True
    report = lab.run()
    error = row(report).error
    assert error is not None
    assert error.code is Code.CLIENT_REFUSED
    assert "public client" in error.message
    assert report.exit_code() == 2 or report.misconfigured
    lab.cloud.directory.app(CLIENT).public = False
    assert lab.run().exit_code() == 0, "nobody is blocked by it"


def test_promise_5_both_kinds_live_in_one_file_and_neither_stops_the_other() -> None:
    users: list[dict[str, Any]] = [
        {"username": AGENTS, "enrolled": True, "pats": [item("one-pat")]},
        {"username": "svc-sonar@contoso.com", "password_secret_name": "svc-sonar-password", "pats": [item("two-pat")]},
    ]
    lab = Lab(users=users, estate=estate(), quick=True)
    report = lab.run()
    assert report.exit_code() == 3
    assert row(report, "two-pat").outcome is Outcome.DONE
    lab.enroll()
    assert lab.run().exit_code() == 0
    assert lab.works("one-pat")


def test_promise_6_two_runs_at_one_moment_redeem_the_same_token_and_both_are_well() -> None:
    lab = a_lab(quick=True)
    lab.run()
    lab.wait(days(24))
    first, second = lab.quick_world(), lab.quick_world()
    assert first.ledger is not second.ledger
    for world in (first, second):
        sign_ins = SignIns(world, lab.inventory().sign_in, VaultTime(lab.clock, timedelta(0)), lab.settings.mark)
        (user,) = lab.inventory().users
        assert sign_ins.sign_in(user).active("contoso") is not None
    assert len(lab.kept()) == 2, "the second one found the first one's"
