"""PATs as the lifecycle API shows them, and the values that are seen once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType

from shared.model.clock import Moment
from shared.model.secret_text import SecretText

PatId = NewType("PatId", str)
"""The `authorizationId` of a PAT, a guid in lower case."""


@dataclass(frozen=True, slots=True)
class Validity:
    """Half-open `[starts, ends)`: the time one PAT is accepted. Both aware UTC, cut to whole seconds."""

    starts: datetime
    ends: datetime

    def left(self, now: datetime) -> timedelta:
        """Negative once it ended."""
        return self.ends - now


@dataclass(frozen=True, slots=True)
class Pat:
    """A PAT as the lifecycle API shows it: never with its value."""

    id: PatId
    display_name: str
    scopes: frozenset[str]
    validity: Validity
    organization_id: str | None
    """The organization's guid in lower case; None for a global (all-organizations) PAT."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A PAT just made: the only time its value is seen. `at` is when the request that made it was sent."""

    pat: Pat
    value: SecretText
    at: Moment


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """An access token just issued to a service principal; `lives` from when it was issued.

    `object_id`: of the service principal, by the token's own claim; None where the token is not readable.
    """

    value: SecretText
    lives: timedelta
    object_id: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Who minted a PAT, and in which organization."""

    username: str
    organization: str

    @property
    def key(self) -> tuple[str, str]:
        """The same for every spelling: Entra ID and Azure DevOps ignore case."""
        return self.username.casefold(), self.organization.casefold()

    def same(self, other: Owner) -> bool:
        """Whether it is the same user in the same organization, however each is spelt."""
        return self.key == other.key


CONNECTION_DATA = "connection-data"


@dataclass(frozen=True, slots=True)
class Claim:
    """Of whom a value must be, and by which read that is proved: a GET path, or `connection-data`.

    `organization_id`: a guid in lower case; None where it is not known.
    """

    username: str
    organization: str
    organization_id: str | None = None
    path: str = CONNECTION_DATA
