"""What consumers read with a PAT: refs of a Git repository (dev.azure.com) and packages of a feed (pkgs.dev.azure.com).

Every repository has one branch; every feed has every package in one version, 1.0.0. A PAT whose scope does not fit is
refused as a dead one is.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from typing import TYPE_CHECKING

from sandbox.cloud.pat_values import NoOrganization
from sandbox.wire.exchange import Reply, Request, Response, Route, basic, html_response, json_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

FEEDS_HOST = "pkgs.dev.azure.com"
GIT = re.compile(r"/([^/]+)/(?:[^/]+/)?_git/([^/]+)/info/refs")
FEED = re.compile(r"/([^/]+)/(?:[^/]+/)?_packaging/([^/]+)/(npm/registry|pypi/simple|pypi/download|nuget/v3)/(.+?)/?")
TIP = hashlib.sha1(b"the one commit of every repository", usedforsecurity=False).hexdigest()


def route_git(cloud: Cloud, request: Request) -> Route | None:
    """None for what is not Git's first request of a fetch."""
    match = GIT.fullmatch(request.path)
    if match is None or request.parameters().get("service") != "git-upload-pack":
        return None
    organization, repository = match.groups()
    return Route("git.refs", repository, lambda: _read(cloud, request, organization, "vso.code", _refs()))


def route_feeds(cloud: Cloud, request: Request) -> Route:
    match = FEED.fullmatch(request.path)
    if match is None or request.method != "GET":
        return Route("other", "", lambda: Reply(html_response(404, "Not found")))
    organization, _, kind, rest = match.groups()
    answer = {"npm/registry": _npm, "pypi/simple": _simple, "pypi/download": _wheel, "nuget/v3": _nuget}[kind]
    made = answer(request, rest)
    return Route("feeds.read", rest, lambda: _read(cloud, request, organization, "vso.packaging", made))


def _read(cloud: Cloud, request: Request, organization: str, scope: str, answer: Response) -> Reply:
    pair = basic(request.headers.get("authorization", ""))
    try:
        pat = cloud.pats.authenticate(organization, pair[1] if pair is not None else "")
    except NoOrganization:
        return Reply(html_response(404, "Azure DevOps Services | Not found"))
    if pat is None or not any(word == "app_token" or word.startswith(scope) for word in pat.scope.split()):
        asks = {"WWW-Authenticate": f'Basic realm="https://{request.host}/"', "Content-Type": "text/plain"}
        return Reply(Response(401, asks, b"Not signed in.\n"))
    return Reply(answer)


def _refs() -> Response:
    """The advertisement of protocol version 0; source: gitprotocol-http(5), Smart Server Response."""
    lines = [f"{TIP} HEAD\0symref=HEAD:refs/heads/main agent=sandbox\n", f"{TIP} refs/heads/main\n"]
    body = f"{_packet('# service=git-upload-pack' + chr(10))}0000{''.join(map(_packet, lines))}0000"
    kind = "application/x-git-upload-pack-advertisement"
    return Response(200, {"Content-Type": kind, "Cache-Control": "no-cache"}, body.encode())


def _packet(line: str) -> str:
    return f"{len(line) + 4:04x}{line}"


def _npm(request: Request, name: str) -> Response:
    tarball = f"https://{request.host}{request.path}/-/{name}-1.0.0.tgz"
    version = {"name": name, "version": "1.0.0", "dist": {"tarball": tarball, "shasum": "0" * 40}}
    return json_response(200, {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}})


def _simple(request: Request, name: str) -> Response:
    wheel = f"{name.replace('-', '_')}-1.0.0-py3-none-any.whl"
    feed = request.path.partition("/simple/")[0]
    page = f'<!DOCTYPE html><html><body><a href="{feed}/download/{name}/1.0.0/{wheel}">{wheel}</a></body></html>'
    return Response(200, {"Content-Type": "text/html"}, page.encode())


def _wheel(_: Request, rest: str) -> Response:
    name, info = rest.partition("/")[0], f"{rest.partition('/')[0].replace('-', '_')}-1.0.0.dist-info"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: sandbox\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return Response(200, {"Content-Type": "application/octet-stream"}, made.getvalue())


def _nuget(_request: Request, _rest: str) -> Response:
    return json_response(200, {"version": "3.0.0", "resources": []})
