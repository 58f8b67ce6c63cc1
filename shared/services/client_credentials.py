"""What an app registration proves itself with: named in `pats.yaml`, fetched once a run, handed to msal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.model.credentials import (
    Assertion,
    CertificateKey,
    ClientCertificate,
    ClientCredential,
    ClientProof,
    ClientSecret,
    Credential,
    FederatedIdentity,
)
from shared.model.errors import Code, Misconfigured, NotDone
from shared.model.ports import Credentials
from shared.model.secret_text import SecretText
from shared.services import certificates

FEDERATED_VERSION = "federated-identity"


class ClientCredentials:
    """`ports.ClientProofs` over the vault of the credentials and patrol's managed identity."""

    def __init__(self, credentials: Credentials, assertion: Assertion) -> None:
        self._credentials = credentials
        self._assertion = assertion

    def of(self, credential: ClientCredential, now: datetime) -> ClientProof:
        """See `ports.ClientProofs`. An assertion is only asked for when a request goes out."""
        match credential:
            case ClientSecret(name):
                secret = self._read(self._credentials.read, name, Code.CLIENT_SECRET_UNREADABLE)
                return ClientProof(secret.value, secret.version, secret.expires_on)
            case ClientCertificate(name):
                held = self._read(self._credentials.read_certificate, name, Code.CLIENT_CERTIFICATE_UNUSABLE)
                return certificates.read(name, held, now)
            case FederatedIdentity():
                return ClientProof(self._assertion, FEDERATED_VERSION)

    def _read(self, read: Callable[[str], Credential], name: str, code: Code) -> Credential:
        try:
            return read(name)
        except NotDone as failure:
            raise Misconfigured(code, failure.cause, failure.remedy) from None


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
