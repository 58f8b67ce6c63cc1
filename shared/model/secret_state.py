"""What was seen of an item in the vault and in Azure DevOps, as the rules look at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.model.items import Pat, VersionSeen
from shared.model.tags import Mark, Stamp, read


@dataclass(frozen=True, slots=True)
class Nothing:
    """No secret of that name; `deleted` when a soft-deleted one holds it, None when patrol may not look for one."""

    deleted: bool | None = False


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A secret without a mark; `edited` when an older version carries ours (rule 10). `tags` are people's own."""

    edited: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A secret with another deployment's mark."""

    managed_by: str


@dataclass(frozen=True, slots=True)
class Published:
    """A secret whose current version carries our mark."""

    stamp: Stamp
    created: datetime
    expires_on: datetime | None
    enabled: bool
    tags: Mapping[str, str]


Secret = Nothing | Unmarked | Foreign | Published


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one item.

    `pat` is its current PAT as the API listed it; `gone` is the proof that it is dead (rule 5). Neither: not looked.
    """

    secret: Secret
    pat: Pat | None = None
    gone: bool = False


def is_ours(tags: Mapping[str, str], mark: Mark) -> bool:
    """Whether these tags carry our mark."""
    stamp = read(tags)
    return stamp is not None and stamp.managed_by.casefold() == mark.text.casefold()


def classify(tags: Mapping[str, str], mark: Mark, versions: Iterable[VersionSeen] = ()) -> Foreign | Unmarked | None:
    """Whose a secret is by the tags of its current version; None when it is ours. `versions` tells `edited` apart."""
    stamp = read(tags)
    if stamp is None:
        return Unmarked(edited=any(is_ours(version.tags, mark) for version in versions), tags=tags)
    return None if stamp.managed_by.casefold() == mark.text.casefold() else Foreign(stamp.managed_by)


def expiry(seen: Seen) -> datetime | None:
    """When the published value stops working: the earlier of what the vault says and what the API says."""
    known = [seen.pat.validity.ends] if seen.pat else []
    if isinstance(seen.secret, Published) and seen.secret.expires_on:
        known.append(seen.secret.expires_on)
    return min(known) if known else None
