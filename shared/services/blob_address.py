"""PATS_FILE as the address of a blob, or of a folder of blobs: `https://ACCOUNT.blob.core.windows.net/CONTAINER/...`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "login.microsoftonline.us": ("blob.core.usgovcloudapi.net",),
    "login.chinacloudapi.cn": ("blob.core.chinacloudapi.cn",),
    "login.partner.microsoftonline.cn": ("blob.core.chinacloudapi.cn",),
}
_PUBLIC = ("blob.core.windows.net", "blob.storage.azure.net")
"""The second of accounts in a DNS zone: `contoso.z01.blob.storage.azure.net`."""
_ACCOUNT = r"[0-9a-z]{3,24}(\.z[0-9]{1,2})?"
_CONTAINER = r"[0-9a-z](?:-?[0-9a-z]){2,62}"
_NAME = re.compile(r"[ -~]{0,900}")


@dataclass(frozen=True, slots=True)
class BlobAddress:
    """One blob, or a folder of them: then `blob` is "" or ends with a slash. `account` is the service's address."""

    account: str
    container: str
    blob: str

    @property
    def is_folder(self) -> bool:
        return self.blob == "" or self.blob.endswith("/")

    @property
    def name(self) -> str:
        """As a path has it: its last part."""
        return self.blob.rstrip("/").rpartition("/")[2] or self.container

    def __str__(self) -> str:
        return f"{self.account}/{self.container}/{self.blob}"


def looks_like_one(text: str) -> bool:
    """Whether an address is meant, and no path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None


def read(text: str, authority_host: str) -> BlobAddress:
    """Raises ValueError that says what is wrong, and repeats nothing: what follows a `?` may be a signature."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not an address") from None
    if parts.scheme.lower() != "https":
        raise ValueError("is an address that does not begin with https://")
    if parts.query or parts.fragment or "?" in text or "#" in text or "@" in parts.netloc:
        raise ValueError(
            "carries more than the blob's address: leave out the signature, patrol reads the blob with its own identity"
        )
    suffixes = _SUFFIXES.get(authority_host, _PUBLIC)
    if port not in (None, 443) or not any(re.fullmatch(rf"{_ACCOUNT}\.{re.escape(end)}", host) for end in suffixes):
        raise ValueError(f"does not name a storage account of this cloud, such as contoso.{suffixes[0]}")
    container, slash, blob = parts.path.removeprefix("/").partition("/")
    blob = unquote(blob)
    if not re.fullmatch(_CONTAINER, container) or not slash:
        raise ValueError("does not name a container and a blob in it; the address of a folder of blobs ends with /")
    if not _NAME.fullmatch(blob) or "//" in f"/{blob}" or {".", ".."} & set(blob.split("/")):
        raise ValueError("names a blob by what no file's name holds")
    return BlobAddress(f"https://{host}", container, blob)
