"""Only Entra ID's own words judge a sign-in; a password leaves once a call at most, for the authority alone."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import requests

from sandbox.cloud.foreign_answers import FORMS, STATUSES
from sandbox.cloud.seed import AGENTS, CLIENT
from shared.model.credentials import ClientProof, ClientSecret, SignIn
from shared.model.errors import (
    FEDERATED,
    Again,
    Busy,
    ClientRefused,
    Code,
    Misconfigured,
    PatrolError,
    SignInUnclear,
    Unclear,
    UserRefused,
)
from shared.model.items import User
from shared.model.secret_text import SecretText
from shared.rules.lock_out import note_name
from shared.services import enrollment_errors
from shared.services.answers import EntraRefusal
from shared.services.entra_errors import KNOWN, Concerns, refusal
from tests.lab.lab import Lab, days, hours, item, row

SIGN_IN = SignIn("contoso.onmicrosoft.com", CLIENT, ClientSecret("patrol-client-secret"))
PROOF = ClientProof(SecretText("sandbox-client-secret-demo"), "1")
USER = User(AGENTS, "svc-agents-password")
RIGHT = SecretText("sandbox-password-agents")


def a_lab(**more: Any) -> Lab:
    return Lab([item()], **more)


def fails(lab: Lab, password: SecretText = RIGHT) -> PatrolError:
    with pytest.raises(PatrolError) as caught:
        lab.world(timedelta(days=300)).directory.sign_in(SIGN_IN, USER, password, PROOF)
    return caught.value


def refused(error: str, *numbers: int, status: int = 400) -> dict[str, Any]:
    body = {"error": error, "error_codes": list(numbers), "error_description": f"AADSTS{numbers[0]}: x"}
    return {"kind": "status", "status": status, "body": json.dumps(body)}


def tokens_asked(lab: Lab) -> int:
    return len(lab.cloud.calls("entra.token"))


# --- who judges -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
def test_rule_12_no_status_in_foreign_words_judges_and_the_password_goes_out_once(after: bool) -> None:
    lab = a_lab()
    for status in (200, *STATUSES):
        for form in FORMS:
            lab.cloud.faults.clear()
            lab.cloud.add_fault("entra.token", "foreign", call=None, status=status, form=form, after_effect=after)
            before = tokens_asked(lab)
            failure = fails(lab)
            assert isinstance(failure, SignInUnclear), (status, form, failure)
            assert failure.sent
            assert failure.code is Code.SIGN_IN_UNCLEAR
            assert tokens_asked(lab) == before + 1, (status, form)


@pytest.mark.parametrize("status", [403, 404, 408, 425, 429, 500, 502, 503, 504])
def test_rule_12_under_another_status_even_entra_s_words_judge_nobody(status: int) -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.token", call=None, **refused("invalid_grant", 50126, status=status))
    failure = fails(lab)
    assert isinstance(failure, SignInUnclear)
    assert failure.sent
    assert tokens_asked(lab) == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"code": "invalid_grant", "message": "AADSTS50126"}}',
        '{"error": "invalid_grant"}',
        '{"error": "invalid_client", "error_description": "The gateway refused."}',
        '{"error_codes": [50126]}',
        '{"access_token": 7}',
        '{"access_token": ""}',
        "[]",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401])
def test_rule_12_a_gateway_s_shape_blocks_nobody_and_refuses_no_app(body: str, status: int) -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.token", "status", call=None, status=status, body=body)
    assert isinstance(fails(lab), SignInUnclear)
    lab.run()
    assert lab.told("user.blocked") == [] or "AADSTS" not in str(lab.told("user.blocked"))
    lab.cloud.faults.clear()
    assert row(lab.later(hours(1))).error is None


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("cut_before_effect", {}),
        ("cut_after_effect", {}),
        ("hang", {"seconds": 600}),
        ("hang", {"seconds": 600, "after_effect": True}),
        ("garbage", {}),
        ("garbage", {"after_effect": True}),
    ],
)
def test_promise_6_a_lost_answer_is_not_asked_for_again(kind: str, more: dict[str, Any]) -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.token", kind, call=None, **more)
    failure = fails(lab)
    assert isinstance(failure, SignInUnclear)
    assert failure.sent
    assert tokens_asked(lab) == 1


@pytest.mark.parametrize("operation", ["entra.discovery", "entra.userrealm"])
@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
def test_what_fails_before_the_password_leaves_is_asked_again_and_says_that_nothing_went_out(
    operation: str, status: int
) -> None:
    lab = a_lab()
    lab.cloud.add_fault(operation, "foreign", call=None, status=status)
    failure = fails(lab)
    assert isinstance(failure, SignInUnclear)
    assert not failure.sent
    assert failure.code is Code.SIGN_IN_UNAVAILABLE
    assert tokens_asked(lab) == 0
    lab.cloud.faults.clear()
    lab.cloud.add_fault(operation, "foreign", status=status)
    lab.world().directory.sign_in(SIGN_IN, USER, RIGHT, PROOF)


def test_a_page_in_place_of_the_discovery_document_is_not_kept_for_the_next_user() -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.discovery", "foreign", status=200, form="page")
    lab.world().directory.sign_in(SIGN_IN, USER, RIGHT, PROOF)


class Unplugged(requests.adapters.BaseAdapter):
    """Nobody can be reached at the token endpoint; all else goes on."""

    def __init__(self, inner: requests.adapters.BaseAdapter, failure: Exception) -> None:
        super().__init__()
        self.inner, self.failure, self.tried = inner, failure, 0

    def send(self, request: requests.PreparedRequest, *args: Any, **given: Any) -> requests.Response:
        if (request.url or "").endswith("/token"):
            self.tried += 1
            raise self.failure
        return self.inner.send(request, *args, **given)

    def close(self) -> None:
        return None


@pytest.mark.parametrize(
    ("failure", "sent", "tries"),
    [
        (requests.exceptions.ConnectTimeout("no connection"), False, 4),
        (requests.exceptions.ReadTimeout("no answer"), True, 1),
        (requests.exceptions.ConnectionError("Connection aborted"), True, 1),
    ],
)
def test_promise_6_only_what_never_left_is_sent_again(failure: Exception, sent: bool, tries: int) -> None:
    from sandbox.process.in_process import SandboxAdapter
    from shared.model.clock import Deadline
    from shared.services.entra_authority import Authority
    from shared.services.entra_sign_in import Entra
    from shared.services.pat_api import UserPats

    lab = a_lab()
    session = requests.Session()
    session.trust_env = False
    unplugged = Unplugged(SandboxAdapter(lab.cloud), failure)
    session.mount("https://", unplugged)
    deadline = Deadline.after(lab.clock, hours(1))
    host = "login.microsoftonline.com"
    entra = Entra(Authority(session, host, lab.clock, deadline), lambda _, t: UserPats(session, t, lab.clock, deadline))
    with pytest.raises(SignInUnclear) as caught:
        entra.sign_in(SIGN_IN, USER, RIGHT, PROOF)
    assert caught.value.sent is sent
    assert unplugged.tried == tries


# --- what the numbers mean --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "error", "again"),
    [
        (50126, "invalid_grant", Again.NEVER),
        (50053, "unauthorized_client", Again.LOCKED),
        (500532, "invalid_grant", Again.LOCKED),
        *((number, "invalid_grant", Again.DAILY) for number in (53000, 53002, 53003, 53005, 53009, 530021, 530035)),
        *((number, "interaction_required", Again.DAILY) for number in (50072, 50076, 50077, 50079, 50158, 500121)),
        *((number, "invalid_grant", Again.DAILY) for number in (50131, 50097, 50135)),
        (50020, "invalid_grant", Again.DAILY),
        (90072, "invalid_grant", Again.DAILY),
        (500571, "invalid_grant", Again.DAILY),
        (50052, "invalid_request", Again.NEVER),
        (500208, "invalid_request", Again.DAILY),
        (59999, "invalid_grant", Again.DAILY),
        (16000001, "invalid_grant", Again.DAILY),
    ],
)
def test_rule_12_each_number_says_when_to_try_again(number: int, error: str, again: Again) -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.token", call=None, **refused(error, number))
    failure = fails(lab)
    assert isinstance(failure, UserRefused)
    assert (failure.word, failure.again) == (f"AADSTS{number}", again)
    assert tokens_asked(lab) == 1


def test_rule_12_policies_and_multi_factor_are_whole_ranges() -> None:
    for number in (*range(53000, 54000), *range(530000, 540000)):
        known = refusal("invalid_grant", [number])
        assert known.concerns is Concerns.USER
        assert "Conditional Access" in known.cause
    for number in range(50070, 50080):
        assert "multi-factor" in refusal("invalid_grant", [number]).cause


def ended_by(number: int) -> UserRefused:
    said = EntraRefusal(400, "invalid_grant", (number,))
    return enrollment_errors.ended(User(AGENTS, "", enrolled=True), said, refusal("invalid_grant", [number]))


def test_rule_16_of_an_enrolled_user_policies_and_multi_factor_are_whole_ranges_too() -> None:
    for number in (53000, 53003, 53009, 530021, 50131, 50097):
        assert "Conditional Access policy" in ended_by(number).remedy
    for number in (50071, 50072, 50074, 50076, 50079, 50158, 500121):
        failure = ended_by(number)
        assert "passing what the page asks for" in failure.remedy
        assert "a password alone" not in failure.remedy


def test_promise_8_who_has_no_password_is_not_told_to_write_one() -> None:
    """And who has one is told where, by the name of the secret."""
    wanting = [number for number, known in KNOWN.items() if known.wants_password]
    assert {50126, 50055, 50144, 50052} <= set(wanting)
    for number in KNOWN:
        assert "as a new version" not in ended_by(number).remedy or refusal("", [number]).concerns is not Concerns.USER
    for number in wanting:
        assert "new version of the secret svc-agents-password." in KNOWN[number].remedy_of("svc-agents-password")
        assert "Sign in with the right password." in KNOWN[number].remedy_of(None)


def test_rule_12_a_user_s_number_wins_over_the_error_of_an_app() -> None:
    assert refusal("invalid_request", [50052]).concerns is Concerns.USER
    assert refusal("unauthorized_client", [50053]).again is Again.LOCKED
    assert refusal("invalid_client", [7777777]).concerns is Concerns.CLIENT


def test_rule_12_too_many_requests_judge_nobody_and_pass_in_minutes() -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.token", call=None, **refused("invalid_grant", 50196))
    failure = fails(lab)
    assert isinstance(failure, Busy)
    assert failure.wait == timedelta(minutes=5)
    assert tokens_asked(lab) == 1
    lab.run()
    assert note_name(AGENTS) not in {
        one.name for one in lab.vault.secrets() if one.latest.tags.get("state") == "blocked"
    }
    lab.cloud.faults.clear()
    assert row(lab.later(timedelta(minutes=6))).error is None


def test_rule_12_what_entra_calls_passing_is_not_sent_again_in_the_same_call() -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.token", call=None, **refused("temporarily_unavailable", 90033))
    assert isinstance(fails(lab), Busy)
    assert tokens_asked(lab) == 1


@pytest.mark.parametrize(
    ("password", "says"),
    [(' "wrong"', "blank"), ('"wrong"', "quotation marks"), ("'wrong'", "quotation marks"), ("wrong ", "blank")],
)
def test_promise_8_a_wrong_password_in_quotes_or_blanks_is_told_without_a_word_of_it(password: str, says: str) -> None:
    failure = fails(a_lab(), SecretText(password))
    assert isinstance(failure, UserRefused)
    assert says in failure.remedy
    assert "wrong" not in failure.remedy.replace("the right password", "")


def test_a_wrong_password_without_anything_around_it_is_told_plainly() -> None:
    assert "quotation" not in fails(a_lab(), SecretText("not-it")).remedy


# --- to whom a password goes ------------------------------------------------------------------------------------------


def test_rule_12_a_federated_domain_is_told_and_remembered_and_gets_no_password() -> None:
    lab = a_lab()
    server = lab.cloud.directory.federate(AGENTS.partition("@")[2], "adfs.contoso.com")
    failure = fails(lab)
    assert isinstance(failure, UserRefused)
    assert (failure.word, failure.again) == (FEDERATED, Again.DAILY)
    assert "onmicrosoft.com" in failure.remedy
    for _ in range(5):
        assert lab.later(hours(1)).exit_code() == 3
    assert tokens_asked(lab) == 0
    assert server.received == []
    assert [call for call in lab.cloud.log if call.host == server.host] == []
    # One of fails() and one of the first run: after that the note holds for a day.
    assert len(lab.cloud.calls("entra.userrealm")) == 2


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://login.example.com/contoso/oauth2/v2.0/token",
        "https://login.microsoftonline.com.example.com/token",
        "https://login.microsoftonline.com@example.com/token",
    ],
)
def test_rule_12_a_password_goes_to_the_authority_s_host_and_to_no_other(endpoint: str) -> None:
    lab = a_lab()
    document = {
        "issuer": "https://login.microsoftonline.com/x/v2.0",
        "authorization_endpoint": "https://login.microsoftonline.com/x/authorize",
        "token_endpoint": endpoint,
    }
    lab.cloud.add_fault("entra.discovery", "status", call=None, status=200, body=json.dumps(document))
    failure = fails(lab)
    assert isinstance(failure, Misconfigured)
    assert "AZURE_AUTHORITY_HOST" in failure.remedy
    assert tokens_asked(lab) == 0
    assert {call.host for call in lab.cloud.log if call.method == "POST"} == set()


def test_an_authority_that_entra_does_not_know_is_misconfigured_and_named() -> None:
    lab = a_lab(environment={"AZURE_AUTHORITY_HOST": "login.contoso.com"})
    body = {"error": "invalid_instance", "error_codes": [50049], "error_description": "AADSTS50049: x"}
    lab.cloud.add_fault("entra.discovery", "status", call=None, status=400, body=json.dumps(body))
    failure = fails(lab)
    assert isinstance(failure, Misconfigured)
    assert failure.code is Code.SETTINGS_INVALID
    assert "login.contoso.com" in failure.cause
    assert "AZURE_AUTHORITY_HOST" in failure.remedy
    assert len(lab.cloud.calls("entra.discovery")) == 1
    assert lab.run().exit_code() == 2


@pytest.mark.parametrize("number", [90002, 900021, 900023])
def test_an_unknown_tenant_is_believed_of_entra_alone(number: int) -> None:
    lab = a_lab()
    lab.cloud.add_fault("entra.discovery", call=None, **refused("invalid_tenant", number))
    failure = fails(lab)
    assert isinstance(failure, ClientRefused)
    assert failure.code is Code.TENANT_UNKNOWN
    lab.cloud.faults.clear()
    for status in (400, 404):
        lab.cloud.add_fault("entra.discovery", "foreign", call=None, status=status)
        assert isinstance(fails(lab), Unclear)
        lab.cloud.faults.clear()


def test_a_pat_of_a_renamed_user_is_proved_by_the_user_s_id() -> None:
    """Azure DevOps shows the old name for days; the user's own bearer says who that is."""
    lab = a_lab()
    lab.run()
    lab.wait(days(24))
    user = lab.cloud.directory.user(AGENTS)
    person = {"id": user.object_id, "properties": {"Account": {"$value": "svc-old@contoso.com"}}}
    lab.cloud.add_fault(
        "devops.connection_data", "status", call=None, status=200, body=json.dumps({"authenticatedUser": person})
    )
    assert row(lab.run()).error is None
    assert lab.works("build-pat")


def test_a_pat_of_somebody_else_is_not_proved_by_a_name_that_fits_nobody() -> None:
    lab = a_lab()
    lab.run()
    lab.wait(days(24))
    other = {"id": "0f0f0f0f-0000-4000-8000-00000000000f", "properties": {"Account": {"$value": "else@contoso.com"}}}
    lab.cloud.add_fault(
        "devops.connection_data", "status", call=1, times=1, status=200, body=json.dumps({"authenticatedUser": other})
    )
    lab.run()
    assert len(lab.cloud.calls("devops.connection_data")) > 2, "asked as the user, and proved again"
    assert lab.works("build-pat")
