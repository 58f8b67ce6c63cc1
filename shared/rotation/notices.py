"""Telling: after a run's work is done and its report is kept, so that nothing a recipient does slows or fails it.

What is told is decided in report/notices.py; here it is only sent, in an order that is safe to stop: claimed, sent,
settled. A run that dies after sending and before settling leaves a claim that ends by itself, and the next run sends
the same again: rather twice than never. Of two runs at one moment the one whose write came first tells.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock, Thread

from shared.model.clock import Deadline
from shared.model.errors import Code, PatrolError, Unclear, defect
from shared.model.items import Inventory, Item
from shared.model.notices import Audience, Recipient, narrowed
from shared.model.secret_state import VaultListing
from shared.model.secret_text import SecretText
from shared.model.tags import Mark
from shared.model.vaults import VaultAddress
from shared.report.met import Happened
from shared.report.notices import Delivery, claimed, decided, settled
from shared.report.report import Failure, RecipientRow
from shared.report.told import Forgetful, Memory, ToldBefore
from shared.rotation.world import World

TELL_WITHIN, AT_LEAST = timedelta(minutes=2), timedelta(seconds=30)
"""How long a run's recipients have in all: within its budget, and the shorter time even where that is used up."""
DOOR_WAITS = timedelta(seconds=5)
"""How much later a caller of the HTTP API gets its answer at most, because somebody has to be told."""
BEYOND = timedelta(minutes=1)
"""How long after its time for sending a run still has its claims."""
MOST_WRITES = 8

