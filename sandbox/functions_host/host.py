"""The Functions host's part on localhost, for people without the Core Tools: routes, function keys, the timer.

Serves `function_app.py` of the current folder as its bindings say, queues included (queue_trigger.py). What it does as
the host does: the route prefix of host.json; 404 for a route or method that is not bound; `x-functions-key` or
`?code=`, one key a function, host keys for all of them, the master key for everything; `POST /admin/functions/NAME`;
500 without a word when a function raises.
Source: Azure Functions, "Work with access keys" and "Manually run a non-HTTP-triggered function".
"""

from __future__ import annotations

import contextlib
import hmac
import importlib.util
import inspect
import json
import logging
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
from croniter import croniter
from werkzeug import Request, Response
from werkzeug.serving import make_server

from sandbox.functions_host.queue_trigger import Limits, Queues, Trigger, service

LOGGER = logging.getLogger("host")


@dataclass(frozen=True, slots=True)
class Keys:
    """`functions`: one each by name; `host` opens every function, `master` the admin routes as well."""

    functions: Mapping[str, str]
    host: str
    master: str

    def open(self, name: str, given: str) -> bool:
        return any(_same(given, key) for key in (self.functions.get(name, ""), self.host, self.master))


def _same(given: str, key: str) -> bool:
    return bool(given) and hmac.compare_digest(given.encode(), key.encode())


@dataclass(frozen=True, slots=True)
class Function:
    """`outputs`: the queue behind each parameter that takes messages."""

    name: str
    trigger: Mapping[str, Any]
    run: Callable[..., Any]
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def route(self) -> str:
        return str(self.trigger.get("route") or self.name).strip("/").lower()

    def matches(self, path: str) -> dict[str, str] | None:
        """The route's parameters when it is this function's path; `{name?}` may be missing."""
        pattern = re.sub(r"/\{(\w+)\?\}", r"(?:/(?P<\1>[^/]+))?", self.route)
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern), path)
        return None if found is None else {key: value for key, value in found.groupdict().items() if value is not None}

    @property
    def methods(self) -> frozenset[str]:
        return frozenset(str(method) for method in self.trigger.get("methods") or ())

    def invoke(self, send: Send, **bound: Any) -> Any:
        """Call it with what it is bound to; a parameter `context` gets the invocation.

        What it put into its outputs is sent when it has returned, and only then.
        """
        wanted = inspect.signature(self.run).parameters
        context = SimpleNamespace(
            function_name=self.name, invocation_id=str(uuid.uuid4()), thread_local_storage=threading.local()
        )
        outputs = {name: Out() for name in self.outputs}
        given = {**bound, **outputs, "context": context}
        answer = self.run(**{name: given[name] for name in wanted})
        for name, queue in self.outputs.items():
            if outputs[name].messages:
                send(queue, outputs[name].messages)
        return answer


Send = Callable[[str, list[str]], None]


