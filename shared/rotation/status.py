"""The estate as the vault's listing alone shows it: no sign-in, no value read, nothing asked of Azure DevOps.

What the listing cannot show (a PAT that a person revoked, an orphan, a missing secret's name among the deleted ones) is
what `plan` looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from shared.model.clock import instant
from shared.model.errors import PatrolError, defect
from shared.model.items import InvalidItem, Inventory, Item, Named, TokenItem
from shared.model.ports import Vault
from shared.model.secret_state import (
    Foreign,
    Nothing,
    Published,
    PublishedToken,
    Secret,
    Seen,
    TokenSecret,
    Unmarked,
    VaultListing,
)
from shared.model.steps import Because, Decommission, Fail, Hold, Recover, Renew, Rotate, Step
from shared.model.tags import Mark, Predecessor
from shared.model.vaults import HOME, VaultAddress
from shared.report.report import Failure, Verb, failure_json
from shared.report.rows import CORRECT
from shared.rotation.enroll import EnrollmentSeen
from shared.rotation.observe import secret_seen
from shared.rotation.sign_in import blocked
from shared.rotation.token_refresh import token_seen
from shared.rules import lock_out, token_plan
from shared.rules.due import due_at, is_pressing
from shared.rules.lock_out import Block, Facts
from shared.rules.overlap import may_be_held_until, overlap_end, owed, owes_push
from shared.rules.plan import plan


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """One item's state. `state`: healthy, due, expired, missing, edited, foreign, paused or blocked.

    `unknown` where the vault did not say what only it can. `days_left` counts whole days and is negative from the
    expiry on.
    """

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
    last_failure: Failure | None = None
    """Of a blocked one, why its user cannot sign in; else why the vault did not say what only it can."""
    fail: Failure | None = None
    """What a person must do before any run goes on with it, by the plan and pats.yaml; not part of the document."""
    made_at: datetime | None = None
    due_at: datetime | None = None
    overdue: bool = False
    """Whether half of the time to replace it is gone, and no run did."""
    is_token: bool = False
    consumers: tuple[tuple[str, bool], ...] = ()
    """Who keeps a copy of the value, and whether it has the current one."""
    owner: str = ""
    address: VaultAddress = HOME
    vault: str = ""
    """Its vault's host."""
    held_until: datetime | None = None
    """At most so long readers may hold the predecessor that ends first (rule 18); None: it ends, whoever reads."""
    called: str = ""
    """`label/name` where several vaults have a secret of that name."""

    @property
    def name(self) -> str:
        """As callers write it, and tables show it."""
        return self.called or self.secret

    @property
    def key(self) -> str:
        """What it is known by among all vaults, as the name of a report's row."""
        return self.name.casefold()

    @property
    def place(self) -> str:
        """See `Item.place`."""
        return self.address.key_of(self.secret)


@dataclass(frozen=True, slots=True)
class Status:
    """`blocks`: refused sign-ins by casefolded username, of users without items too.

    `enrolled`: users without a password.
    """

    as_of: datetime
    pats: tuple[ItemStatus, ...]
    blocks: Mapping[str, Block] = field(default_factory=dict)
    enrolled: frozenset[str] = frozenset()
    enrollments: tuple[EnrollmentSeen, ...] = ()

    @property
    def needs_a_person(self) -> bool:
        """Whether a user cannot sign in before somebody has done something."""
        return bool(self.blocks) or any(enrollment.is_over for enrollment in self.enrollments)

    def to_json(self) -> dict[str, object]:
        seen: dict[str, object] = {"as_of": instant(self.as_of), "seen": "vault"}
        seen["pats"] = [_json(item) for item in self.pats]
        if self.enrollments:
            seen["enrollments"] = [enrollment.to_json() for enrollment in self.enrollments]
        return seen


def status_of(inventory: Inventory, rows: Iterable[ItemStatus], blocks: Mapping[str, Block], now: datetime) -> Status:
    """All rows in the order in which they are told."""
    enrolled = frozenset(user.key for user in inventory.users if user.enrolled)
    owners = inventory.owners()
    told = (replace(row, owner=", ".join(owners.of(row.name, row.username))) for row in rows)
    return Status(now, tuple(sorted(told, key=lambda item: (item.secret.casefold(), item.vault))), blocks, enrolled)


