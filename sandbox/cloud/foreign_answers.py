"""What a proxy, a gateway or a firewall says in a service's place, before or after the service did what was asked.

Such an answer carries none of the service's headers and words, whatever its status is.
"""

from __future__ import annotations

import json

STATUSES = (400, 401, 403, 404, 405, 407, 408, 409, 413, 429, 451, 500, 502, 503, 504)
"""Statuses that stand for the kind; a fault takes any."""

FORMS = (
    "page",  # an HTML page
    "gateway",  # JSON `{"error": {"code", "message"}}`, as API gateways answer; `error` is the code
    "oauth",  # JSON `{"error": "…"}` in the shape of a token endpoint, without a number; `error` is the word
    "text",  # a line of plain text
    "list",  # JSON, but no object
    "empty",  # no body, no content type
)
REFUSAL, WORD = "RequestBlocked", "access_denied"


def foreign_answer(form: str, status: int, error: str = "") -> tuple[dict[str, str], bytes]:
    """Headers and body; `error` takes the place of the code of a gateway, or of the word of an `oauth` refusal."""
    match form:
        case "gateway":
            value: object = {"error": {"code": error or REFUSAL, "message": f"The gateway refused: {status}."}}
        case "oauth":
            value = {"error": error or WORD, "error_description": "The gateway refused."}
        case "list":
            value = [{"status": status}]
        case "text":
            return {"Server": "gateway", "Content-Type": "text/plain"}, f"{status} refused by the gateway\n".encode()
        case "empty":
            return {"Server": "gateway"}, b""
        case _:
            page = f"<html><head><title>{status}</title></head><body><h1>Refused by the gateway</h1></body></html>\n"
            return {"Server": "gateway", "Content-Type": "text/html"}, page.encode()
    return {"Server": "gateway", "Content-Type": "application/json"}, json.dumps(value).encode()
