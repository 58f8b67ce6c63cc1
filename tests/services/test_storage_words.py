"""The host's storage judged by its own words: a stranger's status is no held lease, no absent report and no role."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict
from urllib3.response import HTTPResponse

from sandbox.cloud.foreign_answers import FORMS, STATUSES, foreign_answer
from shared.model import run_ids
from shared.model.clock import Deadline, SystemClock
from shared.model.errors import Code, Denied, Unclear
from shared.model.secret_text import SecretText
from shared.report.kept_run import KeptRun
from shared.report.report import Report
from shared.services.blob_leases import BlobLeases
from shared.services.blob_reports import BlobReports
from shared.services.host_storage import ByConnectionString, ByIdentity, Storage

CLOCK = SystemClock()
ACCOUNT = "https://contoso.blob.core.windows.net"
XML = '<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>x</Message></Error>'
Answerer = Callable[[requests.PreparedRequest], tuple[int, dict[str, str], bytes]]


class Answering(requests.adapters.BaseAdapter):
    """Gives every request one answer."""

    def __init__(self, answer: Answerer) -> None:
        super().__init__()
        self.answer = answer
        self.hosts: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **given: Any) -> requests.Response:
        from io import BytesIO

        self.hosts.append(request.url or "")
        status, headers, body = self.answer(request)
        response = requests.Response()
        response.status_code, response.headers = status, CaseInsensitiveDict(headers)
        response.url, response.request, response.reason = request.url or "", request, "x"
        response.raw = HTTPResponse(
            BytesIO(body), HTTPHeaderDict(headers), status, preload_content=False, request_method=request.method
        )
        return response

    def close(self) -> None:
        return None


class Identity:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        if self.failure is not None:
            raise self.failure
        return AccessToken("a-token", 2**40)


class Host:
    """Leases and reports over a storage that answers so."""

    def __init__(self, answer: Answerer, storage: Storage | None = None, identity: Identity | None = None) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []
        self.adapter = Answering(answer)
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", self.adapter)
        given = (storage or ByIdentity(ACCOUNT, ""), identity or Identity(), session, CLOCK)
        deadline = Deadline.after(CLOCK, timedelta(minutes=1), timedelta(minutes=1))
        folder = "patrol/tests-abc123"
        self.leases = BlobLeases(*given, deadline, self.tell, folder=folder, holder="me")
        self.reports = BlobReports(*given, deadline, self.tell, folder=folder)

    def tell(self, name: str, /, **fields: object) -> None:
        self.told.append((name, fields))

    def lease(self) -> str:
        """What was told of one turn, which goes on whatever the storage says."""
        with self.leases.take("build-pat", Deadline.after(CLOCK, timedelta(0))):
            pass
        return str(self.told)


def foreign(status: int, form: str, word: str = "") -> Answerer:
    headers, body = foreign_answer(form, status, word)
    return lambda _: (status, headers, body)


def own(status: int, code: str) -> Answerer:
    headers = {"x-ms-error-code": code, "x-ms-request-id": "x", "Content-Type": "application/xml"}
    return lambda _: (status, headers, XML.format(code=code).encode())


FOREIGN = [(status, form) for status in (*STATUSES, 412) for form in FORMS]


def test_rule_2_no_status_in_foreign_words_is_a_held_lease() -> None:
    for status, form in FOREIGN:
        host = Host(foreign(status, form, "LeaseAlreadyPresent"))
        told = host.lease()
        assert "lease.unavailable" in told, (status, form)
        assert str(status) in told
        assert "the role" not in told
        assert len(host.told) == 1


def test_rule_5_no_status_in_foreign_words_says_that_a_report_is_absent() -> None:
    for status, form in FOREIGN:
        host = Host(foreign(status, form))
        with pytest.raises(Unclear) as caught:
            host.reports.read(run_ids.new(CLOCK.now()))
        assert caught.value.code is Code.REPORT_UNREADABLE
        assert "the role" not in caught.value.remedy


def test_what_the_storage_itself_says_is_absent_is_absent() -> None:
    assert Host(own(404, "BlobNotFound")).reports.read(run_ids.new(CLOCK.now())) is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("AuthorizationPermissionMismatch", "role Storage Blob Data Owner"),
        ("AuthorizationFailure", "network rules"),
        ("AuthenticationFailed", "role Storage Blob Data Owner"),
    ],
)
def test_promise_8_the_remedy_follows_the_storage_s_own_code(code: str, says: str) -> None:
    host = Host(own(403, code))
    with pytest.raises(Denied) as caught:
        host.reports.read(run_ids.new(CLOCK.now()))
    assert code in caught.value.cause
    assert says in caught.value.remedy
    assert ("role" in caught.value.remedy) == ("role" in says)
    assert says in host.lease()


def test_an_identity_without_a_token_is_not_the_storage_s_refusal() -> None:
    host = Host(own(200, ""), identity=Identity(ClientAuthenticationError("AADSTS700016: x")))
    with pytest.raises(Denied) as caught:
        host.reports.read(run_ids.new(CLOCK.now()))
    assert "AADSTS700016" in caught.value.cause
    assert "AZURE_CLIENT_ID" in caught.value.remedy
    assert host.adapter.hosts == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_of_the_storage_is_followed(status: int) -> None:
    there = {"Location": "https://portal.contoso.com/login?token=abc"}
    host = Host(lambda _: (status, there, b""))
    with pytest.raises(Unclear) as caught:
        host.reports.read(run_ids.new(CLOCK.now()))
    assert "portal.contoso.com" in caught.value.cause
    assert "token=abc" not in str(caught.value)
    assert all(url.startswith(ACCOUNT) for url in host.adapter.hosts)


def test_a_report_with_half_a_character_is_kept_and_read_again() -> None:
    kept: dict[str, bytes] = {}

    def storage(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        path = (request.url or "").partition("?")[0]
        if request.method == "PUT":
            sent: Any = request.body
            data = sent.encode() if isinstance(sent, str) else sent if isinstance(sent, bytes) else sent.read()
            kept[path] = data
            return 201, {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-request-id": "x"}, b""
        body = kept[path]
        headers = {"Content-Length": str(len(body)), "Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"}
        more = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-blob-type": "BlockBlob"}
        return 206, {**headers, **more, "Content-Type": "application/json"}, body

    host = Host(storage)
    now = CLOCK.now().replace(microsecond=0)
    run = KeptRun(Report(run_ids.new(now), now, now, (), unmanaged=("half-\ud83d",)), "timer")
    assert host.reports.keep(run), host.told
    again = host.reports.read(run.run_id)
    assert again is not None
    assert again.report.unmanaged == ("half-\ud83d",)


def test_a_connection_string_that_is_refused_names_itself() -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=a2V5;EndpointSuffix=core.windows.net"
    host = Host(own(403, "AuthenticationFailed"), ByConnectionString(SecretText(text)))
    assert "Correct the key or signature" in host.lease()
