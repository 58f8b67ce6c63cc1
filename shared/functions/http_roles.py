"""Who may call the HTTP API when App Service authentication stands in front of it (`HTTP_AUTH=entra`).

The platform validates the token and hands on its claims in a header; it does not enforce app roles, the app has to.
Source: App Service documentation, "Work with user identities in Azure App Service authentication".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.model.errors import Code, Denied, Misconfigured
from shared.settings import Settings

HEADER = "x-ms-client-principal"
# Entra tokens with many claims stay far below; the host itself refuses headers of more than 64 KiB in all.
LARGEST = 32 * 1024

# App Service maps the token's `roles` to the long name unless claims mapping is off.
_ROLE_CLAIMS = frozenset({"roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"})
_ID_CLAIMS = ("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called. `id` is the directory's object id, "" where the host checked a function key instead."""

    id: str = ""


class NotSignedIn(Denied):
    """401: nobody we know."""


class RoleMissing(Denied):
    """403: somebody we know, who may not."""


def check(settings: Settings, headers: Mapping[str, str], role: str) -> Caller:
    """Let a call in, or raise Misconfigured, NotSignedIn or RoleMissing. `headers` have lower-case names."""
    if settings.http_auth == "function-key":
        return Caller()  # the host checked the key before it called us
    if not settings.platform_authenticates:
        raise Misconfigured(
            Code.SETTINGS_INVALID,
            "HTTP_AUTH is entra, and App Service authentication is off, so anybody could write the caller's claims.",
            "Switch it on (parameter authClientId of the Bicep template), or set HTTP_AUTH to function-key.",
        )
    principal = _principal(headers.get(HEADER))
    if principal is None:
        raise NotSignedIn(
            Code.CALLER_UNKNOWN,
            "The call carries no Entra token that App Service authentication accepted.",
            "Send `Authorization: Bearer …` with a token for the API's application (docs/pipelines.md).",
        )
    claims = _claims(principal)
    caller = Caller(next((value for kind, value in claims if kind in _ID_CLAIMS), "unnamed"))
    if role not in {value for kind, value in claims if kind in _ROLE_CLAIMS}:
        raise RoleMissing(
            Code.ROLE_MISSING,
            f"The caller does not have the app role {role}.",
            f"Assign the app role {role} to the caller in Entra ID, then fetch a new token.",
        )
    return caller


def _principal(header: str | None) -> Mapping[str, Any] | None:
    """The principal as the platform writes it: base64 of JSON. None when it is anything else."""
    if not header or len(header) > LARGEST:
        return None
    try:
        found = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    # Another identity provider's claims say nothing about app roles of ours.
    return found if isinstance(found, dict) and found.get("auth_typ") == "aad" else None


def _claims(principal: Mapping[str, Any]) -> list[tuple[str, str]]:
    claims = principal.get("claims")
    rows = [claim for claim in claims if isinstance(claim, dict)] if isinstance(claims, list) else []
    pairs = [(claim.get("typ"), claim.get("val")) for claim in rows]
    return [(kind, value) for kind, value in pairs if isinstance(kind, str) and isinstance(value, str)]
