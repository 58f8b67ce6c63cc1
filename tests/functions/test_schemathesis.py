"""Requests that schemathesis makes out of docs/openapi.yaml, good and bad, against the app behind HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from werkzeug import Response
from werkzeug.wrappers import Request

import function_app
from sandbox.functions_host.host import Function, Host, Keys, index
from sandbox.process.running import ROOT
from shared.functions import http_routes
from shared.functions.http_call import Call
from shared.functions.http_routes import rotate
from tests.lab import openapi
from tests.lab.fakes import FakeHistory
from tests.lab.http_calls import DOORS, app
from tests.lab.lab import Lab, days, item
from tests.lab.readers import RESOURCE, reads

pytestmark = pytest.mark.exhaustive

KEYS = Keys({name: f"{name}-key" for name in DOORS}, "host-key", "master-key")
STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
# No schema can say "not in the future".
PAST = r"^20[01]\d-[01]\d-[0-2]\dT[0-5]\d:[0-5]\d:[0-5]\dZ$"
NAMES = ["build-pat", "BUILD-PAT", "other-pat", "no-such-pat"]


def described(known: list[str]) -> dict[str, Any]:
    """The document as it is, for this server, with names and runs that mostly exist and instants that are past."""
    document: dict[str, Any] = json.loads(json.dumps(openapi.document()))
    document["servers"] = [{"url": "/api"}]
    document["components"]["schemas"]["SecretName"]["enum"] = NAMES
    document["components"]["schemas"]["PublishedBefore"]["pattern"] = PAST
    document["paths"]["/runs/{run_id}"]["get"]["parameters"][0]["schema"] = {"enum": [*known, "f" * 32, "0" * 32]}
    return document


class Served:
    """The host with the document beside the app."""

    def __init__(self, host: Host, known: list[str]) -> None:
        self._host = host
        self._known = known

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if Request(environ).path == "/openapi.json":
            return Response(json.dumps(described(self._known)), mimetype="application/json")(environ, start_response)
        return self._host(environ, start_response)


def bound(function: Function, using: http_routes.App) -> Function:
    """The function of function_app.py, over a lab instead of Azure."""
    if function.name not in DOORS:
        return function
    door = DOORS[function.name][1]

    def run(req: func.HttpRequest) -> func.HttpResponse:
        return function_app._response(door(function_app._call(req), using))

    return Function(function.name, function.trigger, run)


@pytest.fixture
def api_schema(tmp_path: Path) -> Any:
    lab = Lab([item(), item("other-pat")], environment={"VAULT_LOGS": RESOURCE})
    lab.cloud.switches.vault_log_table = "AZKVAuditLogs"
    runs = FakeHistory(lab.clock)
    lab.runs = runs
    lab.run()
    reads(lab)
    lab.wait(days(2))
    sent: list[str] = []
    using = app(lab, tmp_path, environ=STORAGE, send=sent.extend)
    rotate(Call("POST", {"prefer": "respond-async"}, body=b'{"secrets": ["build-pat"]}'), using)
    assert sent, "one run is over, and one goes on"
    host = Host({name: bound(function, using) for name, function in index(ROOT).items()}, KEYS)
    return schemathesis.openapi.from_wsgi("/openapi.json", Served(host, list(runs.heads)))


OPERATIONS = [
    *(("rotate", "POST"), ("emergency", "POST")),
    *(
        ("pats", "GET"),
        ("page", "GET"),
        ("metrics", "GET"),
        ("readers", "GET"),
        ("runs", "GET"),
        ("runs/{run_id}", "GET"),
        ("health", "GET"),
    ),
]


GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
# A request without parameters and body cannot be wrong.
MODES = [*((*one, GOOD) for one in OPERATIONS), ("rotate", "POST", BAD), ("emergency", "POST", BAD)]


@pytest.mark.parametrize(("route", "method", "mode"), MODES)
def test_every_answer_is_as_described(api_schema: Any, route: str, method: str, mode: GenerationMode) -> None:
    operation = api_schema[f"/{route}"][method]

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), waits=st.booleans())
    def holds(case: Any, waits: bool) -> None:
        # A body of blanks alone is not JSON, and taken for no body.
        assume(mode is GOOD or not isinstance(case.body, bytes) or case.body.strip())
        preference = {} if waits else {"Prefer": "respond-async"}
        case.call_and_validate(headers={"x-functions-key": KEYS.host, **preference})

    holds()


@pytest.mark.parametrize(("route", "method"), OPERATIONS)
def test_without_a_key_only_health_answers(api_schema: Any, route: str, method: str) -> None:
    @settings(max_examples=3, suppress_health_check=list(HealthCheck))
    @given(case=api_schema[f"/{route}"][method].as_strategy())
    def holds(case: Any) -> None:
        case.headers.pop("x-functions-key", None)
        case.query.pop("code", None)
        answer = case.call()
        assert (answer.status_code == 401) == (route != "health")

    holds()
