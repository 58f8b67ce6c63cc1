"""The wire of the PAT API (vssps.dev.azure.com) and of dev.azure.com."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.pat_paging import ListQuery
from sandbox.cloud.pat_values import NoOrganization, PatHttpRefused, PatRefused, may_read
from sandbox.cloud.pats import PERMISSIONS
from sandbox.wire import resource_locations
from sandbox.wire.api_versions import WrongVersion, judge, not_specified, version_of
from sandbox.wire.exchange import Reply, Request, Response, Route, basic, html_response, json_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

PAT_HOST = "vssps.dev.azure.com"
HOST = "dev.azure.com"
PAT_PATH = re.compile(r"/([^/]+)/_apis/tokens/pats/?", re.IGNORECASE)
PATS_SINCE = (6, 1)
ANONYMOUS = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
NAMES = {name.lower(): name for name in ("displayName", "scope", "validTo", "allOrgs", "authorizationId")}
TYPE_NAMES = {
    "UnauthorizedRequestException": "Microsoft.TeamFoundation.Framework.Server.UnauthorizedRequestException, "
    "Microsoft.TeamFoundation.Framework.Server",
    "AccessCheckException": "Microsoft.VisualStudio.Services.Security.AccessCheckException, "
    "Microsoft.VisualStudio.Services.WebApi",
    "JsonReaderException": "Newtonsoft.Json.JsonReaderException, Newtonsoft.Json",
}
"""Where the type is not one of `Microsoft.VisualStudio.Services.WebApi`."""
EXPIRED = "Access Denied: The Personal Access Token used has expired."
OPERATIONS = {"POST": "pats.create", "PUT": "pats.update", "DELETE": "pats.revoke"}


def route_pats(cloud: Cloud, request: Request) -> Route:
    match = PAT_PATH.fullmatch(request.path)
    if match is None:
        return Route("other", "", lambda: Reply(html_response(404, "Not found")))
    organization = match[1]
    parameters = request.parameters()
    operation = OPERATIONS.get(request.method, "")
    if request.method == "GET":
        operation = "pats.get" if "authorizationid" in parameters else "pats.list"
    if not operation:
        return Route("other", "", lambda: Reply(error(cloud, 405, "VssServiceException", "No such method.", 0)))
    subject = parameters.get("authorizationid", "")
    body: dict[str, Any] | None = None
    if operation in ("pats.create", "pats.update"):
        try:
            body = _read(request.json())
        except ValueError:
            body = None
        if body is not None:
            subject = str(body.get("authorizationId") or body.get("displayName") or "")
    return Route(operation, subject, lambda: _pats(cloud, request, operation, organization, parameters, body))


def _pats(
    cloud: Cloud,
    request: Request,
    operation: str,
    organization: str,
    parameters: dict[str, str],
    body: dict[str, Any] | None,
) -> Reply:
    user = _signed_in_user(cloud, request, operation)
    if isinstance(user, Response):
        return Reply(user)
    version = version_of(request)
    try:
        if not version:
            raise not_specified(request.method)
        judge(version, request.path, preview=True, oldest=PATS_SINCE)
    except WrongVersion as wrong:
        return Reply(error(cloud, 400, wrong.type_key, wrong.message))
    try:
        return _work(cloud, version, operation, (user, organization), parameters, body)
    except NoOrganization:
        return Reply(html_response(404, "Azure DevOps Services | Not found", headers(cloud)))
    except PatHttpRefused as refused:
        return Reply(error(cloud, refused.status, refused.type_key, refused.message, refused.event))
    except PatRefused as refused:
        return Reply(pat_error(cloud, version, refused.error, refused.message, cloud.switches.pat_error_status))


def _work(
    cloud: Cloud,
    version: str,
    operation: str,
    whose: tuple[str, str],
    parameters: dict[str, str],
    body: dict[str, Any] | None,
) -> Reply:
    """What one request does; `whose`: user and organization. Raises NoOrganization, PatHttpRefused or PatRefused."""
    match operation:
        case "pats.list":
            page = cloud.pats.list_pats(*whose, _query(parameters))
            return ok(cloud, {"continuationToken": page.continuation, "patTokens": page.pats})
        case "pats.get":
            return _result(cloud, version, cloud.pats.get(*whose, parameters["authorizationid"]))
        case "pats.revoke":
            changed = cloud.pats.revoke(*whose, parameters.get("authorizationid", ""))
            return Reply(Response(cloud.switches.revoke_status, headers(cloud)), changed)
    if body is None:
        activity = cloud.chance.guid()
        text = f"TF400898: An Internal Error Occurred. Activity Id: {activity}."
        return Reply(error(cloud, 400, "JsonReaderException", text, 0))
    if operation == "pats.create":
        created, _ = cloud.pats.create(*whose, body)
        return _result(cloud, version, created, effect=True)
    return _result(cloud, version, cloud.pats.update(*whose, body), effect=True)


def _signed_in_user(cloud: Cloud, request: Request, operation: str) -> str | Response:
    """Whose bearer it is, or the refusal of a caller that may not do this."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = cloud.directory.bearer(token.strip(), AZURE_DEVOPS) if scheme.lower() == "bearer" else None
    if bearer is None:
        if scheme.lower() == "basic":  # a PAT: never good for this API
            pair = basic(request.headers["authorization"])
            if pair is not None and cloud.pats.is_live(pair[1]):
                text = "The requested operation is not allowed."
                return error(cloud, 401, "InvalidAccessException", text, 3000)
            return unauthorized(cloud, request)
        return not_signed_in(cloud, request)
    need = {PERMISSIONS["read" if operation in ("pats.list", "pats.get") else "manage"]}
    if cloud.switches.needs_both_permissions:
        need = set(PERMISSIONS.values())
    if not need <= bearer.scopes and not (
        cloud.switches.user_impersonation_works and "user_impersonation" in bearer.scopes
    ):
        return unauthorized(cloud, request)
    return bearer.subject


