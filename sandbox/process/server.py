"""The cloud behind real sockets: one TLS listener, a CONNECT proxy before it, the identity endpoint, the control port.

Everything listens on loopback, on ports the system chooses. Nothing is forwarded to a real network.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sandbox.cloud.clock import ShiftedClock
from sandbox.cloud.cloud import Cloud
from sandbox.process import certificates
from sandbox.process.control import control_app
from sandbox.process.follow import Followers
from sandbox.wire.door import Cut, Hang, answer, known_hosts
from sandbox.wire.exchange import Request

LOOPBACK = "127.0.0.1"
HEAD_LIMIT = 65536
GOODBYE = 0.5
"""Seconds that open requests get when the server stops."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a started server listens, and the bundle its clients trust."""

    tls: int
    proxy: int
    identity: int
    control: int
    bundle: Path


class Server:
    """`routes` (host name → loopback port) lets servers of somebody else's join behind the proxy."""

    def __init__(self, cloud: Cloud, clock: ShiftedClock, routes: dict[str, int] | None = None) -> None:
        self._cloud = cloud
        self._routes = {host.lower(): port for host, port in (routes or {}).items()}
        self._followers = Followers(clock)
        self._connections: Counter[str] = Counter()
        self._runners: list[web.ServerRunner | web.AppRunner] = []
        self._proxy: asyncio.Server | None = None
        self._tunnels: set[asyncio.Task[None]] = set()
        self._tls_port = 0

    async def start(self, folder: Path) -> Address:
        """Listen; the certificates go to `folder`."""
        made = certificates.make(folder, known_hosts(self._cloud) | frozenset(self._routes))
        tls = web.ServerRunner(web.Server(self._serve_tls), shutdown_timeout=GOODBYE)
        self._tls_port = await self._listen(tls, made.server)
        identity = await self._listen(web.ServerRunner(web.Server(self._serve_plain), shutdown_timeout=GOODBYE))
        app = control_app(self._cloud, self._followers, self._connections)
        # A follower that went away is not waited for, neither by an answer nor by the end of the server.
        control = await self._listen(web.AppRunner(app, shutdown_timeout=GOODBYE, handler_cancellation=True))
        self._proxy = await asyncio.start_server(self._accept, LOOPBACK, 0, limit=HEAD_LIMIT)
        proxy = int(self._proxy.sockets[0].getsockname()[1])
        return Address(self._tls_port, proxy, identity, control, made.bundle)

    async def stop(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
        for task in list(self._tunnels):
            task.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, runner: web.ServerRunner | web.AppRunner, context: ssl.SSLContext | None = None) -> int:
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, LOOPBACK, 0, ssl_context=context).start()
        return int(runner.addresses[0][1])

    # requests

    async def _serve_tls(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._serve(request, "https")

    async def _serve_plain(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._serve(request, "http")

    async def _serve(self, request: web.BaseRequest, scheme: str) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        host = headers.get("host", "").lower().partition(":")[0]
        asked = Request(request.method, scheme, host, path, query, headers, await request.read())
        try:
            played = answer(self._cloud, asked)
        except Cut:
            return _hang_up(request)
        except Hang as hang:
            await asyncio.sleep(hang.seconds)
            return _hang_up(request)
        if delay := played.delay + self._cloud.switches.latency:
            await asyncio.sleep(delay)
        await self._followers.settled()
        # The Date among these headers is the cloud's own; aiohttp adds the real one only where there is none.
        return web.Response(status=played.status, headers=dict(played.headers), body=played.body)

    # tunnels

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tunnels.add(task)
        try:
            await self._tunnel(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the peer went away, or never spoke HTTP
        finally:
            self._tunnels.discard(task)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Splice a CONNECT to a host the sandbox plays; refuse everything else without a look at the network."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target = rest.partition(" ")[0].lower()
        host, _, port = target.rpartition(":")
        inner = self._routes.get(host) or (self._tls_port if host in known_hosts(self._cloud) else None)
        if method != "CONNECT" or port != "443" or inner is None:
            text = f"The sandbox forwards nothing to the real network, and plays no {target[:200]}\n".encode("latin-1")
            writer.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                + f"Content-Length: {len(text)}\r\n\r\n".encode()
                + text
            )
            await writer.drain()
            return
        self._connections[host] += 1
        inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, inner)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            pumps = [
                asyncio.ensure_future(_pump(reader, inner_writer)),
                asyncio.ensure_future(_pump(inner_reader, writer)),
            ]
            try:
                # When either side ends the other has nobody to talk to: a cut must reach the client at once.
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(HEAD_LIMIT):
            writer.write(chunk)
            await writer.drain()


def _hang_up(request: web.BaseRequest) -> web.Response:
    """End the connection without an answer; the response that is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
