"""Where items are published: the addresses of vaults, and how a secret is called where several have one of its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

# The last label begins with a letter: a name, and not an address in any of its spellings (`127.1`, `0x7f.0.0.0x1`).
HOST_NAME = r"([0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?\.)+[a-z]([0-9a-z-]{0,61}[0-9a-z])?"


@dataclass(frozen=True, slots=True, order=True)
class VaultAddress:
    """A vault by its host, in lower case; "" is the vault of KEY_VAULT_URL, whatever its host is (`HOME`)."""

    host: str = ""

    @property
    def label(self) -> str:
        """What callers write before a name: the first label of the host."""
        return self.host.partition(".")[0]

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    def written(self, secret: str) -> str:
        """A secret's name as people write it: at home its own, elsewhere with the label."""
        return f"{self.label}/{secret}" if self.host else secret

    def key_of(self, secret: str) -> str:
        """What a secret is known by among all vaults, casefolded: its name, elsewhere than at home with the label."""
        return self.written(secret).casefold()


HOME = VaultAddress()


def wrong_address(url: str) -> str | None:
    """What is wrong with a vault's address, as a part of a sentence; None where it can be one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not an address"
    if parts.scheme != "https":
        return "does not begin with https://"
    if not re.fullmatch(HOST_NAME, parts.hostname or ""):
        return "does not name a vault's host"
    if parts.path.strip("/") or port not in (None, 443) or re.search(r"[?#@\s]", url):
        return "is more than a vault's host"
    return None


def host_of(url: str) -> str:
    """The host of an address that is none of the wrong ones, in lower case."""
    return (urlsplit(url).hostname or "").lower()
