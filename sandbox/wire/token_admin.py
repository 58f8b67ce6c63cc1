"""The wire of Token Administration: an administrator looks a user up, lists its PATs and revokes them.

Shapes: REST reference, TokenAdmin 7.2 preview, and Identities 7.1 preview. The one recorded listing has no time zone in
its instants and null for every display name; whether the service names them is a switch.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.pat_values import NoOrganization, PatHttpRefused, write_instant
from sandbox.cloud.pats import Pat
from sandbox.wire import devops
from sandbox.wire.api_versions import WrongVersion, judge, version_of
from sandbox.wire.exchange import Reply, Request, Response, Route, html_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

_PATHS = {
    "tokenadmin.list": ("GET", re.compile(r"/([^/]+)/_apis/tokenadmin/personalaccesstokens/([^/]+)/?", re.IGNORECASE)),
    "tokenadmin.revoke": ("POST", re.compile(r"/([^/]+)/_apis/tokenadmin/revocations/?", re.IGNORECASE)),
    "identities.read": ("GET", re.compile(r"/([^/]+)/_apis/identities/?", re.IGNORECASE)),
}
_SCOPES = {
    "tokenadmin.list": "vso.tokenadministration",
    "tokenadmin.revoke": "vso.tokenadministration",
    "identities.read": "vso.identity",
}
_PAGE = 20


def route(cloud: Cloud, request: Request) -> Route | None:
    """None for what is none of these."""
    for operation, (method, path) in _PATHS.items():
        found = path.fullmatch(request.path)
        if found is not None and request.method == method:
            groups = found.groups()
            return Route(operation, unquote(groups[-1]), lambda: _answer(cloud, request, operation, groups))  # noqa: B023
    return None


def _answer(cloud: Cloud, request: Request, operation: str, groups: tuple[str, ...]) -> Reply:
    caller = _caller(cloud, request, _SCOPES[operation])
    if isinstance(caller, Response):
        return Reply(caller)
    try:
        judge(version_of(request), request.path, preview=True)
        match operation:
            case "tokenadmin.list":
                return _list(cloud, request, caller, groups[0], unquote(groups[1]))
            case "tokenadmin.revoke":
                return _revoke(cloud, request, caller, groups[0])
            case _:
                return _identities(cloud, request, caller, groups[0])
    except WrongVersion as wrong:
        return Reply(devops.error(cloud, 400, wrong.type_key, wrong.message))
    except NoOrganization:
        return Reply(html_response(404, "Azure DevOps Services | Not found", devops.headers(cloud)))
    except PatHttpRefused as refused:
        return Reply(devops.error(cloud, refused.status, refused.type_key, refused.message, refused.event))


def _caller(cloud: Cloud, request: Request, scope: str) -> str | Response:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = cloud.directory.bearer(token.strip(), AZURE_DEVOPS) if scheme.lower() == "bearer" else None
    if bearer is None:
        return devops.not_signed_in(cloud, request)
    return bearer.subject if scope in bearer.scopes else devops.unauthorized(cloud, request)


def _list(cloud: Cloud, request: Request, caller: str, organization: str, descriptor: str) -> Reply:
    owner = next((user.upn for user in cloud.directory.users() if f"aad.{user.object_id}" == descriptor), None)
    pats = cloud.pats.owned_by(caller, organization, owner or "")
    if owner is None:
        return Reply(devops.error(cloud, 404, "IdentityNotFoundException", "No identity has that descriptor."))
    asked = request.parameters()
    size = max(1, min(int(asked.get("pagesize") or _PAGE), _PAGE))
    start = int(asked.get("continuationtoken") or 0)
    more = str(start + size) if start + size < len(pats) else None
    rows = [_session(cloud, pat) for pat in pats[start : start + size]]
    return devops.ok(cloud, {"value": rows, "continuationToken": more})


def _session(cloud: Cloud, pat: Pat) -> dict[str, Any]:
    nobody = "00000000-0000-0000-0000-000000000000"
    valid = pat.state(cloud.now()) == "active" and pat.revoked_from is None
    return {
        "clientId": nobody,
        "accessId": nobody,
        "authorizationId": pat.authorization_id,
        "hostAuthorizationId": nobody,
        "userId": cloud.directory.user(pat.owner).object_id,
        "validFrom": write_instant(pat.valid_from).removesuffix("Z"),
        "validTo": write_instant(pat.valid_to).removesuffix("Z"),
        "displayName": pat.display_name if cloud.switches.admin_listing_names else None,
        "scope": pat.scope,
        "targetAccounts": None if pat.all_orgs else [pat.organization],
        "token": None,
        "alternateToken": None,
        "isValid": valid,
        "isPublic": False,
        "publicData": None,
        "source": None,
    }


def _revoke(cloud: Cloud, request: Request, caller: str, organization: str) -> Reply:
    try:
        rows = json.loads(request.body)
        ids = [str(row["authorizationId"]) for row in rows]
    except (ValueError, KeyError, TypeError):
        return Reply(devops.error(cloud, 400, "ArgumentException", "The input is invalid.", 0))
    cloud.pats.revoke_as_administrator(caller, organization, ids)
    return Reply(Response(204, devops.headers(cloud)), True)


def _identities(cloud: Cloud, request: Request, caller: str, organization: str) -> Reply:
    cloud.pats.enter(caller, organization)
    wanted = request.parameters().get("filtervalue", "").lower()
    members = cloud.pats.organization(organization).members
    found = [devops.identity(cloud, user.upn) for user in cloud.directory.users() if wanted in user.upn.lower()]
    found = [one for one in found if one["properties"]["Account"]["$value"].lower() in members]
    return devops.ok(cloud, {"count": len(found), "value": found})