Change = Callable[[Memory], Memory]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run knows of published values at its end: see `Happened`."""

    ends: Mapping[str, datetime] = field(default_factory=dict)
    soon: tuple[tuple[str, str, str, str], ...] = ()

    @classmethod
    def of(
        cls,
        inventory: Inventory,
        listings: Mapping[VaultAddress, VaultListing],
        soon: Iterable[tuple[Item, datetime]] = (),
    ) -> Standing:
        """`soon`: as rules/due.py found them."""
        soon = tuple(soon)
        ends = {
            inventory.called_at(address, key).casefold(): seen.expires_on
            for address, listing in listings.items()
            for key, seen in listing.secrets.items()
            if seen.expires_on is not None
        }
        ends |= {inventory.called(item).casefold(): at for item, at in soon}
        told = [
            (inventory.called(item), item.username, item.organization, item.vault.host or inventory.home)
            for item, _ in soon
        ]
        return cls(ends, tuple(told))


def audience(inventory: Inventory, mark: Mark, world: World) -> Audience:
    """Who is told of this deployment, which they know by the readable part of its mark."""
    name = mark.text.removeprefix("patrol/").rpartition("-")[0]
    return Audience(inventory.recipients, inventory.invalid_recipients, name, world.vault_host)


def tell_end(
    world: World, to: Audience, happened: Happened, *, waits: bool, queued: bool = False
) -> tuple[RecipientRow, ...]:
    """Tell everybody what this run makes known; gives what each was told. Never raises, and ends in time.

    `waits`: a caller waits for an answer. `queued`: it is a run over the queue, whose end several instances may see.
    """
    try:
        return _tell_end(world, to, happened, _deadline(world, waits), queued)
    except Exception as failure:  # noqa: BLE001  # no notice is worth a run
        world.tell("notice.failed", code=Code.UNEXPECTED, says=str(defect(failure)))
        return ()


def expect_end(world: World, to: Audience, run_id: str, until: datetime) -> None:
    """Remember that a run over the queue is to be told when it has ended, at `until` at the latest."""
    if not to.recipients:
        return
    try:
        _change(world.told, lambda memory: memory.expecting(run_id, until))
    except PatrolError as failure:
        world.tell("notice.unremembered", code=failure.code, says=str(failure))


def overdue(world: World, to: Audience) -> tuple[str, ...]:
    """Runs over the queue whose end nobody told, although none of their messages is worked on any more."""
    if not to.recipients:
        return ()
    try:
        memory, _ = world.told.read()
    except PatrolError:
        return ()
    return tuple(run_id for run_id, until in memory.unfinished.items() if until <= world.clock.now())


def _deadline(world: World, waits: bool) -> Deadline:
    ahead, left = world.deadline.ahead(), world.deadline.left()
    span = min(DOOR_WAITS, left) if waits else max(min(TELL_WITHIN, ahead), AT_LEAST)
    return Deadline.after(world.clock, span, timedelta(0))


def _tell_end(
    world: World, to: Audience, happened: Happened, deadline: Deadline, queued: bool
) -> tuple[RecipientRow, ...]:
    run_id = happened.report.run_id if queued else None
    told = world.told
    try:
        deliveries = _claim(told, to, happened, deadline, run_id)
    except PatrolError as failure:
        # Where nothing can be remembered, whoever must act is told all the same, and told again by the next run.
        world.tell("notice.unremembered", code=failure.code, says=str(failure))
        told = Forgetful()
        deliveries = _claim(told, to, happened, deadline, None)
    sent = _send(world, to, deliveries, deadline)
    if deliveries:
        try:
            _change(told, lambda memory: settled(memory, deliveries, sent.taken, world.clock.now()))
        except PatrolError as failure:
            world.tell("notice.unremembered", code=failure.code, says=str(failure))
    return (*_rows(world, to, deliveries, sent), *_invalid(world, to))


def _claim(
    told: ToldBefore, to: Audience, happened: Happened, deadline: Deadline, run_id: str | None
) -> tuple[Delivery, ...]:
    """What this run is to send, and nobody else meanwhile. `run_id`: of a run whose end is told once."""
    found: tuple[Delivery, ...] = ()

    def claim(memory: Memory) -> Memory:
        nonlocal found
        found = ()
        now = deadline.clock.now()
        if run_id is not None:
            if run_id not in memory.unfinished:
                return memory  # another instance saw the end as well, and has told it
            memory = memory.without(run_id)
        memory = decided(memory, happened, to, now)
        if not deadline.passed():
            memory, found = claimed(memory, now, now + deadline.ahead() + BEYOND)
        return memory

    _change(told, claim)
    return found


def _change(told: ToldBefore, change: Change) -> None:
    """Read, change and write, until nobody came in between. Raises as the port, Unclear when somebody always does."""
    for _ in range(MOST_WRITES):
        memory, read_as = told.read()
        changed = change(memory)
        if changed == memory or told.write(changed, read_as):
            return
    raise Unclear(Code.NOTICES_UNKEPT, "What was told is being written by others all the time.", "Nothing to do.")


# --- sending ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sent:
    """What came of it so far: recipients are told side by side, and one that never answers is left behind."""

    taken: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    failures: dict[str, PatrolError] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    over: bool = False
    lock: Lock = field(default_factory=Lock)

    def note(self, delivery: Delivery) -> None:
        with self.lock:
            if not self.over:
                self.taken[delivery.key] = delivery

    def end(self, recipient: str, failure: PatrolError | None) -> None:
        with self.lock:
            if not self.over:
                self.ended.add(recipient)
                if failure is not None:
                    self.failures[recipient] = failure


def _send(world: World, to: Audience, deliveries: Iterable[Delivery], deadline: Deadline) -> _Sent:
    sent = _Sent()
    mine: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        mine.setdefault(delivery.recipient, []).append(delivery)
    recipients = {one.key: one for one in to.recipients}
    # An answer that comes byte by byte, or a name that nobody resolves, has no timeout of its own: so each recipient
    # has a thread, which is not waited for when the time is over.
    threads = [
        Thread(
            target=contextvars.copy_context().run,
            args=(_tell_one, world, recipients[key], theirs, deadline, sent),
            name="notices",
            daemon=True,
        )
        for key, theirs in mine.items()
    ]
    ends = time.monotonic() + max(0.0, deadline.ahead().total_seconds())
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    with sent.lock:
        sent.over = True
        for key in mine.keys() - sent.ended:
            cause = f"{recipients[key]} gave no answer in time."
            sent.failures[key] = Unclear(Code.RECIPIENT_UNREACHABLE, cause, "Nothing to do if the next run succeeds.")
    return sent


def _tell_one(world: World, to: Recipient, deliveries: list[Delivery], deadline: Deadline, sent: _Sent) -> None:
    """One recipient, in order; after a failure the rest waits for the next run. Never raises."""
    failure: PatrolError | None = None
    try:
        url, signing = keys_of(world, to)
        for delivery in deliveries:
            if deadline.passed():
                break
            world.recipients.tell(to, url, signing, narrowed(delivery.notice, to), deadline)
            sent.note(delivery)
    except PatrolError as known:
        failure = known
    except Exception as unknown:  # noqa: BLE001  # told without its text, which may carry the address
        failure = defect(unknown)
    sent.end(to.key, failure)


def keys_of(world: World, to: Recipient) -> tuple[SecretText, SecretText | None]:
    """Its address, and what its notices are signed with. Raises PatrolError (`Code.RECIPIENT_UNREADABLE`)."""
    signing = _read(world, to, to.signing_secret_name) if to.signing_secret_name else None
    return _read(world, to, to.url_secret_name), signing


def _read(world: World, to: Recipient, name: str) -> SecretText:
    try:
        return world.credentials.read(name).value
    except PatrolError as failure:
        raise PatrolError(Code.RECIPIENT_UNREADABLE, f"{to}: {failure.cause}", failure.remedy) from None


def _rows(world: World, to: Audience, deliveries: tuple[Delivery, ...], sent: _Sent) -> list[RecipientRow]:
    """What each recipient was told, as events and as rows of the report."""
    for one in sent.taken.values():
        world.tell(
            "notice.told",
            recipient=one.recipient,
            about=one.notice.event,
            code=one.notice.code,
            subject=one.notice.subject,
            reminder=one.notice.reminder,
            id=one.notice.id,
        )
    rows = []
    for recipient in to.recipients:
        mine = [one for one in deliveries if one.recipient == recipient.key]
        if not mine:
            continue
        told = sum(one.key in sent.taken for one in mine)
        failure = sent.failures.get(recipient.key)
        name, waiting = recipient.url_secret_name, len(mine) - told
        if failure is not None:
            world.tell("notice.failed", recipient=name, code=failure.code, waiting=waiting, says=str(failure))
        error = None if failure is None else Failure.of(failure)
        rows.append(RecipientRow(name, recipient.kind.value, told, waiting, error))
    return rows


def _invalid(world: World, to: Audience) -> list[RecipientRow]:
    rows = []
    for one in to.invalid:
        failure = PatrolError(
            Code.RECIPIENT_INVALID, f"{one.problem}", "Correct `notify` in pats.yaml; `patrol check` shows the line."
        )
        world.tell("notice.failed", recipient=one.name, code=failure.code, says=str(failure))
        rows.append(RecipientRow(one.name, "", 0, 0, Failure.of(failure)))
    return rows