def rows_of(
    inventory: Inventory,
    listing: VaultListing,
    vault: Vault,
    mark: Mark,
    now: datetime,
    blocks: Mapping[str, Block],
) -> list[ItemStatus]:
    """The state of every item of one vault at `now` (vault time). Asks it further only for unmarked secrets (rule 10).

    What fails then is that one item's: its state is told as far as pats.yaml and the listing know it (promise 5).
    """
    enrolled = {user.key for user in inventory.users if user.enrolled}
    pat = partial(secret_seen, listing=listing, vault=vault, mark=mark, look_for_deleted=False)

    def token(name: str) -> TokenSecret:
        row = listing.secrets.get(name.casefold())
        return Nothing() if row is None else token_seen(row, vault, mark)

    def of_item(item: Item) -> ItemStatus:
        key = item.username.casefold()
        block = blocks.get(key)
        try:
            row = item_status(item, pat(item.secret), block, now)
        except Exception as failure:  # noqa: BLE001  # one failure stays one failure, whatever it is
            row = not_seen(item, "paused" if is_paused(item) else None, block, failure)
        if block is None:
            return row
        return replace(row, last_failure=Failure.of(blocked(item.username, block, enrolled=key in enrolled)))

    def of_token(item: TokenItem) -> ItemStatus:
        try:
            return token_status(item, token(item.secret), now)
        except Exception as failure:  # noqa: BLE001  # as above
            return not_seen(item, "paused" if item.paused else None, None, failure)

    def of_invalid(item: InvalidItem, look: Callable[[str], Secret | TokenSecret]) -> ItemStatus:
        try:
            return _invalid(item, look(item.secret), now)
        except Exception as failure:  # noqa: BLE001  # as above
            return not_seen(item, None, None, failure)

    return [
        *(of_item(item) for item in inventory.items()),
        *(of_token(item) for item in inventory.tokens),
        *(of_invalid(item, pat) for item in inventory.invalid),
        *(of_invalid(item, token) for item in inventory.invalid_tokens),
    ]


def blocked_users(inventory: Inventory, listing: VaultListing) -> dict[str, Block]:
    """Users whose sign-in was refused, by casefolded username.

    Versions of the credentials are not part of this listing, so a credential that was replaced since shows as blocked
    until a run has tried it.
    """
    found = {}
    for user in inventory.users:
        row = listing.secrets.get(lock_out.note_name(user.username))
        block = lock_out.read(row.tags) if row is not None else None
        if block is None:
            continue
        old = block.facts
        if old == Facts.of(user.username, inventory.sign_in, old.password_version, old.client_version):
            found[user.key] = block
    return found


def item_status(item: Item, secret: Secret, block: Block | None, now: datetime) -> ItemStatus:
    """Pure: what one item's secret says of it."""
    step = plan(item, Seen(secret), now)
    published = secret if isinstance(secret, Published) else None
    ends = published.expires_on if published else None
    predecessors = _predecessors(item, published) if published else ()
    state = "blocked" if block else _state(item, secret, step, ends, now)
    verb, because, at = _next(item, secret, step, predecessors, now)
    if block is not None:
        verb, because, at = Verb.HOLD, Because.BLOCKED, block.next_try()
    left = _days_left(ends, now)
    return ItemStatus(
        item.secret,
        item.username,
        item.organization,
        state,
        ends,
        left,
        predecessors,
        verb,
        because,
        at,
        fail=_failure(step),
        made_at=published.created if published else None,
        due_at=due_at(item, published, ends) if published and ends else None,
        overdue=not item.paused and not item.decommission and is_pressing(item, Seen(secret), now),
        consumers=tuple((str(to), to not in owed(item, secret)) for to in item.then),
        held_until=may_be_held_until(item, published, now) if published else None,
    )


def token_status(item: TokenItem, secret: TokenSecret, now: datetime) -> ItemStatus:
    """Pure: what one token's secret says of it. What it replaced ends by itself, so no predecessors are told."""
    step = token_plan.plan(item, secret, now)
    ends = secret.expires_on if isinstance(secret, PublishedToken) else None
    state = "paused" if item.paused else _vault_state(secret, ends, now)
    if isinstance(step, Rotate) and (state == "healthy" or isinstance(secret, Unmarked)):
        state = "due"
    at = now if isinstance(step, Rotate | Recover) else step.until if isinstance(step, Hold) else None
    waits = isinstance(step, Hold) and step.because is Because.FRESH
    verb = Verb.ROTATE if waits or isinstance(step, Rotate) else Verb.HOLD
    because = Because.NEAR_EXPIRY if waits else step.because
    left, made = _days_left(ends, now), secret.created if isinstance(secret, PublishedToken) else None
    return ItemStatus(
        item.secret,
        item.username,
        item.organization,
        state,
        ends,
        left,
        (),
        verb,
        because,
        at,
        fail=_failure(step),
        made_at=made,
        due_at=token_plan.due_at(item, made, ends) if made and ends else None,
        is_token=True,
    )


def _failure(step: Step) -> Failure | None:
    return Failure(step.code, step.cause, step.remedy) if isinstance(step, Fail) else None


