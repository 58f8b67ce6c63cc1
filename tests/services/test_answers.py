"""Who answered: each service's own words, word for word, and everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from sandbox.cloud.foreign_answers import FORMS, STATUSES, foreign_answer
from shared.services import answers
from shared.services.answers import Answer, code_word

CHALLENGE = {
    "WWW-Authenticate": 'Bearer authorization="https://login.windows.net/x", resource="https://vault.azure.net"'
}
JUDGES: dict[str, Callable[[Answer], object | None]] = {
    "Key Vault": answers.key_vault,
    "Azure DevOps": answers.azure_devops,
    "Entra ID": answers.entra,
    "storage": answers.storage,
    "SonarQube": answers.sonarqube,
}
GATEWAY_WORDS = (
    "Forbidden",
    "Unauthorized",
    "Conflict",
    "NotFound",
    "TooManyRequests",
    "invalid_grant",
    "access_denied",
)


def said(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, CaseInsensitiveDict({"Content-Type": "application/json", **(headers or {})}), raw)


def vault(code: str, inner: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": "x", **({"innererror": {"code": inner}} if inner else {})}}


def entra(error: object, number: object, text: str = "") -> dict[str, Any]:
    return {"error": error, "error_codes": [number], "error_description": text}


OWN = [
    ("Key Vault", said(400, vault("BadParameter")), "BadParameter"),
    ("Key Vault", said(401, vault("Unauthorized"), CHALLENGE), "Unauthorized"),
    ("Key Vault", said(403, vault("Forbidden", "ForbiddenByRbac")), "ForbiddenByRbac"),
    ("Key Vault", said(403, vault("Forbidden", "ForbiddenByPolicy")), "ForbiddenByPolicy"),
    ("Key Vault", said(404, vault("SecretNotFound")), "SecretNotFound"),
    ("Key Vault", said(405, vault("MethodNotAllowed")), "MethodNotAllowed"),
    ("Key Vault", said(409, vault("Conflict", "ObjectIsBeingRecovered")), "ObjectIsBeingRecovered"),
    ("Key Vault", said(429, vault("Throttled")), "Throttled"),
    ("Azure DevOps", said(200, {"patToken": None, "patTokenError": "invalidScope"}), "invalidScope"),
    ("Azure DevOps", said(403, {"patToken": None, "patTokenError": "accessDenied"}), "accessDenied"),
    ("Azure DevOps", said(404, {"typeKey": "SessionTokenNotFoundException"}), "SessionTokenNotFoundException"),
    ("Azure DevOps", said(401, {"message": "TF401444: Please sign in."}), "TF401444"),
    ("Azure DevOps", said(429, {"message": "TF400733: The request has been canceled."}), "TF400733"),
    ("Azure DevOps", said(401, b"", {"X-TFS-ServiceError": "TF400813%3A%20x"}), "TF400813"),
    (
        "Azure DevOps",
        said(401, b"", {"X-VSS-ResourceTenant": "x", "WWW-Authenticate": "Bearer authorization_uri=x"}),
        "",
    ),
    ("Azure DevOps", said(302, b"", {"Location": "https://spsprodneu1.vssps.visualstudio.com/_signin?realm=x"}), ""),
    ("Entra ID", said(400, entra("invalid_grant", 50126)), "AADSTS50126"),
    ("Entra ID", said(401, entra("invalid_client", 7000215)), "AADSTS7000215"),
    ("Entra ID", said(400, {"error": "x", "error_description": "AADSTS50034: no such user"}), "AADSTS50034"),
    ("storage", said(409, b"", {"x-ms-error-code": "LeaseAlreadyPresent"}), "LeaseAlreadyPresent"),
    (
        "storage",
        said(404, b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>BlobNotFound</Code></Error>'),
        "BlobNotFound",
    ),
    ("SonarQube", said(404, {"errors": [{"msg": "no such key"}]}), ""),
]
FOREIGN = [
    # Words of the service under a status that they do not belong to, and words that anybody says.
    ("Key Vault", said(403, vault("Forbidden"))),
    ("Key Vault", said(401, vault("Unauthorized"))),
    ("Key Vault", said(409, vault("Conflict"))),
    ("Key Vault", said(404, vault("Forbidden", "ForbiddenByRbac"))),
    ("Key Vault", said(500, vault("BadParameter"))),
    ("Key Vault", said(403, vault("SecretNotFound"))),
    ("Key Vault", said(400, {"error": "BadParameter"})),
    ("Key Vault", said(400, {"error": {"code": ["BadParameter"]}})),
    ("Key Vault", said(400, {"error": {"code": 7}})),
    ("Azure DevOps", said(500, {"patToken": None, "patTokenError": "invalidScope"})),
    ("Azure DevOps", said(503, {"typeKey": "VssServiceException"})),
    ("Azure DevOps", said(408, {"typeKey": "VssServiceException"})),
    ("Azure DevOps", said(200, {"patToken": None, "patTokenError": "none"})),
    ("Azure DevOps", said(200, {"patToken": {"x": 1}, "patTokenError": "invalidScope"})),
    ("Azure DevOps", said(403, {"message": "TF is not a number"})),
    ("Azure DevOps", said(401, b"", {"WWW-Authenticate": "Basic realm=proxy"})),
    ("Azure DevOps", said(302, b"", {"Location": "https://portal.contoso.com/_signin"})),
    ("Azure DevOps", said(302, b"", {"Location": "http://x.visualstudio.com/_signin"})),
    ("Entra ID", said(400, entra("invalid_grant", "50126"))),
    ("Entra ID", said(400, entra({"code": "invalid_grant"}, 50126))),
    ("Entra ID", said(400, {"error": "invalid_grant", "error_description": "see AADSTS50126"})),
    ("Entra ID", said(400, entra("invalid_grant", True))),
    ("storage", said(500, b"", {"x-ms-error-code": "InternalError"})),
    ("storage", said(404, {"error": {"code": "BlobNotFound"}})),
    ("SonarQube", said(400, {"errors": []})),
    ("SonarQube", said(400, {"errors": ["no"]})),
    ("SonarQube", said(500, {"errors": [{"msg": "x"}]})),
    *(("Entra ID", said(status, entra("invalid_grant", 50126))) for status in (200, 403, 404, 408, 425, 429, 500, 503)),
]


@pytest.mark.parametrize(("service", "answer", "word"), OWN)
def test_rule_2_a_service_s_own_words_are_a_refusal(service: str, answer: Answer, word: str) -> None:
    refusal: Any = JUDGES[service](answer)
    assert refusal is not None
    assert refusal.status == answer.status
    assert getattr(refusal, "word", "") == word


@pytest.mark.parametrize(("service", "answer"), FOREIGN)
def test_rule_2_words_that_do_not_belong_to_the_status_are_no_refusal(service: str, answer: Answer) -> None:
    assert JUDGES[service](answer) is None


@pytest.mark.parametrize("service", JUDGES)
def test_rule_2_nobody_in_between_speaks_for_a_service(service: str) -> None:
    for status in (*STATUSES, 203, 302):
        for form in FORMS:
            for word in ("", *GATEWAY_WORDS):
                headers, body = foreign_answer(form, status, word)
                assert JUDGES[service](Answer(status, CaseInsensitiveDict(headers), body)) is None, (status, form, word)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b'{"error":', b"null", b'"x"', b"\xef\xbb\xbf{}"])
def test_no_body_breaks_a_judge(body: bytes) -> None:
    for judge in JUDGES.values():
        for status in (200, 400, 401, 404):
            assert judge(said(status, body)) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ForbiddenByRbac", "ForbiddenByRbac"),
        ("a_b.C9", "a_b.C9"),
        ("a" * 64, "a" * 64),
        ("a" * 65, ""),
        ("9abc", ""),
        ("_abc", ""),
        ("a-b", ""),
        ("a b", ""),
        ("a\n", ""),
        ("wört", ""),
        ("", ""),
        (None, ""),
        (7, ""),
        (["a"], ""),
    ],
)
def test_promise_7_a_code_word_begins_with_a_letter_and_has_64_characters_at_most(text: object, word: str) -> None:
    assert code_word(text) == word


@given(
    st.binary(max_size=200),
    st.integers(200, 599),
    st.dictionaries(st.sampled_from(["Location", "Content-Type"]), st.text(max_size=40)),
)
def test_promise_7_of_a_stranger_s_answer_nothing_is_shown_but_the_host_of_a_redirect(
    body: bytes, status: int, headers: dict[str, str]
) -> None:
    told = answers.in_between(Answer(status, CaseInsensitiveDict(headers), body), "Key Vault")
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 400


def test_a_redirect_is_told_by_its_host_alone() -> None:
    there = "https://portal.contoso.com/login?token=abc"
    told = answers.in_between(said(307, b"", {"Location": there}), "Key Vault")
    assert "portal.contoso.com" in told
    assert "token" not in told
