"""Kept for its readers: a predecessor whose overlap is over, as long as pats.yaml lets it be (rule 18)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.model.clock import VaultInstant, instant
from shared.model.errors import PatrolError
from shared.model.readers import VaultLogSeen
from shared.model.secret_state import VersionSeen
from shared.model.steps import Because
from shared.model.tags import Predecessor
from shared.report.report import Outcome, Row, Verb
from shared.rules.overlap import overlap_end
from shared.rules.readers import Kept, ReadBy, Why, kept

if TYPE_CHECKING:
    from shared.rotation.retire import Ending
    from shared.rotation.run_context import Run

MOST_NAMES = 5


def held_for_readers(ending: Ending, predecessor: Predecessor, run: Run, now: VaultInstant) -> Row | None:
    """A row that says who holds it and until when; None: it may end.

    A log that cannot be read holds as readers do. An emergency is never held.
    """
    item, listed = ending.item, ending.listed[predecessor.id]
    hold = timedelta(0) if item is None else item.hold_for_readers
    over, expires = overlap_end(predecessor, ending.secret, ending.overlap(run)), listed.validity.ends
    if hold <= timedelta(0) or predecessor.at_once or now >= min(over + hold, expires):
        return None
    # What was published in a vault that the item has left is read there.
    left = run.elsewhere.left_by(listed, ending.name)
    vault = run.vault if left is None else run.world.vault_at(left)
    log = run.logs.seen(run.estate.host if left is None else run.world.host_of(left), now)
    known, failure = (None, log) if isinstance(log, PatrolError) else (log, None)
    versions: tuple[VersionSeen, ...] = ()
    try:
        if known is not None and known.whole:
            versions = tuple(vault.versions(ending.name))
    except PatrolError as unlisted:
        known, failure = None, unlisted
    found = kept(predecessor, versions, ending.name, known, over, hold, expires, now)
    if found is None:
        return None
    says = f"{ending.name}: {_says(predecessor, found, known, failure)}"
    owner = ending.owner
    return Row(
        ending.name,
        owner.username,
        owner.organization,
        Verb.RETIRE,
        Outcome.HELD,
        Because.HELD_FOR_READERS,
        says,
    )


def _says(predecessor: Predecessor, held: Kept, log: VaultLogSeen | None, failure: PatrolError | None) -> str:
    kept_on = f"the predecessor {predecessor.id} is kept after its overlap, until {instant(held.until)} at most"
    match held.why:
        case Why.READERS:
            return f"{kept_on}: {named(held.readers)} read it and not the new value yet."
        case Why.SILENT:
            last = None if log is None else log.until
            until = "nothing yet" if last is None else f"nothing after {instant(last)}"
            return (
                f"{kept_on}: the vault's log shows {until}, and it has to show what came after the overlap's end, and "
                "half an hour to have passed, before everybody is known to be done with it."
            )
    why = "only a part of the vault's log came." if failure is None else f"{failure.cause} {failure.remedy}"
    return f"{kept_on}, because nobody knows who reads it: {why}"


def named(readers: tuple[ReadBy, ...]) -> str:
    """Who, and when they read it last."""
    shown = [f"{one.reader} (last {instant(one.last_read)})" for one in readers[:MOST_NAMES]]
    more = f" and {len(readers) - MOST_NAMES} more" if len(readers) > MOST_NAMES else ""
    return f"{', '.join(shown)}{more}"
