"""Where notices may go: what an address must look like, and to which hosts it may lead.

The address is a secret that a person wrote, so it is judged by what it is and never shown. Only https; and nothing but
public addresses, unless pats.yaml says `allow_private: true`: an address could otherwise make patrol ask servers that
only its own network reaches.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from shared.services.kept_text import Problem

Resolve = Callable[[str, int], tuple[str, ...]]
"""Gives the addresses of a host, as text. Raises OSError."""

_HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z.-]{0,251}[0-9A-Za-z])?|[0-9A-Fa-f:.]+")
_VISIBLE = re.compile(r"[!-~]+")
# What answers here answers for the machine itself, and gives away its identity: Azure's own, and every link-local one.
_NEVER = frozenset({ip_address("168.63.129.16")})
_TRANSLATED = IPv6Network("64:ff9b::/96")

_COPY = (
    "Copy the address again from where it was made, whole and unchanged, and write it as a new version of that secret."
)


def why_not_address(url: str) -> Problem | None:
    """Why nothing is sent there; None when it may be. `what` goes on a sentence that begins with the secret's name."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return Problem("is no address", _COPY)
    if not _VISIBLE.fullmatch(url):
        return Problem("holds a blank or a letter that no address has", _COPY)
    if parts.scheme.lower() != "https":
        return Problem("does not begin with https://, and notices travel under TLS only", _COPY)
    if not _HOST.fullmatch(host) or port == 0:
        return Problem("names no host", _COPY)
    if "@" in parts.netloc:
        return Problem("has a user before its host, which is not sent", _COPY)
    if "#" in url:
        return Problem("has a part behind a `#`, which nobody can be sent", _COPY)
    return None


def is_allowed(address: str, *, private: bool) -> bool:
    """Whether a notice may go to this IP address; `private`: to one of a private network and this machine too."""
    judged = _meant(ip_address(address.partition("%")[0]))
    if judged in _NEVER or judged.is_link_local or judged.is_multicast or judged.is_unspecified:
        return False
    return judged.is_global or private


def literal(host: str) -> str | None:
    """The host where it is an IP address itself."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def resolve(host: str, port: int) -> tuple[str, ...]:
    """By the system's own resolver, each once and in its order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(place[4][0]) for place in found))


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it does: a way around every rule otherwise."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