def _read(body: dict[str, Any]) -> dict[str, Any]:
    """The body as Azure DevOps reads it: names in any case, booleans as texts and numbers too.

    Raises ValueError for what is no boolean.
    """
    fields = {NAMES.get(name.lower(), name): value for name, value in body.items()}
    wide = fields.get("allOrgs")
    if isinstance(wide, str):
        if wide.strip().lower() not in ("true", "false"):
            raise ValueError("not a boolean")
        fields["allOrgs"] = wide.strip().lower() == "true"
    elif wide is not None and not isinstance(wide, int):
        raise ValueError("not a boolean")
    return fields


def _query(parameters: dict[str, str]) -> ListQuery:
    return ListQuery(
        parameters.get("displayfilteroption"),
        parameters.get("sortbyoption"),
        parameters.get("issortascending"),
        parameters.get("continuationtoken"),
        parameters.get("$top"),
    )


def route_devops(cloud: Cloud, request: Request) -> Route:
    organization, _, rest = request.path.removeprefix("/").partition("/")
    if rest.lower().rstrip("/") == "_apis/connectiondata" and request.method == "GET":
        return Route("devops.connection_data", organization, lambda: _connection_data(cloud, request, organization))
    if request.method == "OPTIONS" and (asked := resource_locations.PATH.fullmatch(rest)) is not None:
        return Route("devops.other", organization, lambda: _locations(cloud, organization, asked[1] or ""))
    return Route("devops.other", organization, lambda: _other(cloud, request, organization))


def _locations(cloud: Cloud, organization: str, area: str) -> Reply:
    """Where the resources are, of an area or all: told to everybody, since a client asks before it says who it is."""
    try:
        cloud.pats.organization(organization)
    except NoOrganization:
        return Reply(html_response(404, "Azure DevOps Services | Not found", headers(cloud)))
    return ok(cloud, resource_locations.locations(area))


def _connection_data(cloud: Cloud, request: Request, organization: str) -> Reply:
    caller, refusal = caller_of(cloud, request, organization)
    if caller is None:
        return Reply(refusal)
    if wrong := _wrong_version(cloud, request, preview=True):
        return Reply(wrong)
    narrow = not {"app_token", "vso.profile", "vso.profile_write"} & set(caller.scopes.split())
    if narrow and not cloud.switches.connection_data_for_narrow_scopes:
        return Reply(_missing_scope(cloud, request))
    person = identity(cloud, caller.subject)
    value = {
        "authenticatedUser": person,
        "authorizedUser": person,
        "instanceId": cloud.pats.organization(organization).guid,
        "deploymentId": "00000000-0000-0000-0000-000000000001",
        "deploymentType": "hosted",
        "locationServiceData": {
            "serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7",
            "defaultAccessMappingMoniker": "PublicAccessMapping",
            "lastChangeId": 1,
            "lastChangeId64": 1,
        },
    }
    return ok(cloud, value)


