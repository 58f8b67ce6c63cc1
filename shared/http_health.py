"""`GET /api/health`: that the app is up. Asks nobody, so it costs nothing and imports little."""

from __future__ import annotations

from http import HTTPStatus

from shared import __version__
from shared.http_answer import Answer, not_allowed


def health(method: str) -> Answer:
    """`last_run_finished_at` is null as long as no reports are kept."""
    if method not in ("GET", "HEAD"):
        return not_allowed("GET")
    return Answer(HTTPStatus.OK, {"status": "ok", "version": __version__, "last_run_finished_at": None})
