"""One POST to an address that is a secret: sent as it is written, to the host that was checked, and no further.

Libraries rewrite addresses (`%2f` becomes `%2F`, `%7E` becomes `~`), and a signature in one then fails. Nothing is
followed, nothing is kept open, and no text of a failure is shown: it would carry the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.utils import select_proxy
from urllib3.connection import HTTPSConnection

from shared.services import notice_addresses, way_out
from shared.services.answers import Answer
from shared.services.notice_addresses import Resolve
from shared.services.transport import Adapter, session

MOST_READ = 4096
"""So much of an answer is looked at: it says whether the recipient itself answered."""


class NotAllowed(Exception):
    """The address leads to where notices may not go; nothing was sent."""


class Unresolved(Exception):
    """The host's name has no address; nothing was sent."""


class Post(Protocol):
    """Sends one body, and gives the answer.

    Raises NotAllowed, Unresolved, and what requests raises for a lost one.
    """

    def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: tuple[float, float], private: bool
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class DirectPost:
    """Over a connection of its own."""

    resolve: Resolve = notice_addresses.resolve

    def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: tuple[float, float], private: bool
    ) -> Answer:
        with session(1) as http:
            settings = http.merge_environment_settings(url, {}, True, None, None)
            proxied = bool(select_proxy(url, settings["proxies"]))
            failure: Exception | None = None
            # One host may have several addresses, of which some are not reached from here.
            for address in self._addresses(url, proxied=proxied, private=private):
                http.mount("https://", _ToOneHost(url, address))
                try:
                    return _sent(http, url, body, headers, timeout, settings)
                except requests.RequestException as lost:
                    if not way_out.never_sent(lost):
                        raise
                    failure = lost
            raise failure or Unresolved

    def _addresses(self, url: str, *, proxied: bool, private: bool) -> tuple[str | None, ...]:
        """Those to connect to; None: a proxy finds the host, and its own rules say which it may reach."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        own = notice_addresses.literal(host)
        try:
            found = (own,) if own else () if proxied else self.resolve(host, port)
        except (OSError, UnicodeError):
            raise Unresolved from None
        if not all(notice_addresses.is_allowed(address, private=private) for address in found):
            raise NotAllowed
        return (None,) if proxied else found


@dataclass(frozen=True, slots=True)
class SessionPost:
    """Over a session that reaches one cloud and nothing else: a test's, which has no addresses to judge."""

    http: requests.Session

    def __call__(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: tuple[float, float],
        private: bool,  # noqa: ARG002  # as above
    ) -> Answer:
        return _sent(self.http, url, body, headers, timeout, {})


class _ToOneHost(Adapter):
    """Connects to `address` for the host of `url`, whose certificate it asks for, and sends the target as written."""

    def __init__(self, url: str, address: str | None) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        self._host = urlsplit(url).hostname
        self._target = target(url)
        self._address = address

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> Any:
        host, given = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._address is None:
            return host, given
        # Its name is in the greeting, and the certificate is checked for it.
        return {**host, "host": self._address}, {**given, "server_hostname": self._host}

    def get_connection_with_tls_context(self, *args: Any, **given: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **given)
        pool.ConnectionCls = partial(_AsWritten, target=self._target)
        return pool


class _AsWritten(HTTPSConnection):
    def __init__(self, *args: Any, target: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self._as_written = target

    def putrequest(self, method: str, url: str, *args: Any, **given: Any) -> None:  # noqa: ARG002  # rewritten
        super().putrequest(method, self._as_written, *args, **given)


def target(url: str) -> str:
    """What stands in the request's first line: everything behind the host, unchanged."""
    behind = url.partition("://")[2]
    path = behind[len(urlsplit(url).netloc) :]
    return path if path.startswith("/") else f"/{path}"


def _sent(
    http: requests.Session,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: tuple[float, float],
    settings: Mapping[str, Any],
) -> Answer:
    named = {**headers, "Host": urlsplit(url).netloc.rpartition("@")[2]}
    # Else requests looks for a password to the host in ~/.netrc.
    request = requests.Request("POST", url, data=body, headers=named, auth=lambda made: made)
    prepared = http.prepare_request(request)
    with http.send(prepared, timeout=timeout, allow_redirects=False, **{**settings, "stream": True}) as response:
        try:
            read = response.raw.read(MOST_READ, decode_content=True) or b""
        except Exception:  # noqa: BLE001  # an answer that broke off has a status all the same
            read = b""
        return Answer(response.status_code, response.headers, read)
