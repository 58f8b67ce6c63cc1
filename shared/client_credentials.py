"""What an app registration proves itself with: named in `pats.yaml`, fetched once a run, handed to msal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared import certificates
from shared.errors import Code, Misconfigured, NotDone
from shared.model import (
    Assertion,
    CertificateKey,
    ClientCertificate,
    ClientCredential,
    ClientProof,
    ClientSecret,
    FederatedIdentity,
)
from shared.ports import Credentials
from shared.secrecy import SecretText

FEDERATED_VERSION = "federated-identity"


def fetch(credential: ClientCredential, credentials: Credentials, assertion: Assertion, now: datetime) -> ClientProof:
    """What `credential` comes to at `now`. An assertion is only asked for when a request goes out.

    Raises Misconfigured for a secret or certificate that is missing, forbidden or unusable, and Unclear.
    """
    match credential:
        case ClientSecret(name):
            try:
                secret = credentials.read(name)
            except NotDone as failure:
                raise Misconfigured(Code.CLIENT_SECRET_UNREADABLE, failure.cause, failure.remedy) from None
            return ClientProof(secret.value, secret.version, secret.expires_on)
        case ClientCertificate(name):
            try:
                held = credentials.read(name)
            except NotDone as failure:
                raise Misconfigured(Code.CLIENT_CERTIFICATE_UNUSABLE, failure.cause, failure.remedy) from None
            return certificates.read(name, held, now)
        case FederatedIdentity():
            return ClientProof(assertion, FEDERATED_VERSION)


def name_of(credential: ClientCredential) -> str:
    """The secret that holds it; "" for one that nothing holds."""
    return "" if isinstance(credential, FederatedIdentity) else credential.name


def told(credential: ClientCredential) -> str:
    """In words, for people."""
    match credential:
        case ClientSecret(name):
            return f"the client secret {name}"
        case ClientCertificate(name):
            return f"the certificate {name}"
        case FederatedIdentity():
            return "patrol's managed identity"


def for_msal(proof: ClientProof) -> str | dict[str, Any]:
    """The `client_credential` of msal's ConfidentialClientApplication.

    With a certificate msal signs PS256 with `x5t#S256`; an assertion is a callable without arguments, called when a
    request goes out (msal 1.39).
    """
    match proof.means:
        case SecretText() as secret:
            return secret.reveal()
        case CertificateKey(certificate, private_key):
            return {"private_key": private_key.reveal(), "public_certificate": certificate}
        case assertion:
            return {"client_assertion": lambda: assertion().reveal()}