def identity(cloud: Cloud, subject: str) -> dict[str, Any]:
    """How Azure DevOps names a user or an app's service principal to themselves."""
    app = cloud.directory.apps.get(subject)
    if app is not None:
        tenant = cloud.directory.tenants()[0].guid
        return {
            "id": str(uuid5(NAMESPACE_URL, app.object_id)),
            "descriptor": f"Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;{tenant}\\{app.object_id}",
            "subjectDescriptor": f"aadsp.{app.object_id}",
            "providerDisplayName": f"app {app.client_id}",
            "isActive": True,
            "properties": {"Account": {"$type": "System.String", "$value": app.object_id}},
            "resourceVersion": 2,
            "metaTypeId": 2,
        }
    user = cloud.directory.user(subject)
    return {
        "id": user.object_id,
        "descriptor": f"Microsoft.IdentityModel.Claims.ClaimsIdentity;{user.upn}",
        "subjectDescriptor": f"aad.{user.object_id}",
        "providerDisplayName": user.upn,
        "isActive": True,
        "properties": {"Account": {"$type": "System.String", "$value": user.upn}},
        "resourceVersion": 2,
        "metaTypeId": 0,
    }


def _other(cloud: Cloud, request: Request, organization: str) -> Reply:
    """Any other GET: an empty list for a PAT whose scope fits, or for an access token."""
    caller, refusal = caller_of(cloud, request, organization)
    if caller is None:
        return Reply(refusal)
    if request.method not in ("GET", "HEAD"):
        return Reply(error(cloud, 405, "VssServiceException", "No such method here.", 0))
    if wrong := _wrong_version(cloud, request):
        return Reply(wrong)
    if not may_read(caller.scopes, request.path, projects_with_code=cloud.switches.projects_with_code_scope):
        return Reply(_missing_scope(cloud, request))
    if request.path.lower().rstrip("/").endswith("/_apis/resourceareas"):
        name = cloud.pats.organization(organization).name
        return ok(cloud, resource_locations.areas(f"https://{HOST}/{name}/"))
    return ok(cloud, {"count": 0, "value": []})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls dev.azure.com: the owner of a PAT with its scopes, or the subject of an access token."""

    subject: str
    scopes: str


def caller_of(cloud: Cloud, request: Request, organization: str) -> tuple[Caller | None, Response]:
    """The caller of the Authorization header and an unused answer, or None and the refusal."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        members = cloud.pats.organization(organization).members
        if scheme.lower() == "bearer":
            bearer = cloud.directory.bearer(token.strip(), AZURE_DEVOPS)
            if bearer is not None and bearer.subject in members:
                # An access token is not narrowed as a PAT is: what its subject may do is up to the organization.
                return Caller(bearer.subject, "app_token"), Response(200, {})
            return None, not_signed_in(cloud, request)
        pair = basic(request.headers.get("authorization", ""))
        value = pair[1] if pair is not None else ""
        pat = cloud.pats.authenticate(organization, value)
        if pat is None and cloud.pats.has_expired(value):
            return None, _expired(cloud)
    except NoOrganization:
        return None, html_response(404, "Azure DevOps Services | Not found", headers(cloud))
    if pat is not None:
        return Caller(pat.owner, pat.scope), Response(200, {})
    return None, not_signed_in(cloud, request)


def not_signed_in(cloud: Cloud, request: Request) -> Response:
    """302 or 203 to readers and creators, 401 to the rest and to callers who suppress the redirect."""
    suppressed = request.headers.get("x-tfs-fedauthredirect", "").lower() == "suppress"
    if suppressed or request.method not in ("GET", "HEAD", "POST"):
        return unauthorized(cloud, request)
    return sign_in_page(cloud, request, cloud.switches.sign_in_page)


