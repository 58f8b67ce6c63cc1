"""HTTP for all adapters: one session, timeouts that shrink to the run's deadline, and when to ask again.

The SDKs' own retries are off where this is used: they sleep for whatever a Retry-After says, and repeat writes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectTimeout, ProxyError, SSLError
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from shared.model.clock import Clock, Deadline
from shared.model.errors import PatrolError

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
WAITS = (timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4))
LONGEST_WAIT = timedelta(seconds=60)

Answer = TypeVar("Answer")


class _Adapter(HTTPAdapter):
    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        # Behind a proxy urllib3 lets small packets wait for each other: with the delayed acknowledgements of the other
        # side every request with a body took 40 ms longer (measured with urllib3 2.8).
        at_once = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        return super().proxy_manager_for(proxy, **{"socket_options": at_once, **proxy_kwargs})


def session(connections: int) -> requests.Session:
    """One session for all hosts, with room for `connections` to each; it follows the proxy and CA variables."""
    made = requests.Session()
    adapter = _Adapter(pool_connections=16, pool_maxsize=connections, pool_block=False)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


def timeouts(deadline: Deadline) -> tuple[float, float]:
    """Connect and read timeout in seconds; at least one second, so that a request under way can still be judged."""
    left = max(1.0, deadline.left().total_seconds())
    return (min(CONNECT_TIMEOUT, left), min(READ_TIMEOUT, left))


@dataclass(frozen=True, slots=True)
class Later:
    """Not an exception: what one attempt says when asking again may help. `wait` is the service's Retry-After."""

    failure: PatrolError
    wait: timedelta | None = None


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
    """Read a Retry-After header: seconds or an HTTP date. None when absent or unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(timedelta(0), (at if at.tzinfo else at.replace(tzinfo=UTC)) - now)
    return timedelta(seconds=min(max(seconds, 0.0), 86400.0)) if seconds == seconds else None


def never_sent(failure: BaseException) -> bool:
    """Whether a request failed before a byte of it left: no name, no connection, no tunnel, no TLS session."""
    if isinstance(failure, ConnectTimeout):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    if isinstance(failure, ProxyError):
        # urllib3 (2.8) blames the proxy for a connection that broke under a request too: what closes a connection also
        # forgets that its proxy had been reached. The tunnel's own refusal is http.client's.
        reason = getattr(reason, "original_error", None)
        if isinstance(reason, OSError) and str(reason).startswith("Tunnel connection failed"):
            return True
    if isinstance(failure, SSLError):
        # Only a refused certificate is surely before the request: a broken TLS session may be after it.
        causes = getattr(reason, "args", None) or failure.args
        return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
