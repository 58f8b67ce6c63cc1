"""Values of Key Vault: limits, versions, secrets and pages."""

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
