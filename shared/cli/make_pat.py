"""PATs made by hand. No run looks after them, so every failure says what may be left over and how to find it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from shared.cli.arguments import PROGRAM, wrong
from shared.model import tags
from shared.model.clock import VaultTime, check_clock
from shared.model.errors import Code, Misconfigured, NotDone, PatrolError, Unclear
from shared.model.items import Inventory, User
from shared.model.pats import Claim, Minted, Owner
from shared.model.ports import PatApi, Vault
from shared.model.secret_state import BY_HAND_CONTENT_TYPE, SecretSeen, VaultListing
from shared.model.vaults import HOME
from shared.rotation import gate
from shared.rotation.publish import verify
from shared.rotation.world import World
from shared.rules import may_end


@dataclass(frozen=True, slots=True)
class Wanted:
    """A PAT as a person asks for it; `verify` as on an item."""

    user: User
    organization: str
    name: str
    scopes: tuple[str, ...]
    lifetime: timedelta
    verify: str = "connection-data"


@dataclass(frozen=True, slots=True)
class Bench:
    """What making a PAT by hand may touch. `clock` shows vault time."""

    world: World
    api: PatApi
    clock: VaultTime


@dataclass(frozen=True, slots=True)
class Place:
    """A new secret for a value by hand. `written`: its name as people write it."""

    name: str
    written: str
    vault: Vault
    host: str


def make(bench: Bench, wanted: Wanted) -> Minted:
    """Mint. Raises NotDone, or Unclear with how to find what may have been made."""
    ends = bench.clock.now() + wanted.lifetime
    try:
        return bench.api.mint(wanted.organization, wanted.name, wanted.scopes, ends)
    except Unclear as doubt:
        whose = f"--user {wanted.user.username} --organization {wanted.organization}"
        raise Unclear(doubt.code, doubt.cause, in_doubt(whose)) from None


def in_doubt(whose: str) -> str:
    """What to do when a PAT may have been made and its value is lost; `whose`: the flags that say where."""
    return (
        f"Look with `{PROGRAM} pats list {whose} --sort created --reverse`: if a PAT was made, end it "
        f"(`{PROGRAM} pats revoke ID {whose}`) and ask again."
    )


def unseen(wanted: Wanted, minted: Minted) -> PatrolError:
    """The failure of a value that was to be printed, and nobody has it."""
    return PatrolError(
        Code.MINT_UNCLEAR,
        f"The PAT {minted.pat.id} was made, and its value could not be printed, so nobody has it.",
        f"End it: {_revoke(wanted, minted)}. Then ask again, with --to-secret NAME.",
    )


def make_into(bench: Bench, wanted: Wanted, place: Place) -> Minted:
    """Mint, verify, and write the value as the first version of the secret; nobody sees it.

    Ask `free_place` first, and sign in after it.

    Raises NotDone or Misconfigured when something was refused: it was undone, the fresh PAT is ended, or the message
    says that it could not be. Raises Unclear when the PAT or the secret may be there: nothing is ended, and the message
    says where to look.
    """
    minted = make(bench, wanted)
    pat = minted.pat
    world = bench.world
    ends, told = pat.validity.ends, partial(world.tell, secret=place.name, vault=place.host)
    told("pat.minted", authorization_id=pat.id, expires=ends)
    try:
        _prove(bench, wanted, minted)
        told("pat.verified")
        _refuse_existing(place.written, place.vault.look(place.name).seen)
    except PatrolError as failure:
        raise _undone(bench, wanted, place, minted, failure) from None
    try:
        place.vault.publish(place.name, minted.value, ends, _tags(wanted, minted), BY_HAND_CONTENT_TYPE)
    except NotDone as refusal:
        raise _undone(bench, wanted, place, minted, refusal) from None
    except Unclear as doubt:
        if not _arrived(place, minted):
            raise _in_doubt(wanted, place, minted, doubt) from None
    told("pat.published", authorization_id=pat.id, expires=ends)
    return minted


def free_place(world: World, inventory: Inventory, home: VaultListing, reference: str) -> Place:
    """Where `label/name` or a name alone is; a name alone is in the vault of KEY_VAULT_URL, whose listing is `home`.

    Raises Misconfigured when this name is not free (a value by hand is never written over another one), when
    pats.yaml names no such vault, and when that vault has another time.
    """
    label, _, name = reference.rpartition("/")
    address = inventory.vault_called(label) if label else HOME
    if address is None:
        known = ", ".join(sorted(inventory.written(at.written(name)) for at in inventory.vaults()))
        raise wrong(f"pats.yaml names no vault {label}.", f"Write one of {known}.")
    written = address.written(name)
    if inventory.places_called((reference,))[reference]:
        raise wrong(
            f"{reference} is an item of pats.yaml, and patrol writes it.",
            f"Name another secret; `{PROGRAM} rotate {reference}` makes a PAT for the item.",
        )
    if name.casefold() in inventory.credential_names():
        raise wrong(f"{written} holds a credential of pats.yaml.", "Name another secret.")
    vault = world.vault_at(address)
    listing = home if address == HOME else vault.listing()
    check_clock(listing.ahead)
    _refuse_existing(written, listing.secrets.get(name.casefold()))
    if vault.is_deleted(name):
        raise Misconfigured(
            Code.SECRET_DELETED,
            f"{written} is soft-deleted, and its name cannot be written until it is recovered or purged.",
            "Name another secret, or purge that one.",
        )
    return Place(name, written, vault, world.host_of(address))


def _refuse_existing(secret: str, row: SecretSeen | None) -> None:
    if row is None:
        return
    stamp = tags.read(row.tags)
    whose = f"is kept by a deployment of patrol ({stamp.managed_by})" if stamp else "exists already"
    raise wrong(
        f"{secret} {whose}, and a value by hand is never written over another one.",
        "Name another secret, or make it an item of pats.yaml (`adopt: true` takes over one that exists).",
    )


def _prove(bench: Bench, wanted: Wanted, minted: Minted) -> None:
    world = bench.world
    claim = Claim(wanted.user.username, wanted.organization, minted.pat.organization_id, wanted.verify)
    try:
        verify(world.verifier, claim, minted.value, world.clock, world.deadline)
    except NotDone as failure:
        hint = "If its scopes cannot read connectionData, name a GET path they can read: `--verify _apis/build/builds`."
        raise NotDone(failure.code, failure.cause, hint) from None


def _arrived(place: Place, minted: Minted) -> bool:
    try:
        seen = place.vault.look(place.name).seen
    except PatrolError:
        return False
    return seen is not None and seen.tags.get(tags.AUTHORIZATION_ID, "").lower() == minted.pat.id


def _tags(wanted: Wanted, minted: Minted) -> Mapping[str, str]:
    """What a person finds the PAT by. Without `managed-by`: nobody rotates it."""
    return {
        tags.AUTHORIZATION_ID: minted.pat.id,
        tags.ORGANIZATION: wanted.organization,
        tags.USERNAME: wanted.user.username,
    }


def _undone(bench: Bench, wanted: Wanted, place: Place, minted: Minted, failure: PatrolError) -> PatrolError:
    pat = minted.pat.id
    owner, now = Owner(wanted.user.username, wanted.organization), bench.clock.now()
    # Also in doubt about its proof: nothing was sent to the vault, or the vault refused it in its own words.
    refusal = failure if isinstance(failure, NotDone) else None
    try:
        gate.end(bench.api, may_end.unpublished(minted, owner, place.name, refusal, now), bench.world.tell)
    except PatrolError:
        return NotDone(
            failure.code,
            f"{failure.cause} The fresh PAT {pat} could not be ended at once, and its value is lost.",
            f"{failure.remedy} End it: {_revoke(wanted, minted)}.",
        )
    return NotDone(failure.code, f"{failure.cause} The fresh PAT {pat} was ended.", failure.remedy)


def _in_doubt(wanted: Wanted, place: Place, minted: Minted, doubt: Unclear) -> Unclear:
    return Unclear(
        Code.PUBLISH_UNCLEAR,
        f"{doubt.cause} The new PAT {minted.pat.id} lives, and is not seen in {place.written}.",
        f"Look at the tag authorization-id of {place.written} in some minutes: if it is this id, all is well; else "
        f"end the PAT, because its value is lost: {_revoke(wanted, minted)}.",
    )


def _revoke(wanted: Wanted, minted: Minted) -> str:
    whose = f"--user {wanted.user.username} --organization {wanted.organization}"
    return f"`{PROGRAM} pats revoke {minted.pat.id} {whose}`"
