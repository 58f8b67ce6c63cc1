"""Names that a person gives, of what pats.yaml has; where it has none of them, the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from shared.cli.arguments import PROGRAM, wrong
from shared.model.errors import Code, Misconfigured
from shared.model.items import Inventory, User
from shared.model.request import places_of


def check_secrets(inventory: Inventory, names: Iterable[str]) -> None:
    """Refuse a secret that no item has, or that several vaults have, before anything is reached.

    Raises Misconfigured, with the nearest name, or with the choices.
    """
    names = tuple(names)
    unknown = sorted(name for name, places in inventory.places_called(names).items() if not places)
    if not unknown:
        places_of(inventory, names)
        return
    secrets = {inventory.called(row).casefold(): inventory.called(row) for row in inventory.all_named()}
    near = sorted({secrets[key] for name in unknown if (key := nearest(name, secrets))})
    raise Misconfigured(
        Code.SECRET_UNKNOWN,
        f"pats.yaml has no item for the secret {', '.join(unknown)}; nothing was attempted.",
        f"{_meant(near)}`{PROGRAM} status` lists the known ones.",
    )


def user_of(inventory: Inventory, username: str) -> User:
    """The user as pats.yaml has it. Raises Misconfigured with the nearest name."""
    users = {user.key: user for user in inventory.users}
    if username.casefold() in users:
        return users[username.casefold()]
    names = ", ".join(sorted(user.username for user in inventory.users)) or "none"
    raise wrong(f"pats.yaml has no user {username}.", f"{nearest_user(inventory, username)}Known: {names}.")


def nearest_user(inventory: Inventory, username: str) -> str:
    """A question, with a space behind it; "" where no user is near."""
    users = {user.key: user.username for user in inventory.users}
    near = nearest(username, users)
    return _meant([users[near]]) if near else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The casefolded name that looks most like `name`."""
    found = difflib.get_close_matches(name.strip().casefold(), list(names), n=1)
    return found[0] if found else None


def _meant(names: list[str]) -> str:
    return f"Did you mean {', '.join(names)}? " if names else ""
