"""What no run may decide: each with its cause and what a person can do."""

from __future__ import annotations

from shared.model.errors import Code
from shared.model.items import Item
from shared.model.secret_state import Foreign
from shared.model.steps import Because, Fail
from shared.model.tags import Stamp


def moved(stamp: Stamp) -> Fail:
    """Somebody else must end the PAT of a decommissioned item."""
    return Fail(
        Because.USER_CHANGED,
        Code.OWNER_CHANGED,
        f"The item is to be decommissioned, and its PAT belongs to {stamp.username} in {stamp.organization}.",
        "Put the item back under that user and organization until it is decommissioned.",
    )


def edited(item: Item) -> Fail:
    """Whoever wrote the secret wins until it is taken back (rule 10)."""
    return Fail(
        Because.EDITED,
        Code.EDITED,
        "Somebody wrote the secret, or took patrol's tags off it; patrol did not replace it, and ended no PAT.",
        f"Find out who did; to take the secret back run `patrol rotate {item.secret} --force --adopt`.",
    )


def foreign(secret: Foreign) -> Fail:
    """Two deployments want one secret (rule 3)."""
    return Fail(
        Because.FOREIGN,
        Code.FOREIGN,
        f"The secret belongs to another patrol deployment, {secret.managed_by}.",
        "Remove the item from one of the two deployments, or give it another secret name.",
    )


def unmarked() -> Fail:
    """What patrol did not make is taken over only when pats.yaml says so (promise 4)."""
    return Fail(
        Because.UNMARKED,
        Code.UNMARKED,
        "The secret exists and does not carry patrol's mark, so patrol does not touch it.",
        "Set `adopt: true` on the item (`adopt: <authorization-id>` ends the old PAT too), or name another secret.",
    )


def disabled(item: Item) -> Fail:
    """A person took the value away from its consumers."""
    return Fail(
        Because.DISABLED,
        Code.DISABLED,
        "Somebody disabled the current version of the secret, so no consumer can read it, while its PAT still lives.",
        f"Enable the version, or replace it: `patrol rotate {item.secret} --force`.",
    )


def deleted(name: str) -> Fail:
    """A name that cannot be written, told before anything is minted (rule 11)."""
    return Fail(
        Because.DELETED,
        Code.SECRET_DELETED,
        "The secret is soft-deleted, and its name cannot be written until it is recovered or purged.",
        f"Recover it (`az keyvault secret recover --name {name} ...`), or set `recover_deleted: true`.",
    )


def paused() -> Fail:
    """Asked for by name, and pats.yaml says not now."""
    return Fail(
        Because.PAUSED,
        Code.PAUSED,
        "The item is paused in pats.yaml, so it was not rotated.",
        "Take `paused: true` off the item, then ask again; an emergency is not held back by it.",
    )
