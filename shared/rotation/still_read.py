"""Warnings of a whole run where the vault's log may be read: who lags, who asks for what is retired (rule 18), and who
reads without being known.

They change nothing and fail nothing (promise 5): what cannot be read is told where somebody asks for readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from shared.model.clock import VaultInstant, instant
from shared.model.errors import PatrolError
from shared.model.items import Inventory, Item
from shared.model.ports import Vault
from shared.model.readers import VaultLogSeen
from shared.model.secret_state import Published, SecretSeen, VaultListing, is_ours
from shared.model.steps import Because
from shared.model.tags import Mark, read
from shared.report.report import Outcome, Row, Verb
from shared.rotation.held import named
from shared.rotation.readers import LogsOfRun
from shared.rotation.world import World
from shared.rules.overlap import overlap_end
from shared.rules.readers import laggards, readers, still_asked_for

LATELY = timedelta(days=1)
"""What was asked for before is told no more."""


def still_read(
    inventory: Inventory,
    listing: VaultListing,
    world: World,
    mark: Mark,
    logs: LogsOfRun,
    now: VaultInstant,
    vault: Vault,
    host: str,
) -> list[Row]:
    """Rows for each secret of a vault whose readers lag when half of the overlap is gone, ask for a retired one, or are
    unknown.
    """
    if not logs.any:
        return []
    log = logs.seen(host, now)
    if isinstance(log, PatrolError):
        world.tell("readers.unknown", code=log.code, says=str(log))
        return []
    found = []
    for item in inventory.items():
        seen = listing.secrets.get(item.key)
        if seen is None or not is_ours(seen.tags, mark) or world.deadline.passed():
            continue
        try:
            found += list(_unknown(item, seen, log, world.known_readers, now))
            found += list(_of_item(item, seen, log, now, vault))
        except PatrolError as failure:
            world.tell("secret.failed", secret=item.secret, code=failure.code)
    return found


def _unknown(
    item: Item, seen: SecretSeen, log: VaultLogSeen, by_right: frozenset[str] | None, now: VaultInstant
) -> Iterator[Row]:
    lately = [one for one in readers(item.secret, seen.created, log, by_right) if one.last_read >= now - LATELY]
    if unknown := tuple(one for one in lately if one.known is False):
        says = (
            f"{named(unknown)} read it, and KNOWN_READERS does not name who that is. Name who reads by right there "
            "(docs/readers.md); where it was not by right, run emergency."
        )
        yield _row(item, says)


def _of_item(item: Item, seen: SecretSeen, log: VaultLogSeen, now: VaultInstant, vault: Vault) -> Iterator[Row]:
    stamp = read(seen.tags)
    asked = log.of(item.secret)
    if stamp is None or not asked:
        return
    secret = Published(stamp, seen.created, seen.expires_on, seen.enabled, seen.tags)
    ends = {old: overlap_end(old, secret, item.overlap) for old in stamp.predecessors if not old.at_once}
    late = [old for old, end in ends.items() if end - item.overlap / 2 <= now < end]
    since = now - LATELY
    pinned = any(one.pinned and one.last >= since for one in asked)
    if not late and not pinned:
        return
    versions = vault.versions(item.secret).versions
    for old in late:
        if lagging := laggards(old, versions, item.secret, log):
            end = instant(ends[old])
            held = item.hold_for_readers > timedelta(0)
            then = "it is kept for them then." if held else "let them read it again before that."
            says = f"{named(lagging)} read the old value and not the new one yet. It works until {end}; {then}"
            yield _row(item, says)
    alive = frozenset({stamp.authorization_id, *(old.id for old in stamp.predecessors)})
    for reader, pat in still_asked_for(item.secret, versions, alive, log, since):
        says = (
            f"{named((reader,))} asks for a version by its id whose PAT {pat} is retired; let it read the secret "
            "without a version."
        )
        yield _row(item, says)


def _row(item: Item, says: str) -> Row:
    return Row(
        item.secret,
        item.username,
        item.organization,
        Verb.HOLD,
        Outcome.HELD,
        Because.STILL_READ,
        f"{item.secret}: {says}",
    )
