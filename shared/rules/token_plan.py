"""What the token of a service principal needs: pure functions of what was asked for, what was seen and the time.

Tokens live about an hour and cannot be ended, so the rules are fewer than those of PATs (planning.py): there is nothing
to revoke, and an older token works until it expires.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.model import token_tags
from shared.model.clock import whole_seconds
from shared.model.errors import Code
from shared.model.items import TokenItem
from shared.model.secret_state import (
    Foreign,
    Nothing,
    PublishedToken,
    TokenSecret,
    Unmarked,
)
from shared.model.steps import Because, Fail, Hold, Recover, Rotate, Step
from shared.model.token_tags import Replaced
from shared.rules.needs_a_person import deleted, foreign, paused
from shared.rules.plan import Asked

EVERY = timedelta(minutes=10)
"""How often the timer looks, and how often consumers read the secret again."""

LEAST_LEFT = timedelta(minutes=15)
"""Promise 1 for tokens: whenever a consumer reads, at least this much of the token's life is left."""

# Less than this makes a token due, whatever the share says. At the look that finds it so, 25 minutes are left at least:
# that look may fail, and the next one still keeps the promise.
FLOOR = LEAST_LEFT + 2 * EVERY
# From here on one more look that fails breaks the promise: people are told.
SHORT = LEAST_LEFT + EVERY
# How long a replaced version stays readable: consumers have read again by then, with five minutes to spare.
OVERLAP = timedelta(minutes=15)


def due_at(item: TokenItem, created: datetime, ends: datetime) -> datetime:
    """When less than the item's share of the token's life is left, or the floor."""
    life = ends - created
    return ends - max(life * item.refresh_below // 100, FLOOR)


def plan(item: TokenItem, secret: TokenSecret, now: datetime, asked: Asked | None = None) -> Step:
    """Say what `item` needs at `now` (vault time)."""
    if asked is not None and asked.emergency:
        return _lives(secret)
    forced = asked is not None and asked.force
    if item.paused:
        return paused() if forced else Hold(Because.PAUSED)
    match secret:
        case Nothing(deleted=True):
            return Recover() if item.recover_deleted else deleted(item.secret)
        case Nothing():
            return Rotate(Because.NOTHING_PUBLISHED)
        case Foreign():
            return foreign(secret)
        case Unmarked(edited=True):
            taken_back = asked is not None and asked.force and asked.adopt
            return Rotate(Because.TAKEN_BACK) if taken_back else _edited(item)
        case Unmarked():
            return Rotate(Because.ADOPTED) if item.adopt else _unmarked()
    due = _plan_published(item, secret, now)
    if asked is None or not forced or isinstance(due, Rotate):
        return due
    # Within the second of the request nobody can tell which came first: a repeated request changes nothing (rule 8).
    if secret.created >= whole_seconds(asked.published_before):
        return Hold(Because.ALREADY_REPLACED) if isinstance(due, Hold) else due
    return Rotate(Because.FORCED)


def _plan_published(item: TokenItem, secret: PublishedToken, now: datetime) -> Step:
    if not secret.enabled:
        return _disabled(item)
    if secret.stamp.client_id != item.client_id.lower():
        return Rotate(Because.USER_CHANGED)
    if secret.stamp.organization.casefold() != item.organization.casefold():
        return Rotate(Because.ORGANIZATION_CHANGED)
    if secret.expires_on is None or now >= secret.expires_on:
        return Rotate(Because.EXPIRED)
    due = due_at(item, secret.created, secret.expires_on)
    return Rotate(Because.NEAR_EXPIRY) if now >= due else Hold(Because.FRESH, until=due)


def over(secret: TokenSecret, now: datetime) -> tuple[Replaced, ...]:
    """The older versions whose overlap is over at `now`; never the current one."""
    return tuple(old for old in _older(secret) if old.over_at <= now)


def replaced(secret: TokenSecret, now: datetime, disabled: frozenset[str]) -> tuple[Replaced, ...]:
    """What the next version says it replaced: the current one from `now` on, and those not yet `disabled`."""
    kept = tuple(old for old in _older(secret) if old.version not in disabled)
    if isinstance(secret, PublishedToken) and secret.version:
        kept += (Replaced(secret.version, whole_seconds(now) + OVERLAP),)
    return token_tags.newest(kept)


def lasts_longer(ends: datetime, secret: TokenSecret, because: Because) -> bool:
    """Whether a new token that expires at `ends` is worth publishing: a cache in between may hand out the old one.

    Lives are drawn at random, so one that was asked for early may end before the one it follows.
    """
    if because is not Because.NEAR_EXPIRY or not isinstance(secret, PublishedToken) or secret.expires_on is None:
        return True
    return ends > secret.expires_on


def is_short(ends: datetime | None, now: datetime) -> bool:
    """Whether the promise breaks with the next look that fails."""
    return ends is not None and ends - now < SHORT


def _older(secret: TokenSecret) -> tuple[Replaced, ...]:
    if not isinstance(secret, PublishedToken):
        return ()
    return tuple(old for old in secret.stamp.replaced if old.version != secret.version)


# --- what a person must look at --------------------------------------------------------------------------------------


def _lives(secret: TokenSecret) -> Fail:
    ends = secret.expires_on if isinstance(secret, PublishedToken) else None
    until = f"until {ends:%Y-%m-%dT%H:%M:%SZ}" if ends else "until it expires, an hour or so after it was issued"
    return Fail(
        Because.EMERGENCY,
        Code.TOKEN_LIVES,
        f"An Entra token cannot be revoked: the leaked one works {until}. Nothing was changed.",
        "To end it now, remove the service principal from its organizations, and add it again after that time. If its "
        "own credential leaked too, replace that first.",
    )


def _edited(item: TokenItem) -> Fail:
    return Fail(
        Because.EDITED,
        Code.EDITED,
        "Somebody wrote the secret, or took patrol's tags off it; patrol did not replace the value.",
        f"Find out who did; to take the secret back run `patrol rotate {item.secret} --force --adopt`.",
    )


def _unmarked() -> Fail:
    return Fail(
        Because.UNMARKED,
        Code.UNMARKED,
        "The secret exists and does not carry the mark of a token of patrol's, so patrol does not touch it.",
        "Set `adopt: true` under `entra_token`, or name another secret.",
    )


def _disabled(item: TokenItem) -> Fail:
    return Fail(
        Because.DISABLED,
        Code.DISABLED,
        "Somebody disabled the current version of the secret, so no consumer can read it.",
        f"Enable the version, or replace it: `patrol rotate {item.secret} --force`.",
    )
