"""The certificate of an app registration as Key Vault hands it out: the secret that bears the certificate's name."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import TYPE_CHECKING

from shared.model.credentials import CertificateKey, ClientProof, Credential
from shared.model.errors import Code, Misconfigured
from shared.model.secret_text import SecretText

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

_NEW = "Make a new version of it in Key Vault, and add its public part to the app registration."
_NAME = (
    "Name a certificate of Key Vault in `client_certificate_name`, or make a new version of it; its public part goes "
    "to the app registration."
)


def unusable(name: str, problem: str, remedy: str) -> Misconfigured:
    """Names the secret and what is wrong with it, never its text."""
    return Misconfigured(Code.CLIENT_CERTIFICATE_UNUSABLE, f"The client certificate {name} {problem}.", remedy)


def read(name: str, held: Credential, now: datetime) -> ClientProof:
    """Read a PFX in base64 (content type `application/x-pkcs12`) or PEM (`application/x-pem-file`).

    Raises Misconfigured (`Code.CLIENT_CERTIFICATE_UNUSABLE`) for what cannot sign at `now`, without a word of its text.
    Source: Key Vault, about certificates: the addressable secret holds the certificate with its exportable private key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    text = held.value.reveal()
    try:
        key, certificate = _pair(*(_from_pem(text) if "-----BEGIN" in text else _from_pfx(text)), name)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: a key that asks for a password
        problem = "is neither a PFX in base64 nor PEM, or asks for a password"
        raise unusable(name, problem, _NAME) from None
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        raise unusable(name, f"expired at {ends:%Y-%m-%dT%H:%M:%SZ}", _NEW)
    if now < begins:
        raise unusable(name, f"is valid only from {begins:%Y-%m-%dT%H:%M:%SZ} on", "Wait, or take its last version.")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return ClientProof(CertificateKey(public, SecretText(private.decode())), held.version, ends)


def _pair(key: PrivateKeyTypes | None, certificates: list[Certificate], name: str) -> tuple[RSAPrivateKey, Certificate]:
    """The key, and the certificate it belongs to: a file may hold the ones above it as well."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if key is None:
        remedy = f"Make it with an exportable key (`exportable: true` in its policy). {_NEW}"
        raise unusable(name, "has no private key", remedy)
    if not isinstance(key, RSAPrivateKey):
        raise unusable(name, "has no RSA key, and Entra ID takes no other", f"Choose the key type RSA. {_NEW}")
    for certificate in certificates:
        if certificate.public_key() == key.public_key():
            return key, certificate
    raise unusable(name, "holds no certificate that fits its private key", _NEW)


def _from_pfx(text: str) -> tuple[PrivateKeyTypes | None, list[Certificate]]:
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    key, certificate, more = pkcs12.load_key_and_certificates(raw, None)
    return key, [part for part in (certificate, *more) if part is not None]


def _from_pem(text: str) -> tuple[PrivateKeyTypes | None, list[Certificate]]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    raw = text.encode()
    key = load_pem_private_key(raw, None) if "PRIVATE KEY-----" in text else None
    return key, load_pem_x509_certificates(raw)
