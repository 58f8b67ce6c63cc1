"""The control port: plain HTTP and JSON, loopback only. `client.SandboxClient` speaks it."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any

from aiohttp import web

from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.faults import Fault
from sandbox.cloud.pats import Policies
from sandbox.cloud.seed import apply, change_client
from sandbox.process.follow import Followers

MAX_BODY = 64 * 1024 * 1024


def control_app(cloud: Cloud, followers: Followers, connections: Mapping[str, int]) -> web.Application:
    """The protocol as an application; a body or name that makes no sense answers 400 with `{"error": …}`."""
    room = _Room(cloud, followers, connections)
    app = web.Application(middlewares=[_explain], client_max_size=MAX_BODY)
    app.router.add_get("/ready", room.ready)
    app.router.add_get("/clock", room.clock)
    app.router.add_post("/clock/move", room.move)
    app.router.add_get("/clock/follow", room.follow)
    app.router.add_delete("/clock/follow", room.leave)
    app.router.add_get("/faults", room.faults)
    app.router.add_post("/faults", room.add_faults)
    app.router.add_delete("/faults", room.clear_faults)
    app.router.add_get("/log", room.log)
    app.router.add_delete("/log", room.clear_log)
    app.router.add_get("/load", room.load)
    app.router.add_get("/estate", room.estate)
    app.router.add_get("/secrets", room.secrets)
    app.router.add_post("/seed", room.seed)
    app.router.add_post("/pats/revoke", room.revoke)
    app.router.add_post("/users", room.users)
    app.router.add_post("/browser", room.browser)
    app.router.add_post("/service-accounts/token", room.service_account_token)
    app.router.add_post("/clients", room.clients)
    app.router.add_post("/organizations/rename", room.rename)
    app.router.add_post("/vaults/deny", room.deny)
    app.router.add_post("/switches", room.switches)
    app.router.add_post("/policies", room.policies)
    return app


@web.middleware
async def _explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (KeyError, ValueError, TypeError, AttributeError) as problem:
        return web.json_response({"error": f"{type(problem).__name__}: {problem}"}, status=400)


class _Room:
    """One method per door. State is touched under the cloud's lock."""

    def __init__(self, cloud: Cloud, followers: Followers, connections: Mapping[str, int]) -> None:
        self._connections = connections
        self._cloud = cloud
        self._followers = followers

    async def ready(self, request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def clock(self, request: web.Request) -> web.Response:
        return web.json_response(self._followers.state())

    async def move(self, request: web.Request) -> web.Response:
        body = await _object(request)
        return web.json_response(await self._followers.move(float(body["seconds"])))

    async def follow(self, request: web.Request) -> web.Response:
        wait = min(float(request.query.get("wait", "20")), 60.0)
        return web.json_response(
            await self._followers.follow(request.query["follower"], int(request.query["seen"]), wait)
        )

    async def leave(self, request: web.Request) -> web.Response:
        await self._followers.leave(request.query["follower"])
        return _done()

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(fault) for fault in self._cloud.faults.pending()])

    async def add_faults(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        scripted = [Fault(**row) for row in (body if isinstance(body, list) else [body])]
        for fault in scripted:
            self._cloud.faults.add(fault)
        return _done()

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._cloud.faults.clear()
        return _done()

    async def log(self, request: web.Request) -> web.Response:
        rows = self._cloud.calls(request.query.get("operation"))
        return web.json_response([{**asdict(row), "at": row.at.isoformat()} for row in rows])

    async def load(self, request: web.Request) -> web.Response:
        """What the sandbox itself spent: CPU seconds, and connections taken by host (each one TLS handshake)."""
        return web.json_response({"cpu": time.process_time(), "connections": dict(self._connections)})

    async def clear_log(self, request: web.Request) -> web.Response:
        self._cloud.log.clear()
        return _done()

    async def estate(self, request: web.Request) -> web.Response:
        return web.json_response(self._cloud.estate(reveal=request.query.get("reveal") == "1"))

    async def secrets(self, request: web.Request) -> web.Response:
        return web.json_response(sorted(self._cloud.every_secret()))

    async def seed(self, request: web.Request) -> web.Response:
        apply(self._cloud, await _object(request))
        return _done()

    async def revoke(self, request: web.Request) -> web.Response:
        body = await _object(request)
        with self._cloud.lock:
            self._cloud.pats.revoke_as_person(body["authorization_id"])
        return _done()

    async def users(self, request: web.Request) -> web.Response:
        body = await _object(request)
        with self._cloud.lock:
            user = self._cloud.directory.user(body["upn"])
            if "state" in body:
                user.state = UserState(body["state"])
            if "password" in body:
                self._cloud.directory.set_password(user.upn, body["password"])
            if "refresh_refusal" in body:
                user.refresh_refusal = int(body["refresh_refusal"])
            if body.get("revoke_tokens"):
                self._cloud.directory.revoke_tokens(user.upn)
        return _done()

    async def browser(self, request: web.Request) -> web.Response:
        """Who signs in at pages from now on (`upn`, `declines`), or who enters `user_code` of a device code."""
        body = await _object(request)
        in_person = self._cloud.in_person
        with self._cloud.lock:
            if "user_code" in body:
                in_person.enter(body["user_code"], body.get("upn") or "", declines=bool(body.get("declines")))
            else:
                in_person.at_browser, in_person.declines = body.get("upn"), bool(body.get("declines"))
        return _done()

    async def service_account_token(self, request: web.Request) -> web.Response:
        body = await _object(request)
        with self._cloud.lock:
            return web.json_response({"token": self._cloud.workloads.project(**body)})

    async def clients(self, request: web.Request) -> web.Response:
        body = await _object(request)
        with self._cloud.lock:
            change_client(self._cloud, self._cloud.directory.apps[body["client_id"].lower()], body)
        return _done()

    async def rename(self, request: web.Request) -> web.Response:
        body = await _object(request)
        with self._cloud.lock:
            self._cloud.pats.rename_organization(body["name"], body["new_name"])
        return _done()

    async def deny(self, request: web.Request) -> web.Response:
        body = await _object(request)
        self._cloud.vaults[body["host"].lower()].denied = set(body["operations"])
        return _done()

    async def switches(self, request: web.Request) -> web.Response:
        self._cloud.switches.set(await _object(request))
        return web.json_response(asdict(self._cloud.switches))

    async def policies(self, request: web.Request) -> web.Response:
        """Replace the policies of `organization`, or of all; `max_lifetime` in seconds."""
        body = await _object(request)
        name = body.pop("organization", None)
        unknown = set(body) - {field.name for field in fields(Policies)}
        if unknown:
            raise ValueError(f"there is no policy {min(unknown)!r}")
        if body.get("max_lifetime") is not None:
            body["max_lifetime"] = timedelta(seconds=float(body["max_lifetime"]))
        body["allowed"] = set(body.get("allowed", []))
        with self._cloud.lock:
            homes = self._cloud.pats.organizations()
            for home in homes if name is None else [self._cloud.pats.organization(name)]:
                home.policies = Policies(**body)
        return _done()


async def _object(request: web.Request) -> dict[str, Any]:
    value = json.loads(await request.text())
    if not isinstance(value, dict):
        raise ValueError("the body is a JSON object")
    return value


def _done() -> web.Response:
    return web.json_response({"done": True})
