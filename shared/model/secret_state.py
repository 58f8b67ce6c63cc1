"""What was seen of an item in the vault and in Azure DevOps, as the rules look at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.model import token_tags
from shared.model.clock import VaultInstant
from shared.model.pats import Pat, PatId
from shared.model.secret_text import SecretText
from shared.model.tags import MANAGED_BY, Mark, Stamp, read
from shared.model.token_tags import TokenStamp


@dataclass(frozen=True, slots=True)
class Nothing:
    """No secret of that name; `deleted` when a soft-deleted one holds it, None when patrol may not look for one."""

    deleted: bool | None = False


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A secret without a mark; `edited` when it may lie on a value of ours (rules 4, 10). `tags`: people's own."""

    edited: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    expires_on: datetime | None = None


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
    `misnamed`: it is gone in so far as the value is nobody's; the PAT that its tags name is another one.
    """

    secret: Secret
    pat: Pat | None = None
    gone: bool = False
    misnamed: bool = False


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
    ends = [seen.pat.validity.ends] if seen.pat else []
    if isinstance(seen.secret, Published) and seen.secret.expires_on:
        ends.append(seen.secret.expires_on)
    return min(ends) if ends else None


CONTENT_TYPE = "application/vnd.patrol.azure-devops-pat"


TOKEN_CONTENT_TYPE = "application/vnd.patrol.entra-token"


BY_HAND_CONTENT_TYPE = "application/vnd.patrol.by-hand"
"""Of a PAT that a person had made: free to be adopted, unlike one whose tags somebody took off."""


@dataclass(frozen=True, slots=True)
class SecretSeen:
    """One row of the vault's listing: the current version without its value and without its version id."""

    name: str
    enabled: bool
    created: datetime
    expires_on: datetime | None
    content_type: str | None
    tags: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    """Its id where one secret was looked at; a listing does not tell it."""

    @property
    def key(self) -> str:
        return self.name.casefold()


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """One version of a secret, without its value."""

    version: str
    enabled: bool
    created: datetime
    expires_on: datetime | None
    tags: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None

    @property
    def stamp(self) -> Stamp | None:
        """Our facts on it, of whatever deployment; None where its tags are not patrol's."""
        return read(self.tags)

    def names(self, pat: PatId) -> bool:
        """Whether its tags say that it holds this PAT: a hint, for tags come from people and tools too."""
        stamp = self.stamp
        return stamp is not None and stamp.authorization_id == pat


@dataclass(frozen=True, slots=True)
class VersionListing:
    """All versions of a secret, in no useful order; `at`: when, by the vault's own clock, they were listed."""

    versions: tuple[VersionSeen, ...]
    at: VaultInstant

    def __iter__(self) -> Iterator[VersionSeen]:
        return iter(self.versions)

    def newest(self) -> VersionSeen | None:
        """The current version. Of versions of one second nobody can tell which came last."""
        return max(self.versions, key=lambda version: version.created, default=None)


@dataclass(frozen=True, slots=True)
class Current:
    """The current version of a secret, with its value; `at`: when, by the vault's own clock, it was read."""

    version: VersionSeen
    value: SecretText
    at: VaultInstant


@dataclass(frozen=True, slots=True)
class VaultListing:
    """Every secret of a vault (all pages arrived) by casefolded name, and the vault's clock minus ours."""

    secrets: Mapping[str, SecretSeen]
    ahead: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Look:
    """One secret looked at by its name: None when there is none, and the vault's clock minus ours."""

    seen: SecretSeen | None
    ahead: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class PublishedToken:
    """A secret whose current version carries our mark as a token."""

    stamp: TokenStamp
    created: datetime
    expires_on: datetime | None
    enabled: bool
    tags: Mapping[str, str]
    version: str = ""


TokenSecret = Nothing | Unmarked | Foreign | PublishedToken


def classify_token(seen: SecretSeen, mark: Mark) -> TokenSecret:
    """Whose a secret is by its current version. `Unmarked` may still lie on top of marked ones (rule 10)."""
    stamp = token_tags.read(seen.tags)
    managed_by = seen.tags.get(MANAGED_BY, "")
    if managed_by.startswith("patrol/") and managed_by.casefold() != mark.text.casefold():
        return Foreign(managed_by)
    if stamp is None:
        return Unmarked(edited=seen.content_type == TOKEN_CONTENT_TYPE, tags=seen.tags)
    return PublishedToken(stamp, seen.created, seen.expires_on, seen.enabled, seen.tags, seen.version)
