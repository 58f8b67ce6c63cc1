"""What is read from a vault as a credential is judged before it is sent, and told by the secret's name (rule 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, CREDENTIALS_VAULT
from shared.model.consumers import SonarQube
from shared.model.errors import Code, Denied, NotDone
from shared.model.pats import Claim
from shared.model.secret_text import SecretText
from shared.services.kept_text import around, why_not_header, why_not_text
from tests.lab.certificate_texts import a_certificate, a_key, pem, pfx
from tests.lab.lab import START, THEN, Lab, days, item, row

ODD = [
    ("secret-word\n", "ends with a line break"),
    ("secret-word\r\n", "ends with a line break"),
    ("secret-word\n\n", "ends with a line break"),
    ("secret\nword", "holds a line break"),
    ("\ufeffsecret-word", "byte order mark"),
    ("secret\0word", "line break"),
    ("secret-\ud83dword", "half a character"),
]


def certificates() -> list[str]:
    certificate = a_certificate(a_key(), begins=START - days(1), ends=START + days(90))
    return [pfx(a_key(), certificate), pem(a_key(), certificate)]


@pytest.mark.parametrize(("text", "says"), ODD)
def test_what_no_person_typed_is_not_sent_as_text(text: str, says: str) -> None:
    problem = why_not_text(SecretText(text), "")
    assert problem is not None
    assert says in problem.what
    assert "word" not in problem.what.replace("password", "")


@pytest.mark.parametrize("text", ["x", " x ", "\tx", '"x"', "pä$$wörd🙂", "MII", "-----", "a" * 300, "MIIabc" * 20])
def test_what_a_person_can_type_is_sent_as_it_is(text: str) -> None:
    assert why_not_text(SecretText(text), "text/plain") is None


def test_a_certificate_is_known_by_its_content_type_or_by_itself() -> None:
    for kind in ("application/x-pkcs12", "application/x-pem-file", "Application/X-PKCS12; charset=utf-8"):
        assert why_not_text(SecretText("x"), kind) is not None
    for text in certificates():
        assert why_not_text(SecretText(text), "") is not None


@pytest.mark.parametrize(
    ("text", "fits"), [("squ_0123", True), ("a b", False), ("ä", False), ("a\n", False), ("", False)]
)
def test_a_token_is_what_a_header_can_carry(text: str, fits: bool) -> None:
    assert (why_not_header(SecretText(text)) is None) == fits


@pytest.mark.parametrize(
    ("text", "odd"), [("x", False), (" x", True), ("x\t", True), ('"x"', True), ("'", False), ("'x\"", False)]
)
def test_what_stands_around_a_refused_text_is_named(text: str, odd: bool) -> None:
    assert bool(around(SecretText(text))) == odd


# --- through a run ----------------------------------------------------------------------------------------------------


def with_secret(name: str, value: str, content_type: str | None = None, **more: Any) -> Lab:
    lab = Lab([item()], **more)
    lab.cloud.vaults[CREDENTIALS_VAULT].seed(name, value, content_type=content_type)
    return lab


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_promise_6_a_password_with_a_line_break_is_not_sent_however_often_it_is_written(end: str) -> None:
    lab = with_secret("svc-agents-password", "sandbox-password-agents" + end)
    for _ in range(12):
        failure = row(lab.run()).error
        assert failure is not None
        assert failure.code is Code.CREDENTIAL_UNREADABLE
        assert "svc-agents-password" in failure.message
        assert "line break" in failure.message
        lab.cloud.vaults[CREDENTIALS_VAULT].seed("svc-agents-password", "sandbox-password-agents" + end)
    assert lab.cloud.calls("entra.token") == []
    assert lab.cloud.directory.user(AGENTS).password_attempts == 0


@pytest.mark.parametrize("kind", ["application/x-pkcs12", "application/x-pem-file", None])
def test_promise_7_a_certificate_with_its_key_is_never_sent_as_a_client_secret(kind: str | None) -> None:
    for text in certificates():
        lab = with_secret("patrol-client-secret", text, kind)
        report = lab.run()
        assert report.misconfigured is not None
        assert report.misconfigured.code is Code.CLIENT_SECRET_UNREADABLE
        assert "client_certificate_name" in report.misconfigured.remedy
        assert lab.cloud.calls("entra.token") == []


def test_promise_7_a_certificate_with_its_key_is_never_sent_as_a_password() -> None:
    lab = with_secret("svc-agents-password", certificates()[0], "application/x-pkcs12")
    failure = row(lab.run()).error
    assert failure is not None
    assert failure.code is Code.CREDENTIAL_UNREADABLE
    assert lab.cloud.calls("entra.token") == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda token: token + "\n", "line break"),
        (lambda token: token + " ", "blank"),
        (lambda token: "ü" + token, "letter that no token has"),
    ],
)
def test_promise_5_a_consumer_s_token_that_no_header_carries_is_told_by_its_secret(
    change: Callable[[str], str], says: str
) -> None:
    lab = Lab([item(then=THEN)])
    server = lab.sonarqube()
    credentials = lab.cloud.vaults[CREDENTIALS_VAULT]
    credentials.seed("sonarqube-token", change(next(iter(server.tokens))))
    failures = [one.error for one in lab.run().items if one.error is not None]
    assert [one.code for one in failures] == [Code.CONSUMER_TOKEN_UNREADABLE]
    assert "sonarqube-token" in failures[0].message
    assert says in failures[0].message
    assert lab.cloud.calls("sonarqube.list_definitions") == []


def test_a_token_that_no_header_carries_is_denied_by_the_adapter_itself() -> None:
    lab = Lab([item()])
    to = SonarQube("https://sonarqube.contoso.com", "contoso-azure", "sonarqube-token")
    with pytest.raises(Denied) as caught:
        lab.world().consumers.check(to, (SecretText("squ_ü"),), "contoso")
    assert caught.value.code is Code.CONSUMER_TOKEN_UNREADABLE


@pytest.mark.parametrize("value", ["pät", "a b", "a\nb", ""])
def test_a_published_value_that_no_header_carries_is_no_pat(value: str) -> None:
    lab = Lab([item()])
    with pytest.raises(Denied) as caught:
        lab.world().verifier.verify(Claim(AGENTS, "contoso"), SecretText(value))
    assert caught.value.code is Code.VERIFY_FAILED
    assert lab.cloud.calls("devops.connection_data") == []


def test_a_certificate_is_read_as_one_where_one_is_named() -> None:
    lab = with_secret("patrol-sign-in", certificates()[0], "application/x-pkcs12")
    held = lab.world().credentials.read_certificate("patrol-sign-in")
    assert held.content_type == "application/x-pkcs12"
    with pytest.raises(NotDone):
        lab.world().credentials.read("patrol-sign-in")
