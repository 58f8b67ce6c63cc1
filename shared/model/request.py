"""What the caller of a run asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from shared.model import run_ids
from shared.model.errors import Code, Misconfigured
from shared.model.items import Inventory


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller of a run asks for.

    `names`: only these secrets; None: everything that is due. `arrived_at`: when it was asked for, by this machine's
    clock; None: when the run begins. `door`: timer, http or command-line.
    """

    names: tuple[str, ...] | None = None
    force: bool = False
    adopt: bool = False
    emergency: bool = False
    revoke_first: bool = False
    dry_run: bool = False
    published_before: datetime | None = None
    arrived_at: datetime | None = None
    run_id: str = field(default_factory=run_ids.new)
    door: str = "command-line"


def places(inventory: Inventory, request: Request) -> frozenset[str] | None:
    """What a request names, as `Named.place`; None: everything. Raises Misconfigured, before anything is attempted, for
    a name that nothing has, and for one that is in several vaults.
    """
    return None if request.names is None else frozenset(places_of(inventory, request.names).values())


def places_of(inventory: Inventory, names: Iterable[str]) -> dict[str, str]:
    """The place of each name. Raises as `places`."""
    found = inventory.places_called(names)
    if unknown := [name for name, places in found.items() if not places]:
        unread = f" {' and '.join(inventory.unread)} cannot be read, and may name it." if inventory.unread else ""
        raise Misconfigured(
            Code.SECRET_UNKNOWN,
            f"pats.yaml has no item for the secret {', '.join(sorted(unknown))}; nothing was attempted.{unread}",
            "Correct the name; `patrol status` and `GET /api/pats` list the known ones.",
        )
    if several := {name: places for name, places in found.items() if len(places) > 1}:
        sentences = [f"{name}: {' or '.join(inventory.written(place) for place in several[name])}" for name in several]
        raise Misconfigured(
            Code.SECRET_AMBIGUOUS,
            f"Several vaults have a secret of that name ({'; '.join(sorted(sentences))}); nothing was attempted.",
            "Write the vault's label before the name, as shown.",
        )
    return {name: places[0] for name, places in found.items()}
