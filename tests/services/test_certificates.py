"""The certificate of an app registration, as Key Vault hands it out: what signs, and what is one clear message."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from shared.model.credentials import CertificateKey, Credential
from shared.model.errors import Code, Misconfigured
from shared.model.secret_text import SecretText
from shared.services import certificates
from shared.services.client_credentials import for_msal
from tests.lab.certificate_texts import ENDS, NOW, a_certificate, a_key, pem, pem_key, pfx

CURVE = ec.generate_private_key(ec.SECP256R1())


def read(text: str, now: datetime = NOW) -> tuple[CertificateKey, datetime | None]:
    proof = certificates.read("patrol-sign-in", Credential(SecretText(text), "v1", None), now)
    assert isinstance(proof.means, CertificateKey)
    assert proof.version == "v1"
    assert set(for_msal(proof)) == {"private_key", "public_certificate"}
    return proof.means, proof.expires_on


def chain(write: Callable[..., str]) -> str:
    issuer = a_certificate(a_key(1))
    return write(a_key(), a_certificate(a_key()), issuer)


@pytest.mark.parametrize(
    "text",
    [
        lambda: pfx(a_key(), a_certificate(a_key())),
        lambda: pem(a_key(), a_certificate(a_key())),
        lambda: pfx(a_key(), a_certificate(a_key())) + "\n",
        lambda: chain(pfx),
        lambda: chain(pem),
        lambda: pem(a_key(), a_certificate(a_key(1)), a_certificate(a_key())),
    ],
    ids=["pfx", "pem", "pfx and a new line", "pfx with its issuer", "pem with its issuer", "pem with its issuer first"],
)
def test_what_key_vault_holds_gives_the_key_and_the_certificate_that_belongs_to_it(text: Callable[[], str]) -> None:
    found, ends = read(text())
    assert x509.load_pem_x509_certificate(found.certificate.encode()).public_key() == a_key().public_key()
    assert found.private_key.reveal() == pem_key(a_key())
    assert ends == ENDS


BAD: dict[str, tuple[Callable[[], str], str]] = {
    "a client secret": (lambda: "Zm9v~not-a-certificate", "neither a PFX in base64 nor PEM"),
    "base64 of something else": (lambda: base64.b64encode(b"something else").decode(), "neither a PFX"),
    "a pem that is cut": (lambda: pem(a_key(), a_certificate(a_key()))[:-100], "neither a PFX"),
    "only the certificate": (lambda: pem(None, a_certificate(a_key())), "has no private key"),
    "only the key": (lambda: pem(a_key()), "neither a PFX"),
    "another key's certificate": (lambda: pem(a_key(), a_certificate(a_key(1))), "no certificate that fits"),
    "a pfx with a password": (
        lambda: pfx(a_key(), a_certificate(a_key()), how=BestAvailableEncryption(b"x")),
        "asks for a password",
    ),
    "a pem with a password": (
        lambda: pem(a_key(), a_certificate(a_key()), how=BestAvailableEncryption(b"x")),
        "asks for a password",
    ),
    "an elliptic curve": (
        lambda: pem(CURVE, a_certificate(CURVE)),
        "no RSA key",
    ),
    "expired": (lambda: pem(a_key(), a_certificate(a_key(), ends=NOW)), "expired at 2026-03-01T12:00:00Z"),
    "not valid yet": (
        lambda: pem(a_key(), a_certificate(a_key(), begins=NOW + timedelta(seconds=1))),
        "valid only from 2026-03-01T12:00:01Z",
    ),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD)
def test_promise_7_a_certificate_that_cannot_sign_says_why_without_a_word_of_it(
    text: Callable[[], str], says: str
) -> None:
    held = text()
    with pytest.raises(Misconfigured, match=says) as caught:
        certificates.read("patrol-sign-in", Credential(SecretText(held), "v1", None), NOW)
    assert caught.value.code is Code.CLIENT_CERTIFICATE_UNUSABLE
    assert caught.value.cause.startswith("The client certificate patrol-sign-in ")
    assert caught.value.__cause__ is None
    told = str(caught.value)
    assert not [line for line in held.splitlines() if line in told]
