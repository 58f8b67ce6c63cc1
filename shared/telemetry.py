"""Events: one log line per step, with its fields in the message.

The Functions Python worker forwards the message text and drops `extra`, so fields must be text to be queried.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.model.ports import Events

_LOGGER = logging.getLogger("patrol")

# They log request headers, bodies of errors and accounts, and tracebacks and pages of warnings where patrol says in one
# line what happened.
_NOISY = ("azure", "msal", "urllib3", "requests", "charset_normalizer")
_SILENT = logging.CRITICAL + 1

_WARNINGS = (".failed", ".refused", ".blocked", ".unavailable", ".lost", ".expiring")


def event(name: str, /, **fields: object) -> None:
    """Log one event; what went wrong (`_WARNINGS`) as warnings. A field that is None is left out.

    In ASCII: a name from outside may hold half a surrogate pair, which no stream can write.
    """
    shown = {key: _plain(value) for key, value in fields.items() if value is not None}
    level = logging.WARNING if name.endswith(_WARNINGS) else logging.INFO
    _LOGGER.log(level, "%s %s", name, json.dumps(shown))


def with_run_id(tell: Events, run_id: str) -> Events:
    """`tell` with the run in every event: an operation id of Application Insights depends on the worker's context."""

    def told(name: str, /, **fields: object) -> None:
        fields.pop("run_id", None)
        tell(name, run_id=run_id, **fields)

    return told


def with_vault(tell: Events, host: str) -> Events:
    """`tell` with the vault in every event about a secret: several vaults may have one of its name."""

    def told(name: str, /, **fields: object) -> None:
        if "secret" in fields:
            fields.setdefault("vault", host)
        tell(name, **fields)

    return told


def quieten() -> None:
    """Silence third-party loggers: what they would say of a failure, patrol says itself, without bodies."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(_SILENT)
    _LOGGER.setLevel(logging.INFO)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return value if isinstance(value, bool | int | float | str) else str(value)
