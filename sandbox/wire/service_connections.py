"""The wire of service connections: one is read below its project, and replaced as a whole below its organization."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sandbox.cloud.service_connections import ConnectionRefused, ServiceConnection
from sandbox.wire import devops
from sandbox.wire.api_versions import WrongVersion, judge, not_specified, version_of
from sandbox.wire.exchange import Reply, Request, Route

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

PATH = re.compile(r"/([^/]+)(?:/([^/]+))?/_apis/serviceendpoint/endpoints/([^/]+)/?", re.IGNORECASE)
OPERATIONS = {"GET": "connections.get", "PUT": "connections.update"}


def route(cloud: Cloud, request: Request) -> Route | None:
    """None for what is none of these."""
    found = PATH.fullmatch(request.path)
    operation = OPERATIONS.get(request.method)
    if found is None or operation is None:
        return None
    organization, project, identity = (unquote(part or "") for part in found.groups())
    body = _body(request)
    for secret in _secrets(body):
        cloud.chance.remember(secret)
    return Route(operation, identity, lambda: _answer(cloud, request, (organization, project, identity), body))


def _answer(cloud: Cloud, request: Request, place: tuple[str, str, str], body: dict[str, Any] | None) -> Reply:
    organization, project, identity = place
    caller, refusal = devops.caller_of(cloud, request, organization)
    if caller is None:
        return Reply(refusal)
    try:
        if not (version := version_of(request)):
            raise not_specified(request.method)
        judge(version, request.path)
        there = cloud.connections.get(identity.lower())
        if there is None or there.organization != organization.lower():
            return _unknown(cloud, request)
        if request.method == "GET":
            return _shown(cloud, there, project)
        if body is None:
            raise ConnectionRefused(400, "ArgumentNullException", "Value cannot be null. Parameter name: endpoint")
        there.put(caller.subject, body, cloud.now())
        shown = devops.ok(cloud, there.answer(cloud.now()))
        return Reply(shown.response, effect=True)
    except WrongVersion as wrong:
        return Reply(devops.error(cloud, 400, wrong.type_key, wrong.message))
    except ConnectionRefused as refused:
        return Reply(devops.error(cloud, refused.status, refused.type_key, refused.message))


def _shown(cloud: Cloud, there: ServiceConnection, project: str) -> Reply:
    place = there.shown["serviceEndpointProjectReferences"][0]["projectReference"]
    if project.lower() not in (str(place["name"]).lower(), place["id"]):
        text = f"VS800075: The project with id '{project}' does not exist, or you do not have permission to access it."
        raise ConnectionRefused(404, "ProjectDoesNotExistException", text)
    return devops.ok(cloud, there.answer(cloud.now()))


def _unknown(cloud: Cloud, request: Request) -> Reply:
    """A connection that is not there is a GET's null under 200."""
    if request.method == "GET":
        return devops.ok(cloud, None)
    text = "The service endpoint does not exist, or you do not have permission to access it."
    raise ConnectionRefused(404, "ServiceEndpointNotFoundException", text)


def _body(request: Request) -> dict[str, Any] | None:
    try:
        return request.json() if request.body else None
    except ValueError:
        return None


def _secrets(body: dict[str, Any] | None) -> list[str]:
    authorization = (body or {}).get("authorization")
    parameters = authorization.get("parameters") if isinstance(authorization, dict) else None
    given = parameters if isinstance(parameters, dict) else {}
    return [str(given[name]) for name in ("apitoken", "password") if given.get(name)]
