"""Blobs of one account in memory, behind `requests`: what Azure Storage answers to listings and conditional GETs."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import requests
from azure.core.credentials import AccessToken
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict
from urllib3.response import HTTPResponse

ERROR = '<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>x</Message></Error>'
PAGE = 2
"""Blobs of one page of a listing: less than anybody keeps, so that every listing has several."""

Answer = tuple[int, dict[str, str], bytes]


class Identity:
    """patrol's own, with a token for whatever it is asked for; or `failure`."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        if self.failure is not None:
            raise self.failure
        self.scopes += scopes
        return AccessToken("a-token", 2**40)


@dataclass
class BlobStorage(requests.adapters.BaseAdapter):
    """`blobs` by `container/name`. `fault`: the next answers, instead of its own; None stands for its own."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    fault: list[Answer | Exception | None] = field(default_factory=list)
    always: Answer | None = None
    asked: list[str] = field(default_factory=list)
    """Method, path and what came of it: `GET inventory/pats.yaml 304`."""

    def __post_init__(self) -> None:
        super().__init__()

    def session(self) -> requests.Session:
        made = requests.Session()
        made.trust_env = False
        made.mount("https://", self)
        return made

    def write(self, path: str, text: str | bytes) -> None:
        self.blobs[path] = text if isinstance(text, bytes) else text.encode()

    def send(self, request: requests.PreparedRequest, *args: Any, **given: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        path, query = unquote(parts.path).lstrip("/"), parse_qs(parts.query)
        planned = self.fault.pop(0) if self.fault else None
        if isinstance(planned, Exception):
            raise planned
        status, headers, body = planned or self.always or self._own(path, query, request)
        self.asked.append(f"{request.method} {path} {status}")
        response = requests.Response()
        response.status_code, response.headers = status, CaseInsensitiveDict(headers)
        response.url, response.request, response.reason = request.url or "", request, "x"
        raw = HTTPHeaderDict(headers)
        response.raw = HTTPResponse(BytesIO(body), raw, status, preload_content=False, request_method=request.method)
        return response

    def close(self) -> None:
        return None

    def _own(self, path: str, query: dict[str, list[str]], request: requests.PreparedRequest) -> Answer:
        if "Authorization" not in request.headers:
            return refusal(401, "NoAuthenticationInformation")
        if query.get("comp") == ["list"]:
            return self._listing(path, query)
        body = self.blobs.get(path)
        if body is None:
            known = any(name.startswith(f"{path.partition('/')[0]}/") for name in self.blobs)
            return refusal(404, "BlobNotFound" if known else "ContainerNotFound")
        if request.headers.get("If-None-Match") == etag(body):
            return refusal(304, "ConditionNotMet")
        if not body:
            return refusal(416, "InvalidRange") if "x-ms-range" in request.headers else (200, _headers(body), b"")
        first, _, last = request.headers["x-ms-range"].removeprefix("bytes=").partition("-")
        part = body[int(first) : int(last) + 1]
        where = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
        return 206, {**_headers(part), "ETag": etag(body), "Content-Range": where}, part

    def _listing(self, container: str, query: dict[str, list[str]]) -> Answer:
        prefix, marker = (query.get(key, [""])[0] for key in ("prefix", "marker"))
        names = sorted(name.removeprefix(f"{container}/") for name in self.blobs if name.startswith(f"{container}/"))
        if not names:
            return refusal(404, "ContainerNotFound")
        here = [name for name in names if name.startswith(prefix)]
        deeper = {f"{prefix}{name[len(prefix) :].partition('/')[0]}/" for name in here if "/" in name[len(prefix) :]}
        rows = sorted([name for name in here if "/" not in name[len(prefix) :]] + list(deeper))
        rest = [name for name in rows if name >= marker]
        after = rest[PAGE] if len(rest) > PAGE else ""
        xml = "".join(self._row(container, name) for name in rest[:PAGE])
        whole = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}"><Prefix>'
            f"{escape(prefix)}</Prefix><Delimiter>/</Delimiter><Blobs>{xml}</Blobs><NextMarker>{escape(after)}"
            "</NextMarker></EnumerationResults>"
        )
        return 200, {"Content-Type": "application/xml", "x-ms-request-id": "x"}, whole.encode()

    def _row(self, container: str, name: str) -> str:
        if name.endswith("/"):
            return f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
        body = self.blobs[f"{container}/{name}"]
        facts = f"<Etag>{escape(etag(body))}</Etag><Content-Length>{len(body)}</Content-Length>"
        return f"<Blob><Name>{escape(name)}</Name><Properties>{facts}<BlobType>BlockBlob</BlobType></Properties></Blob>"


def refusal(status: int, code: str) -> Answer:
    """In the storage's own words."""
    headers = {"x-ms-error-code": code, "x-ms-request-id": "x", "Content-Type": "application/xml"}
    return status, headers, b"" if status == 304 else ERROR.format(code=code).encode()


def etag(body: bytes) -> str:
    return f'"0x{hash(body) & 0xFFFFFFFF:X}"'


def _headers(body: bytes) -> dict[str, str]:
    return {
        "Content-Length": str(len(body)),
        "Content-Type": "application/octet-stream",
        "ETag": etag(body),
        "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-request-id": "x",
    }
