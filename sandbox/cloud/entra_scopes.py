"""What may be asked of Entra ID for which resource, and what is granted of it."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cloud.entra_estate import App
from sandbox.cloud.entra_refusals import EntraRefused

AZURE_DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798"
AZURE_DEVOPS_NAMES = (AZURE_DEVOPS, f"api://{AZURE_DEVOPS}", "https://app.vssps.visualstudio.com")
OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})


@dataclass(frozen=True, slots=True)
class GrantedScope:
    """A scope that was judged: the audience, the bare scopes granted, those of OpenID, and the answer's `scope`."""

    audience: str
    scopes: frozenset[str]
    openid: frozenset[str]
    echo: str


def granted_scope(app: App, scope: str) -> GrantedScope:
    """What is granted of what was asked. Raises EntraRefused 70011, 28000, 500011 or 65001."""
    wanted = [word for word in scope.split() if word not in OPENID_SCOPES]
    if not wanted:
        raise EntraRefused(70011)
    granted: set[str] = set()
    echo: list[str] = []
    audiences: set[str] = set()
    for word in wanted:
        resource, _, name = word.rpartition("/")
        audience = resource.lower().rstrip("/")
        if audience in AZURE_DEVOPS_NAMES:
            audience, consented = AZURE_DEVOPS, app.consented
        elif audience in app.delegated:
            consented = app.delegated[audience]
        else:
            raise EntraRefused(500011)
        audiences.add(audience)
        if name == ".default":
            granted |= consented
            echo += [f"{resource}/{each}" for each in sorted(consented)]
        elif name in consented:
            granted.add(name)
        else:
            raise EntraRefused(65001)
        echo.append(word)
    if len(audiences) > 1:
        raise EntraRefused(28000)
    openid = OPENID_SCOPES & set(scope.split())
    return GrantedScope(audiences.pop(), frozenset(granted), openid, " ".join(dict.fromkeys(echo)))
