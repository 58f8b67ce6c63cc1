"""The estate as the vault's listing alone shows it: no sign-in, no value read, nothing asked of Azure DevOps.

What the listing cannot show (a PAT that a person revoked, an orphan) is what `plan` signs in to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared import blocking
from shared.blocking import Block
from shared.model import InvalidItem, Inventory, Item, VaultListing
from shared.observing import secret_seen
from shared.planning import (
    Because,
    Fail,
    Foreign,
    Hold,
    Nothing,
    Published,
    Renew,
    Rotate,
    Secret,
    Seen,
    Step,
    Unmarked,
    overlap_end,
    plan,
)
from shared.ports import Vault
from shared.report import Verb, instant
from shared.tags import Mark, Predecessor


@dataclass(frozen=True, slots=True)
class Standing:
    """One item's state. `state`: healthy, due, expired, missing, edited, foreign, paused or blocked."""

    secret: str
    username: str
    organization: str
    state: str
    expires_on: datetime | None
    days_left: int | None
    predecessors: tuple[Predecessor, ...]
    step: Verb
    because: Because
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    as_of: datetime
    pats: tuple[Standing, ...]

    @property
    def blocked(self) -> bool:
        return any(one.state == "blocked" for one in self.pats)

    def to_json(self) -> dict[str, object]:
        return {"as_of": instant(self.as_of), "seen": "vault", "pats": [_json(one) for one in self.pats]}


def status(inventory: Inventory, listing: VaultListing, vault: Vault, mark: Mark, now: datetime) -> Status:
    """The state of every item at `now` (vault time). Asks the vault further only for unmarked secrets (rule 10)."""
    blocks = blocked_users(inventory, listing)
    standings = []
    for item in inventory.items():
        secret = secret_seen(item.secret, listing, vault, mark, look_for_deleted=False)
        standings.append(standing(item, secret, blocks.get(item.username.casefold()), now))
    standings += [_invalid(one, listing) for one in inventory.invalid]
    return Status(now, tuple(sorted(standings, key=lambda one: one.secret.casefold())))


def blocked_users(inventory: Inventory, listing: VaultListing) -> dict[str, Block]:
    """Users whose sign-in was refused, by casefolded username.

    Versions of the credentials are not part of this listing, so a credential that was replaced since shows as blocked
    until a run has tried it.
    """
    found = {}
    for user in inventory.users:
        row = listing.secrets.get(blocking.note_name(user.username))
        block = blocking.read(row.tags) if row is not None else None
        sign_in = inventory.sign_in
        if block is None or (block.facts.tenant, block.facts.client_id) != (
            sign_in.tenant.casefold(),
            sign_in.client_id.casefold(),
        ):
            continue
        found[user.key] = block
    return found


def standing(item: Item, secret: Secret, block: Block | None, now: datetime) -> Standing:
    """Pure: what one item's secret says of it."""
    step = plan(item, Seen(secret), now)
    published = secret if isinstance(secret, Published) else None
    ends = published.expires_on if published else None
    predecessors = _predecessors(item, published) if published else ()
    state = "blocked" if block else _state(item, secret, step, ends, now)
    verb, because, at = _next(step, predecessors, now)
    if block is not None:
        verb, because, at = Verb.HOLD, Because.BLOCKED, block.next_try()
    left = None if ends is None else (ends - now).days
    return Standing(item.secret, item.username, item.organization, state, ends, left, predecessors, verb, because, at)


def _predecessors(item: Item, secret: Published) -> tuple[Predecessor, ...]:
    return tuple(Predecessor(one.id, overlap_end(one, secret, item)) for one in secret.stamp.predecessors)


def _state(item: Item, secret: Secret, step: Step, ends: datetime | None, now: datetime) -> str:
    match secret:
        case Nothing():
            return "paused" if item.paused else "missing"
        case Foreign():
            return "foreign"
        case Unmarked(edited=edited):
            return "edited" if edited else "foreign"
        case Published(enabled=False):
            return "missing"
    if item.paused:
        return "paused"
    if ends is None or ends <= now:
        return "expired"
    return "due" if isinstance(step, Rotate | Renew) else "healthy"


def _next(step: Step, predecessors: tuple[Predecessor, ...], now: datetime) -> tuple[Verb, Because, datetime | None]:
    match step:
        case Rotate(because=because):
            return Verb.ROTATE, because, now
        case Renew(because=because):
            return Verb.RENEW, because, now
        case Fail(because=because):
            return Verb.HOLD, because, None
        case Hold(because=Because.FRESH, until=until):
            ends = min((one.retire_at for one in predecessors), default=None)
            if ends is not None and (until is None or ends <= until):
                return Verb.RETIRE, Because.OVERLAP_OVER, max(ends, now)
            return Verb.ROTATE, Because.NEAR_EXPIRY, until
        case Hold(because=because, until=until):
            return Verb.HOLD, because, until
        case _:
            verb = Verb.DECOMMISSION if step.because is Because.DECOMMISSIONED else Verb.HOLD
            return verb, step.because, now


def _invalid(one: InvalidItem, listing: VaultListing) -> Standing:
    row = listing.secrets.get(one.secret.casefold())
    ends = row.expires_on if row else None
    state = "missing" if row is None else "due"
    return Standing(one.secret, one.username, one.organization, state, ends, None, (), Verb.HOLD, Because.INVALID, None)


def _json(one: Standing) -> Mapping[str, object]:
    return {
        "secret": one.secret,
        "username": one.username,
        "organization": one.organization,
        "state": one.state,
        "expires_on": instant(one.expires_on),
        "days_left": one.days_left,
        "predecessors": [{"authorization_id": old.id, "retire_at": instant(old.retire_at)} for old in one.predecessors],
        "next": {"step": one.step.value, "because": one.because.value, "at": instant(one.at)},
        "last_failure": None,
    }
