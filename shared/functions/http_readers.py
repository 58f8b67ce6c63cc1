"""`GET /api/readers`: who reads each secret, when last, and which version."""

from __future__ import annotations

from http import HTTPStatus

from shared import wiring
from shared.functions.http_answers import Answer
from shared.functions.http_call import Call
from shared.functions.http_routes import App, read_only
from shared.rotation.who_reads import who_reads
from shared.settings import Settings


def show(call: Call, app: App) -> Answer:
    """Every secret of pats.yaml. 502 where the log cannot be read: an empty list would say that nobody reads."""

    def look(settings: Settings) -> Answer:
        patrol = wiring.open_with(settings, settings.http_budget, make_world=app.make_world)
        found = who_reads(patrol.inventory, patrol.world, settings.mark)
        return Answer(HTTPStatus.OK, found.to_json())

    return read_only("readers", call, app, look)
