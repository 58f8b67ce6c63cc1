"""`GET /api/metrics`: the state of the estate for Prometheus."""

from __future__ import annotations

from http import HTTPStatus

from shared import __version__, wiring
from shared.functions.http_answers import Answer, TextAnswer
from shared.functions.http_call import Call
from shared.functions.http_routes import App, read_only
from shared.rotation.overview import overview
from shared.settings import Settings
from shared.views import metrics


def show(call: Call, app: App) -> Answer | TextAnswer:
    """OpenMetrics text, from the vault's listing and the kept reports; a problem where that cannot be had."""

    def look(settings: Settings) -> TextAnswer:
        patrol = wiring.open_with(settings, settings.http_budget, make_world=app.make_world)
        seen = overview(patrol.inventory, patrol.world, settings.mark)
        return TextAnswer(HTTPStatus.OK, metrics.text(seen, settings.vault_host, __version__), metrics.MIMETYPE)

    return read_only("metrics", call, app, look)
