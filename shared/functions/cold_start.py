"""The first invocation of a process: what it does is loaded while patrol's own identity is asked for its first token.

An instance that the host starts has loaded nothing yet, and nothing of a run can begin without that token.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock, Thread

from shared.loading import loading

_FIRST = Lock()
"""Taken by the first invocation, and kept."""


@contextmanager
def cold_start(environ: Mapping[str, str] = os.environ, first: Lock = _FIRST) -> Iterator[None]:
    """Around the imports of a door; for all but the first invocation it does nothing. Raises nothing."""
    if not first.acquire(blocking=False):
        yield
        return
    with loading():
        with suppress(Exception):  # whatever is wrong, the invocation itself meets it and tells
            _ask_ahead(environ)
        yield


def _ask_ahead(environ: Mapping[str, str]) -> None:
    """For the vaults' token, in the background: who needs it waits for this answer, and asks again where it failed."""
    from shared import settings  # a part of what is loaded
    from shared.process_wide import app_identity, shared_session
    from shared.telemetry import quieten

    quieten()
    if not settings.has_managed_identity(environ):
        return
    known = settings.read(environ, settings.ROOT)
    identity = app_identity(shared_session("services"), *known.identity)
    scope = f"https://{known.vault_host.partition('.')[2]}/.default"

    def ask() -> None:
        with suppress(Exception):
            identity.get_token(scope)

    Thread(target=ask, name="first-token", daemon=True).start()
