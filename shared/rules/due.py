"""What is about to expire although a run has just done all it could: the alarm before consumers break."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from shared.model.items import Item, VaultListing
from shared.model.secret_state import is_ours
from shared.model.tags import Mark
from shared.rules.plan import margin


def expiring(
    items: Iterable[Item], listing: VaultListing, ends_now: Mapping[str, datetime], mark: Mark, now: datetime
) -> list[tuple[Item, datetime]]:
    """Items whose published PAT has less than half of its margin left, with its expiry.

    `ends_now`: what a run has published since the listing, by casefolded name. A run replaces a PAT when its whole
    margin is left, so half of the time in which somebody can act is gone.
    """
    found = []
    for item in items:
        seen = listing.secrets.get(item.key)
        if seen is None or item.paused or item.decommission or not is_ours(seen.tags, mark):
            continue
        ends = ends_now.get(item.key, seen.expires_on)
        if ends is not None and now >= ends - margin(item, ends - seen.created) / 2:
            found.append((item, ends))
    return found
