"""The wire of Key Vault: challenge, api-version, bundles, pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sandbox.cloud.key_vault import Vault, VaultPage, VaultRefused
from sandbox.cloud.vault_log import recorded
from sandbox.wire.exchange import Reply, Request, Response, Route, html_response, json_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

SUFFIX = ".vault.azure.net"
RESOURCE = "https://vault.azure.net"
API_VERSIONS = frozenset({"2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"})

Skip = tuple[int, str] | None
Pager = Callable[[int | None, Skip], VaultPage]


def route(cloud: Cloud, request: Request) -> Route:
    """The vault must be one of `cloud.vaults`."""
    vault = cloud.vaults[request.host]
    kind, _, rest = request.path.removeprefix("/").partition("/")
    name, _, tail = rest.partition("/")
    if "authorization" not in request.headers:
        return Route("vault.challenge", name, lambda: _stamped(cloud, Reply(_challenge(cloud))))
    operation = _operation(request.method, kind.lower(), name, tail.lower())

    def handle() -> Reply:
        reply = _handle(cloud, vault, request, operation, name, tail)
        _record(cloud, vault, request, operation, reply.response)
        return _stamped(cloud, reply)

    return Route(operation, name, handle)


LOGGED = {
    "vault.get": "SecretGet",
    "vault.set": "SecretSet",
    "vault.list": "SecretList",
    "vault.versions": "SecretListVersions",
    "vault.update": "SecretUpdate",
    "vault.delete": "SecretDelete",
    "vault.backup": "SecretBackup",
}


def _record(cloud: Cloud, vault: Vault, request: Request, operation: str, response: Response) -> None:
    """Write the call to the vault's audit log, where it has one; `id` names the version that was served."""
    table = cloud.switches.vault_log_table
    if table == "none" or operation not in LOGGED:
        return
    uri = f"https://{request.host}{request.path}?{request.query}"
    served = str(json.loads(response.body).get("id", "")) if response.status == 200 else ""
    claims = _claims(request.headers.get("authorization", "").partition(" ")[2])
    claim: dict[str, str] = {name: claims[name] for name in ("oid", "appid", "upn") if name in claims}
    delay = timedelta(minutes=cloud.switches.vault_log_minutes)
    client = request.headers.get("user-agent", "")
    id_ = served or uri.partition("?")[0]
    row = recorded(table, cloud.now(), delay, LOGGED[operation], id_, uri, response.status, claim, client)
    cloud.vault_logs[vault.host].record(row)


def _claims(token: str) -> dict[str, str]:
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        value: dict[str, str] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return value


def _stamped(cloud: Cloud, reply: Reply) -> Reply:
    """With what every answer of a vault carries."""
    stamp = {"x-ms-keyvault-region": "sandbox", "x-ms-request-id": cloud.chance.guid()}
    return reply.stamped(stamp)


def _operation(method: str, kind: str, name: str, tail: str) -> str:
    if kind == "secrets":
        if not name:
            return "vault.list" if method == "GET" else "other"
        if tail == "versions" and method == "GET":
            return "vault.versions"
        if method == "POST":
            if (name, tail) == ("restore", ""):
                return "vault.restore"
            return "vault.backup" if tail == "backup" else "other"
        return {"PUT": "vault.set", "GET": "vault.get", "PATCH": "vault.update", "DELETE": "vault.delete"}.get(
            method, "other"
        )
    if kind == "deletedsecrets":
        if tail == "recover" and method == "POST":
            return "vault.recover"
        if not tail:
            return {"GET": "vault.deleted", "DELETE": "vault.purge"}.get(method, "other")
    return "other"


def _handle(cloud: Cloud, vault: Vault, request: Request, operation: str, name: str, tail: str) -> Reply:
    scheme, _, token = request.headers["authorization"].partition(" ")
    if scheme.lower() != "bearer" or cloud.directory.bearer(token.strip(), RESOURCE) is None:
        return Reply(_challenge(cloud, "AKV10022: the token is invalid, expired or made for another audience."))
    parameters = request.parameters()
    version = parameters.get("api-version", "")
    if version not in API_VERSIONS:
        return Reply(_error(400, "BadParameter", f"The specified version ({version}) is not recognized."))
    try:
        return _do(vault, request, operation, name, tail, parameters, version)
    except VaultRefused as refused:
        headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
        return Reply(_error(refused.status, refused.code, refused.message, refused.inner, headers))
    except (ValueError, TypeError, AttributeError, KeyError):
        return Reply(_error(400, "BadParameter", "The request is malformed."))


