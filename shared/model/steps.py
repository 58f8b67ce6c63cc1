"""What can be planned for an item, and why: the reason codes of the report and the steps, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.model.errors import Code


class Because(StrEnum):
    """Reason codes of the report."""

    NOTHING_PUBLISHED = "nothing-published"
    NEAR_EXPIRY = "near-expiry"
    EXPIRED = "expired"
    GONE = "gone"
    MISNAMED = "misnamed"
    MAX_AGE = "max-age"
    SCOPES_CHANGED = "scopes-changed"
    ORGANIZATION_CHANGED = "organization-changed"
    USER_CHANGED = "user-changed"
    ADOPTED = "adopted"
    TAKEN_BACK = "taken-back"
    FORCED = "forced"
    EMERGENCY = "emergency"
    RENEWING_NO_LONGER_HELPS = "renewing-no-longer-helps"
    DIED_WHILE_PUBLISHED = "died-while-published"

    FRESH = "fresh"
    PAUSED = "paused"
    ALREADY_REPLACED = "already-replaced"
    RENAMED = "renamed"
    NOT_PUSHED = "not-pushed"
    NOTHING_TO_END = "nothing-to-end"

    DECOMMISSIONED = "decommissioned"
    OVERLAP_OVER = "overlap-over"
    ORPHAN = "orphan"
    HELD_FOR_READERS = "held-for-readers"
    STILL_READ = "still-read"
    IN_OVERLAP = "in-overlap"
    ROTATED_ELSEWHERE = "rotated-elsewhere"

    CREDENTIAL_NEAR_EXPIRY = "credential-near-expiry"
    ENROLLMENT_NEAR_END = "enrollment-near-end"

    INVALID = "invalid"
    EDITED = "edited"
    FOREIGN = "foreign"
    UNMARKED = "unmarked"
    DISABLED = "disabled"
    DELETED = "deleted"
    BLOCKED = "blocked"
    USER_FAILED = "user-failed"
    ORGANIZATION_FAILED = "organization-failed"
    NOT_SEEN = "not-seen"
    UNEXPECTED = "unexpected"
    OUT_OF_TIME = "out-of-time"
    QUEUED = "queued"


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing to do; `until` is when there will be."""

    because: Because
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rotate:
    because: Because


@dataclass(frozen=True, slots=True)
class Renew:
    because: Because


@dataclass(frozen=True, slots=True)
class Mend:
    """The same PAT under a new name of its organization or user: write the names, rotate nothing."""

    because: Because = Because.RENAMED


@dataclass(frozen=True, slots=True)
class Decommission:
    because: Because = Because.DECOMMISSIONED


@dataclass(frozen=True, slots=True)
class Recover:
    """Bring the soft-deleted secret back, then look again."""

    because: Because = Because.DELETED


@dataclass(frozen=True, slots=True)
class Wait:
    """Asked for, and refused for now: a predecessor is still in overlap (rule 7)."""

    until: datetime
    because: Because = Because.IN_OVERLAP


@dataclass(frozen=True, slots=True)
class Fail:
    """A person must look at this item first."""

    because: Because
    code: Code
    cause: str
    remedy: str


Step = Hold | Rotate | Renew | Mend | Decommission | Recover | Wait | Fail
