"""Certificates for tests, as Key Vault hands them out: PEM, or PFX in base64."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENDS = NOW + timedelta(days=90)


@cache
def _key(number: int) -> rsa.RSAPrivateKey:  # a part of the cache's key
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def a_key(number: int = 0) -> rsa.RSAPrivateKey:
    """The same key for the same number."""
    return _key(number)


def a_certificate(key: Any, begins: datetime = NOW - timedelta(days=1), ends: datetime = ENDS) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "patrol")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(begins).not_valid_after(ends)
    return made.sign(key, hashes.SHA256())


def pem_key(key: Any, how: Any = None) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption()).decode())


def pem(key: Any, *certificates: x509.Certificate, how: Any = None) -> str:
    shown = "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)
    return (pem_key(key, how) if key else "") + shown


def pfx(key: Any, certificate: x509.Certificate, *above: x509.Certificate, how: Any = None) -> str:
    made = pkcs12.serialize_key_and_certificates(b"patrol", key, certificate, list(above), how or NoEncryption())
    return base64.b64encode(made).decode()
