"""HTTP for all adapters: one session, timeouts that shrink to the run's deadline, and when to ask again.

The SDKs' own retries are off where this is used: they sleep for whatever a Retry-After says, and repeat writes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.util.ssl_ import create_urllib3_context

from shared.model.clock import Clock, Deadline
from shared.model.errors import Busy, PatrolError, Unclear
from shared.services import way_out

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
WAITS = (timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4))
LONGEST_WAIT = timedelta(seconds=60)

Answer = TypeVar("Answer")


def _trusted(bundle: str) -> ssl.SSLContext:
    """What certificates are checked by: read again only when the file changed. Raises OSError."""
    return _read_bundle(bundle, Path(bundle).stat().st_mtime_ns)


@cache
def _read_bundle(bundle: str, changed: int) -> ssl.SSLContext:  # noqa: ARG001  # a part of the cache's key
    # urllib3 would read it for every connection: 20 ms of processor for the usual roots, a hundred times in a run.
    try:
        made = create_urllib3_context()
    except OSError:
        raise way_out.close(way_out.no_key_log()) from None
    made.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})
    return made


class Adapter(HTTPAdapter):
    """How every service is reached."""

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        # Behind a proxy urllib3 lets small packets wait for each other: with the delayed acknowledgements of the other
        # side every request with a body took 40 ms longer (measured with urllib3 2.8).
        at_once = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        return super().proxy_manager_for(proxy, **{"socket_options": at_once, **proxy_kwargs})

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if verify and host["scheme"] == "https":
            try:
                trusted = _trusted(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
            except OSError:
                raise way_out.close(way_out.no_bundle()) from None
            named = ("ca_certs", "ca_cert_dir")
            return host, {"ssl_context": trusted, **{key: given for key, given in pool.items() if key not in named}}
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        # A proxy that is reached over TLS is checked by the bundle's name, everybody else by what was read of it.
        if conn.proxy is not None and conn.proxy.scheme == "https":
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def send(self, request: requests.PreparedRequest, *args: Any, **given: Any) -> requests.Response:
        url = request.url or ""
        if url.startswith("http:") and way_out.is_own_endpoint(url) and select_proxy(url, given.get("proxies")):
            raise way_out.close(way_out.through_proxy(url))
        try:
            return super().send(request, *args, **given)
        except way_out.NO_ADDRESS:
            raise way_out.close(way_out.no_proxy_address()) from None


class _Session(requests.Session):
    """Looks into the environment once for each host, where requests does so for every request: a fifth of its work."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[tuple[object, ...], Mapping[str, Any]] = {}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        if proxies != {}:  # somebody's own choice
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        to = urlsplit(url)
        asked = (to.scheme, to.netloc, stream, verify, cert)
        if asked not in self._found:
            self._found[asked] = super().merge_environment_settings(url, {}, stream, verify, cert)
        found = self._found[asked]
        return {**found, "proxies": dict(found["proxies"])}


def session(connections: int) -> requests.Session:
    """One session for all hosts, with room for `connections` to each; it follows the proxy and CA variables.

    It keeps no cookie: one that a service sets for one user must not travel with the next one's request, or with the
    proof of a PAT. It reads no netrc.
    """
    made = _Session()
    # Else requests takes what ~/.netrc has for a host, and overwrites the Authorization header that an SDK has set.
    made.auth = _as_it_is
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = Adapter(pool_connections=16, pool_maxsize=connections, pool_block=False)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def timeouts(deadline: Deadline) -> tuple[float, float]:
    """Connect and read timeout in seconds; at least one second, so that a request under way can still be judged."""
    left = max(1.0, deadline.left().total_seconds())
    return (min(CONNECT_TIMEOUT, left), min(READ_TIMEOUT, left))


@dataclass(frozen=True, slots=True)
class Later:
    """Not an exception: what one attempt says when asking again may help. `wait` is the service's Retry-After."""

    failure: PatrolError
    wait: timedelta | None = None


def later(failure: PatrolError, wait: timedelta | None = None) -> Later:
    """For what may pass by itself. Raises any other failure: asking again is for nothing."""
    if isinstance(failure, Busy | Unclear):
        return Later(failure, wait)
    raise failure from None


def patiently(clock: Clock, deadline: Deadline, attempt: Callable[[], Answer | Later]) -> Answer:
    """Ask until there is an answer, at most four times and never past the deadline; then raise the last failure.

    Only for what may be asked twice: the attempt decides, by giving Later or by raising.
    """
    waits = iter(WAITS)
    while True:
        outcome = attempt()
        if not isinstance(outcome, Later):
            return outcome
        wait = next(waits, None)
        if wait is None:
            raise outcome.failure
        wait = max(wait, outcome.wait or wait)
        if wait > LONGEST_WAIT or wait >= deadline.left():
            raise outcome.failure
        clock.sleep(wait)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Read a Retry-After header: seconds or an HTTP date, a day at most. None when absent or unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        at = read_date(value)
        return None if at is None else min(max(timedelta(0), at - now), timedelta(days=1))
    return timedelta(seconds=min(max(seconds, 0.0), 86400.0)) if seconds == seconds else None


def read_date(value: str | None) -> datetime | None:
    """Read an HTTP date; None for anything else, absurd zones and years included. Aware UTC."""
    try:
        at = parsedate_to_datetime(value) if value else None
        return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