def sign_in_page(cloud: Cloud, request: Request, form: str) -> Response:
    """`form` is "302" or "203"."""
    if form == "203":
        return html_response(203, "Azure DevOps Services | Sign In", headers(cloud))
    return html_response(302, "Object moved", {**headers(cloud), "Location": _sign_in_url(request)})


def _sign_in_url(request: Request) -> str:
    back = quote(f"https://{request.host}{request.path}", safe="")
    return f"https://spsprodneu1.vssps.visualstudio.com/_signin?realm={request.host}&reply_to={back}"


def unauthorized(cloud: Cloud, request: Request) -> Response:
    tenants = cloud.directory.tenants()
    guid = tenants[0].guid if tenants else "00000000-0000-0000-0000-000000000000"
    text = f"TF400813: The user '{ANONYMOUS}' is not authorized to access this resource."
    extra = {
        "WWW-Authenticate": f"Bearer authorization_uri=https://login.microsoftonline.com/{guid}",
        "X-TFS-ServiceError": quote(text),
        "X-TFS-FedAuthRedirect": _sign_in_url(request),
        "X-VSS-ResourceTenant": guid,
    }
    return error(cloud, 401, "UnauthorizedRequestException", text, 3000, extra)


def _expired(cloud: Cloud) -> Response:
    nothing = {
        "Descriptor": None,
        "IdentityDisplayName": None,
        "Token": None,
        "RequestedPermissions": 0,
        "NamespaceId": "00000000-0000-0000-0000-000000000000",
    }
    extra = {"X-TFS-ServiceError": quote(EXPIRED)}
    return error(cloud, 401, "AccessCheckException", EXPIRED, 3000, extra, {"customProperties": nothing})


def _missing_scope(cloud: Cloud, request: Request) -> Response:
    if cloud.switches.missing_scope_status == 401:
        return unauthorized(cloud, request)
    return error(cloud, cloud.switches.missing_scope_status, "InvalidAccessException", "The scope does not fit.")


def pat_error(cloud: Cloud, version: str, error: str, message: str, status: int) -> Response:
    value: dict[str, Any] = {"patToken": None, "patTokenError": error}
    if _shows_message(cloud, version):
        value["patTokenErrorMessage"] = message
    return _json(cloud, status, value)


def _result(cloud: Cloud, version: str, pat: dict[str, object], *, effect: bool = False) -> Reply:
    value: dict[str, Any] = {"patToken": pat, "patTokenError": "none"}
    if _shows_message(cloud, version):
        value["patTokenErrorMessage"] = ""
    return Reply(_json(cloud, 200, value), effect)


def _shows_message(cloud: Cloud, version: str) -> bool:
    wanted = cloud.switches.error_message_field
    return version.startswith("7.2") if wanted is None else wanted


def _wrong_version(cloud: Cloud, request: Request, *, preview: bool = False) -> Response | None:
    """The refusal of a version that a GET names and that does not exist; it may name none."""
    try:
        if version := version_of(request):
            judge(version, request.path, preview=preview)
    except WrongVersion as wrong:
        return error(cloud, 400, wrong.type_key, wrong.message)
    return None


def ok(cloud: Cloud, value: object) -> Reply:
    return Reply(_json(cloud, 200, value))


def _json(cloud: Cloud, status: int, value: object) -> Response:
    return json_response(status, value, headers(cloud), mark=cloud.switches.body_mark)


def error(
    cloud: Cloud,
    status: int,
    type_key: str,
    message: str,
    event: int = 3000,
    extra: dict[str, str] | None = None,
    more: dict[str, Any] | None = None,
) -> Response:
    assembly = "Microsoft.VisualStudio.Services.WebApi"
    value = {
        "$id": "1",
        **(more or {}),
        "innerException": None,
        "message": message,
        "typeName": TYPE_NAMES.get(type_key, f"{assembly}.{type_key}, {assembly}"),
        "typeKey": type_key,
        "errorCode": 0,
        "eventId": event,
    }
    return json_response(status, value, {**headers(cloud), **(extra or {})}, mark=cloud.switches.body_mark)


def headers(cloud: Cloud) -> dict[str, str]:
    activity = cloud.chance.guid()
    return {"ActivityId": activity, "X-TFS-Session": activity, "X-VSS-E2EID": activity}