class Out:
    """What a function may ask of an output binding."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def set(self, value: str | list[str]) -> None:
        self.messages = [value] if isinstance(value, str) else list(value)


def no_queue(name: str, messages: list[str]) -> None:
    raise RuntimeError(f"no storage is configured for the {len(messages)} messages to {name}")


class Timer:
    """What a timer function may ask of its request."""

    def __init__(self, past_due: bool = False) -> None:
        self.past_due = past_due
        self.schedule_status: dict[str, str] | None = None
        self.schedule: dict[str, Any] | None = None


def index(folder: Path) -> dict[str, Function]:
    """The functions of `folder`/function_app.py by name, as the worker indexes them."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    # A module of its own at every call: an app lists its functions once.
    spec = importlib.util.spec_from_file_location("function_app", folder / "function_app.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(folder / "function_app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {one.get_function_name(): _function(one) for one in module.app.get_functions()}


def _function(one: Any) -> Function:
    trigger = json.loads(json.dumps(one.get_trigger().get_dict_repr(), default=_plain))
    bindings = [json.loads(json.dumps(each.get_dict_repr(), default=_plain)) for each in one.get_bindings()]
    outputs = {each["name"]: each["queueName"] for each in bindings if each["type"] == "queue"}
    return Function(one.get_function_name(), trigger, one.get_user_function(), outputs)


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


@dataclass(slots=True)
class Host:
    """A WSGI application. `prefix` is `extensions.http.routePrefix` of host.json."""

    functions: Mapping[str, Function]
    keys: Keys
    prefix: str = "api"
    send: Send = no_queue
    started: list[threading.Thread] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        response = self.answer(request)
        return response(environ, start_response)

    def answer(self, request: Request) -> Response:
        path = request.path.strip("/").lower()
        if path.startswith("admin/functions/"):
            return self._admin(request, path.removeprefix("admin/functions/"))
        routed = self._routed(path, request.method)
        if routed is None:
            return Response(status=404)
        function, parameters = routed
        if function.trigger.get("authLevel") != "anonymous" and not self.keys.open(function.name, _key(request)):
            return Response(status=401)
        url, body = request.url, request.get_data()
        asked = func.HttpRequest(
            request.method,
            url,
            headers=dict(request.headers),
            params=dict(request.args),
            route_params=parameters,
            body=body,
        )
        try:
            answered: func.HttpResponse = function.invoke(self.send, req=asked)
        except Exception:
            LOGGER.exception("%s failed", function.name)
            return Response(status=500)
        headers = {**answered.headers, "Content-Type": f"{answered.mimetype}; charset={answered.charset}"}
        return Response(answered.get_body(), status=answered.status_code, headers=headers)

    def timers(self) -> list[Function]:
        return [one for one in self.functions.values() if one.trigger["type"] == "timerTrigger"]

    def fire(self, function: Function, past_due: bool = False) -> bool:
        """Run a timer function; whether it succeeded."""
        try:
            function.invoke(self.send, timer=Timer(past_due))
        except Exception as problem:  # noqa: BLE001  # whatever the function raises fails its invocation
            LOGGER.error("%s failed: %s: %s", function.name, type(problem).__name__, problem)
            return False
        LOGGER.info("%s succeeded", function.name)
        return True

    def triggers(self, queues: Queues, limits: Limits) -> list[Trigger]:
        """One for each function with a queue trigger, not started yet."""
        return [
            Trigger(queues, one.trigger["queueName"], limits, partial(self._deliver, one))
            for one in self.functions.values()
            if one.trigger["type"] == "queueTrigger"
        ]

    def _deliver(self, function: Function, message: func.QueueMessage) -> None:
        function.invoke(self.send, **{str(function.trigger["name"]): message})

    def _routed(self, path: str, method: str) -> tuple[Function, dict[str, str]] | None:
        if not path.startswith(f"{self.prefix}/"):
            return None
        for one in self.functions.values():
            if one.trigger["type"] == "httpTrigger" and method in one.methods:
                parameters = one.matches(path.removeprefix(f"{self.prefix}/"))
                if parameters is not None:
                    return one, parameters
        return None

    def _admin(self, request: Request, name: str) -> Response:
        if not _same(_key(request), self.keys.master):
            return Response(status=401)
        function = next((one for one in self.timers() if one.name.lower() == name), None)
        if function is None or request.method != "POST":
            return Response(status=404)
        thread = threading.Thread(target=self.fire, args=(function,), name=function.name, daemon=True)
        thread.start()
        self.started.append(thread)
        return Response(status=202)


def _key(request: Request) -> str:
    return request.headers.get("x-functions-key") or request.args.get("code", "")


@dataclass(slots=True)
class Schedule:
    """When a timer fires next: NCRONTAB, six fields, seconds first, UTC."""

    expression: str
    next: datetime

    @classmethod
    def of(cls, expression: str, now: datetime) -> Schedule:
        """Raises ValueError for what is not NCRONTAB of six fields."""
        if len(expression.split()) != 6:
            raise ValueError(f"{expression!r} has not six fields, seconds first")
        return cls(expression, _after(expression, now))

    def due(self, now: datetime) -> bool:
        """Whether it fires now; then the next time counts from now, so a moved clock fires once."""
        if now < self.next:
            return False
        self.next = _after(self.expression, now)
        return True


def _after(expression: str, now: datetime) -> datetime:
    found: datetime = croniter(expression, now.astimezone(UTC), second_at_beginning=True).get_next(datetime)
    return found


def main() -> int:
    """Serve the current folder.

    Environment: SANDBOX_HOST as JSON {"port", "keys": {functions, host, master}, "lock"}; without a port the queues
    alone, until it is ended.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    LOGGER.setLevel(logging.INFO)
    given = json.loads(os.environ.pop("SANDBOX_HOST"))
    folder = Path.cwd()
    settings = json.loads((folder / "host.json").read_text(encoding="utf-8"))
    prefix = settings.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    host = Host(index(folder), Keys(**given["keys"]), prefix.strip("/").lower())
    storage = service(os.environ)
    if storage is not None:
        queues = Queues(storage)
        host.send = queues.send
        for trigger in host.triggers(queues, Limits.of(settings, given.get("lock", 600.0))):
            trigger.start()
    if given["port"] is None:
        LOGGER.info("works off the queues")
        threading.Event().wait()
    for timer in host.timers():
        threading.Thread(target=_tick, args=(host, timer), daemon=True).start()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", given["port"], host, threaded=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def _tick(host: Host, timer: Function) -> None:
    # `%NAME%` stands for an app setting (Azure Functions, "Binding expressions").
    text = str(timer.trigger["schedule"])
    expression = os.environ[text.strip("%")] if text.startswith("%") else text
    schedule = Schedule.of(expression, datetime.now(UTC))
    while True:
        time.sleep(0.5)
        if schedule.due(datetime.now(UTC)):
            host.fire(timer)


if __name__ == "__main__":
    sys.exit(main())
