"""What is there before anybody signs in. `observe` is the only way to an Estate, and checks the clock and the names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.model import tags, token_tags
from shared.model.clock import VaultInstant, VaultTime, check_clock
from shared.model.errors import PatrolError, defect
from shared.model.items import Inventory, Named, User
from shared.model.ports import Vault
from shared.model.request import Request, places
from shared.model.secret_state import SecretSeen, VaultListing, is_ours
from shared.model.tags import OWN_PREFIXES, Mark
from shared.model.vaults import HOME, VaultAddress
from shared.rotation.observe import look_up
from shared.rotation.threads import Threads
from shared.rotation.world import UserShare, World
from shared.rules.due import most_urgent_first
from shared.rules.full_look import look_is_due


@dataclass(frozen=True, slots=True)
class Estate:
    """What a run works on in one vault; all times are the vault's. `looked_at`: when its listing was begun.

    `inventory`: what pats.yaml has in this vault. `shares`: of each user by its key, most urgent first; or of a
    message's one. `whole`: False for one user's share, so nothing is called unmanaged. `wanted`: casefolded names that
    were asked for in this vault; None: everything.
    """

    address: VaultAddress
    vault: Vault
    host: str
    inventory: Inventory
    listing: VaultListing
    mark: Mark
    clock: VaultTime
    looked_at: VaultInstant
    shares: Mapping[str, UserShare]
    whole: bool
    wanted: frozenset[str] | None
    managed: frozenset[str]

    def is_full_look(self, user: User) -> bool:
        """Whether the user is looked for everywhere this time, and its consumers are asked (rule 13)."""
        return user.key in self.shares and self.shares[user.key].full_look

    def unmanaged(self) -> tuple[str, ...]:
        """Secrets of ours that pats.yaml does not name any more."""
        if self.wanted is not None or not self.whole:
            return ()
        return unmanaged(self.listing, self.mark, self.inventory)


@dataclass(frozen=True, slots=True)
class Observed:
    """Every vault of a run. `unseen`: those that could not be looked at, and why: nothing of them is touched (rule 5).

    `inventory`, `shares`: of all vaults. `wanted`: the places that were asked for; None: everything.
    """

    inventory: Inventory
    estates: Mapping[VaultAddress, Estate]
    unseen: Mapping[VaultAddress, PatrolError]
    shares: Mapping[str, UserShare]
    wanted: frozenset[str] | None
    home_mark: Mark

    @property
    def users(self) -> tuple[User, ...]:
        """Most urgent first."""
        return tuple(share.user for share in self.shares.values())

    def is_wanted(self, item: Named) -> bool:
        return self.wanted is None or item.place in self.wanted


def observe(world: World, inventory: Inventory, mark: Mark, request: Request, threads: Threads) -> Observed:
    """Everything, vaults side by side; one that cannot be seen is told apart (promise 5).

    Raises Misconfigured: an unknown name, and what is wrong with the first vault where none can be seen (a wrong clock,
    rule 15, or no listing).
    """
    wanted = places(inventory, request)
    addresses = _addresses(inventory, wanted)
    seen, unseen = _looks(world, addresses, lambda _, vault: vault.listing(), threads)
    shares = _shares(world, inventory, request, seen, mark)
    return _observed(world, inventory, mark, wanted, shares, seen, unseen, whole=True)


def observe_user(
    world: World, inventory: Inventory, mark: Mark, request: Request, share: UserShare, threads: Threads
) -> Observed:
    """What the vaults have of one user alone. Raises as `observe`."""
    wanted = places(inventory, request)

    def of_user(address: VaultAddress, vault: Vault) -> VaultListing:
        return look_up(share.user, address, wanted, vault, threads)

    # One after the other: the items of each are looked at side by side.
    seen, unseen = _looks(world, _addresses_of(share, inventory, wanted), of_user, Threads(1))
    return _observed(world, inventory, mark, wanted, {share.user.key: share}, seen, unseen, whole=False)


@dataclass(frozen=True, slots=True)
class _Look:
    begun: datetime
    listing: VaultListing

    @property
    def at(self) -> VaultInstant:
        return VaultInstant(self.begun + self.listing.ahead)


Looked = Mapping[VaultAddress, _Look]


def look_at(
    world: World, addresses: Iterable[VaultAddress], threads: Threads
) -> tuple[dict[VaultAddress, VaultListing], dict[VaultAddress, PatrolError]]:
    """The listings of vaults, side by side, and why the others gave none. Raises where none did, as `observe`."""
    seen, unseen = _looks(world, tuple(addresses), lambda _, vault: vault.listing(), threads)
    return {address: look.listing for address, look in seen.items()}, unseen


def _looks(
    world: World,
    addresses: tuple[VaultAddress, ...],
    look: Callable[[VaultAddress, Vault], VaultListing],
    threads: Threads,
) -> tuple[dict[VaultAddress, _Look], dict[VaultAddress, PatrolError]]:
    def one(address: VaultAddress) -> _Look | Exception:
        try:
            begun = world.clock.now()
            listing = look(address, world.vault_at(address))
            check_clock(listing.ahead)
            return _Look(begun, listing)
        except Exception as failure:  # noqa: BLE001  # promise 5: one broken vault never stops the others
            return failure

    jobs = [partial(one, address) for address in addresses]
    looked = threads.side_by_side(jobs) if len(jobs) > 1 else [job() for job in jobs]
    found = dict(zip(addresses, looked, strict=True))
    seen = {address: one for address, one in found.items() if isinstance(one, _Look)}
    failures = {address: one for address, one in found.items() if isinstance(one, Exception)}
    if not seen:
        raise next(iter(failures.values()))
    unseen = {
        address: failure if isinstance(failure, PatrolError) else defect(failure)
        for address, failure in failures.items()
    }
    for address, failure in unseen.items():
        world.tell("vault.failed", vault=world.host_of(address), code=failure.code, says=str(failure))
    return seen, unseen


def _observed(
    world: World,
    inventory: Inventory,
    mark: Mark,
    wanted: frozenset[str] | None,
    shares: Mapping[str, UserShare],
    seen: Looked,
    unseen: Mapping[VaultAddress, PatrolError],
    *,
    whole: bool,
) -> Observed:
    parts = inventory.by_vault()
    estates = {}
    for address, look in seen.items():
        part = parts[address]
        estates[address] = Estate(
            address=address,
            vault=world.vault_at(address),
            host=world.host_of(address),
            inventory=part,
            listing=look.listing,
            mark=mark.in_vault(address),
            clock=VaultTime(world.clock, look.listing.ahead),
            looked_at=look.at,
            shares=shares,
            whole=whole,
            wanted=None if wanted is None else frozenset(one.key for one in part.all_named() if one.place in wanted),
            managed=part.managed(),
        )
    return Observed(inventory, estates, unseen, shares, wanted, mark)


def _addresses(inventory: Inventory, wanted: frozenset[str] | None) -> tuple[VaultAddress, ...]:
    """The vaults that a run looks at: all, or those of what was asked for."""
    if wanted is None:
        return inventory.vaults()
    return tuple(sorted({one.vault for one in inventory.all_named() if one.place in wanted})) or (HOME,)


def _addresses_of(share: UserShare, inventory: Inventory, wanted: frozenset[str] | None) -> tuple[VaultAddress, ...]:
    """The same for one user's share; all of them where it is looked for everywhere."""
    if wanted is None and share.full_look:
        return inventory.vaults()
    mine = {item.vault for item in share.user.items if wanted is None or item.place in wanted}
    return tuple(sorted(mine)) or (HOME,)


