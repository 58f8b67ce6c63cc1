"""Values of Key Vault: limits, versions, secrets, pages and refusals."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

MAX_TAGS = 15
MAX_TAG = 512
MAX_VALUE = 25 * 1024
MAX_CONTENT_TYPE = 255
MAX_PAGE = 25
SHORT_PAGE = 7
RECOVERABLE_DAYS = 90
NAME = re.compile(r"[0-9A-Za-z-]{1,127}")

ACTIONS = {
    "get": "getSecret",
    "set": "setSecret",
    "update": "setSecret",
    "list": "readMetadata",
    "versions": "readMetadata",
    "delete": "delete",
    "deleted": "readMetadata",
    "recover": "recover",
    "purge": "purge",
    "backup": "backup",
    "restore": "restore",
}
"""Operation → the data action that permits it."""


class VaultRefused(Exception):
    """An error answer: HTTP status, `code`, `inner` code or empty, message, seconds of Retry-After or None."""

    def __init__(self, status: int, code: str, message: str, inner: str = "", retry_after: int | None = None) -> None:
        super().__init__(f"{status} {code} {inner}".rstrip())
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner
        self.retry_after = retry_after


@dataclass(slots=True)
class Version:
    """One version of a secret; times are integer epoch seconds."""

    id: str
    value: str
    content_type: str | None
    tags: dict[str, str]
    enabled: bool
    not_before: int | None
    expires: int | None
    created: int
    updated: int


@dataclass(slots=True)
class Secret:
    """`name` keeps its first spelling; `versions` are in the order they were set."""

    name: str
    versions: dict[str, Version] = field(default_factory=dict)
    deleted_at: int | None = None
    refusals_left: int = 0
    settles_at: float = 0.0
    """Epoch seconds at which a deletion or a recovery is seen by everybody."""

    def settling(self, now: float) -> bool:
        """Whether a deletion or a recovery is still on its way at `now` (epoch seconds)."""
        return self.refusals_left > 0 or now < self.settles_at

    @property
    def latest(self) -> Version:
        return next(reversed(self.versions.values()))


@dataclass(frozen=True, slots=True)
class VaultPage:
    """Items as wire objects, and the skip token of the next page or None."""

    items: list[dict[str, Any]]
    skip: tuple[int, str] | None
