"""One door for every request: routes by real host names, applies faults and hooks, stamps the cloud's date, logs."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

from sandbox.cloud.cloud import Cloud, Logged, Operation
from sandbox.cloud.faults import Fault
from sandbox.cloud.foreign_answers import foreign_answer
from sandbox.wire import (
    audit_log,
    devops,
    entra,
    federation,
    key_vault,
    log_analytics,
    reads,
    recipients,
    service_connections,
    sonarqube,
    token_admin,
)
from sandbox.wire.api_versions import version_of
from sandbox.wire.exchange import Cut, Hang, Reply, Request, Response, Route, html_response

__all__ = ["Cut", "Hang", "Request", "Response", "answer", "known_hosts"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def known_hosts(cloud: Cloud) -> frozenset[str]:
    """Host names that the sandbox plays under TLS."""
    azure = (entra.HOST, devops.PAT_HOST, devops.HOST, reads.FEEDS_HOST, log_analytics.HOST, audit_log.HOST)
    federated = (server.host for server in cloud.directory.federations.values())
    return frozenset({*azure, *cloud.vaults, *cloud.sonarqubes, *cloud.recipients, *federated})


def answer(cloud: Cloud, request: Request) -> Response:
    """Play the service behind `request.host`. Raises Cut for a lost connection and Hang for an answer that never comes.

    A host that the cloud does not hold is a Cut as well: nothing is ever forwarded.
    """
    route = _route(cloud, request)
    path, query = ("/", "") if route.is_secret else (request.path, request.query)
    operation = Operation(cloud.next_number(), route.operation, request.method, request.host, path, route.subject)
    fault = cloud.faults.meet(operation.name, f"{request.host}{path}?{query} {operation.subject}")
    status, effect = 0, False
    try:
        if cloud.before_effect is not None:
            cloud.before_effect(operation)
        reply: Reply | None = None
        if fault is None or not fault.skips_effect:
            with cloud.lock:
                reply = route.handle()
            effect = reply.effect
            if cloud.after_effect is not None:
                cloud.after_effect(operation)
        response = _bend(cloud, request, fault, reply) if fault is not None else _plain(reply)
        status = response.status
    finally:
        cloud.log.append(
            Logged(
                operation.number,
                cloud.now(),
                operation.name,
                request.method,
                request.host,
                path,
                query,
                status,
                effect,
                operation.subject,
            )
        )
    date = formatdate(cloud.now().timestamp(), usegmt=True)
    return replace(response, headers={"Date": date, **response.headers})


def _route(cloud: Cloud, request: Request) -> Route:
    host = request.host
    if host in LOOPBACK and request.path == entra.IDENTITY_PATH:
        return entra.route_identity(cloud, request)
    if request.scheme != "https":
        return Route("other", "", _cut)
    if host == entra.HOST:
        return entra.route(cloud, request)
    if host == devops.PAT_HOST:
        return token_admin.route(cloud, request) or devops.route_pats(cloud, request)
    if host == devops.HOST:
        played = reads.route_git(cloud, request) or service_connections.route(cloud, request)
        return played or devops.route_devops(cloud, request)
    if host == reads.FEEDS_HOST:
        return reads.route_feeds(cloud, request)
    if host == log_analytics.HOST:
        return log_analytics.route(cloud, request)
    if host == audit_log.HOST:
        return audit_log.route(cloud, request)
    if host in cloud.vaults:
        return key_vault.route(cloud, request)
    if host in cloud.sonarqubes:
        return sonarqube.route(cloud, request)
    if host in cloud.recipients:
        return recipients.route(cloud, request)
    server = federation.server_of(cloud, host)
    if server is not None:
        return federation.route(server, request)
    return Route("other", "", _cut)


def _cut() -> Reply:
    raise Cut("no such host")


def _plain(reply: Reply | None) -> Response:
    assert reply is not None
    return reply.response


def _bend(cloud: Cloud, request: Request, fault: Fault, reply: Reply | None) -> Response:
    """The answer that `fault` makes of the real one (None when its effect was skipped)."""
    match fault.kind:
        case "cut_before_effect" | "cut_after_effect":
            raise Cut(fault.kind)
        case "hang":
            raise Hang(fault.seconds)
        case "status":
            headers = {"Content-Type": fault.content_type, **fault.headers}
            return Response(fault.status, headers, fault.body.encode())
        case "foreign":
            headers, body = foreign_answer(fault.form, fault.status, fault.error)
            return Response(fault.status, {**headers, **fault.headers}, body)
        case "sign_in_page":
            return devops.sign_in_page(cloud, request, "203")
        case "redirect":
            return devops.sign_in_page(cloud, request, "302")
        case "garbage":
            raw = reply.response.body if reply is not None else b'{"patToken":{"displayName":"'
            return Response(200, {"Content-Type": "application/json"}, raw[: max(1, len(raw) // 2)])
        case "pat_error":
            version = version_of(request)
            text = f"The request was refused: {fault.error}."
            return devops.pat_error(cloud, version, fault.error, text, fault.status or 200)
    response = _plain(reply)
    match fault.kind:
        case "wrong_type":
            return replace(response, headers={**response.headers, "Content-Type": "text/html"})
        case "delay":
            return replace(response, delay=fault.seconds)
        case "retry_after_on_200":
            return replace(response, headers={**response.headers, "Retry-After": f"{fault.seconds:g}"})
    return html_response(500, "The sandbox does not know this fault")
