"""One secret explained: its generations, the settings that hold for it, and what a run would do and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from shared.model import durations, tags
from shared.model.clock import instant
from shared.model.items import Inventory, Item, TokenItem
from shared.model.secret_state import SecretSeen
from shared.model.steps import Because
from shared.model.vaults import HOME
from shared.report.report import Verb
from shared.report.rows import why_now
from shared.rotation.status import ItemStatus
from shared.views.moments import distance

Fields = Iterator[tuple[str, str]]
"""Names with what they are, for a person."""

_DEEDS = {
    Verb.ROTATE: "rotates it",
    Verb.RENEW: "renews it",
    Verb.RETIRE: "retires its predecessor",
    Verb.DECOMMISSION: "decommissions it",
}
_OVER = "its overlap is over"
_RESTS = {
    Because.PAUSED: "it is paused in pats.yaml",
    Because.DECOMMISSIONED: "it is decommissioned",
    Because.NOTHING_TO_END: "nothing of patrol's is there to decommission",
}


def generations(row: ItemStatus, seen: SecretSeen | None, now: datetime) -> Fields:
    """What is published, and what of it still works at `now` (vault time)."""
    if row.address != HOME or row.called:
        yield "vault", row.vault
    yield "user", row.username
    yield "organization", row.organization
    if seen is None:
        return
    disabled = "" if seen.enabled else ", and disabled since"
    yield "published", f"{instant(seen.created)} ({distance(seen.created, now)}){disabled}"
    if row.expires_on is not None:
        yield "works until", f"{instant(row.expires_on)} ({distance(row.expires_on, now)})"
    stamp = tags.read(seen.tags)
    if stamp is not None:
        yield "its PAT", stamp.authorization_id
    for predecessor in row.predecessors:
        ends = f"{instant(predecessor.retire_at)} ({distance(predecessor.retire_at, now)})"
        least = "" if row.held_until is None else " at least"
        yield "predecessor", f"{predecessor.id}, works on{least} until {ends}"


def effective_settings(inventory: Inventory, row: ItemStatus) -> Fields:
    """As pats.yaml asks for it, defaults included; nothing for what it does not ask for in order."""
    for item in inventory.items():
        if item.place == row.place:
            yield from _of_pat(item)
    for token in inventory.tokens:
        if token.place == row.place:
            yield from _of_token(token)


def next_step(row: ItemStatus, now: datetime) -> str:
    """What a run does next, by the vault alone at `now` (vault time), as a sentence."""
    if row.because is Because.BLOCKED and row.last_failure is not None:
        when = f"before {instant(row.at)}" if row.at else "until somebody has acted"
        return f"Nothing {when}: {row.last_failure.message} {row.last_failure.remedy}"
    if row.fail is not None:
        return f"Nothing: {row.fail.message} {row.fail.remedy}"
    if row.step is Verb.HOLD:
        return f"Nothing: {_RESTS.get(row.because, row.because.value)}."
    why = why_now(row.because, of_token=row.is_token)
    held = ""
    if row.because is Because.OVERLAP_OVER and row.held_until is not None:
        held = f", unless readers hold it until {instant(row.held_until)} at most (hold_for_readers)"
    if row.at is not None and row.at <= now:
        why = _OVER if row.because is Because.OVERLAP_OVER else why
        return f"The next run {_DEEDS[row.step]}, because {why}{held}."
    if row.at is not None and row.expires_on is not None and row.because in (Because.NEAR_EXPIRY, Because.MAX_AGE):
        why = f"{why} then"
    if row.because is Because.OVERLAP_OVER:
        why = "its overlap is over then"
    when = f"Nothing before {instant(row.at)}; then a run" if row.at else "A run"
    return f"{when} {_DEEDS[row.step]}, because {why}{held}."


def _of_pat(item: Item) -> Fields:
    yield "scopes", ", ".join(item.scopes)
    yield "lifetime", durations.show(item.lifetime)
    yield "rotate_before", durations.show(item.rotate_before)
    yield "overlap", durations.show(item.overlap)
    yield "strategy", item.strategy.value
    yield "max_age", durations.show(item.max_age)
    yield "verify", item.verify
    if item.hold_for_readers:
        yield "hold_for_readers", durations.show(item.hold_for_readers)
    for consumer in item.then:
        yield "then", str(consumer)
    if item.adopt:
        yield "adopt", item.adopt if isinstance(item.adopt, str) else "true"
    for name in ("paused", "decommission", "recover_deleted"):
        if getattr(item, name):
            yield name, "true"


def _of_token(item: TokenItem) -> Fields:
    yield "client_id", item.client_id
    yield "refresh_below", f"{item.refresh_below}%"
    for name in ("paused", "adopt", "recover_deleted"):
        if getattr(item, name):
            yield name, "true"
