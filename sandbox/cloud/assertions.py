"""Client assertions at the token endpoint: a managed identity's token (federated credential), or a signed JWT.

Which numbers refuse them: the public list of AADSTS codes, and what users report of 700211 to 700213. Expiry is judged
by the sandbox's clock, so PyJWT checks signatures alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
AUDIENCE = "api://AzureADTokenExchange"
EXCHANGE = "api://azureadtokenexchange"
"""How the audience of a token for the exchange begins, in lower case; sovereign clouds add their name."""
UNCHECKED: Final[Options] = {"verify_signature": False}
SIGNATURE_ONLY: Final[Options] = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
MALFORMED, WRONG_SIGNATURE, UNKNOWN_KEY, OUT_OF_TIME = 50027, 50013, 700027, 700024
WRONG_ISSUER, WRONG_AUDIENCE, WRONG_SUBJECT = 700211, 700212, 700213
NOT_THIS_CLIENT, NOT_THIS_ENDPOINT = 700021, 700023


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """What an application trusts; compared letter by letter."""

    issuer: str
    subject: str
    audience: str = AUDIENCE


@dataclass(slots=True)
class Trusted:
    """What one application proves itself with, apart from client secrets."""

    federated: list[FederatedCredential] = field(default_factory=list)
    certificates: dict[str, x509.Certificate] = field(default_factory=dict)
    """By SHA-256 thumbprint in base64url, as `x5t#S256` has it."""

    def add_certificate(self, pem: str) -> None:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        self.certificates[_base64url(certificate.fingerprint(hashes.SHA256()))] = certificate


def issuer_of(tenant: str) -> str:
    """Who issues tokens for the exchange, in the directory with this guid."""
    return f"https://login.microsoftonline.com/{tenant}/v2.0"


@cache
def signing_key() -> rsa.RSAPrivateKey:
    """Throw-away: one a process, made when the first token for the exchange is asked for."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sign(claims: Mapping[str, Any]) -> str:
    return jwt.encode(dict(claims), signing_key(), "RS256", headers={"kid": "sandbox"})


def judge(
    trusted: Trusted, client_id: str, assertion: str, tenants: frozenset[str], endpoints: frozenset[str], now: datetime
) -> int | None:
    """The AADSTS number that refuses `assertion`, None where it proves the client.

    `tenants` are the guids of the directories whose identities may have issued it, `endpoints` what a signed one may
    name as its audience.
    """
    try:
        head, claims = jwt.get_unverified_header(assertion), jwt.decode(assertion, options=UNCHECKED)
    except jwt.InvalidTokenError:
        return MALFORMED
    if any(not isinstance(claims.get(name), str) for name in ("iss", "sub", "aud")):
        return MALFORMED
    if claims["iss"] == client_id or "x5t#S256" in head:
        return _judge_signed(trusted, client_id, assertion, head, claims, endpoints, now)
    return _judge_federated(trusted, assertion, claims, tenants, now)


def _judge_federated(
    trusted: Trusted, assertion: str, claims: Mapping[str, Any], tenants: frozenset[str], now: datetime
) -> int | None:
    matching = trusted.federated
    for number, name in ((WRONG_ISSUER, "issuer"), (WRONG_SUBJECT, "subject"), (WRONG_AUDIENCE, "audience")):
        matching = [one for one in matching if getattr(one, name) == claims[name[:3]]]
        if not matching:
            return number
    if claims["iss"] not in {issuer_of(tenant) for tenant in tenants}:
        return WRONG_SIGNATURE  # nobody but a directory of the sandbox has a key here
    if not _verifies(assertion, signing_key().public_key(), "RS256"):
        return WRONG_SIGNATURE
    return None if _in_time(claims, now) else OUT_OF_TIME


def _judge_signed(
    trusted: Trusted,
    client_id: str,
    assertion: str,
    head: Mapping[str, Any],
    claims: Mapping[str, Any],
    endpoints: frozenset[str],
    now: datetime,
) -> int | None:
    # msal leaves the padding on.
    certificate = trusted.certificates.get(str(head.get("x5t#S256")).rstrip("="))
    if certificate is None or certificate.not_valid_after_utc <= now:
        return UNKNOWN_KEY
    if head.get("alg") != "PS256" or not _verifies(assertion, certificate.public_key(), "PS256"):
        return UNKNOWN_KEY
    if not claims["iss"] == claims["sub"] == client_id:
        return NOT_THIS_CLIENT
    if claims["aud"] not in endpoints:
        return NOT_THIS_ENDPOINT
    if not claims.get("jti"):
        return MALFORMED
    return None if _in_time(claims, now) else OUT_OF_TIME


def _verifies(assertion: str, key: Any, algorithm: str) -> bool:
    try:
        jwt.decode(assertion, key, algorithms=[algorithm], options=SIGNATURE_ONLY)
    except jwt.InvalidTokenError:
        return False
    return True


def _in_time(claims: Mapping[str, Any], now: datetime) -> bool:
    ends = claims.get("exp")
    return isinstance(ends, int | float) and now.timestamp() < ends


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
