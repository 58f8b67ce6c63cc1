"""The vaults that an inventory names, beside that of KEY_VAULT_URL."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from shared.inventory import texts
from shared.inventory.mistakes import Found
from shared.inventory.yaml_text import Place
from shared.model.items import Inventory
from shared.model.tags import Mark
from shared.model.vaults import HOME, VaultAddress

_ANY = Mark("patrol/any-000000")


def host_in(text: Any) -> str:
    """The host of a vault's address; "" for what is none."""
    try:
        return texts.vault_address(text) if isinstance(text, str) else ""
    except ValueError:
        return ""


@dataclass(slots=True)
class Vaults:
    """`home`: the host of KEY_VAULT_URL; "" where that is not set, None where nobody asks.

    `problems`: that items have no vault at all, told where the first one stands.
    """

    home: str | None = None
    problems: list[Found] = field(default_factory=list)
    named: dict[VaultAddress, None] = field(default_factory=dict)

    def note(self, host: str | None) -> None:
        """Remember a vault that is named, whether something is published there or not (any more)."""
        if host and host != self.home:
            self.named[VaultAddress(host)] = None

    def of(
        self, path: Place, own: tuple[Any, ...], default: str | None, bad_default: str | None
    ) -> tuple[VaultAddress, bool, list[Found]]:
        """Where what stands at `path` is published, whether that is known, and what is wrong with it.

        `own`: as it and its user write it, the nearest first; what of that reads badly is told elsewhere.
        `bad_default`: what is wrong with the one of `defaults`.
        """
        given = [text for text in own if text is not None]
        host = host_in(given[0]) if given else default
        if given and not host:
            return HOME, False, []
        if not host and bad_default is not None:
            return HOME, False, [Found(path, f"needs `vault` of the defaults, and that {bad_default}", echo=True)]
        if not host:
            if self.home == "" and not self.problems:
                says = "has no vault: KEY_VAULT_URL is not set, and `vault` stands neither here nor in `defaults`"
                self.problems.append(Found(path, says))
            return HOME, True, []
        self.note(host)
        # Of its user's, or of the defaults', it is told there.
        wrong = self.wrong((*path, "vault"), host) if own[0] is not None else None
        return HOME if host == self.home else VaultAddress(host), True, [] if wrong is None else [wrong]

    def wrong(self, path: Place, host: str | None) -> Found | None:
        """What cannot be a vault of this deployment: patrol signs in to the vaults of one cloud."""
        if not host or not self.home:
            return None
        cloud = self.home.partition(".")[2]
        if host.partition(".")[2] != cloud:
            return Found(path, f"is no vault of the cloud that KEY_VAULT_URL is in: it must end with .{cloud}")
        other = next((one for one in (HOME, *self.named) if self._like(one, host)), None)
        if other is None:
            return None
        return Found(path, f"cannot be told from {other.host or self.home} by patrol's mark: use another vault")

    def _like(self, known: VaultAddress, host: str) -> bool:
        """Whether two hosts have one mark, which happens to one pair in sixteen millions."""
        before = known.host or self.home or ""
        return before != host and _ANY.in_vault(VaultAddress(before)) == _ANY.in_vault(VaultAddress(host))

    def among(self, read: Inventory) -> Inventory:
        """The inventory with its vaults, and the names that several of them have."""
        many = Counter(key for key, _ in {(one.key, one.vault) for one in read.all_named()})
        several = frozenset(key for key, vaults in many.items() if vaults > 1)
        return replace(read, more_vaults=tuple(self.named), home=self.home or "", in_several=several)
