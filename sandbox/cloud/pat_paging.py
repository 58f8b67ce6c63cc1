"""Listing of PATs: filter, order and pages with an opaque continuation token."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sandbox.cloud.pat_values import Page, PatHttpRefused
from sandbox.cloud.switches import Switches

FILTERS = ("active", "revoked", "expired", "all")
SORTS = ("displayname", "displaydate", "status", "validfrom")
MAX_TOP = 100


class Listed(Protocol):
    """What paging needs of a PAT."""

    authorization_id: str
    display_name: str
    valid_from: datetime
    valid_to: datetime

    def state(self, now: datetime) -> str: ...

    def wire(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The query of a listing, as sent: None where absent. `top` is the text of `$top`."""

    filter: str | None = None
    sort: str | None = None
    ascending: str | None = None
    continuation: str | None = None
    top: str | None = None


def page_of(owned: Sequence[Listed], query: ListQuery, now: datetime, switches: Switches) -> Page:
    """One page. The token holds the last key seen and the options, so that a changed set of PATs loses nothing.

    Raises PatHttpRefused 400 for unknown options, and for a token that arrives with other options than its own.
    """
    chosen = (query.filter or switches.default_filter).lower()
    sort = (query.sort or switches.default_sort).lower()
    if chosen not in FILTERS or sort not in SORTS:
        raise _bad("The filter or sort option is not known.")
    # The default order is newest first; the named orders ascend unless asked otherwise.
    ascending = (query.ascending or ("false" if query.sort is None else "true")).lower() == "true"
    size = _size(query.top, switches)
    options = [chosen, sort, ascending]
    after, blank = _read(query.continuation, options)

    rows = sorted((_key(pat, sort, now), pat.authorization_id, pat) for pat in owned if _fits(pat, chosen, now))
    if not ascending:
        rows.reverse()
    if after is not None:
        key, last = after
        rows = [row for row in rows if (row[:2] > (key, last) if ascending else row[:2] < (key, last))]
    if blank:
        return Page([], _write(after, options, blank=False))
    page = rows[:size]
    if len(rows) <= size:
        return Page([pat.wire() for _, _, pat in page], "")
    token = _write((page[-1][0], page[-1][1]), options, blank=switches.empty_pat_pages)
    return Page([pat.wire() for _, _, pat in page], token)


def _fits(pat: Listed, chosen: str, now: datetime) -> bool:
    return chosen == "all" or pat.state(now) == chosen


def _key(pat: Listed, sort: str, now: datetime) -> str:
    if sort == "displayname":
        return pat.display_name.lower()
    if sort == "status":
        return pat.state(now)
    instant = pat.valid_from if sort == "validfrom" else pat.valid_to
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _size(top: str | None, switches: Switches) -> int:
    if top is None:
        return min(MAX_TOP, switches.page_size_limit)
    try:
        asked = int(top)
    except ValueError:
        raise _bad("$top is not a number.") from None
    if asked < 1 or (asked > MAX_TOP and switches.over_limit_top != "clamp"):
        raise _bad("$top is out of range.")
    return min(asked, MAX_TOP, switches.page_size_limit)


def _write(after: tuple[str, str] | None, options: Sequence[object], *, blank: bool) -> str:
    # Padding that no clean token needs: "+", "/" and "=" turn up, so that a caller who forgets to encode fails.
    raw = json.dumps({"after": after, "options": options, "blank": blank, "pad": "~?>~?>"}).encode()
    return base64.b64encode(raw + b" " * (2 - len(raw) % 3)).decode()


def _read(token: str | None, options: Sequence[object]) -> tuple[tuple[str, str] | None, bool]:
    if not token:
        return None, False
    try:
        known: dict[str, Any] = json.loads(base64.b64decode(token, validate=True))
        after = known["after"]
        if known["options"] != list(options):
            raise _bad("The continuation token belongs to a listing with other options.")
        return (None if after is None else (str(after[0]), str(after[1]))), bool(known["blank"])
    except (ValueError, KeyError, TypeError):
        raise _bad("The continuation token is not valid.") from None


def _bad(message: str) -> PatHttpRefused:
    return PatHttpRefused(400, "VssServiceException", message, 0)
