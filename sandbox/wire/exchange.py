"""What travels between the wire and the services: requests, responses, routes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `host` without a port and `headers` keys in lower case, `path` as sent, `query` without `?`."""

    method: str
    scheme: str
    host: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Request:
        parts = urlsplit(url)
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        return cls(method.upper(), parts.scheme, (parts.hostname or "").lower(), parts.path, parts.query, lowered, body)

    def parameters(self) -> dict[str, str]:
        """The query by lower-case name; the last of several wins."""
        return {name.lower(): value for name, value in parse_qsl(self.query, keep_blank_values=True)}

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ValueError on anything else."""
        value = json.loads(self.body)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; `delay` = seconds it is held back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A service's answer, and whether something in the cloud changed."""

    response: Response
    effect: bool = False

    def stamped(self, headers: Mapping[str, str]) -> Reply:
        """The same with more headers."""
        answer = self.response
        return Reply(Response(answer.status, {**answer.headers, **headers}, answer.body, answer.delay), self.effect)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request leads: the operation's name, its subject, and what to do.

    `is_secret`: its path and query open something, and are not logged.
    """

    operation: str
    subject: str
    handle: Callable[[], Reply]
    is_secret: bool = False


def basic(header: str) -> tuple[str, str] | None:
    """User and password of a Basic header; None when it is not exactly base64 of `user:password`."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(encoded, validate=True)
        if base64.b64encode(raw).decode() != encoded:  # such as one "=" too many
            return None
        user, _, password = raw.decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return user, password


class Cut(Exception):
    """The connection ends without an answer."""


class Hang(Exception):
    """No answer for `seconds`, then the connection ends."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer for {seconds:g} s")
        self.seconds = seconds


def json_response(
    status: int, value: object, headers: Mapping[str, str] | None = None, *, mark: bool = False
) -> Response:
    """`mark` puts a UTF-8 byte order mark first."""
    raw = json.dumps(value, separators=(",", ":")).encode()
    return Response(status, {"Content-Type": JSON_TYPE, **(headers or {})}, b"\xef\xbb\xbf" + raw if mark else raw)


def html_response(status: int, title: str, headers: Mapping[str, str] | None = None) -> Response:
    page = f"<!DOCTYPE html>\r\n<html><head><title>{title}</title></head><body><h2>{title}</h2></body></html>\r\n"
    return Response(status, {"Content-Type": HTML_TYPE, **(headers or {})}, page.encode())
