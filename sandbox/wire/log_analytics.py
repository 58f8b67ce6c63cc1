"""The wire of Log Analytics' query API (api.loganalytics.io), for the logs of one resource."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.cloud import kql
from sandbox.cloud.vault_log import VaultLog
from sandbox.wire.exchange import Reply, Request, Response, Route, json_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

HOST = "api.loganalytics.io"
AUDIENCE = "https://api.loganalytics.io"


def route(cloud: Cloud, request: Request) -> Route:
    path = request.path.removeprefix("/v1/").removesuffix("/query")
    resource = "/" + path.strip("/")
    if request.method != "POST" or not request.path.endswith("/query"):
        return Route("other", "", lambda: Reply(_error(404, "PathNotFoundError", "The requested path does not exist")))
    return Route("logs.query", resource.rpartition("/")[2], lambda: Reply(_query(cloud, request, resource)))


def _query(cloud: Cloud, request: Request, resource: str) -> Response:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or cloud.directory.bearer(token.strip(), AUDIENCE) is None:
        refused = _error(401, "AuthorizationRequiredError", "Valid authentication was not provided")
        return Response(refused.status, {**refused.headers, "WWW-Authenticate": "Bearer"}, refused.body)
    log = cloud.vault_log_of(resource)
    if log is None or log.denied:
        text = "The provided credentials have insufficient access to perform the requested operation"
        return _error(403, "InsufficientAccessError", text)
    try:
        body = request.json()
        query, since = str(body["query"]), _since(body.get("timespan"), cloud.now())
        return _answer(log, query, cloud.now(), since)
    except kql.SemanticError as wrong:
        inner = {"code": wrong.code, "message": str(wrong)}
        return _bad(
            "BadArgumentError", {"code": "SemanticError", "message": "A semantic error occurred.", "innererror": inner}
        )
    except (kql.Malformed, ValueError, KeyError) as wrong:
        inner = {"code": "SYN0002", "message": str(wrong)}
        return _bad(
            "BadArgumentError",
            {"code": "SyntaxError", "message": "A syntax error occurred in the query.", "innererror": inner},
        )


def _answer(log: VaultLog, query: str, now: datetime, since: datetime | None) -> Response:
    table = kql.table_of(query)
    rows, columns = log.table(table, now, since)
    if not columns:
        text = f"'where' operator: Failed to resolve table or column expression named '{table}'"
        raise kql.SemanticError("SEM0100", text)
    found = kql.run(query, rows, columns)
    if log.partial:
        found = found[: len(found) // 2]
    names = list(found[0]) if found else []
    shown = [{"name": name, "type": _type(found, name)} for name in names]
    value: dict[str, Any] = {
        "tables": [
            {
                "name": "PrimaryResult",
                "columns": shown,
                "rows": [[_wire(row[name]) for name in names] for row in found],
            }
        ]
    }
    if log.partial:
        value["error"] = {
            "code": "PartialError",
            "message": "There were some errors when processing your query.",
            "details": [
                {"code": "EngineError", "message": "Something went wrong processing your query on the server."}
            ],
        }
    return json_response(200, value)


def _type(rows: list[dict[str, Any]], name: str) -> str:
    value = next((row[name] for row in rows if row[name] is not None), None)
    if isinstance(value, datetime):
        return "datetime"
    if isinstance(value, int):
        return "long"
    return "dynamic" if isinstance(value, dict | list) else "string"


def _wire(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _since(timespan: object, now: datetime) -> datetime | None:
    """The beginning of an ISO 8601 interval or of a duration in seconds. Raises ValueError."""
    if timespan is None:
        return None
    first = str(timespan).partition("/")[0]
    if first.startswith("PT"):
        return now - timedelta(seconds=float(first[2:-1]))
    return datetime.fromisoformat(first)


def _bad(code: str, inner: dict[str, Any]) -> Response:
    error = {"message": "The request had some invalid properties", "code": code, "innererror": inner}
    return json_response(400, {"error": error})


def _error(status: int, code: str, message: str) -> Response:
    return json_response(status, {"error": {"message": message, "code": code}})
