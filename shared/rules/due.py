"""What is about to expire although a run has just done all it could: the alarm before consumers break."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from shared.model.items import Item, User
from shared.model.secret_state import Published, SecretSeen, Seen, VaultListing, expiry, is_ours
from shared.model.steps import Because, Rotate, Step
from shared.model.tags import Mark


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


def most_urgent_first(users: Iterable[User], rows_of: Callable[[User], list[SecretSeen | None]]) -> list[User]:
    """Users by the first expiry among their items, taking turns between organizations.

    So that one organization which does not answer holds back nobody else's (promise 5). `rows_of`: what the vaults'
    listings show of a user's items, None for one that is not there.
    """

    def first_expiry(user: User) -> tuple[int, float]:
        rows = rows_of(user)
        if any(row is None for row in rows):
            return (0, 0.0)
        ends = [row.expires_on.timestamp() for row in rows if row is not None and row.expires_on is not None]
        return (1, min(ends, default=0.0))

    queues: dict[str, deque[User]] = {}
    for user in sorted(users, key=first_expiry):
        queues.setdefault(user.items[0].organization.casefold() if user.items else "", deque()).append(user)
    ordered = []
    while queues:
        for organization in list(queues):
            ordered.append(queues[organization].popleft())
            if not queues[organization]:
                del queues[organization]
    return ordered


def margin(item: Item, life: timedelta) -> timedelta:
    """How long before expiry a PAT is due: never more than half of the granted life (rule 6)."""
    return min(item.rotate_before, life / 2)


def due_at(item: Item, secret: Published, ends: datetime) -> datetime:
    """The instant an item falls due: its margin before expiry, or at `max_age` of the value (rules 6 and 9)."""
    return min(ends - margin(item, ends - secret.created), secret.created + item.max_age)


def is_pressing(item: Item, seen: Seen, now: datetime) -> bool:
    """Whether half of the item's margin is over: nothing may hold it back for long any more (rule 8)."""
    ends = expiry(seen)
    if ends is None or not isinstance(seen.secret, Published):
        return False
    return now >= ends - margin(item, ends - seen.secret.created) / 2


def urgency(seen: Seen, step: Step, now: datetime) -> tuple[int, float]:
    """Sort key, most urgent first: emergencies, what consumers miss now, then the least time left."""
    if isinstance(step, Rotate) and step.because is Because.EMERGENCY:
        return (0, 0.0)
    ends = expiry(seen)
    if ends is None or seen.gone:
        return (1, 0.0)
    return (2, (ends - now).total_seconds())
