"""Where a browser comes back to on this machine: one listener on the loopback interface, for one answer."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from shared.views import html

LARGEST = 64 * 1024
"""Of an answer: a code is below 2 KB."""

Finish = Callable[[Mapping[str, str]], tuple[HTTPStatus, str]]
"""What is done with the answer; gives the page that the person sees."""


class Listener:
    """Listens from the beginning on, so that its address can be named to Entra ID."""

    def __init__(self) -> None:
        class Handler(_Handler):
            pass

        self._handler = Handler
        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        """As the app registration has it (the port of a loopback address does not count)."""
        return f"http://localhost:{self._server.server_port}"

    def wait(self, state: str, finish: Finish, is_over: Callable[[], bool]) -> bool:
        """Serve until an answer with `state` came, or `is_over`. Gives whether one came."""
        self._handler.state, self._handler.redeem = state, staticmethod(finish)
        self._server.timeout = 1
        while not self._handler.done and not is_over():
            self._server.handle_request()
        return self._handler.done

    def close(self) -> None:
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: ClassVar[str]
    redeem: ClassVar[Finish]
    done: ClassVar[bool] = False
    server_version, sys_version, timeout = "patrol", "", 10

    def do_GET(self) -> None:
        self._answer(HTTPStatus.NOT_FOUND, html.message("Nothing here", "The sign-in comes back here by itself."))

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length") or ""
        if not length.isdecimal() or int(length) > LARGEST:
            self._answer(HTTPStatus.BAD_REQUEST, html.message("Not understood", "This is no answer of Entra ID."))
            return
        answer = dict(parse_qsl(self.rfile.read(int(length)).decode("utf-8", "replace")))
        # Another page on this machine may send something here, and cannot know the state.
        if type(self).done or not hmac.compare_digest(answer.get("state", "").encode(), self.state.encode()):
            self._answer(HTTPStatus.BAD_REQUEST, html.message("Not this sign-in", "Start again, and use the new page."))
            return
        type(self).done = True
        self._answer(*type(self).redeem(answer))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what comes here is a code."""

    def _answer(self, status: HTTPStatus, page: str) -> None:
        body = page.encode()
        self.send_response(status)
        for name, value in {**html.headers(), "Cache-Control": "no-store", "Connection": "close"}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{html.MIMETYPE}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
