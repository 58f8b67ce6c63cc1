"""Calls of the HTTP API against a lab: the doors as function_app.py uses them, without a host."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from shared.functions import http_enroll, http_metrics, http_page, http_readers, http_routes
from shared.functions.http_answers import Answer, TextAnswer
from shared.functions.http_call import Call
from shared.model.ports import Events
from shared.rotation.world import World
from shared.settings import Settings
from tests.lab import openapi
from tests.lab.lab import ENVIRONMENT, Lab

DOORS: dict[str, tuple[str, Callable[[Call, http_routes.App], Answer | TextAnswer]]] = {
    "rotate": ("POST", http_routes.rotate),
    "emergency": ("POST", http_routes.emergency),
    "pats": ("GET", http_routes.pats),
    "runs": ("GET", http_routes.runs),
    "page": ("GET", http_page.show),
    "metrics": ("GET", http_metrics.show),
    "readers": ("GET", http_readers.show),
    "enroll": ("POST", http_enroll.ask),
    "enroll/{ticket}": ("GET", http_enroll.open_link),
    "enroll/callback": ("POST", http_enroll.come_back),
}


def app(lab: Lab, folder: Path, **more: Any) -> http_routes.App:
    """The app of this lab; its pats.yaml is written into `folder`. `environ` adds settings."""
    (folder / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    environ = {**ENVIRONMENT, **lab.environment, **more.pop("environ", {})}

    def make_world(_: Settings, budget: timedelta, tell: Events) -> World:
        return lab.world(budget, http_routes.GRACE)

    settings: dict[str, Any] = {"make_world": make_world, "now": lab.clock.now, **more}
    return http_routes.App(environ=environ, root=folder, **settings)


def call(
    door: str,
    using: http_routes.App,
    body: Any = b"",
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> Answer:
    """One call, whose answer is one that docs/openapi.yaml describes; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = _answer(door, using, Call(method or DOORS[door][0], headers or {}, query or {}, raw, run_id))
    assert isinstance(answer, Answer)
    return answer


def text_call(
    door: str,
    using: http_routes.App,
    query: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> TextAnswer:
    """The same of a door that answers with a document."""
    answer = _answer(door, using, Call(method, headers or {}, query or {}))
    assert isinstance(answer, TextAnswer)
    return answer


def at_link(using: http_routes.App, ticket: str) -> TextAnswer:
    """A browser opens a link to enroll by."""
    answer = _answer("enroll/{ticket}", using, Call("GET", ticket=ticket))
    assert isinstance(answer, TextAnswer)
    return answer


def back(using: http_routes.App, fields: Mapping[str, str]) -> TextAnswer:
    """Entra ID sends a browser back."""
    answer = _answer("enroll/callback", using, Call("POST", body=urlencode(fields).encode()))
    assert isinstance(answer, TextAnswer)
    return answer


def _answer(door: str, using: http_routes.App, made: Call) -> Answer | TextAnswer:
    usual, handler = DOORS[door]
    answer = handler(made, using)
    if made.method == usual:
        openapi.check(door if made.run_id is None else f"{door}/{{run_id}}", usual, answer)
    return answer


def principal(*roles: str, **changes: Any) -> dict[str, str]:
    """The header as App Service authentication writes it."""
    kind = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
    claims = [{"typ": kind, "val": role} for role in roles]
    claims.append({"typ": "http://schemas.microsoft.com/identity/claims/objectidentifier", "val": "caller-id"})
    facts = {"auth_typ": "aad", "name_typ": "name", "role_typ": kind, "claims": claims, **changes}
    return {"x-ms-client-principal": base64.b64encode(json.dumps(facts).encode()).decode()}
