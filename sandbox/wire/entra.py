"""The wire of Entra ID and of the managed identity endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from sandbox.cloud import assertions
from sandbox.cloud.chance import client_info
from sandbox.cloud.entra import Proof, Token
from sandbox.cloud.entra_refusals import EntraRefused
from sandbox.wire import entra_pages, federation
from sandbox.wire.exchange import Reply, Request, Route, html_response, json_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

HOST = "login.microsoftonline.com"
DISCOVERY = "/v2.0/.well-known/openid-configuration"
TOKEN = "/oauth2/v2.0/token"
AUTHORIZE = "/oauth2/v2.0/authorize"
DEVICE_CODE = "/oauth2/v2.0/devicecode"
DEVICE_GRANTS = ("device_code", "urn:ietf:params:oauth:grant-type:device_code")
CLIENT_GRANT = "client_credentials"
SAML_GRANTS = tuple(f"urn:ietf:params:oauth:grant-type:{kind}-bearer" for kind in ("saml1_1", "saml2"))
VERIFICATION = "https://microsoft.com/devicelogin"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
IDENTITY_PATH = "/msi/token"
CLOUD = "microsoftonline.com"
ISSUERS = {
    "common": "{tenantid}",
    "organizations": "{tenantid}",
    "consumers": "9188040d-6c67-4c5b-b112-36a304b66dad",
}
"""What stands for the directory in the issuer of the authorities that are no directory."""


def route(cloud: Cloud, request: Request) -> Route:
    path = request.path
    lowered = path.lower()
    if lowered == "/common/discovery/instance":
        return Route("entra.discovery", "", lambda: _instance(request))
    if lowered.startswith("/common/userrealm/"):
        upn = unquote(path[len("/common/userrealm/") :])
        return Route("entra.userrealm", upn, lambda: _answer(cloud, request, lambda _: _user_realm(cloud, upn)))
    if lowered.endswith(DISCOVERY):
        tenant = path[1 : -len(DISCOVERY)]
        return Route("entra.discovery", tenant, lambda: _answer(cloud, request, partial(_discovery, cloud, tenant)))
    if lowered.endswith(TOKEN) and request.method == "POST":
        tenant = path[1 : -len(TOKEN)]
        form = request.form()
        subject = form.get("username") or (form.get("client_id", "") if form.get("grant_type") == CLIENT_GRANT else "")
        return Route("entra.token", subject, lambda: _answer(cloud, request, partial(_token, cloud, tenant, form)))
    if lowered.endswith(AUTHORIZE) and request.method in ("GET", "POST"):
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        form = request.form() if request.method == "POST" else {}
        tenant, played = path[1 : -len(AUTHORIZE)], form if asked else {}
        page = partial(entra_pages.authorize, cloud, tenant, asked or form, played)
        return Route("entra.authorize", (asked or form).get("client_id", ""), page)
    if lowered.endswith(DEVICE_CODE) and request.method == "POST":
        tenant, form = path[1 : -len(DEVICE_CODE)], request.form()
        started = partial(_device_code, cloud, tenant, form)
        return Route("entra.device_code", form.get("client_id", ""), lambda: _answer(cloud, request, started))
    return Route("other", "", lambda: Reply(html_response(404, "Not found")))


def route_identity(cloud: Cloud, request: Request) -> Route:
    parameters = request.parameters()
    resource = parameters.get("resource", "")
    return Route("identity.token", resource, lambda: _identity(cloud, request, parameters))


def _instance(request: Request) -> Reply:
    asked = request.parameters().get("authorization_endpoint", "")
    tenant = asked.removeprefix(f"https://{HOST}/").partition("/")[0] or "common"
    value = {
        "tenant_discovery_endpoint": f"https://{HOST}/{tenant}{DISCOVERY}",
        "api-version": "1.1",
        "metadata": [{"preferred_network": HOST, "preferred_cache": "login.windows.net", "aliases": [HOST]}],
    }
    return Reply(json_response(200, value))


@dataclass(frozen=True, slots=True)
class _Ids:
    """Of one answer: its own, and the caller's where the caller sent one."""

    trace: str
    correlation: str


def _answer(cloud: Cloud, request: Request, make: Callable[[_Ids], Reply]) -> Reply:
    """What `make` gives, with the ids in its headers."""
    sent = request.headers.get("client-request-id", "")
    ids = _Ids(cloud.chance.guid(), sent or cloud.chance.guid())
    headers = {"x-ms-request-id": ids.trace}
    if sent:
        headers["client-request-id"] = sent
    return make(ids).stamped(headers)


def _user_realm(cloud: Cloud, upn: str) -> Reply:
    domain = upn.rpartition("@")[2]
    kind = cloud.directory.realm_of(upn)
    if kind == "Unknown":
        return Reply(json_response(200, {"ver": "1.0", "account_type": kind, "cloud_instance_name": CLOUD}))
    server = cloud.directory.federations.get(domain.lower())
    value = {
        "ver": "1.0",
        "account_type": kind,
        "domain_name": domain,
        **(federation.realm(server) if server is not None else {}),
        "cloud_instance_name": CLOUD,
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    }
    return Reply(json_response(200, value))


def _discovery(cloud: Cloud, name: str, ids: _Ids) -> Reply:
    issuer = ISSUERS.get(name.lower())
    if issuer is None:
        try:
            issuer = cloud.directory.tenant(name).guid
        except EntraRefused:
            return _refusal(cloud, EntraRefused(90002, error="invalid_tenant"), ids)
    base = f"https://{HOST}/{name}"
    value = {
        "issuer": f"https://{HOST}/{issuer}/v2.0",
        "authorization_endpoint": f"{base}{AUTHORIZE}",
        "token_endpoint": f"{base}{TOKEN}",
        "device_authorization_endpoint": f"{base}{DEVICE_CODE}",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": CLOUD,
    }
    return Reply(json_response(200, value))


