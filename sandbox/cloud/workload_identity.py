"""Workload identity as pure state: clusters that issue service account tokens, identities that trust them.

What refuses an exchange: the public documentation of workload identity federation and of AADSTS codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.cloud.assertions import AUDIENCE, FederatedCredential
from sandbox.cloud.chance import Chance
from sandbox.cloud.entra import Directory
from sandbox.cloud.entra_refusals import EntraRefused

GRANTED = frozenset({"https://vault.azure.net", "https://storage.azure.com"})
PROJECTED_LIFE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Assertion:
    credential: FederatedCredential
    expires: datetime


@dataclass(slots=True)
class _Identity:
    object_id: str
    trusted: list[FederatedCredential]


class WorkloadIdentities:
    """The user-assigned managed identities that trust a cluster, and every service account token that was issued."""

    def __init__(self, now: Callable[[], datetime], chance: Chance, directory: Directory) -> None:
        self._now = now
        self._chance = chance
        self._directory = directory
        self._identities: dict[str, _Identity] = {}
        self._issued: dict[str, _Assertion] = {}

    def trust(self, client_id: str, credential: FederatedCredential) -> None:
        """Let `client_id` be used by whoever has a token that `credential` fits; adds the identity where it is new."""
        known = self._identities.setdefault(client_id.lower(), _Identity(self._chance.guid(), []))
        known.trusted.append(credential)

    def project(self, issuer: str, subject: str, audience: str = AUDIENCE) -> str:
        """The token that a cluster puts into a pod: a JWT of one hour, remembered as a secret."""
        now = self._now()
        expires = now + PROJECTED_LIFE
        stamp, end = int(now.timestamp()), int(expires.timestamp())
        claims = {"iss": issuer, "sub": subject, "aud": [audience], "iat": stamp, "nbf": stamp, "exp": end}
        token = self._chance.jwt(claims)
        self._issued[token] = _Assertion(FederatedCredential(issuer, subject, audience), expires)
        return token

    def knows(self, client_id: str) -> bool:
        return client_id.lower() in self._identities

    def exchange(self, tenant: str, client_id: str, assertion: str | None, scope: str) -> tuple[str, datetime]:
        """The client credentials grant with an assertion; gives the identity's token and its end.

        Raises EntraRefused; judges the client first, then the assertion, then what it is asked for.
        """
        self._directory.tenant(tenant)
        identity = self._identities.get(client_id.lower())
        if identity is None:
            raise EntraRefused(700016)
        if not assertion:
            raise EntraRefused(7000218)
        known = self._issued.get(assertion)
        if known is None:
            self._chance.remember(assertion)
            raise EntraRefused(700027)
        _judge(known.credential, identity.trusted)
        if known.expires <= self._now():
            raise EntraRefused(700024)
        resource, _, name = scope.rpartition("/")
        if name != ".default" or resource not in GRANTED:
            raise EntraRefused(500011)
        return self._directory.application_token(resource, identity.object_id)


def _judge(shown: FederatedCredential, trusted: list[FederatedCredential]) -> None:
    """Raises EntraRefused with the number of the first thing that no trusted credential has."""
    for code, attribute in ((700211, "issuer"), (700213, "subject"), (700212, "audience")):
        trusted = [one for one in trusted if getattr(one, attribute) == getattr(shown, attribute)]
        if not trusted:
            raise EntraRefused(code)
