"""Tenants, app registrations and users of Entra ID."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from sandbox.cloud.assertions import Trusted


class UserState(StrEnum):
    """What the directory thinks of a user, apart from the password."""

    NORMAL = "normal"
    LOCKED = "locked"
    MFA_REQUIRED = "mfa_required"
    DISABLED = "disabled"
    PASSWORD_EXPIRED = "password_expired"
    CONSENT_MISSING = "consent_missing"
    NOT_ASSIGNED = "not_assigned"
    CONDITIONAL_ACCESS = "conditional_access"
    GUEST = "guest"  # an invited personal account: it signs in elsewhere, so no password is good here


@dataclass(frozen=True, slots=True)
class Tenant:
    """One directory, known by its guid and by its domains."""

    guid: str
    domains: tuple[str, ...]


@dataclass(slots=True)
class App:
    """An app registration; `consented` holds bare scope names of Azure DevOps."""

    client_id: str
    secrets: set[str]
    consented: set[str] = field(default_factory=lambda: {"vso.pats", "vso.pats_manage"})
    disabled: bool = False
    public: bool = False
    expired_secrets: set[str] = field(default_factory=set)
    delegated: dict[str, set[str]] = field(default_factory=dict)
    """Bare scopes of other resources, such as `https://vault.azure.net`, in lower case without a slash at the end."""
    redirect_uris: set[str] = field(default_factory=set)
    trusted: Trusted = field(default_factory=Trusted)

    @property
    def object_id(self) -> str:
        """Of its service principal in the tenant."""
        return str(uuid5(NAMESPACE_URL, self.client_id.lower()))


@dataclass(slots=True)
class User:
    upn: str
    password: str
    object_id: str
    state: UserState = UserState.NORMAL
    wrong_passwords: int = 0
    locked_until: datetime | None = None
    token_requests: int = 0
    password_attempts: int = 0
    refresh_refusal: int = 0
    """The number that redeeming this user's refresh tokens is refused with, whatever else holds; 0: none."""