def _shares(world: World, inventory: Inventory, request: Request, seen: Looked, mark: Mark) -> dict[str, UserShare]:
    """Of every user. Its full look is due once a day (rule 13), and where nobody remembers the last one every time."""
    looks = world.runs.looks() if request.names is None else {}
    now = next(iter(seen.values())).at
    # A former owner's PATs never drop out of sight (rule 13).
    minted = minted_in({address: look.listing for address, look in seen.items()}, mark)
    everywhere = tuple(organizations(inventory, minted).values())
    found = {}
    for user in most_urgent_first(inventory.users, partial(_rows_of, seen)):
        full = request.names is None and look_is_due(user.username, looks.get(user.digest), now)
        organizations_too = everywhere if full else minted.get(user.key, ())
        # One call for each secret: where the last look is not remembered, every run would make them.
        found[user.key] = UserShare(user, organizations_too, full, older_versions=full and user.digest in looks)
    return found


def _rows_of(seen: Looked, user: User) -> list[SecretSeen | None]:
    """What the listings show of a user's items; nothing of those in vaults that could not be listed."""
    return [seen[item.vault].listing.secrets.get(item.key) for item in user.items if item.vault in seen]


def minted_in(listings: Mapping[VaultAddress, VaultListing], mark: Mark) -> dict[str, tuple[str, ...]]:
    """The organizations in which our tags say that a user minted what is current, by casefolded username."""
    found: dict[str, set[str]] = {}
    for address, listing in listings.items():
        mine = mark.in_vault(address)
        for row in listing.secrets.values():
            stamp = tags.read(row.tags)
            if stamp is not None and is_ours(row.tags, mine):
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