def _do(
    vault: Vault,
    request: Request,
    operation: str,
    name: str,
    tail: str,
    parameters: dict[str, str],
    api_version: str,
) -> Reply:
    match operation:
        case "vault.set":
            return _set(vault, name, request.json())
        case "vault.get":
            return Reply(json_response(200, vault.get(name, tail.strip("/"))))
        case "vault.update":
            return Reply(json_response(200, vault.update(name, tail.strip("/"), request.json())), effect=True)
        case "vault.delete":
            return Reply(json_response(200, vault.delete(name)), effect=True)
        case "vault.recover":
            return Reply(json_response(200, vault.recover(name)), effect=True)
        case "vault.purge":
            vault.purge(name)
            return Reply(Response(204, {}), effect=True)
        case "vault.list":
            return _page(vault, "secrets", vault.list_secrets, parameters, api_version)
        case "vault.versions":
            pager: Pager = lambda top, skip: vault.list_versions(name, top, skip)  # noqa: E731
            return _page(vault, f"secrets/{name}/versions", pager, parameters, api_version)
        case "vault.deleted" if name:
            return Reply(json_response(200, vault.get_deleted(name)))
        case "vault.deleted":
            return _page(vault, "deletedsecrets", vault.list_deleted, parameters, api_version)
        case "vault.backup":
            return Reply(json_response(200, {"value": vault.backup(name)}))
        case "vault.restore":
            return Reply(json_response(200, vault.restore(str(request.json()["value"]))), effect=True)
    if request.path.lower().startswith(("/secrets", "/deletedsecrets")):
        return Reply(_error(405, "MethodNotAllowed", f"HTTP {request.method} not allowed"))
    return Reply(html_response(404, "Not found"))


def _set(vault: Vault, name: str, body: dict[str, Any]) -> Reply:
    value = body.get("value")
    if not isinstance(value, str):
        return Reply(_error(400, "BadParameter", "The property value is missing."))
    attributes = body.get("attributes") or {}
    bundle = vault.set_secret(
        name,
        value,
        body.get("tags"),
        body.get("contentType"),
        attributes.get("enabled") is not False,
        attributes.get("nbf"),
        attributes.get("exp"),
    )
    return Reply(json_response(200, bundle), effect=True)


def _page(vault: Vault, path: str, pager: Pager, parameters: dict[str, str], api_version: str) -> Reply:
    asked = parameters.get("maxresults")
    top = None if asked is None else int(asked)
    page = pager(top, _read_skip(parameters.get("$skiptoken")))
    link: str | None = None
    if page.skip is not None:
        # Absolute, with the port, as the real links are.
        link = f"https://{vault.host}:443/{path}?api-version={api_version}&$skiptoken={_write_skip(page.skip)}"
        if top is not None:
            link += f"&maxresults={top}"
    return Reply(json_response(200, {"value": page.items, "nextLink": link}))


def _write_skip(skip: tuple[int, str]) -> str:
    return quote(base64.b64encode(json.dumps({"Page": skip[0], "NextMarker": skip[1]}).encode()).decode(), safe="")


def _read_skip(token: str | None) -> Skip:
    if not token:
        return None
    known = json.loads(base64.b64decode(token, validate=True))
    return int(known["Page"]), str(known["NextMarker"])


def _challenge(cloud: Cloud, message: str = "AKV10000: Request is missing a Bearer or PoP token.") -> Response:
    tenants = cloud.directory.tenants()
    guid = tenants[0].guid if tenants else "00000000-0000-0000-0000-000000000000"
    headers = {"WWW-Authenticate": f'Bearer authorization="https://login.windows.net/{guid}", resource="{RESOURCE}"'}
    return _error(401, "Unauthorized", message, headers=headers)


def _error(status: int, code: str, message: str, inner: str = "", headers: dict[str, str] | None = None) -> Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return json_response(status, {"error": error}, headers)
