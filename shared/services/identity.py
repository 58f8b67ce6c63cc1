"""The app's own identity: what an older tool left in the environment must not sign it in as somebody else."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

_DEVELOPERS = ("shared_token_cache", "visual_studio_code", "cli", "developer_cli", "powershell", "broker")
_MAY_FAIL: ContextVar[bool] = ContextVar("may_fail", default=False)


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
        asked = _MAY_FAIL.set(True)
        try:
            return self._first.get_token(*scopes, **more)
        except ClientAuthenticationError:
            pass
        finally:
            _MAY_FAIL.reset(asked)
        return self._last.get_token(*scopes, **more)


def own_identity(*, by_environment: bool, client_has_secret: bool, **options: Any) -> TokenCredential:
    """azure-identity's usual chain without its first link, the service principal or user of `AZURE_...` variables.

    The technical user's own client, secret and password have those names in many tools, and none of them may read a
    vault. `by_environment`: somebody asked for that link by name. `client_has_secret`: AZURE_CLIENT_ID stands beside a
    secret, so it may name an app registration and not a managed identity: the identity without a client id is asked
    when it does. `options` are azure-identity's.
    """
    if by_environment:
        return DefaultAzureCredential(**options)
    options["exclude_environment_credential"] = True
    if not client_has_secret:
        return DefaultAzureCredential(**options)
    # Its warning, a page long, would tell of a failure where there is none.
    logging.getLogger("azure.identity._credentials.chained").addFilter(_unless_it_may_fail)
    # Developers' own sign-ins (az login) have no client id: asking them once is enough.
    hosted = {f"exclude_{name}_credential": True for name in _DEVELOPERS}
    return FirstThatWorks(
        DefaultAzureCredential(**options, **hosted), DefaultAzureCredential(**options, managed_identity_client_id=None)
    )


def _unless_it_may_fail(_: logging.LogRecord) -> bool:
    return not _MAY_FAIL.get()
