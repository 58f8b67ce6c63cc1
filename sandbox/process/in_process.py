"""The cloud behind one `requests.Session`, in this process and without sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.client import responses as REASONS
from io import BytesIO
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict
from urllib3.response import HTTPResponse

from sandbox.cloud.cloud import Cloud
from sandbox.wire.door import answer
from sandbox.wire.exchange import Cut, Hang, Request, Response


class SandboxAdapter(BaseAdapter):
    """Mount on `https://` and `http://`. `on_wait(seconds)` is told of time that would have passed; none does.

    A cut raises ConnectionError; a hang, or a delay longer than the read timeout, raises ReadTimeout at once.
    """

    def __init__(self, cloud: Cloud, on_wait: Callable[[float], None] | None = None) -> None:
        super().__init__()
        self._cloud = cloud
        self._on_wait = on_wait

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        limit = _read_timeout(timeout)
        try:
            played = answer(self._cloud, _request_of(request))
        except Cut as cut:
            raise requests.exceptions.ConnectionError(f"Connection aborted: {cut}", request=request) from None
        except Hang as hang:
            self._wait(hang.seconds if limit is None else min(limit, hang.seconds))
            raise requests.exceptions.ReadTimeout("Read timed out", request=request) from None
        if played.delay:
            late = limit is not None and played.delay > limit
            self._wait(limit if late and limit is not None else played.delay)
            if late:
                raise requests.exceptions.ReadTimeout("Read timed out", request=request)
        response = self._response(request, played)
        if not stream:
            response.content  # noqa: B018  reads the body, as requests does
        return response

    def close(self) -> None:
        return None

    def _response(self, request: requests.PreparedRequest, played: Response) -> requests.Response:
        response = requests.Response()
        response.status_code = played.status
        response.headers = CaseInsensitiveDict(played.headers)
        response.reason = REASONS.get(played.status, "")
        response.url = request.url or ""
        response.request = request
        charset = "charset=utf-8" in played.headers.get("Content-Type", "").lower()
        response.encoding = "utf-8" if charset else None
        response.raw = HTTPResponse(
            BytesIO(played.body),
            HTTPHeaderDict(played.headers),
            played.status,
            reason=response.reason,
            preload_content=False,
            request_method=request.method,
        )
        setattr(response, "connection", self)  # noqa: B010  requests sets it as well; the stubs do not know it
        return response

    def _wait(self, seconds: float) -> None:
        if self._on_wait is not None:
            self._on_wait(seconds)


def session_for(cloud: Cloud, on_wait: Callable[[float], None] | None = None) -> requests.Session:
    """A session that reaches the cloud and nothing else, and reads no proxy or bundle from the environment."""
    session = requests.Session()
    session.trust_env = False
    adapter = SandboxAdapter(cloud, on_wait)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _read_timeout(timeout: Any) -> float | None:
    value = timeout[1] if isinstance(timeout, tuple) else timeout
    seconds: float | None = getattr(value, "read_timeout", value)
    return seconds


def _request_of(request: requests.PreparedRequest) -> Request:
    body = request.body
    raw = body.encode() if isinstance(body, str) else bytes(body or b"")
    headers = {name: _text(value) for name, value in request.headers.items()}
    return Request.of(request.method or "GET", request.url or "", headers, raw)


def _text(value: str | bytes) -> str:
    # requests itself keeps some values, such as an Authorization header, as bytes.
    return value if isinstance(value, str) else value.decode()
