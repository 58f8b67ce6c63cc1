"""What is about to expire although a run has just done all it could: the alarm before consumers break."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.model import Item, VaultListing
from shared.planning import margin
from shared.report import Row
from shared.seen import is_ours
from shared.tags import Mark


def expiring(
    items: Iterable[Item], listing: VaultListing, rows: Iterable[Row], mark: Mark, now: datetime
) -> list[tuple[Item, datetime]]:
    """Items whose published PAT has less than half of its margin left, with its expiry. `rows`: of this run.

    A run replaces a PAT when its whole margin is left, so half of the time in which somebody can act is gone.
    """
    after = {row.secret.casefold(): row.expires_on for row in rows if row.expires_on is not None}
    found = []
    for item in items:
        seen = listing.secrets.get(item.key)
        if seen is None or item.paused or item.decommission or not is_ours(seen.tags, mark):
            continue
        ends = after.get(item.key, seen.expires_on)
        if ends is not None and now >= ends - margin(item, ends - seen.created) / 2:
            found.append((item, ends))
    return found
