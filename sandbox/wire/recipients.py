"""The wire of recipients of notices. Their path and query are secrets, so the cloud's log has neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.wire.exchange import Reply, Request, Response, Route

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud


def route(cloud: Cloud, request: Request) -> Route:
    recipient = cloud.recipients[request.host]
    target = f"{request.path}?{request.query}" if request.query else request.path

    def handle() -> Reply:
        if request.method != "POST":
            return Reply(Response(405, {"Allow": "POST"}))
        taken = recipient.take(target, dict(request.headers), request.body, cloud.now())
        kind = {"Content-Type": taken.content_type} if taken.body else {}
        return Reply(Response(taken.status, kind, taken.body.encode()), effect=200 <= taken.status < 300)

    return Route(f"notice.{recipient.kind}", request.host, handle, is_secret=True)
