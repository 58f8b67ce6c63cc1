"""The frozen values of patrol: what people ask for, and what was seen in the vault and in Azure DevOps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType, Protocol

from shared.model.secret_text import SecretText

PatId = NewType("PatId", str)
"""The `authorizationId` of a PAT, a guid in lower case."""

CONTENT_TYPE = "application/vnd.patrol.azure-devops-pat"
TOKEN_CONTENT_TYPE = "application/vnd.patrol.entra-token"
BY_HAND_CONTENT_TYPE = "application/vnd.patrol.by-hand"
"""Of a PAT that a person had made: free to be adopted, unlike one whose tags somebody took off."""


def whole_seconds(instant: datetime) -> datetime:
    """Cut to whole seconds, in UTC: Key Vault keeps no finer ones, Azure DevOps rounds to 1/300 s."""
    return instant.astimezone(UTC).replace(microsecond=0)


class Strategy(StrEnum):
    ROTATE = "rotate"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Validity:
    """Half-open `[starts, ends)`: the time one PAT is accepted. Both aware UTC, cut to whole seconds."""

    starts: datetime
    ends: datetime

    def left(self, now: datetime) -> timedelta:
        return self.ends - now


@dataclass(frozen=True, slots=True)
class SonarQube:
    """A consumer that keeps a copy of the value: one Azure DevOps setting of a SonarQube server.

    `url` is the server's, https, without a slash at its end; `token_secret_name` the Key Vault secret that holds the
    token of its administrator.
    """

    url: str
    alm_setting: str
    token_secret_name: str

    def __str__(self) -> str:
        return f"SonarQube {self.url} ({self.alm_setting})"


@dataclass(frozen=True, slots=True)
class Item:
    """One managed PAT = one Key Vault secret, as `pats.yaml` asks for it."""

    secret: str
    username: str
    organization: str
    scopes: tuple[str, ...]
    lifetime: timedelta
    rotate_before: timedelta
    overlap: timedelta
    strategy: Strategy = Strategy.ROTATE
    max_age: timedelta = timedelta(days=365)
    verify: str = "connection-data"
    paused: bool = False
    adopt: bool | PatId = False
    decommission: bool = False
    recover_deleted: bool = False
    then: SonarQube | None = None

    @property
    def key(self) -> str:
        """Key Vault names are case-insensitive."""
        return self.secret.casefold()


@dataclass(frozen=True, slots=True)
class TokenItem:
    """One Key Vault secret that holds a service principal's own access token for Azure DevOps.

    `refresh_below`: per cent of the token's life; with less than that left it is replaced.
    """

    secret: str
    client_id: str
    credential: ClientCredential
    organization: str
    refresh_below: int = 50
    paused: bool = False
    adopt: bool = False
    recover_deleted: bool = False

    @property
    def key(self) -> str:
        return self.secret.casefold()

    @property
    def username(self) -> str:
        """Who signs in, where a report names it."""
        return self.client_id


class Named(Protocol):
    """What a report's row says of an item of either kind."""

    @property
    def key(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def organization(self) -> str: ...


@dataclass(frozen=True, slots=True)
class InvalidItem:
    """An item of `pats.yaml` that cannot be worked on; it fails alone."""

    secret: str
    username: str
    organization: str
    problem: str

    @property
    def key(self) -> str:
        return self.secret.casefold()


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """The Key Vault secret of this name holds the client secret."""

    name: str


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The Key Vault certificate of this name, whose secret of the same name holds it with its private key."""

    name: str


@dataclass(frozen=True, slots=True)
class FederatedIdentity:
    """patrol's own managed identity, which the app registration trusts: nothing is kept, and nothing expires."""


ClientCredential = ClientSecret | ClientCertificate | FederatedIdentity
"""By what an app registration proves itself to Entra ID, as `pats.yaml` names it."""


def credential_secret(credential: ClientCredential) -> str:
    """The secret that holds it; "" for one that nothing holds."""
    return "" if isinstance(credential, FederatedIdentity) else credential.name


def credential_in_words(credential: ClientCredential) -> str:
    """In words, for people."""
    match credential:
        case ClientSecret(name):
            return f"the client secret {name}"
        case ClientCertificate(name):
            return f"the certificate {name}"
        case FederatedIdentity():
            return "patrol's managed identity"


@dataclass(frozen=True, slots=True)
class SignIn:
    tenant: str
    client_id: str
    credential: ClientCredential


def digest(username: str) -> str:
    """See `User.digest`."""
    return hashlib.sha256(username.casefold().encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class User:
    """One technical user: the unit of work."""

    username: str
    password_secret_name: str
    items: tuple[Item, ...] = ()

    @property
    def key(self) -> str:
        return self.username.casefold()

    @property
    def digest(self) -> str:
        """12 hex of SHA-256: the user where a name may hold letters, digits and hyphens only."""
        return digest(self.username)


@dataclass(frozen=True, slots=True)
class Inventory:
    """`pats.yaml`, read. `overlap` is the default one, for PATs whose item is gone.

    Tokens have a timer of their own, so what is wrong with one does not fail a run over PATs, nor the other way round.
    """

    sign_in: SignIn
    users: tuple[User, ...]
    invalid: tuple[InvalidItem, ...] = ()
    overlap: timedelta = timedelta(days=1)
    tokens: tuple[TokenItem, ...] = ()
    invalid_tokens: tuple[InvalidItem, ...] = ()

    def items(self) -> tuple[Item, ...]:
        return tuple(item for user in self.users for item in user.items)

    def credential_names(self) -> frozenset[str]:
        """The secrets that hold what patrol signs in and pushes with, casefolded: nothing is published there."""
        named = [self.sign_in.credential, *(one.credential for one in self.tokens)]
        names = [one.name for one in named if not isinstance(one, FederatedIdentity)]
        names += [user.password_secret_name for user in self.users]
        names += [item.then.token_secret_name for item in self.items() if item.then is not None]
        return frozenset(name.casefold() for name in names)

    def token_keys(self) -> frozenset[str]:
        """Casefolded names of the secrets that hold tokens."""
        return frozenset({one.key for one in self.tokens} | {one.key for one in self.invalid_tokens})

    def managed(self) -> frozenset[str]:
        """Casefolded names of all secrets that `pats.yaml` names as published, of both kinds."""
        return self.token_keys() | {item.key for item in self.items()} | {one.key for one in self.invalid}


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
    at: datetime


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """An access token just issued to a service principal; `lives` from when it was issued.

    `object_id`: of the service principal, by the token's own claim; None where the token is not readable.
    """

    value: SecretText
    lives: timedelta
    object_id: str | None = None


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


@dataclass(frozen=True, slots=True)
class Current:
    """The current version of a secret, with its value."""

    seen: VersionSeen
    value: SecretText


@dataclass(frozen=True, slots=True)
class Credential:
    """A password or client secret from the vault; `version` tells a new one from one that was refused."""

    value: SecretText
    version: str
    expires_on: datetime | None


@dataclass(frozen=True, slots=True)
class CertificateKey:
    """A certificate and its private key, both as PEM."""

    certificate: str
    private_key: SecretText


Assertion = Callable[[], SecretText]
"""Gives patrol's managed identity's token for the exchange at Entra ID. Raises Misconfigured, Busy or Unclear."""


@dataclass(frozen=True, slots=True)
class ClientProof:
    """What a client credential comes to in one run; `version` tells a new one from one that was there before."""

    means: SecretText | CertificateKey | Assertion
    version: str
    expires_on: datetime | None = None


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
