"""Enrolling over the deployed app: a link for one use, the page behind it, and the way back from Entra ID (rule 16).

The link and the way back are open to everybody who has the ticket; what they answer is a document, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import parse_qsl

from shared import wiring
from shared.functions.http_answers import Answer, TextAnswer, of_failure, out_of_time
from shared.functions.http_call import BadRequest, Call, Mistake
from shared.functions.http_requests import LARGEST, read_enroll
from shared.functions.http_routes import App, answered
from shared.functions.time_limit import NotInTime, within
from shared.model.clock import instant
from shared.model.enrollment import Link
from shared.model.errors import Code, Misconfigured, PatrolError
from shared.rotation.enroll import Enrolling, enrollable
from shared.settings import Settings
from shared.settings import read as read_settings
from shared.telemetry import event, quieten
from shared.views import html

GOOD_FOR = timedelta(minutes=10)
CALLBACK = "/api/enroll/callback"
_TICKET = re.compile(r"[0-9a-f]{64}")

_OVER = (
    "A link is good for one sign-in within ten minutes, and this one is used or too old.",
    "Ask for a new one where it came from: `POST /api/enroll`.",
)


def ask(call: Call, app: App) -> Answer:
    """`POST /api/enroll`: 201 and a link for one use within ten minutes."""

    def work(settings: Settings) -> Answer:
        username = read_enroll(call.body, call.query)
        try:
            return within(settings.http_budget + app.answer_after, lambda: _link(settings, app, username), app.enter)
        except NotInTime:
            return out_of_time()

    return answered("enroll", "POST", "Pats.Enroll", call, app, work)


def _link(settings: Settings, app: App, username: str) -> Answer:
    if not settings.site:
        raise Misconfigured(
            Code.SETTINGS_INVALID,
            "The app does not know its own address (WEBSITE_HOSTNAME), so no link can lead to it.",
            "The platform sets it; elsewhere set WEBSITE_HOSTNAME to the host's name.",
        )
    patrol = wiring.open_with(settings, settings.http_budget, make_world=app.make_world)
    try:
        user = enrollable(patrol.inventory, username)
    except Misconfigured as failure:
        raise BadRequest([Mistake("username", f"cannot be enrolled: {failure.cause} {failure.remedy}")]) from None
    redirect_uri = f"{settings.site}{CALLBACK}"
    page = Enrolling(patrol.inventory, patrol.world, settings.mark, user).page(redirect_uri)
    expires = app.now() + GOOD_FOR
    patrol.world.links.keep(Link(user.username, page, redirect_uri, expires))
    event("enrollment.link", username=user.username, expires=expires)
    body = {"link": f"{settings.site}/api/enroll/{page.state}", "expires_at": instant(expires)}
    return Answer(HTTPStatus.CREATED, body)


def open_link(call: Call, app: App) -> TextAnswer:
    """`GET /api/enroll/{ticket}`: whom to sign in as, and the way there. Looking uses nothing up."""

    def look(settings: Settings) -> TextAnswer:
        link = _known(settings, app, call.ticket, take=False)
        if link is None:
            return _page(HTTPStatus.GONE, "This link is over", *_OVER, tone="warning")
        text = html.document("enroll.html.jinja", username=link.username, url=link.page.url, expires=link.expires_at)
        return TextAnswer(HTTPStatus.OK, text, html.MIMETYPE, html.headers())

    return _in_time(app, look)


def come_back(call: Call, app: App) -> TextAnswer:
    """`POST /api/enroll/callback`: what Entra ID sent the browser back with. The link is used, whatever comes of it."""

    def work(settings: Settings) -> TextAnswer:
        answer = dict(parse_qsl(call.body[:LARGEST].decode("utf-8", "replace")))
        link = _known(settings, app, answer.get("state"), take=True)
        if link is None:
            return _page(HTTPStatus.GONE, "This link is over", *_OVER, tone="warning")
        patrol = wiring.open_with(settings, settings.http_budget, make_world=app.make_world)
        user = enrollable(patrol.inventory, link.username)
        try:
            done = Enrolling(patrol.inventory, patrol.world, settings.mark, user).finish(link.page, answer)
        except PatrolError as failure:
            event("enrollment.failed", username=user.username, code=failure.code, says=str(failure))
            again = "The link is used up: ask for a new one by `POST /api/enroll`."
            return _page(HTTPStatus.BAD_REQUEST, "Not enrolled", failure.cause, failure.remedy, again, tone="bad")
        return _page(HTTPStatus.OK, "Enrolled", done.says, "You can close this window.", tone="good")

    return _in_time(app, work)


def _known(settings: Settings, app: App, ticket: str | None, *, take: bool) -> Link | None:
    """The link of a ticket whose time is not over. What cannot be a ticket asks the storage nothing."""
    if ticket is None or not _TICKET.fullmatch(ticket):
        return None
    links = app.make_world(settings, settings.http_budget, event).links
    link = links.take(ticket) if take else links.look(ticket)
    return None if link is None or link.expires_at <= app.now() else link


def _in_time(app: App, work: Callable[[Settings], TextAnswer]) -> TextAnswer:
    """Whatever goes wrong is a document, too, and tells an unknown reader nothing of the deployment."""
    quieten()
    try:
        settings = read_settings(app.environ, app.root)
        return within(settings.http_budget + app.answer_after, lambda: work(settings), app.enter)
    except NotInTime:
        event("request.refused", door="enroll", status=503, code=Code.TIME_OVER)
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        said = of_failure(failure)
        event(
            "request.refused", door="enroll", status=int(said.status), code=said.body["code"], says=said.body["detail"]
        )
    return _page(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Not possible now",
        "patrol could not go on with this sign-in; its log says why.",
        "See whether the user is enrolled (`patrol enroll --status`), and ask for a new link otherwise.",
        tone="bad",
    )


def _page(status: HTTPStatus, title: str, *paragraphs: str, tone: str) -> TextAnswer:
    return TextAnswer(status, html.message(title, *paragraphs, tone=tone), html.MIMETYPE, html.headers())
