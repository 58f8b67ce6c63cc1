"""What signs in: app registrations, what they prove themselves with, and credentials read from a vault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.model.secret_text import SecretText


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


@dataclass(frozen=True, slots=True)
class Credential:
    """A password or client secret from the vault; `version` tells a new one from one that was refused."""

    value: SecretText
    version: str
    expires_on: datetime | None
    content_type: str = ""


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
