"""The doors of the Functions host. What they do is in shared/functions/, imported at the first invocation: a cold start
pays only for what it runs.
"""

import os
import typing
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import azure.functions as func

if TYPE_CHECKING:
    from shared.functions.http_answers import Answer, TextAnswer
    from shared.functions.http_call import Call

# The one setting that is read here: it decides what the host asks of a caller, a key or (in front of it) a token.
_ENTRA = os.environ.get("HTTP_AUTH", "").strip() == "entra"
# For a method that is not registered the host answers 404; the doors themselves say 405.
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_QUEUE, _STORAGE = "patrol-rotations", "AzureWebJobsStorage"

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS if _ENTRA else func.AuthLevel.FUNCTION)


@app.timer_trigger(arg_name="timer", schedule="%ROTATION_SCHEDULE%", run_on_startup=False, use_monitor=True)
@app.queue_output(arg_name="messages", queue_name=_QUEUE, connection=_STORAGE)
def rotate_due(timer: func.TimerRequest, messages: func.Out[typing.List[str]], context: func.Context) -> None:
    """One run, or above FAN_OUT_ABOVE technical users its plan, whose work `rotate_user` does.

    Fails its invocation when an item failed, so that Application Insights sees it.
    """
    with _cold_start():
        from shared.functions import rotation_timer

    rotation_timer.rotate_due(past_due=timer.past_due, send=messages.set, enter=_in_threads(context))


@app.timer_trigger(arg_name="timer", schedule="0 */10 * * * *", run_on_startup=False, use_monitor=True)
def refresh_tokens(timer: func.TimerRequest, context: func.Context) -> None:
    """Replace the Entra tokens that are due, every ten minutes: consumers read as often, and tokens live an hour.

    Returns at once where pats.yaml names no service principal. Fails its invocation when a token failed.
    """
    from shared.functions import token_timer  # without asking ahead: it seldom has anything to do

    token_timer.refresh_tokens(past_due=timer.past_due, enter=_in_threads(context))


@app.queue_trigger(arg_name="message", queue_name=_QUEUE, connection=_STORAGE)
@app.queue_output(arg_name="aside", queue_name=f"{_QUEUE}-poison", connection=_STORAGE)
def rotate_user(message: func.QueueMessage, aside: func.Out[str], context: func.Context) -> None:
    """One technical user's work in one run. Fails its invocation when it is worth another delivery."""
    with _cold_start():
        from shared.functions import queue_trigger

    queue_trigger.rotate_user(message.get_body(), message.dequeue_count or 1, aside.set, enter=_in_threads(context))


@app.route("rotate", methods=_METHODS)
@app.queue_output(arg_name="messages", queue_name=_QUEUE, connection=_STORAGE)
def rotate(req: func.HttpRequest, messages: func.Out[typing.List[str]], context: func.Context) -> func.HttpResponse:
    """`POST /api/rotate`: rotate what is due, or the named secrets; over the queue with `Prefer: respond-async`."""
    with _cold_start():
        from shared.functions import http_routes

    return _response(http_routes.rotate(_call(req), http_routes.App(enter=_in_threads(context), send=messages.set)))


@app.route("emergency", methods=_METHODS)
def emergency(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`POST /api/emergency`: replace leaked PATs and end the old ones at once."""
    with _cold_start():
        from shared.functions import http_routes

    return _response(http_routes.emergency(_call(req), http_routes.App(enter=_in_threads(context))))


@app.route("pats", methods=_METHODS)
def pats(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`GET /api/pats`: the state of every item, from the vault alone."""
    with _cold_start():
        from shared.functions import http_routes

    return _response(http_routes.pats(_call(req), http_routes.App(enter=_in_threads(context))))


@app.route("page", methods=_METHODS)
def page(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`GET /api/page`: the same for people, and what needs them first, as one HTML page."""
    with _cold_start():
        from shared.functions import http_page, http_routes

    return _response(http_page.show(_call(req), http_routes.App(enter=_in_threads(context))))


@app.route("metrics", methods=_METHODS)
def metrics(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`GET /api/metrics`: the same for Prometheus, as OpenMetrics text."""
    with _cold_start():
        from shared.functions import http_metrics, http_routes

    return _response(http_metrics.show(_call(req), http_routes.App(enter=_in_threads(context))))


@app.route("readers", methods=_METHODS)
def readers(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`GET /api/readers`: who reads each secret, when last, and which version."""
    with _cold_start():
        from shared.functions import http_readers, http_routes

    return _response(http_readers.show(_call(req), http_routes.App(enter=_in_threads(context))))


@app.route("runs/{run_id?}", methods=_METHODS)
def runs(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`GET /api/runs`: the latest runs; `GET /api/runs/{run_id}`: one report, with progress while it runs."""
    with _cold_start():
        from shared.functions import http_routes

    return _response(http_routes.runs(_call(req), http_routes.App(enter=_in_threads(context))))


@app.route("enroll", methods=_METHODS)
def enroll(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`POST /api/enroll`: a link by which a person signs in once as a user without a password."""
    with _cold_start():
        from shared.functions import http_enroll, http_routes

    return _response(http_enroll.ask(_call(req), http_routes.App(enter=_in_threads(context))))


# Open to whoever has the ticket: a browser that a person opens, and that Entra ID sends back.
@app.route("enroll/callback", methods=("POST",), auth_level=func.AuthLevel.ANONYMOUS)
def enroll_callback(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`POST /api/enroll/callback`: a person has signed in, or has not."""
    with _cold_start():
        from shared.functions import http_enroll, http_routes

    return _response(http_enroll.come_back(_call(req), http_routes.App(enter=_in_threads(context))))


@app.route("enroll/{ticket}", methods=("GET",), auth_level=func.AuthLevel.ANONYMOUS)
def enroll_link(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """`GET /api/enroll/{ticket}`: whom to sign in as, and the way there."""
    with _cold_start():
        from shared.functions import http_enroll, http_routes

    return _response(http_enroll.open_link(_call(req), http_routes.App(enter=_in_threads(context))))


# Open to everybody, so for one method: the host takes no body from a caller that it does not know.
@app.route("health", methods=("GET",), auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  # nothing of the caller is looked at
    """`GET /api/health`: that the app is up."""
    from shared.functions import http_health

    return _response(http_health.health(http_health.LAST_RUN))


def _cold_start() -> AbstractContextManager[None]:
    from shared.functions import cold_start

    return cold_start.cold_start()


def _call(req: func.HttpRequest) -> "Call":
    from shared.functions.http_call import Call

    headers = {name.lower(): value for name, value in req.headers.items()}
    run_id, ticket = req.route_params.get("run_id"), req.route_params.get("ticket")
    return Call(req.method.upper(), headers, dict(req.params), req.get_body() or b"", run_id, ticket)


def _response(answer: "Answer | TextAnswer") -> func.HttpResponse:
    headers = {**answer.headers, "Cache-Control": "no-store"}
    return func.HttpResponse(answer.text, status_code=int(answer.status), headers=headers, mimetype=answer.mimetype)


def _in_threads(context: func.Context) -> Callable[[], None]:
    """What a thread of ours does first: the worker asks its storage which invocation a log line belongs to."""
    storage, invocation = context.thread_local_storage, context.invocation_id

    def enter() -> None:
        setattr(storage, "invocation_id", invocation)  # noqa: B010  # its type does not know what the worker reads

    return enter
