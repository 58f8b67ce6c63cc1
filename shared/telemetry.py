"""Events: one log line per step, with its fields in the message.

The Functions Python worker forwards the message text and drops `extra`, so fields must be text to be queried.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime

_LOGGER = logging.getLogger("patrol")

# They log request headers, bodies of errors and accounts at DEBUG and INFO; nothing an operator of patrol asks for.
_NOISY = ("azure", "msal", "urllib3", "requests")

_WARNINGS = (".failed", ".refused", ".blocked", ".unavailable", ".lost", ".expiring")


def event(name: str, /, **fields: object) -> None:
    """Log one event, as ASCII; what went wrong (`_WARNINGS`) as warnings. A field that is None is left out."""
    shown = {key: _plain(value) for key, value in fields.items() if value is not None}
    level = logging.WARNING if name.endswith(_WARNINGS) else logging.INFO
    _LOGGER.log(level, "%s %s", name, json.dumps(shown))


def quieten() -> None:
    """Keep third-party loggers to warnings: msal and azure-core write tokens' neighbours at DEBUG."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    _LOGGER.setLevel(logging.INFO)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return value if isinstance(value, bool | int | float | str) else str(value)
