"""What is there before anybody signs in. `observe` is the only way to an Estate, and checks the clock and the names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.model import tags, token_tags
from shared.model.clock import VaultInstant, VaultTime, check_clock
from shared.model.items import Inventory, Item, User
from shared.model.request import Request, check_names
from shared.model.secret_state import VaultListing, is_ours
from shared.model.tags import OWN_PREFIXES, Mark
from shared.rotation.observe import look_up
from shared.rotation.threads import Threads
from shared.rotation.world import UserShare, World
from shared.rules.due import most_urgent_first
from shared.rules.full_look import look_is_due


@dataclass(frozen=True, slots=True)
class Estate:
    """What a run works on; all times are the vault's. `looked_at`: when the vault's listing was begun.

    `shares`: of each user by its key, most urgent first; or of a message's one. `whole`: False for one user's share, so
    nothing is called unmanaged. `wanted`: casefolded names that were asked for; None: everything.
    """

    inventory: Inventory
    listing: VaultListing
    mark: Mark
    clock: VaultTime
    looked_at: VaultInstant
    shares: Mapping[str, UserShare]
    whole: bool
    wanted: frozenset[str] | None
    managed: frozenset[str]

    @property
    def users(self) -> tuple[User, ...]:
        """Most urgent first."""
        return tuple(share.user for share in self.shares.values())

    def items_of(self, user: User) -> list[Item]:
        """The user's items that were asked for."""
        return [item for item in user.items if self.wanted is None or item.key in self.wanted]

    def organizations_of(self, user: User) -> list[str]:
        """Where to look: where the items are, and when all is looked at where else the user may have minted."""
        found = {item.organization.casefold(): item.organization for item in self.items_of(user)}
        if self.wanted is None and user.key in self.shares:
            for organization in self.shares[user.key].organizations:
                found.setdefault(organization.casefold(), organization)
        return list(found.values())

    def is_full_look(self, user: User) -> bool:
        """Whether the user is looked for everywhere this time, and its consumers are asked (rule 13)."""
        return user.key in self.shares and self.shares[user.key].full_look

    def unmanaged(self) -> tuple[str, ...]:
        """Secrets of ours that pats.yaml does not name any more."""
        if self.wanted is not None or not self.whole:
            return ()
        return unmanaged(self.listing, self.mark, self.inventory)


def observe(world: World, inventory: Inventory, mark: Mark, request: Request) -> Estate:
    """Everything. Raises Misconfigured: unknown name, wrong clock (rule 15), a vault that cannot be read."""
    check_names(inventory, request)
    begun = world.clock.now()
    listing = world.vault.listing()
    check_clock(listing.ahead)
    return Estate(
        inventory=inventory,
        listing=listing,
        mark=mark,
        clock=VaultTime(world.clock, listing.ahead),
        looked_at=VaultInstant(begun + listing.ahead),
        shares=_shares(world, inventory, request, listing, mark, begun + listing.ahead),
        whole=True,
        wanted=_wanted(request),
        managed=inventory.managed(),
    )


def observe_user(
    world: World, inventory: Inventory, mark: Mark, request: Request, share: UserShare, threads: Threads
) -> Estate:
    """What the vault has of one user alone. Raises as `observe`."""
    check_names(inventory, request)
    begun, wanted = world.clock.now(), _wanted(request)
    listing = look_up(share.user, wanted, world.vault, threads)
    check_clock(listing.ahead)
    return Estate(
        inventory=inventory,
        listing=listing,
        mark=mark,
        clock=VaultTime(world.clock, listing.ahead),
        looked_at=VaultInstant(begun + listing.ahead),
        shares={share.user.key: share},
        whole=False,
        wanted=wanted,
        managed=inventory.managed(),
    )


def _wanted(request: Request) -> frozenset[str] | None:
    return None if request.names is None else frozenset(name.casefold() for name in request.names)


def _shares(
    world: World, inventory: Inventory, request: Request, listing: VaultListing, mark: Mark, now: datetime
) -> dict[str, UserShare]:
    """Of every user. Its full look is due once a day (rule 13), and where nobody remembers the last one every time."""
    looks = world.runs.looks() if request.names is None else {}
    # A former owner's PATs never drop out of sight (rule 13).
    minted = minted_in(listing, mark)
    everywhere = tuple(organizations(inventory, minted).values())
    found = {}
    for user in most_urgent_first(inventory.users, listing):
        full = request.names is None and look_is_due(user.username, looks.get(user.digest), now)
        organizations_too = everywhere if full else minted.get(user.key, ())
        # One call for each secret: where the last look is not remembered, every run would make them.
        found[user.key] = UserShare(user, organizations_too, full, older_versions=full and user.digest in looks)
    return found


def minted_in(listing: VaultListing, mark: Mark) -> dict[str, tuple[str, ...]]:
    """The organizations in which our tags say that a user minted what is current, by casefolded username."""
    found: dict[str, set[str]] = {}
    for row in listing.secrets.values():
        stamp = tags.read(row.tags)
        if stamp is not None and is_ours(row.tags, mark):
            found.setdefault(stamp.username.casefold(), set()).add(stamp.organization)
    return {username: tuple(sorted(names)) for username, names in found.items()}


def organizations(inventory: Inventory, minted: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Every organization that pats.yaml or a tag names, by casefolded name."""
    named = {item.organization.casefold(): item.organization for item in inventory.items()}
    return {name.casefold(): name for names in minted.values() for name in names} | named


def unmanaged(listing: VaultListing, mark: Mark, inventory: Inventory) -> tuple[str, ...]:
    """Names of the secrets with our mark that pats.yaml does not have, nor ends.

    None while a file of the inventory cannot be read: each may stand in it.
    """
    if inventory.unread:
        return ()
    managed = inventory.managed()
    names = [
        row.name
        for key, row in listing.secrets.items()
        if (is_ours(row.tags, mark) or token_tags.is_ours(row.tags, mark))
        and key not in managed
        and not key.startswith(OWN_PREFIXES)
    ]
    return tuple(sorted(names, key=str.casefold))