def _token(cloud: Cloud, tenant: str, form: dict[str, str], ids: _Ids) -> Reply:
    grant = form.get("grant_type")
    client, secret, scope = form.get("client_id", ""), form.get("client_secret"), form.get("scope", "")
    assertion = form.get("client_assertion") if form.get("client_assertion_type") == assertions.TYPE else None
    try:
        if grant == "password":
            user, password = form.get("username", ""), form.get("password", "")
            token = cloud.directory.sign_in(tenant, client, secret, user, password, scope, assertion=assertion)
        elif grant == "refresh_token":
            kept = form.get("refresh_token", "")
            token = cloud.directory.refresh(tenant, client, secret, kept, scope, assertion=assertion)
        elif grant == "authorization_code":
            token = cloud.in_person.redeem_code(tenant, Proof(client, secret, assertion), form)
        elif grant in DEVICE_GRANTS:
            asked = form.get("device_code") or form.get("code", "")
            token = cloud.in_person.poll(tenant, Proof(client, secret, assertion), asked)
        elif grant in SAML_GRANTS:
            saml = form.get("assertion", "")
            token = cloud.directory.sign_in_with_saml(tenant, client, secret, saml, scope, assertion=assertion)
        elif grant == CLIENT_GRANT:
            if cloud.workloads.knows(client):
                return _client_granted(cloud, *cloud.workloads.exchange(tenant, client, assertion, scope))
            granted = cloud.directory.client_token(tenant, client, secret, scope, assertion=assertion)
            return _client_granted(cloud, *granted)
        else:
            raise EntraRefused(70003)
    except EntraRefused as refused:
        return _refusal(cloud, refused, ids)
    value = _granted(cloud, token, client_info_asked=form.get("client_info") == "1")
    return Reply(json_response(200, value, {"Cache-Control": "no-store, no-cache"}))


def _device_code(cloud: Cloud, tenant: str, form: dict[str, str], ids: _Ids) -> Reply:
    try:
        made = cloud.in_person.start(tenant, form.get("client_id", ""), form.get("scope", ""))
    except EntraRefused as refused:
        return _refusal(cloud, refused, ids)
    value = {
        "user_code": made.user_code,
        "device_code": made.device_code,
        "verification_uri": VERIFICATION,
        "expires_in": int((made.expires - cloud.now()).total_seconds()),
        "interval": 5,
        "message": f"To sign in, use a web browser to open the page {VERIFICATION} and enter the code {made.user_code} "
        "to authenticate.",
    }
    return Reply(json_response(200, value))


def _granted(cloud: Cloud, token: Token, *, client_info_asked: bool) -> dict[str, Any]:
    seconds = int((token.expires - cloud.now()).total_seconds())
    value: dict[str, Any] = {
        "token_type": "Bearer",
        "scope": token.scope,
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": token.access_token,
    }
    if token.refresh_token:
        value["refresh_token"] = token.refresh_token
    if token.id_token:
        value["id_token"] = token.id_token
    if client_info_asked:
        value["client_info"] = client_info(token.user_id, token.tenant_id)
    return value


def _client_granted(cloud: Cloud, access_token: str, expires: datetime) -> Reply:
    """No refresh token, no id token: an app asks again."""
    seconds = int((expires - cloud.now()).total_seconds())
    value = {
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": access_token,
    }
    return Reply(json_response(200, value, {"Cache-Control": "no-store, no-cache"}))


def _refusal(cloud: Cloud, refused: EntraRefused, ids: _Ids) -> Reply:
    at = cloud.now().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    value: dict[str, Any] = {
        "error": refused.error,
        "error_description": f"AADSTS{refused.code}: {refused.text} "
        f"Trace ID: {ids.trace} Correlation ID: {ids.correlation} Timestamp: {at}",
        "error_codes": [refused.code],
        "timestamp": at,
        "trace_id": ids.trace,
        "correlation_id": ids.correlation,
        "error_uri": f"https://{HOST}/error?code={refused.code}",
    }
    if refused.suberror:
        value["suberror"] = refused.suberror
    if refused.claims:
        value["claims"] = refused.claims
    return Reply(json_response(refused.status, value))


def _identity(cloud: Cloud, request: Request, parameters: dict[str, str]) -> Reply:
    """The App Service form: `api-version=2019-08-01`, header `X-IDENTITY-HEADER`."""
    identity = cloud.identity
    if request.headers.get("x-identity-header") != identity.header:
        return _identity_refusal(401, "The identity header is missing or wrong.")
    if parameters.get("api-version") != "2019-08-01":
        return _identity_refusal(400, "The api-version is not supported.")
    resource, client = parameters.get("resource", ""), parameters.get("client_id")
    if not identity.enabled or (client is not None and client not in identity.client_ids):
        return _identity_refusal(400, "There is no such managed identity.")
    # Azure DevOps has no address as a resource: its application's id names it.
    if not resource.startswith(("https://", "api://")) and not _GUID.fullmatch(resource):
        return _identity_refusal(400, "The resource is not valid.")
    token, expires = cloud.directory.application_token(resource.rstrip("/"), identity.subject)
    value = {
        "access_token": token,
        "expires_on": str(int(expires.timestamp())),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": client or cloud.identity.subject,
    }
    return Reply(json_response(200, value))


def _identity_refusal(status: int, message: str) -> Reply:
    return Reply(json_response(status, {"statusCode": status, "message": message}))
