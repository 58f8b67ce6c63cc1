"""Items that moved: what of them was published in a vault that they have left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.model.consumers import keeps_copy, takers
from shared.model.errors import PatrolError
from shared.model.items import Inventory, Item
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import Vault
from shared.model.secret_state import is_ours
from shared.model.tags import Mark, Stamp, read
from shared.model.vaults import VaultAddress
from shared.rotation.world import World


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The deployment's vaults but one, by their marks. `places`: of everything in pats.yaml; None: nobody knows them.

    A PAT with the mark of another vault belongs to an item that has left that vault only where pats.yaml has no item of
    its name there any more.
    """

    marks: Mapping[VaultAddress, Mark]
    places: frozenset[str] | None

    @classmethod
    def of(cls, inventory: Inventory, home_mark: Mark) -> Elsewhere:
        """Of all vaults."""
        marks = {address: home_mark.in_vault(address) for address in inventory.vaults()}
        return cls(marks, None if inventory.unread else inventory.places())

    def beside(self, own: VaultAddress) -> Elsewhere:
        """Without one of them."""
        return Elsewhere({address: mark for address, mark in self.marks.items() if address != own}, self.places)

    def left_by(self, pat: Pat, name: str) -> VaultAddress | None:
        """The vault that the item `name` left, where a PAT was minted for it there; None: it was not."""
        address = self._made_for(pat, name)
        return None if address is None or self.places is None or address.key_of(name) in self.places else address

    def has(self, pat: Pat, name: str) -> bool:
        """Whether pats.yaml has an item `name` in the vault that a PAT was minted for: only there it can be over."""
        address = self._made_for(pat, name)
        return address is not None and self.places is not None and address.key_of(name) in self.places

    def _made_for(self, pat: Pat, name: str) -> VaultAddress | None:
        marks = self.marks.items()
        return next((at for at, mark in marks if mark.secret_of(pat.display_name) == name.casefold()), None)


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """A live PAT that is published in a vault that its item left. `given`: a consumer has taken it."""

    pat: Pat
    given: bool


def left_behind(item: Item, listed: Mapping[PatId, Pat], elsewhere: Elsewhere, world: World) -> LeftBehind | None:
    """The live PAT that is published in the vault that the item left, so that it ends once its overlap is over.

    A vault that does not say holds up nothing (promise 5): its PAT lives until its own expiry.
    """
    try:
        for pat in listed.values():
            address = elsewhere.left_by(pat, item.secret)
            if address is None:
                continue
            stamp = _stamp_of(pat, item, elsewhere.marks[address], world.vault_at(address))
            if stamp is not None:
                return LeftBehind(pat, any(map(keeps_copy, takers(stamp.pushed_to))))
    except PatrolError as failure:
        world.tell("secret.failed", secret=item.secret, code=failure.code)
    return None


def _stamp_of(pat: Pat, item: Item, mark: Mark, vault: Vault) -> Stamp | None:
    """The facts there, where consumers read this PAT: two witnesses, in a version of ours for the same owner."""
    seen = vault.look(item.secret).seen
    stamp = None if seen is None else read(seen.tags)
    if seen is None or stamp is None or not is_ours(seen.tags, mark):
        return None
    mine = Owner(stamp.username, stamp.organization).same(Owner(item.username, item.organization))
    is_it = mine and stamp.authorization_id == pat.id and seen.expires_on == pat.validity.ends
    return stamp if is_it else None
