"""What the caller of a run asks for."""

from __future__ import annotations

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


def check_names(inventory: Inventory, request: Request) -> None:
    """Refuse a request that names an unknown secret before anything is attempted. Raises Misconfigured."""
    known = inventory.managed()
    unknown = [name for name in request.names or () if name.casefold() not in known]
    if unknown:
        unread = f" {' and '.join(inventory.unread)} cannot be read, and may name it." if inventory.unread else ""
        raise Misconfigured(
            Code.SECRET_UNKNOWN,
            f"pats.yaml has no item for the secret {', '.join(sorted(unknown))}; nothing was attempted.{unread}",
            "Correct the name; `patrol status` and `GET /api/pats` list the known ones.",
        )
