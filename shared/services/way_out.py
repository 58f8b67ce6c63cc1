"""Why a request has no answer: whether it left this machine, and whether waiting may help.

The cause is in the exception's chain (requests, urllib3 and the standard library): the proxy's status, a certificate, a
name. None of their texts is shown: they carry addresses.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from requests.exceptions import (
    ConnectTimeout,
    InvalidProxyURL,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from shared.model.errors import Busy, Code, Misconfigured, NotDone, PatrolError, Unclear

_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")
# urllib3 says so of a proxy whose address begins with https:// and that answers a TLS greeting in plain text.
_PLAIN_PROXY = "only use HTTP and not HTTPS"
_DEEPEST = 8

_TRUST = (
    "Set REQUESTS_CA_BUNDLE to a PEM file that holds the certificate authority of what inspects TLS on the way, beside "
    "the public ones."
)
_LOGIN = "Put the user and password that the proxy asks for into HTTPS_PROXY (http://user:password@host:port)."
_FORBIDS = "Have the proxy allow that host, or put the host into NO_PROXY where it is reached without a proxy."
_PROXY = "Correct HTTPS_PROXY, or look at the proxy."
NO_ADDRESS = (InvalidProxyURL, InvalidSchema, InvalidURL, MissingSchema)
"""What requests says of an address before anything is sent. patrol's own are judged when settings are read."""
_DNS = (
    "Check the host's name and this machine's DNS (a private endpoint needs its zone linked to the network); where a "
    "proxy is the way out, set HTTPS_PROXY."
)
_NO_TLS = "Begin HTTPS_PROXY with http://: that is how the proxy itself is spoken to."


@dataclass(frozen=True, slots=True)
class Lost:
    """`left`: a byte may have arrived. `passes`: the same request may succeed in a moment. `remedy` "": as usual."""

    left: bool
    passes: bool
    cause: str
    remedy: str = ""


def lost(failure: BaseException) -> Lost:
    """Judge what requests raised in place of an answer."""
    chain = list(_chain(failure))
    by_proxy = isinstance(failure, ProxyError)
    status = (
        next((int(found[1]) for error in chain if (found := _TUNNEL.match(str(error)))), None) if by_proxy else None
    )
    if status is not None:
        remedy = _LOGIN if status == 407 else _FORBIDS if 400 <= status < 500 else _PROXY
        return Lost(False, status >= 500, f"the proxy (HTTPS_PROXY) answered HTTP {status}", remedy)
    if any(isinstance(error, ssl.SSLCertVerificationError) for error in chain):
        return Lost(False, False, f"the certificate was not accepted ({type(failure).__name__})", _TRUST)
    if by_proxy and any(_PLAIN_PROXY in str(error) for error in chain):
        return Lost(False, False, "the proxy (HTTPS_PROXY) does not speak TLS", _NO_TLS)
    if isinstance(failure, SSLError):
        return Lost(True, True, f"no TLS connection ({type(failure).__name__})", _TRUST)
    left = not never_sent(failure)
    if by_proxy and not left:
        return Lost(False, True, "the proxy (HTTPS_PROXY) cannot be reached", _PROXY)
    if any(isinstance(error, NameResolutionError) for error in chain):
        return Lost(False, True, "the host's name cannot be resolved", _DNS)
    return Lost(left, True, f"no answer ({type(failure).__name__})")


def no_answer(failure: BaseException, could_not: str, never: Code, unclear: Code, remedy: str) -> PatrolError:
    """The failure of a request without an answer: Unclear when it may have arrived, else Busy or NotDone (`never`).

    NotDone where asking again is for nothing: a proxy's refusal and a certificate pass by nobody's waiting.
    """
    known = lost(failure)
    cause, remedy = f"{could_not}: {known.cause}.", known.remedy or remedy
    if known.left:
        return Unclear(unclear, cause, remedy)
    return Busy(never, cause, remedy) if known.passes else NotDone(never, cause, remedy)


def never_sent(failure: BaseException) -> bool:
    """Whether a request failed before a byte of it left: no name, no connection, no tunnel, no TLS session."""
    if isinstance(failure, ConnectTimeout):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    if isinstance(failure, ProxyError):
        # urllib3 (2.8) blames the proxy for a connection that broke under a request too: what closes a connection also
        # forgets that its proxy had been reached. The tunnel's own refusal is http.client's.
        reason = getattr(reason, "original_error", None)
        if isinstance(reason, OSError) and _TUNNEL.match(str(reason)):
            return True
    if isinstance(failure, SSLError):
        # Only a refused certificate is surely before the request: a broken TLS session may be after it.
        return any(isinstance(error, ssl.SSLCertVerificationError) for error in _chain(failure))
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _chain(failure: BaseException, deep: int = 0) -> Iterator[BaseException]:
    """`failure` and what it was made of."""
    yield failure
    if deep == _DEEPEST:
        return
    made_of = [*failure.args, getattr(failure, "reason", None), getattr(failure, "original_error", None)]
    for error in made_of:
        if isinstance(error, BaseException):
            yield from _chain(error, deep + 1)


# What ends a request before it begins. Libraries between here and whoever asked turn exceptions into their own.
_CLOSED: ContextVar[list[Misconfigured] | None] = ContextVar("closed", default=None)


@contextmanager
def closed_ways() -> Iterator[list[Misconfigured]]:
    """Collects why requests of this context were not made, for callers of libraries that hide it."""
    found: list[Misconfigured] = []
    token = _CLOSED.set(found)
    try:
        yield found
    finally:
        _CLOSED.reset(token)


def close(way: Misconfigured) -> Misconfigured:
    """Gives `way`, noted for whoever collects."""
    noted = _CLOSED.get()
    if noted is not None:
        noted.append(way)
    return way


def no_bundle() -> Misconfigured:
    """The file of certificate authorities that the environment names is not there."""
    return Misconfigured(
        Code.SETTINGS_INVALID,
        "The file that REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE) names cannot be read, so no TLS connection can be made.",
        "Correct the path, mount the file into the image, or unset the variable.",
    )


def no_proxy_address() -> Misconfigured:
    """The environment names a proxy that nobody can speak to."""
    return Misconfigured(
        Code.SETTINGS_INVALID,
        "HTTPS_PROXY holds no address of a proxy that patrol can speak to, so nothing was sent.",
        "Set it to http://host:port (with a login: http://user:password@host:port); SOCKS is not spoken.",
    )


def no_key_log() -> Misconfigured:
    """Where keys of TLS are to be written, for somebody who looks at the traffic, cannot be written."""
    return Misconfigured(
        Code.SETTINGS_INVALID,
        "The file that SSLKEYLOGFILE names cannot be written, so no TLS connection can be made.",
        "Unset the variable: it is for looking at one's own traffic.",
    )


def is_own_endpoint(url: str) -> bool:
    """Whether plain HTTP is spoken to this machine itself or its link: where a managed identity is asked."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return False
    if parts.hostname == "localhost":
        return True
    try:
        address = ip_address(parts.hostname)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local


def through_proxy(url: str) -> Misconfigured:
    """A proxy would see the identity's key, and ask an endpoint of its own machine."""
    host = urlsplit(url).hostname
    return Misconfigured(
        Code.SETTINGS_INVALID,
        f"A proxy is set (HTTP_PROXY), and {host}, where the managed identity is asked, is not in NO_PROXY: nothing "
        "was sent.",
        f"Put {host} into NO_PROXY (169.254.169.254, 127.0.0.1 and localhost belong there), or unset HTTP_PROXY.",
    )
