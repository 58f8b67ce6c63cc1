"""`GET /api/page`: the state of the estate for people. Every answer is an HTML document, what went wrong too."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from shared import __version__, wiring
from shared.functions.http_answers import Answer, TextAnswer, of_unknown_run
from shared.functions.http_call import BadRequest, Call, Mistake
from shared.functions.http_routes import App, read_only
from shared.inventory import texts
from shared.model.request import places_of
from shared.model.run_ids import is_id
from shared.model.secret_text import looks_like_a_pat
from shared.rotation.overview import overview
from shared.rotation.threads import Threads
from shared.rotation.who_reads import readers_of_one
from shared.settings import Settings
from shared.telemetry import event
from shared.views import html, page
from shared.views.page import STATES, Facts, Wanted

PARAMETERS = ("secret", "run", "state", "q", "page")


def show(call: Call, app: App) -> TextAnswer:
    """The estate; with `?secret=` one PAT, with `?run=` one run."""
    answer = read_only("page", call, app, lambda settings: _look(call, app, settings), PARAMETERS)
    return answer if isinstance(answer, TextAnswer) else _in_words(answer)


def facts_of(settings: Settings) -> Facts:
    return Facts(__version__, settings.deployment_name, settings.vault_host, settings.pats_file.name)


def _look(call: Call, app: App, settings: Settings) -> Answer | TextAnswer:
    # The key is a part of the address that was opened; without it no link on the page would open.
    link = page.links(call.query.get("code", ""))
    facts, run_id = facts_of(settings), call.query.get("run")
    wanted = _wanted(call.query)
    if run_id is not None:
        world = app.make_world(settings, settings.http_budget, event)
        run = world.runs.read(run_id.lower()) if is_id(run_id.lower()) else None
        return of_unknown_run() if run is None else _document(page.one_run(run, facts, world.clock.now(), link))
    patrol = wiring.open_with(settings, settings.http_budget, make_world=app.make_world)
    secret = call.query.get("secret")
    place = None if secret is None else places_of(patrol.inventory, (secret,))[secret]
    seen = overview(patrol.inventory, patrol.world, settings.mark, Threads(settings.parallel_users, app.enter))
    if place is None:
        return _document(page.estate(seen, facts, link, wanted, call.query.get("code", "")))
    row = next(row for row in seen.status.pats if row.place == place)
    versions = patrol.world.vault_at(row.address).versions(row.secret).versions
    readers = readers_of_one(patrol.inventory, patrol.world, settings.mark, row)
    return _document(page.one_pat(seen, row, versions, patrol.inventory, facts, link, readers))


def _wanted(query: Mapping[str, str]) -> Wanted:
    """Raises BadRequest for what is no name, state or number, and for a PAT that somebody pasted: it is not shown."""
    state, number, words = query.get("state", ""), query.get("page", "1"), query.get("q", "")[:100]
    wrong = []
    if "secret" in query:
        try:
            texts.secret_reference(query["secret"])
        except ValueError as failure:
            wrong.append(Mistake("secret", str(failure)))
    if any(looks_like_a_pat(word) for word in words.split()):
        wrong.append(Mistake("q", "looks like a PAT: give a part of a name"))
    if state and state not in STATES:
        wrong.append(Mistake("state", f"is none of {', '.join(STATES)}"))
    if not (number.isascii() and number.isdecimal() and len(number) <= 6):
        wrong.append(Mistake("page", "is no number"))
    if wrong:
        raise BadRequest(wrong)
    return Wanted(frozenset({state} - {""}), words, int(number))


def _document(text: str) -> TextAnswer:
    return TextAnswer(HTTPStatus.OK, text, html.MIMETYPE, html.headers())


def _in_words(problem: Answer) -> TextAnswer:
    """A problem (RFC 9457) as a document, with its status."""
    said = [str(problem.body[name]) for name in ("detail", "remedy") if problem.body.get(name)]
    text = html.message(problem.status.phrase, *said, tone="bad")
    return TextAnswer(problem.status, text, html.MIMETYPE, {**problem.headers, **html.headers()})
