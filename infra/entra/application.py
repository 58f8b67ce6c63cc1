"""patrol's applications in Entra ID: made, or given by id, and looked at before and after anything is given to them.

Whoever may register applications (by default everybody in a tenant) chooses their names, puts other people among their
owners, and lets them ask for any permission. So an application is never found: it is made here, or its id was kept from
when it was. What it asks for, who owns it and what was granted to it must be what patrol's has, and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from infra.entra.az import Az, Azd, Refused, quoted, shown

TRIES, SECONDS = 8, 5.0
"""Entra ID shows what was just written after some seconds."""

Permission = tuple[str, str, str]
"""Client id of the API, id of the permission, and `Scope` (for a signed-in user) or `Role` (for the application)."""

Grant = tuple[str, str, str]
"""Object id of the API's service principal, consent type, and the scopes in order, separated by spaces."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Application:
    id: str
    client_id: str
    principal: str
    """Object id of its service principal."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an application may ask for and have, at most; and whose it may be."""

    asks: frozenset[Permission] = frozenset()
    granted: frozenset[Grant] = frozenset()
    owners: frozenset[str] = frozenset()


def checked_id(text: str) -> str:
    """An id in the one form in which ids are compared. Raises Refused on anything else."""
    if not _ID.fullmatch(text):
        raise Refused(f"{shown(text)} is not an id, such as 22222222-2222-3333-4444-555555555555.")
    return text.lower()


def kept_id(given: str, azd: Azd, variable: str) -> str:
    """The client id that the caller names, or that azd's environment keeps; empty on a first run."""
    kept = given or azd.value(variable)
    return checked_id(kept) if kept else ""


def made(
    az: Az, name: str, asks: frozenset[Permission], keep: Callable[[str], None], pause: Callable[[float], None]
) -> Application:
    """A new application; `keep` is given its client id at once. Raises Refused when there is one of that name."""
    namesakes = az.listing("applications", f"displayName eq {quoted(name)}")
    if namesakes:
        raise Refused(_namesakes(az, name, namesakes))
    body = {"displayName": name, "signInAudience": "AzureADMyOrg", "requiredResourceAccess": access(asks)}
    new = az.post("applications", body)
    keep(checked_id(new["appId"]))
    found = _tried(lambda: az.get(f"applications/{new['id']}"), pause)
    return _whole(az, found["id"], checked_id(new["appId"]), pause)


def given(az: Az, client_id: str, pause: Callable[[float], None]) -> Application:
    """The application of this client id. Raises Refused where this tenant has none."""
    found = az.listing("applications", f"appId eq '{client_id}'")
    if len(found) != 1:
        raise Refused(
            f"This tenant has no application {client_id}. Correct --app-id (or what azd's environment keeps), "
            "or sign in to the tenant it was made in: az login --tenant TENANT."
        )
    return _whole(az, found[0]["id"], client_id, pause)


def _whole(az: Az, id_: str, client_id: str, pause: Callable[[float], None]) -> Application:
    """With its service principal, which an earlier run that was stopped may not have made."""
    there = az.listing("servicePrincipals", f"appId eq '{client_id}'")
    principal = there[0] if there else _tried(lambda: az.post("servicePrincipals", {"appId": client_id}), pause)
    return Application(id_, client_id, principal["id"])


def beyond(az: Az, app: Application, limits: Limits) -> list[str]:
    """Everything about it that patrol's application does not have, a sentence each."""
    found = az.get(f"applications/{app.id}")
    wrong = []
    if str(found["appId"]).lower() != app.client_id:
        wrong.append(f"its client id is {shown(found['appId'])}")
    if found["signInAudience"] != "AzureADMyOrg":
        wrong.append(f"it signs in people of other tenants (signInAudience {shown(found['signInAudience'])})")
    if found.get("isFallbackPublicClient") or _uris(found, "publicClient") or _uris(found, "spa"):
        wrong.append("it signs people in without a credential of its own (a public client or a page)")
    for api, id_, kind in sorted(asked(found) - limits.asks):
        wrong.append(f"it asks for the permission {id_} ({kind}) of the API {api}")
    wrong += [
        f"{_who(owner)} owns it too, and may add credentials to it (--owner {owner['id']} accepts that)"
        for owner in az.listing(f"applications/{app.id}/owners")
        if owner["id"] != az.caller and owner["id"] not in limits.owners
    ]
    for (api, kind, scopes), id_ in granted(az, app).items():
        if (api, kind, scopes) not in limits.granted:
            wrong.append(f"{kind} consented to its scopes {shown(scopes)} of {api} (oauth2PermissionGrants/{id_})")
    wrong += [
        f"it was given the app role {role['appRoleId']} of {shown(role.get('resourceDisplayName'))}"
        for role in az.listing(f"servicePrincipals/{app.principal}/appRoleAssignments")
        if role["resourceId"] != app.principal  # its own: a service connection of the API's registration calls the API
    ]
    return wrong