def not_seen(item: Named, state: str | None, block: Block | None, failure: Exception) -> ItemStatus:
    """An item whose secret the vault did not tell whole: only a listing of its versions says whose the newest one is.

    `state`: what pats.yaml alone says of it, if it does.
    """
    error = failure if isinstance(failure, PatrolError) else defect(failure)
    because = Because.NOT_SEEN if error is failure else Because.UNEXPECTED
    if block is not None:
        state, because = "blocked", Because.BLOCKED
    return ItemStatus(
        item.secret,
        item.username,
        item.organization,
        state or "unknown",
        expires_on=None,
        days_left=None,
        predecessors=(),
        step=Verb.HOLD,
        because=because,
        at=None if block is None else block.next_try(),
        last_failure=Failure.of(error),
    )


def is_paused(item: Item) -> bool:
    """What is to be decommissioned is, paused or not."""
    return item.paused and not item.decommission


def _days_left(ends: datetime | None, now: datetime) -> int | None:
    return None if ends is None else (ends - now).days


def _predecessors(item: Item, secret: Published) -> tuple[Predecessor, ...]:
    return tuple(Predecessor(old.id, overlap_end(old, secret, item.overlap)) for old in secret.stamp.predecessors)


def _state(item: Item, secret: Secret, step: Step, ends: datetime | None, now: datetime) -> str:
    if is_paused(item):
        return "paused"
    if isinstance(secret, Unmarked) and isinstance(step, Rotate):
        return "due"  # adopted: patrol takes it over at the next run
    state = _vault_state(secret, ends, now)
    return "due" if state == "healthy" and isinstance(step, Rotate | Renew) else state


def _vault_state(secret: Secret | TokenSecret, ends: datetime | None, now: datetime) -> str:
    match secret:
        case Nothing():
            return "missing"
        case Foreign():
            return "foreign"
        case Unmarked(edited=edited):
            return "edited" if edited else "foreign"
        case Published(enabled=False) | PublishedToken(enabled=False):
            return "missing"  # consumers cannot read it
    return "expired" if ends is None or ends <= now else "healthy"


def _next(
    item: Item, secret: Secret, step: Step, predecessors: tuple[Predecessor, ...], now: datetime
) -> tuple[Verb, Because, datetime | None]:
    """The report's verb for what a run does next, why, and when; None when only a person can move it on."""
    match step:
        case Rotate(because=because):
            return Verb.ROTATE, because, now
        case Renew(because=because):
            return Verb.RENEW, because, now
        case Decommission(because=because):
            return Verb.DECOMMISSION, because, now
        case Hold(because=Because.FRESH) if owes_push(item, secret):
            return Verb.ROTATE, Because.NOT_PUSHED, now
        case Hold(because=Because.FRESH, until=datetime() as until):
            ends = min((old.retire_at for old in predecessors), default=None)
            if ends is not None and ends <= until:
                return Verb.RETIRE, Because.OVERLAP_OVER, max(ends, now)
            # What it will be then is the plan's to say: rotate or renew, near expiry or too old.
            return _next(item, secret, plan(item, Seen(secret), until), (), until)
        case Hold(because=because, until=until):
            return Verb.HOLD, because, until
        case _:
            return Verb.HOLD, step.because, None


def _invalid(item: InvalidItem, secret: Secret | TokenSecret, now: datetime) -> ItemStatus:
    """Its state by the vault alone: what pats.yaml asks for cannot be read, so nothing of it falls due."""
    ends = secret.expires_on if isinstance(secret, Published | PublishedToken) else None
    state, left = _vault_state(secret, ends, now), _days_left(ends, now)
    fail = Failure(item.code, item.problem, item.remedy or CORRECT)
    made = secret.created if isinstance(secret, Published | PublishedToken) else None
    verb, because = Verb.HOLD, Because.INVALID
    return ItemStatus(
        item.secret,
        item.username,
        item.organization,
        state,
        ends,
        left,
        (),
        verb,
        because,
        None,
        fail=fail,
        made_at=made,
    )


def _json(item: ItemStatus) -> Mapping[str, object]:
    return {
        "secret": item.secret,
        "vault": item.vault or None,
        **({"called": item.called} if item.called else {}),
        "username": item.username,
        "organization": item.organization,
        "owner": item.owner or None,
        "state": item.state,
        "expires_on": instant(item.expires_on),
        "days_left": item.days_left,
        "predecessors": [
            {"authorization_id": old.id, "retire_at": instant(old.retire_at)} for old in item.predecessors
        ],
        "next": {"step": item.step.value, "because": item.because.value, "at": instant(item.at)},
        "last_failure": failure_json(item.last_failure),
    }
