"""patrol's managed identity as the credential of an app registration (workload identity federation)."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError

from shared.model.errors import Busy, Code, Misconfigured
from shared.model.secret_text import SecretText
from shared.services.way_out import closed_ways

# By the host that signs people in. Source: Microsoft Entra, configure an application to trust a managed identity.
_AUDIENCES = {
    "login.microsoftonline.us": "api://AzureADTokenExchangeUSGov",
    "login.partner.microsoftonline.cn": "api://AzureADTokenExchangeChina",
    "login.chinacloudapi.cn": "api://AzureADTokenExchangeChina",
}
PUBLIC_AUDIENCE = "api://AzureADTokenExchange"


def audience(authority_host: str) -> str:
    """What a federated credential names as its audience, in the cloud of `authority_host`."""
    return _AUDIENCES.get(authority_host.lower(), PUBLIC_AUDIENCE)


def shows(assertion: SecretText) -> str:
    """What a federated credential must hold to trust `assertion`, in words; "" where it cannot be read.

    Read without a check: it is for people to compare, and these three claims are no secret.
    """
    parts = assertion.reveal().split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        shown = [str(claims[name]) for name in ("iss", "sub", "aud")]
    except (ValueError, TypeError, KeyError):
        return ""
    if not all(re.fullmatch(r"[!-~]{1,200}", text) for text in shown):
        return ""
    return "The identity shows issuer {}, subject {}, audience {}.".format(*shown)


class ManagedAssertion:
    """`model.Assertion` of one run: one question at a time, so that users side by side share the cached answer.

    That there is no identity is asked once as well: looking for one takes seconds.
    """

    def __init__(self, identity: Callable[[], TokenCredential], authority_host: str) -> None:
        self._make = identity
        self._identity: TokenCredential | None = None
        self._scope = f"{audience(authority_host)}/.default"
        self._lock = threading.Lock()
        self._absent: Misconfigured | None = None

    def __call__(self) -> SecretText:
        with self._lock:
            if self._absent is not None:
                raise self._absent
            with closed_ways() as closed:
                return self._ask(closed)

    def _ask(self, closed: list[Misconfigured]) -> SecretText:
        try:
            # Made at the first question: a deployment with a client secret has no managed identity to look for.
            self._identity = self._identity or self._make()
            return SecretText(self._identity.get_token(self._scope).token)
        except Misconfigured as closed_way:
            self._absent = closed_way
            raise
        except (ClientAuthenticationError, ValueError):  # ValueError: its variables contradict each other
            self._absent = closed[0] if closed else _no_identity()
            raise self._absent from None
        except AzureError as failure:
            raise Busy(
                Code.SIGN_IN_UNAVAILABLE,
                f"The managed identity's endpoint gave no token for the sign-in ({type(failure).__name__}).",
                "Nothing to do if the next run succeeds; otherwise restart the app.",
            ) from None


def _no_identity() -> Misconfigured:
    return Misconfigured(
        Code.IDENTITY_UNAVAILABLE,
        "`sign_in` names neither client_secret_name nor client_certificate_name, and there is no managed identity here "
        "that could sign in for the app registration.",
        "In Azure: assign the app its user-assigned identity and set AZURE_CLIENT_ID to its client id. Elsewhere (a "
        "laptop, a pipeline): name a client secret or a certificate in `sign_in`.",
    )
