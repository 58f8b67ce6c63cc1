"""The wire of SonarQube's `api/alm_settings`, and of its own calls to Azure DevOps."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from sandbox.cloud.sonarqube import SonarQube, SonarRefused
from sandbox.wire import devops
from sandbox.wire.exchange import Reply, Request, Response, Route, basic, html_response, json_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

METHODS = {
    "list_definitions": "GET",
    "list": "GET",
    "create_azure": "POST",
    "update_azure": "POST",
    "delete": "POST",
    "validate": "GET",
}


def route(cloud: Cloud, request: Request) -> Route:
    server = cloud.sonarqubes[request.host]
    match = re.fullmatch(r"/api/alm_settings/(\w+)", request.path)
    name = match[1] if match is not None else ""
    if METHODS.get(name) != request.method:
        return Route("sonarqube.other", "", lambda: Reply(html_response(404, "SonarQube")))
    # Parameters of a POST are taken from its query as well, as SonarQube does.
    given = {
        **dict(parse_qsl(request.query, keep_blank_values=True)),
        **(request.form() if request.method == "POST" else {}),
    }
    token = _token(request)

    def handle() -> Reply:
        try:
            return _CALLS[name](cloud, server, token, given)
        except SonarRefused as refused:
            if refused.status == 401:
                return Reply(Response(401, {}))
            return Reply(json_response(refused.status, {"errors": [{"msg": refused.message}]}))

    return Route(f"sonarqube.{name}", given.get("key", ""), handle)


def _list_definitions(_cloud: Cloud, server: SonarQube, token: str, _: dict[str, str]) -> Reply:
    return Reply(json_response(200, server.list_definitions(token)))


def _list(_cloud: Cloud, server: SonarQube, token: str, _: dict[str, str]) -> Reply:
    return Reply(json_response(200, server.list_settings(token)))


def _create_azure(cloud: Cloud, server: SonarQube, token: str, given: dict[str, str]) -> Reply:
    cloud.chance.remember(given.get("personalAccessToken", ""))
    server.create_azure(token, given)
    return Reply(Response(204, {}), effect=True)


def _delete(_cloud: Cloud, server: SonarQube, token: str, given: dict[str, str]) -> Reply:
    server.delete(token, given.get("key", ""))
    return Reply(Response(204, {}), effect=True)


def _update_azure(_cloud: Cloud, server: SonarQube, token: str, given: dict[str, str]) -> Reply:
    server.update_azure(token, given)
    return Reply(Response(204, {}), effect=True)


def _validate(cloud: Cloud, server: SonarQube, token: str, given: dict[str, str]) -> Reply:
    server.validate(token, given.get("key", ""), partial(projects_status, cloud))
    return Reply(Response(204, {}))


def projects_status(cloud: Cloud, url: str, pat: str) -> int:
    """What a server of that cloud is answered when it lists the projects of a setting's URL.

    Its client asks as a browser does, without the header that suppresses the page for people, and follows no redirect.
    """
    encoded = base64.b64encode(f"accessToken:{pat}".encode()).decode()
    address = f"{url.rstrip('/')}/_apis/projects?api-version=3.0"
    asked = Request.of("GET", address, {"Authorization": f"BASIC {encoded}"})
    if asked.host != devops.HOST:
        return 404
    return devops.route_devops(cloud, asked).handle().response.status


_CALLS: dict[str, Callable[[Cloud, SonarQube, str, dict[str, str]], Reply]] = {
    "list_definitions": _list_definitions,
    "list": _list,
    "create_azure": _create_azure,
    "delete": _delete,
    "update_azure": _update_azure,
    "validate": _validate,
}


def _token(request: Request) -> str:
    """Bearer, or Basic with the token as the user's name; "" for neither."""
    header = request.headers.get("authorization", "")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    pair = basic(header)
    return pair[0] if pair is not None else ""
