"""The state of every item in all vaults, side by side, by their listings alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shared.model.errors import PatrolError
from shared.model.items import Inventory, Item, Named
from shared.model.secret_state import SecretSeen, VaultListing
from shared.model.steps import Because
from shared.model.tags import Mark
from shared.model.vaults import HOME, VaultAddress
from shared.report.report import Failure, Verb
from shared.rotation.enroll import EnrollmentSeen
from shared.rotation.estate import look_at
from shared.rotation.status import ItemStatus, Status, blocked_users, is_paused, not_seen, rows_of, status_of
from shared.rotation.threads import Threads
from shared.rotation.world import World
from shared.rules.lock_out import Block


@dataclass(frozen=True, slots=True)
class Looked:
    """The state of every item, and the listings that show it, of those vaults that gave one."""

    status: Status
    listings: Mapping[VaultAddress, VaultListing]

    @property
    def home(self) -> VaultListing:
        """Of the vault of KEY_VAULT_URL; nothing where that gave none."""
        return self.listings.get(HOME, VaultListing({}))

    def seen(self, row: ItemStatus) -> SecretSeen | None:
        """What a listing shows of a row's secret."""
        listing = self.listings.get(row.address)
        return None if listing is None else listing.secrets.get(row.secret.casefold())


def look(inventory: Inventory, world: World, mark: Mark, threads: Threads) -> Looked:
    """The state of every item, vaults side by side; in one that cannot be seen every item says so (promise 5).

    Raises Misconfigured where none can be seen: no listing, or a wrong clock.
    """
    listings, unseen = look_at(world, inventory.vaults(), threads)
    blocks = blocked_users(inventory, listings.get(HOME, VaultListing({})))
    rows, parts = list[ItemStatus](), inventory.by_vault()
    for address, part in parts.items():
        if address in unseen:
            found = [_unseen(item, blocks, unseen[address]) for item in part.all_named()]
        else:
            listing, vault = listings[address], world.vault_at(address)
            now = world.clock.now() + listing.ahead
            found = rows_of(part, listing, vault, mark.in_vault(address), now, blocks)
        rows += [
            replace(row, address=address, vault=world.host_of(address), called=_called(row, address, inventory))
            for row in found
        ]
    ahead = next(iter(listings.values())).ahead
    return Looked(status_of(inventory, rows, blocks, world.clock.now() + ahead), listings)


def _called(row: ItemStatus, address: VaultAddress, inventory: Inventory) -> str:
    several = row.secret.casefold() in inventory.in_several
    return inventory.written(address.written(row.secret)) if several else ""


def _unseen(item: Named, blocks: Mapping[str, Block], failure: PatrolError) -> ItemStatus:
    paused = "paused" if isinstance(item, Item) and is_paused(item) else None
    return not_seen(item, paused, blocks.get(item.username.casefold()), failure)


def with_enrollments(seen: Status, enrollments: Iterable[EnrollmentSeen]) -> Status:
    """The same, and until when enrolled users are good: items of one that has to be enrolled are blocked (rule 16)."""
    known = tuple(enrollments)
    over = {enrollment.username.casefold(): enrollment.failure() for enrollment in known if enrollment.is_over}

    def row(item: ItemStatus) -> ItemStatus:
        failure = over.get(item.username.casefold())
        if failure is None or item.state == "blocked":
            return item
        why = Failure.of(failure)
        return replace(item, state="blocked", step=Verb.HOLD, because=Because.BLOCKED, at=None, last_failure=why)

    return replace(seen, pats=tuple(map(row, seen.pats)), enrollments=known)
