"""The app's own identity: what an older tool left in the environment must not sign it in as somebody else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from shared.model.errors import Code, Denied, Misconfigured, PatrolError
from shared.services.way_out import closed_ways

_DEVELOPERS = ("shared_token_cache", "visual_studio_code", "cli", "developer_cli", "powershell", "broker")
_NUMBER = re.compile(r"AADSTS\d{4,8}(?!\d)")


class NoToken(ClientAuthenticationError):
    """patrol's own identity got no token, so nobody was asked for anything else yet; `known` is what to tell."""

    def __init__(self, known: PatrolError) -> None:
        super().__init__(message=known.cause)
        self.known = known


class OwnIdentity:
    """`credential`, with what fails in it kept apart from refusals of the service that the token is for.

    azure-identity reports both as ClientAuthenticationError, and brings the answers of Entra ID and of the identity's
    endpoint along as if they were the service's. One thread at a time asks for a service's token: the others find it
    kept, or share the failure of the very same question (of the same tenant).
    """

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential
        self._turns: dict[tuple[str, ...], _Turn] = {}

    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        """Raises NoToken alone."""
        turn = self._turns.setdefault(scopes, _Turn())
        before = turn.failed
        with turn.lock:
            failed, turn.failed = turn.failed, None
            if failed is not None and failed is not before and failed.asked == more:  # while this one waited
                turn.failed = failed
                raise NoToken(failed.known)
            try:
                return self._ask(*scopes, **more)
            except NoToken as failure:
                turn.failed = _Failed(more, failure.known)
                raise

    def _ask(self, *scopes: str, **more: Any) -> AccessToken:
        with closed_ways() as closed:
            try:
                return self._credential.get_token(*scopes, **more)
            except NoToken:
                raise
            except Exception as failure:  # noqa: BLE001  # whatever azure-identity meets: its own, ValueError, OSError
                raise NoToken(failure if isinstance(failure, Misconfigured) else no_token(failure, closed)) from None


@dataclass(frozen=True, slots=True, eq=False)
class _Failed:
    """A question without an answer, and why."""

    asked: Mapping[str, Any]
    known: PatrolError


@dataclass(slots=True)
class _Turn:
    """`failed`: the last question, where it had no answer."""

    lock: Lock = field(default_factory=Lock)
    failed: _Failed | None = None


def no_token(failure: Exception, closed: list[Misconfigured]) -> PatrolError:
    """Why patrol's own identity has no token; of the text, which quotes what was sent, only Entra ID's number."""
    if closed:
        return closed[0]
    found = _NUMBER.search(str(failure))
    return Denied(
        Code.IDENTITY_UNAVAILABLE,
        f"no token for patrol's own identity{f' ({found[0]})' if found else ''}.",
        "Give the app its managed identity (AZURE_CLIENT_ID for a user-assigned one) or, on Kubernetes, a workload "
        "identity with a federated credential that fits; on a laptop sign in with `az login`.",
        found[0] if found else "",
    )


class FirstThatWorks:
    """Asks one identity after the other.

    Unlike azure-identity's own chain, which stops where a managed identity exists and refuses the client id it is asked
    for.
    """

    def __init__(self, first: TokenCredential, last: TokenCredential) -> None:
        self._first = first
        self._last = last

    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        """Raises ClientAuthenticationError when neither gives a token."""
        try:
            return self._first.get_token(*scopes, **more)
        except ClientAuthenticationError:
            return self._last.get_token(*scopes, **more)


def own_identity(*, by_environment: bool, client_has_secret: bool, **options: Any) -> TokenCredential:
    """azure-identity's usual chain without its first link, the service principal or user of `AZURE_...` variables.

    The technical user's own client, secret and password have those names in many tools, and none of them may read a
    vault. `by_environment`: somebody asked for that link by name. `client_has_secret`: AZURE_CLIENT_ID stands beside a
    secret, so it may name an app registration and not a managed identity: the identity without a client id is asked
    when it does. `options` are azure-identity's. Raises Misconfigured where AZURE_TOKEN_CREDENTIALS asks for nothing
    that there is.
    """
    try:
        return _chosen(by_environment=by_environment, client_has_secret=client_has_secret, **options)
    except ValueError:
        raise Misconfigured(
            Code.SETTINGS_INVALID,
            "AZURE_TOKEN_CREDENTIALS is nothing that azure-identity knows.",
            "Unset it, or set it to prod, dev, or the name of one credential, such as ManagedIdentityCredential.",
        ) from None


def _chosen(*, by_environment: bool, client_has_secret: bool, **options: Any) -> TokenCredential:
    if by_environment:
        return DefaultAzureCredential(**options)
    options["exclude_environment_credential"] = True
    if not client_has_secret:
        return DefaultAzureCredential(**options)
    # Developers' own sign-ins (az login) have no client id: asking them once is enough.
    hosted = {f"exclude_{name}_credential": True for name in _DEVELOPERS}
    return FirstThatWorks(
        DefaultAzureCredential(**options, **hosted), DefaultAzureCredential(**options, managed_identity_client_id=None)
    )