def hold(az: Az, app: Application, limits: Limits) -> None:
    """Raises Refused when there is anything about the application that patrol's does not have."""
    if wrong := beyond(az, app, limits):
        raise Refused(
            f"The application {app.client_id} is not as patrol's is, so this goes no further:\n"
            + "".join(f"  {sentence}\n" for sentence in wrong)
            + "Find out who made it so (Entra ID, Audit logs). Take off what is too much and run this again, "
            "or have a new one: run this without --app-id, with a --name of its own."
        )


def asked(application: dict[str, Any]) -> frozenset[Permission]:
    """What an application, as Microsoft Graph gives it, asks for (`requiredResourceAccess`)."""
    return frozenset(
        (str(api["resourceAppId"]).lower(), str(permission["id"]).lower(), str(permission["type"]))
        for api in application["requiredResourceAccess"]
        for permission in api["resourceAccess"]
    )


def granted(az: Az, app: Application) -> dict[Grant, str]:
    """What was consented to for its signed-in users, with the id of each grant."""
    grants = az.listing(f"servicePrincipals/{app.principal}/oauth2PermissionGrants")
    return {
        (one["resourceId"], one["consentType"], " ".join(sorted(one["scope"].split()))): one["id"] for one in grants
    }


def _tried(work: Callable[[], dict[str, Any]], pause: Callable[[float], None]) -> dict[str, Any]:
    """Again while Entra ID does not know yet what was made a moment ago."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except Refused:
            pause(SECONDS)
    return work()


def shows(what: Callable[[], bool], pause: Callable[[float], None]) -> bool:
    """Whether it is so, now or within a minute."""
    for _ in range(TRIES - 1):
        if what():
            return True
        pause(SECONDS)
    return what()


def access(asks: Iterable[Permission]) -> list[dict[str, Any]]:
    """`asks` as Microsoft Graph takes it."""
    apis: dict[str, list[dict[str, str]]] = {}
    for api, id_, kind in sorted(asks):
        apis.setdefault(api, []).append({"id": id_, "type": kind})
    return [{"resourceAppId": api, "resourceAccess": permissions} for api, permissions in apis.items()]


def _uris(application: dict[str, Any], platform: str) -> list[str]:
    return list((application.get(platform) or {}).get("redirectUris") or [])


def _who(owner: dict[str, Any]) -> str:
    name = owner.get("userPrincipalName") or owner.get("displayName")
    return f"{shown(name)} ({owner['id']})" if name else str(owner["id"])


def _namesakes(az: Az, name: str, found: list[dict[str, Any]]) -> str:
    lines = []
    for one in found:
        owners = [owner["id"] for owner in az.listing(f"applications/{one['id']}/owners")]
        whose = "you own it" if az.caller in owners else "you do not own it"
        if others := len([owner for owner in owners if owner != az.caller]):
            whose += f", {others} other{'s do' if others > 1 else ' does'}"
        lines.append(f"  {one['appId']}, made {one.get('createdDateTime', 'at an unknown time')}: {whose}\n")
    return (
        f"There is an application named {shown(name)} already, so none was made and nothing was given to it:\n"
        + "".join(lines)
        + "Anybody may take that name, and may put you among its owners. Where you kept the client id when you made "
        "patrol's, run this again with --app-id and what you kept; else take another name with --name."
    )
