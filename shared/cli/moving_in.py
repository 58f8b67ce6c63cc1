"""`import --user`: signs in, lists, and looks whether values are in the vault already. Changes nothing."""

from __future__ import annotations

from datetime import timedelta

from shared.inventory import pats_yaml
from shared.inventory.proposals import Proposals, propose
from shared.inventory.schema import looks_like_a_pat
from shared.model.clock import VaultTime
from shared.model.errors import NotDone, PatrolError
from shared.model.items import Item, SecretSeen, User
from shared.model.tags import Mark
from shared.rotation.run import World, check_clock


def proposals(text: str, user: User, organization: str, world: World, mark: Mark, *, file: bool) -> Proposals:
    """What `pats.yaml` would say of the user's live PATs. `text` is the inventory to fit into, with its `sign_in`.

    Raises what signing in and listing raise.
    """
    estate = pats_yaml.load(text)
    listing = world.vault.listing()
    check_clock(listing.ahead)
    clock = VaultTime(world.clock, listing.ahead)
    pats = world.desk(estate.sign_in, listing, clock, mark).sign_in(user).active(organization)
    return propose(
        pats,
        user,
        organization,
        text=text,
        file=file,
        estate=estate,
        listed=listing.secrets,
        mark=mark,
        prove=lambda row: _why_unproved(world, user, organization, row),
    )


def _why_unproved(world: World, user: User, organization: str, row: SecretSeen) -> str:
    """Why the secret is not shown to hold a PAT of the user; "" when using its value showed that."""
    if not row.enabled:
        return "it is disabled"
    try:
        value = world.vault.current(row.name).value
    except PatrolError as failure:
        return f"it could not be read: {failure.code}"
    # Nothing else is sent to Azure DevOps: it may be somebody's password.
    if not looks_like_a_pat(value.reveal()):
        return "its value does not look like a PAT"
    nothing = timedelta(0)
    item = Item(row.name, user.username, organization, (), nothing, nothing, nothing)
    try:
        world.verifier.verify(item, value, None)
    except NotDone:
        return "its value is no PAT of this user that works here"
    except PatrolError as failure:
        return f"using it gave no clear answer: {failure.code}"
    return ""
