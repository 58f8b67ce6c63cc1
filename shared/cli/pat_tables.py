"""PATs for a person, and as the API's own objects for a program."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.cli import global_pats
from shared.cli.terminal import Cell, Screen
from shared.model.clock import instant
from shared.model.items import User
from shared.model.pats import Pat, PatId
from shared.model.secret_text import SecretText
from shared.views.moments import distance, when

NEAR = timedelta(days=7)

ACTIVE, EXPIRED, REVOKED = "active", "expired", "revoked"

# With "state", PATs of one state stand together, and within it by their expiry.
SORTED_BY: Mapping[str, Callable[[Pat], Any]] = {
    "expires": lambda pat: pat.validity.ends,
    "created": lambda pat: pat.validity.starts,
    "name": lambda pat: pat.display_name.casefold(),
    "state": lambda pat: pat.validity.ends,
}


def show_all(
    screen: Screen, pats: tuple[Pat, ...], options: argparse.Namespace, ended: frozenset[PatId], now: datetime
) -> None:
    """`ended`: which of them were revoked, where PATs of every state were asked for."""
    states = {pat.id: _state(pat, options.state, ended, now) for pat in pats}
    by = SORTED_BY[options.sort]

    def key(pat: Pat) -> tuple[object, ...]:
        state = (ACTIVE, EXPIRED, REVOKED).index(states[pat.id]) if options.sort == "state" else 0
        return state, by(pat), pat.id

    pats = tuple(sorted(pats, key=key, reverse=options.reverse))
    if options.json:
        screen.json({"patTokens": [to_api(pat) for pat in pats]})
        return
    with_state = options.state != ACTIVE
    rows = [_row(pat, states[pat.id], now, with_state=with_state) for pat in pats]
    if rows:
        head = ("id", "name", "scopes", "made", "works until", "ends")
        screen.table((*head, "state") if with_state else head, rows, spare=("made", "works until", "scopes"))
    screen.sentence(f"{len(rows)} {'PAT' if len(rows) == 1 else 'PATs'}.")


def say_global(
    screen: Screen, pats: list[Pat], user: User, organizations: Mapping[PatId, list[str]], now: datetime
) -> None:
    """What becomes of these PATs, and what to make instead; `organizations` are those whose listings show each."""
    for pat in pats:
        screen.sentence(global_pats.cause(pat, now), "bad")
        screen.paragraph(global_pats.remedy(pat, user.username, organizations[pat.id]))


def show_one(
    screen: Screen, pat: Pat, *, as_json: bool, value: SecretText | None = None, put: Mapping[str, str] | None = None
) -> None:
    """`value`: what is seen only now. `put`: where the value was put."""
    more = {} if value is None else {"token": value.reveal()}
    shown = {**to_api(pat), **more, **(put or {})}
    if as_json:
        screen.json(shown)
        return
    texts = {key: ", ".join(map(str, field)) if isinstance(field, list) else str(field) for key, field in shown.items()}
    screen.fields(texts.items(), 16)


def to_api(pat: Pat) -> dict[str, object]:
    """The API's own shape (PatToken), without the value."""
    return {
        "displayName": pat.display_name,
        "validTo": instant(pat.validity.ends),
        "scope": " ".join(sorted(pat.scopes)),
        "targetAccounts": None if pat.organization_id is None else [pat.organization_id],
        "validFrom": instant(pat.validity.starts),
        "authorizationId": pat.id,
    }


def _row(pat: Pat, state: str, now: datetime, *, with_state: bool) -> tuple[Cell | str, ...]:
    over = state != ACTIVE
    near = not over and pat.validity.left(now) < NEAR
    ends = Cell(distance(pat.validity.ends, now), "faint" if over else "warning" if near else "")
    made, until = when(pat.validity.starts, now), when(pat.validity.ends, now)
    row = (pat.id, pat.display_name, " ".join(sorted(pat.scopes)), made, until, ends)
    return (*row, Cell(state, "faint" if over else "good")) if with_state else row


def _state(pat: Pat, asked: str, ended: frozenset[PatId], now: datetime) -> str:
    if asked == REVOKED or pat.id in ended:
        return REVOKED
    return EXPIRED if pat.validity.ends <= now else ACTIVE
