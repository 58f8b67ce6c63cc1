"""Entra tokens of service principals, from pats.yaml to the secret, through the real adapters."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.seed import AGENTS, CREDENTIALS_VAULT, FEDERATED, change_client, deployment, mark
from shared.model.credentials import ClientProof
from shared.model.errors import Code, Misconfigured, NotDone
from shared.model.secret_state import TOKEN_CONTENT_TYPE
from shared.model.secret_text import SecretText
from shared.report.report import WELL, Outcome, Row
from tests.lab.certificate_texts import a_certificate, a_key, pem
from tests.lab.fakes import FakeFlight, Storage
from tests.lab.lab import Lab, item
from tests.lab.token_estates import (
    APP,
    OTHER_APP,
    SECRET,
    expires,
    lab,
    left,
    minutes,
    principal,
    published,
    versions,
)

TRANSIENT = '{"error": "temporarily_unavailable", "error_codes": [90033]}'
NO_TENANT = '{"error":"invalid_tenant","error_codes":[90002],"error_description":"AADSTS90002: x"}'


def only(made: Lab, *names: str, **asks: Any) -> Row:
    (row,) = made.refresh(*names, **asks).items
    return row


def code_of(row: Row) -> Code | None:
    return row.error.code if row.error else None


# --- what consumers may rely on --------------------------------------------------------------------------------------


def test_promise_1_a_proved_token_is_published_with_its_expiry_and_tags() -> None:
    made = lab(quick=False)
    row = only(made)
    assert (row.step, row.outcome, row.because) == ("rotate", Outcome.DONE, "nothing-published")
    assert "rotated, because no value was published" in row.says
    assert (row.username, row.organization, row.expires_on) == (APP, "contoso", made.clock.now() + minutes(60))
    version = made.current(SECRET)
    assert version.content_type == TOKEN_CONTENT_TYPE
    assert expires(version) == made.clock.now() + minutes(60)
    assert version.tags == {"managed-by": deployment(), "client-id": APP, "organization": "contoso"}
    assert left(made) == minutes(60)
    assert made.cloud.calls("pats.list") == []
    order = [name for name in made.operations() if name not in ("vault.get", "vault.deleted", "entra.discovery")]
    assert order == ["entra.token", "devops.connection_data", "vault.set"]


def test_a_fresh_token_is_left_alone_with_one_call() -> None:
    made = published(quick=False)
    made.wait(minutes(20))
    before = len(made.operations())
    row = only(made)
    assert (row.outcome, row.because) == (Outcome.HELD, "fresh")
    assert made.operations()[before:] == ["vault.get"]


def test_an_old_version_is_disabled_when_its_successor_was_current_for_a_while() -> None:
    made = published(quick=False)
    for _ in range(2):
        made.wait(minutes(30))
        made.refresh()
    first, second, third = versions(made)
    assert [version.enabled for version in (first, second, third)] == [False, True, True]
    assert third.tags["predecessors"].startswith(f"{second.id}@")
    # Asked for twice in a row: what was replaced a moment ago stays readable.
    made.wait(minutes(1))
    only(made, SECRET, force=True)
    made.wait(minutes(1))
    only(made, SECRET, force=True)
    assert [version.enabled for version in versions(made)] == [False, True, True, True, True]
    made.wait(minutes(40))
    made.refresh()
    assert [version.enabled for version in versions(made)] == [False] * 4 + [True, True]


def test_people_s_own_tags_survive() -> None:
    made = published(quick=False)
    made.vault.update(SECRET, "", {"tags": {**made.current(SECRET).tags, "team": "blue"}})
    made.wait(minutes(30))
    assert only(made).outcome is Outcome.DONE
    assert made.current(SECRET).tags["team"] == "blue"


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ("client_secret_name", Code.CLIENT_SECRET_UNREADABLE),
        ("client_certificate_name", Code.CLIENT_CERTIFICATE_UNUSABLE),
    ],
)
def test_a_credential_that_is_missing_fails_its_token_alone(credential: str, code: Code) -> None:
    broken = {"client_id": OTHER_APP, credential: "no-such-secret", "entra_token": {"secret": "other-token"}}
    made = lab(principal(), broken, quick=False)
    rows = {row.secret: row for row in made.refresh().items}
    assert rows[SECRET].outcome is Outcome.DONE
    assert code_of(rows["other-token"]) is code
    assert not made.refresh("other-token").misconfigured


def test_the_managed_identity_is_credential_enough_where_the_app_registration_trusts_it() -> None:
    made = lab({"client_id": APP, "entra_token": {"secret": SECRET}}, quick=False)
    row = only(made)
    assert code_of(row) is Code.PRINCIPAL_REFUSED
    assert row.error is not None
    assert "federated credential" in row.error.remedy
    assert "api://AzureADTokenExchange" in row.error.remedy
    change_client(made.cloud, made.cloud.directory.apps[APP], {"federated": [FEDERATED]})
    assert only(made).outcome is Outcome.DONE
    assert left(made) == minutes(60)


def test_a_certificate_of_the_vault_is_credential_enough() -> None:
    # msal dates a certificate's assertion by the machine's clock.
    today = datetime.now(UTC).replace(microsecond=0)
    keys = {"client_certificate_name": "app-cert", "entra_token": {"secret": SECRET}}
    made = lab({"client_id": APP, **keys}, quick=False, start=today)
    certificate = a_certificate(a_key(), begins=today - timedelta(days=1), ends=today + timedelta(days=90))
    made.cloud.vaults[CREDENTIALS_VAULT].seed("app-cert", pem(a_key(), certificate))
    row = only(made)
    assert code_of(row) is Code.PRINCIPAL_REFUSED
    assert "the public part of the certificate" in row.says
    change_client(made.cloud, made.cloud.directory.apps[APP], {"certificates": [pem(None, certificate)]})
    assert only(made).outcome is Outcome.DONE
    assert left(made) == minutes(60)


@pytest.mark.parametrize(("days_left", "told"), [(13, True), (15, False)])
def test_promise_8_a_credential_that_expires_soon_is_told_with_every_refresh(days_left: int, told: bool) -> None:
    made = lab(quick=False)
    ends = made.clock.now() + timedelta(days=days_left)
    vault = made.cloud.vaults[CREDENTIALS_VAULT]
    vault.update("app-secret", "", {"attributes": {"exp": int(ends.timestamp())}})
    assert ("credential expires at" in only(made).says) is told


def test_promise_8_without_a_managed_identity_the_service_principal_is_named() -> None:
    def nobody() -> SecretText:
        raise Misconfigured(Code.IDENTITY_UNAVAILABLE, "of `sign_in`", "-")

    with pytest.raises(NotDone) as caught:
        lab().world().tokens.issue("contoso.onmicrosoft.com", APP, ClientProof(nobody, "1"))
    assert caught.value.code is Code.IDENTITY_UNAVAILABLE
    assert APP in caught.value.cause
    assert "sign_in" not in str(caught.value)


# --- hands off -------------------------------------------------------------------------------------------------------


def test_promise_4_a_secret_without_the_mark_is_left_alone_until_adopted() -> None:
    made = lab(quick=False)
    made.vault.seed(SECRET, "a value of somebody", tags={"team": "blue"}, created=made.clock.now() - timedelta(days=1))
    assert code_of(only(made)) is Code.UNMARKED
    assert code_of(only(made, SECRET, force=True)) is Code.UNMARKED
    assert len(versions(made)) == 1
    assert "entra.token" not in made.operations()
    made.principals = [principal(adopt=True)]
    assert only(made).because == "adopted"
    assert made.current(SECRET).tags["team"] == "blue"
    assert versions(made)[0].enabled


def test_promise_4_a_pat_of_patrol_s_own_is_no_token_and_stays() -> None:
    made = lab(quick=False, items=[item("build-pat")])
    made.run()
    made.principals, made.items = [principal("build-pat")], []
    assert code_of(only(made)) is Code.UNMARKED
    assert made.works("build-pat")


def test_promise_4_a_token_of_patrol_s_own_is_no_pat_and_stays() -> None:
    made = published(quick=False)
    made.principals, made.items = [], [item(SECRET)]
    (row,) = made.run().items
    assert code_of(row) is Code.UNMARKED
    assert left(made) == minutes(60)


def test_rule_3_another_deployment_s_token_fails_and_names_it() -> None:
    made = published(quick=False)
    made.vault.update(SECRET, "", {"tags": {**made.current(SECRET).tags, "managed-by": "patrol/other-123456"}})
    row = only(made, SECRET, force=True, adopt=True)
    assert code_of(row) is Code.FOREIGN
    assert "patrol/other-123456" in row.says


@pytest.mark.parametrize("how", ["pasted", "tags taken off"])
def test_rule_10_an_edited_secret_is_not_replaced_until_taken_back(how: str) -> None:
    made = published(quick=False)
    made.wait(minutes(50))
    if how == "pasted":
        made.vault.set_secret(SECRET, "pasted by a person")
    else:
        made.vault.update(SECRET, "", {"tags": {}})
    row = only(made)
    assert code_of(row) is Code.EDITED
    assert code_of(only(made, SECRET, force=True)) is Code.EDITED
    assert only(made, SECRET, force=True, adopt=True).because == "taken-back"
    assert left(made) == minutes(60)


def test_rule_11_nothing_is_asked_for_that_the_vault_would_refuse() -> None:
    made = published(quick=False)
    tags = {**made.current(SECRET).tags, **{f"own-{number}": "x" for number in range(12)}}
    made.vault.update(SECRET, "", {"tags": tags})
    made.wait(minutes(30))
    asked = len(made.cloud.calls("entra.token"))
    assert code_of(only(made)) is Code.PUBLISH_WOULD_FAIL
    assert len(made.cloud.calls("entra.token")) == asked


def test_a_soft_deleted_secret_waits_or_is_recovered() -> None:
    made = published(quick=False)
    made.vault.delete(SECRET)
    assert code_of(only(made)) is Code.SECRET_DELETED
    made.principals = [principal(recover_deleted=True)]
    made.wait(minutes(30))
    assert only(made).outcome is Outcome.DONE
    assert left(made) == minutes(60)


def test_a_vanished_token_is_reported_as_unmanaged() -> None:
    made = published(quick=False)
    made.principals = []
    assert made.run().unmanaged == (SECRET,)
    made.principals = [principal()]
    assert made.run().unmanaged == ()


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_promise_5_a_broken_token_never_stops_the_others_nor_the_pats() -> None:
    broken = principal("other-token", OTHER_APP, "other-app-secret")  # a member of no organization
    wrong = principal("third-token", "22222222-0000-4000-8000-000000000003", refresh_below="150%")
    made = lab(broken, principal(), wrong, quick=False, items=[item()])
    rows = {row.secret: row for row in made.refresh().items}
    assert rows[SECRET].outcome is Outcome.DONE
    assert code_of(rows["other-token"]) is Code.VERIFY_FAILED
    assert code_of(rows["third-token"]) is Code.ITEM_INVALID
    assert {row.outcome for row in made.run().items} <= WELL
    assert "other-token" not in [secret.name for secret in made.vault.secrets()]


@pytest.mark.parametrize("operation", ["vault.get", "entra.token"])
def test_promise_5_a_defect_at_one_token_is_told_without_its_text_and_stops_no_other(operation: str) -> None:
    made = lab(principal("other-token", OTHER_APP, "other-app-secret"), principal(), quick=False)

    def bug(met: Operation) -> None:
        if met.name == operation and met.subject in ("other-token", OTHER_APP):
            raise ZeroDivisionError("its text is withheld")

    made.cloud.before_effect = bug
    rows = {row.secret: row for row in made.refresh().items}
    assert rows[SECRET].outcome is Outcome.DONE
    assert code_of(rows["other-token"]) in (Code.UNEXPECTED, Code.SIGN_IN_UNAVAILABLE)
    assert "withheld" not in rows["other-token"].says


def test_promise_6_a_refused_credential_is_asked_for_again_and_never_more_than_once_a_refresh() -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    before = len(made.cloud.calls("entra.token"))
    made.cloud.directory.apps[APP].secrets.clear()
    for _ in range(3):
        row = only(made)
        assert code_of(row) is Code.PRINCIPAL_REFUSED
        made.wait(minutes(5))
    assert len(made.cloud.calls("entra.token")) == before + 3
    # No note in the vault: nothing to unblock once the credential is right again.
    assert [secret.name for secret in made.vault.secrets()] == [SECRET]
    made.cloud.directory.apps[APP].secrets.add("sandbox-secret-of-the-app")
    assert only(made).outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (("devops.connection_data", "redirect", {}), Code.VERIFY_FAILED),
        (("devops.connection_data", "sign_in_page", {}), Code.VERIFY_UNCLEAR),
        (("devops.connection_data", "status", {"status": 500}), Code.VERIFY_UNCLEAR),
        (("devops.connection_data", "garbage", {}), Code.VERIFY_UNCLEAR),
        (("entra.token", "status", {"status": 503}), Code.SIGN_IN_UNAVAILABLE),
        (("entra.token", "status", {"status": 400, "body": TRANSIENT}), Code.SIGN_IN_UNAVAILABLE),
        (("entra.token", "status", {"status": 200, "body": '{"access_token": "x.y"}'}), Code.SIGN_IN_UNAVAILABLE),
        (("entra.token", "garbage", {}), Code.SIGN_IN_UNAVAILABLE),
        (("entra.discovery", "cut_before_effect", {}), Code.SIGN_IN_UNAVAILABLE),
        (("entra.discovery", "status", {"status": 400, "body": NO_TENANT}), Code.TENANT_UNKNOWN),
        (("entra.discovery", "foreign", {"status": 400}), Code.SIGN_IN_UNAVAILABLE),
        (("vault.set", "status", {"status": 400, "body": '{"error":{"code":"BadParameter"}}'}), Code.PUBLISH_REFUSED),
        (("vault.set", "foreign", {"status": 413}), Code.PUBLISH_UNCLEAR),
        (("vault.set", "status", {"status": 500}), Code.PUBLISH_UNCLEAR),
        (("vault.get", "status", {"status": 500}), Code.VAULT_UNCLEAR),
        (("vault.get", "foreign", {"status": 429}), Code.VAULT_UNCLEAR),
        (("vault.get", "status", {"status": 429, "body": '{"error":{"code":"Throttled"}}'}), Code.VAULT_UNREACHABLE),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_promise_8_what_goes_wrong_is_told_and_the_published_token_stays(
    fault: tuple[str, str, dict[str, Any]], code: Code
) -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    operation, kind, details = fault
    made.cloud.add_fault(operation, kind, call=None, **details)
    row = only(made)
    assert row.outcome is Outcome.FAILED
    assert code_of(row) is code
    assert row.error is not None
    assert row.error.remedy
    assert len(versions(made)) == 1
    made.cloud.faults.clear()
    assert only(made).outcome is Outcome.DONE


def test_rule_2_a_write_whose_answer_is_lost_is_read_back_and_never_sent_twice() -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    made.cloud.add_fault("vault.set", "cut_after_effect")
    assert only(made).outcome is Outcome.DONE
    assert len(versions(made)) == 2


def test_rule_2_a_token_is_not_published_long_after_it_was_asked_for() -> None:
    made = published(quick=False)
    made.wait(minutes(30))

    def suspend(met: Operation) -> None:
        if met.name == "devops.connection_data":
            made.cloud.after_effect = None
            made.wait(minutes(6))

    made.cloud.after_effect = suspend
    assert code_of(only(made)) is Code.PUBLISH_LATE
    assert len(versions(made)) == 1


def test_a_token_that_does_not_last_longer_is_not_published() -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    made.cloud.switches.service_token_minutes = 25
    assert code_of(only(made)) is Code.TOKEN_NOT_NEWER
    assert len(versions(made)) == 1


def test_an_old_version_that_cannot_be_disabled_holds_nothing_up() -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    made.refresh()
    made.wait(minutes(30))
    made.vault.denied.add("update")
    assert only(made).outcome is Outcome.DONE
    assert made.told("disable.failed")
    made.vault.denied.clear()
    made.wait(minutes(30))
    made.refresh()
    assert [version.enabled for version in versions(made)] == [False, False, True, True]


def test_rule_15_a_wrong_clock_stops_the_refresh() -> None:
    made = published(quick=False)
    made.skew = timedelta(hours=2)
    with pytest.raises(Misconfigured) as caught:
        made.refresh()
    assert caught.value.code is Code.CLOCK_SKEW


@pytest.mark.parametrize("skew", [-4, 4])
def test_rule_15_a_clock_that_is_a_little_off_writes_the_expiry_of_the_vault_s_time(skew: int) -> None:
    made = lab(quick=False)
    made.skew = minutes(skew)
    assert only(made).outcome is Outcome.DONE
    assert expires(made.current(SECRET)) == made.manual.now() + minutes(60)


def test_two_runners_at_one_token_publish_once() -> None:
    made = published(quick=False)
    made.wait(minutes(30))

    def publish_elsewhere(met: Operation) -> None:
        if met.name == "vault.get":
            made.cloud.after_effect = None
            made.quick = True
            assert only(made).outcome is Outcome.DONE
            made.quick = False

    made.cloud.after_effect = publish_elsewhere
    row = only(made)
    assert (row.outcome, row.because) == (Outcome.HELD, "fresh")
    assert len(versions(made)) == 2


def test_a_token_that_another_runner_has_in_hand_is_busy() -> None:
    storage = Storage()
    made = published(quick=False)
    made.wait(minutes(30))
    made.flight = FakeFlight(storage, made.clock)
    with FakeFlight(storage, made.clock, holder="host-7").held(SECRET):
        row = only(made)
    assert (row.outcome, code_of(row)) == (Outcome.BUSY, Code.ROTATED_ELSEWHERE)
    assert "host-7" in row.says
    assert len(versions(made)) == 1
    assert only(made).outcome is Outcome.DONE


# --- on demand -------------------------------------------------------------------------------------------------------


def test_rule_8_a_repeated_force_changes_nothing_more() -> None:
    made = published(quick=False)
    made.wait(minutes(5))
    asked_at = made.clock.now()
    assert only(made, SECRET, force=True, published_before=asked_at).because == "forced"
    made.wait(minutes(1))
    assert only(made, SECRET, force=True, published_before=asked_at).because == "already-replaced"
    assert len(versions(made)) == 2


def test_promise_8_an_emergency_changes_nothing_and_says_how_to_end_a_token() -> None:
    made = published(quick=False)
    row = only(made, SECRET, emergency=True)
    assert code_of(row) is Code.TOKEN_LIVES
    assert "cannot be revoked" in row.says
    assert len(versions(made)) == 1


def test_another_service_principal_or_organization_in_pats_yaml_is_a_new_token() -> None:
    made = published(quick=False)
    made.cloud.pats.organization("contoso").members.add(OTHER_APP)
    made.principals = [principal(client_id=OTHER_APP, name="other-app-secret")]
    assert only(made).because == "user-changed"
    assert made.current(SECRET).tags["client-id"] == OTHER_APP
    made.cloud.pats.add_organization("fabrikam", members={OTHER_APP})
    made.principals = [principal(client_id=OTHER_APP, name="other-app-secret", organization="fabrikam")]
    assert only(made).because == "organization-changed"


def test_a_paused_token_is_left_to_expire_without_alarm() -> None:
    made = published(quick=False)
    made.principals = [principal(paused=True)]
    made.wait(minutes(55))
    assert only(made).because == "paused"
    assert code_of(only(made, SECRET, force=True)) is Code.PAUSED
    assert made.told("pat.expiring") == []


def test_a_dry_run_says_what_would_happen_and_changes_nothing() -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    before = len(made.operations())
    row = only(made, dry_run=True)
    assert (row.outcome, row.because) == (Outcome.PLANNED, "near-expiry")
    assert made.operations()[before:] == ["vault.get"]


def test_what_the_time_does_not_reach_is_left() -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    made.cloud.after_effect = lambda met: made.wait(minutes(1)) if met.name == "vault.get" else None
    row = only(made, budget=timedelta(seconds=30))
    assert (row.outcome, row.because) == (Outcome.LEFT, "out-of-time")


def test_promise_7_the_token_s_own_parts_are_nowhere_in_what_is_told() -> None:
    made = lab(quick=False)
    made.refresh()
    value = made.current(SECRET).value
    told = f"{made.events} {[report.to_json() for report in made.reports]} {made.current(SECRET).tags}"
    for part in (value, value.split(".")[1], base64.b64encode(value.encode()).decode()):
        assert part not in told
    assert AGENTS not in told
    assert mark(SECRET) not in told
