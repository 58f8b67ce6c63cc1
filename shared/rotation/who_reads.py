"""Who reads each secret, and what their PATs were used for: for a person, a page and a program that ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.model import tags
from shared.model.clock import check_clock, instant
from shared.model.errors import Code, Misconfigured, PatrolError
from shared.model.items import Inventory
from shared.model.pats import PatId
from shared.model.readers import Use
from shared.model.request import places_of
from shared.model.secret_state import VaultListing, is_ours
from shared.model.tags import Mark
from shared.model.vaults import HOME, VaultAddress
from shared.rotation.readers import LOOK_BACK
from shared.rotation.status import ItemStatus
from shared.rotation.world import World
from shared.rules.readers import ReadBy, readers

MOST_WITH_VERSIONS = 50
"""Secrets whose older versions are looked at for retired ids: each costs a call."""


@dataclass(frozen=True, slots=True)
class UsedBy:
    """A use of one of a secret's PATs."""

    secret: str
    use: Use


@dataclass(frozen=True, slots=True)
class Readers:
    """What the logs tell. `logs_until`: when the newest row was written; None: there is none. `notes`: what nobody
    could tell, as sentences.
    """

    as_of: datetime
    logs_until: datetime | None
    vault: str
    found: tuple[tuple[str, ReadBy], ...]
    uses: tuple[UsedBy, ...] = ()
    notes: tuple[str, ...] = ()
    beside: tuple[Readers, ...] = ()
    """Of the other vaults."""

    @property
    def everybody(self) -> tuple[tuple[str, ReadBy], ...]:
        """In all vaults; a secret elsewhere than in the first has its vault's label before its name."""
        named = [
            (VaultAddress(one.vault).written(secret), reader) for one in self.beside for secret, reader in one.found
        ]
        return (*self.found, *named)

    @property
    def unknown(self) -> bool:
        """Whether somebody reads who is not known to do it by right."""
        return any(one.known is False for _, one in self.everybody)

    def of(self, key: str) -> tuple[ReadBy, ...]:
        """Who reads one secret, by its casefolded name."""
        return tuple(one for secret, one in self.found if secret.casefold() == key)

    def to_json(self) -> dict[str, object]:
        """The document of `GET /api/readers`; `notes` only where there is something to say."""
        document: dict[str, object] = {
            "as_of": instant(self.as_of),
            "logs_until": instant(self.logs_until),
            "readers": [
                _reader(vault.vault, secret, one) for vault in (self, *self.beside) for secret, one in vault.found
            ],
            "uses": [_use(one) for one in self.uses],
        }
        if self.notes:
            document["notes"] = list(self.notes)
        return document


def _reader(vault: str, secret: str, one: ReadBy) -> Mapping[str, object]:
    return {
        "vault": vault,
        "secret": secret,
        "object_id": one.reader.object_id,
        "app_id": one.reader.app_id,
        "name": one.reader.name,
        "first_read": instant(one.first_read),
        "last_read": instant(one.last_read),
        "last_version": one.last_version,
        "verdict": one.verdict.value,
        "known": one.known,
    }


def _use(one: UsedBy) -> Mapping[str, object]:
    return {
        "secret": one.secret,
        "authorization_id": one.use.authorization_id,
        "at": instant(one.use.at),
        "action": one.use.action,
        "ip_address": one.use.ip_address,
        "user_agent": one.use.user_agent,
    }


def who_reads(inventory: Inventory, world: World, mark: Mark, names: Iterable[str] = ()) -> Readers:
    """Of the named secrets, or of all that pats.yaml publishes, in each vault.

    Raises as `_in_one` does for the first of them; what another one does not tell is a note.
    """
    places = frozenset(places_of(inventory, names).values())
    parts, found = inventory.by_vault(), list[Readers]()
    wanted = {
        address: frozenset(one.key for one in part.all_named() if not places or one.place in places)
        for address, part in parts.items()
    }
    notes, ids = list[str](), dict[str, dict[PatId, str]]()
    for address in [one for one in wanted if wanted[one]] or [HOME]:
        host, vault = world.host_of(address), world.vault_at(address)
        here = replace(world, vault=vault, vault_host=host)
        try:
            read, named = _in_one(here, mark.in_vault(address), wanted[address])
        except PatrolError as failure:
            if not found:
                raise
            notes.append(f"Who reads in {host} is not known. {failure.cause} {failure.remedy}")
            continue
        found.append(read)
        for organization, secrets in named.items():
            ids.setdefault(organization, {}).update(secrets)
    first, *others = found
    # An organization's log is asked once, for all vaults.
    uses, silent = _uses(ids, world, first.as_of - LOOK_BACK)
    told = dict.fromkeys((*(note for one in found for note in one.notes), *notes, *silent))
    return replace(first, uses=uses, notes=tuple(told), beside=tuple(others))


def _in_one(world: World, mark: Mark, wanted: frozenset[str]) -> tuple[Readers, Ids]:
    """In the vault of this world, and the ids of its PATs.

    Raises Misconfigured (no log is named, a vault that cannot be read, a wrong clock), and what asking the log raises:
    without it nobody knows.
    """
    if world.logs is None:
        cause = "VAULT_LOGS names no log of a vault, so nobody knows who reads."
        raise Misconfigured(Code.LOGS_UNREADABLE, cause, "Set it, and grant the role for it (docs/readers.md).")
    listing = world.vault.listing()
    check_clock(listing.ahead)
    now = world.clock.now() + listing.ahead
    log = world.logs.seen(world.vault_host, now - LOOK_BACK)
    rows = [row for key, row in listing.secrets.items() if key in wanted]
    found = [(row.name, one) for row in rows for one in readers(row.name, row.created, log, world.known_readers)]
    found.sort(key=lambda pair: pair[0].casefold())
    notes = [] if log.whole else ["Only a part of the vault's log came: there may be more readers."]
    ids, unlisted = _ids(listing, world, mark, wanted)
    return Readers(now, log.until, world.vault_host, tuple(found), notes=(*notes, *unlisted)), ids


def readers_of_one(inventory: Inventory, world: World, mark: Mark, row: ItemStatus) -> Readers | None:
    """The same of one secret for a page, on which a log that cannot be read is a note; None where no log is named."""
    if world.logs is None:
        return None
    try:
        return who_reads(inventory, world, mark, (row.name,))
    except PatrolError as failure:
        return Readers(world.clock.now(), None, row.vault, (), (), (f"{failure.cause} {failure.remedy}",))


Ids = Mapping[str, Mapping[PatId, str]]
"""By organization: the secret of each authorization id."""


def _ids(listing: VaultListing, world: World, mark: Mark, wanted: frozenset[str]) -> tuple[Ids, tuple[str, ...]]:
    """Every id that our tags name, of retired generations too where there are few secrets; and what was not seen."""
    found: dict[str, dict[PatId, str]] = {}
    notes: list[str] = []
    mine = [row for key, row in listing.secrets.items() if key in wanted and is_ours(row.tags, mark)]
    for row in mine:
        stamps = [tags.read(row.tags)]
        if len(mine) <= MOST_WITH_VERSIONS:
            try:
                stamps += [version.stamp for version in world.vault.versions(row.name)]
            except PatrolError as failure:
                notes.append(f"{row.name}: older generations are not known. {failure.cause} {failure.remedy}")
        for stamp in stamps:
            if stamp is not None:
                ids = [stamp.authorization_id, *(old.id for old in stamp.predecessors)]
                found.setdefault(stamp.organization.casefold(), {}).update(dict.fromkeys(ids, row.name))
    return found, tuple(notes)


def _uses(ids: Ids, world: World, since: datetime) -> tuple[tuple[UsedBy, ...], tuple[str, ...]]:
    """What the audit logs tie to these ids, latest first, and what they did not tell: a hit proves use, silence does
    not.
    """
    found: list[UsedBy] = []
    notes: list[str] = []
    if world.audit is None:
        return (), ()
    for organization, secrets in sorted(ids.items()):
        if world.deadline.passed():
            notes.append(f"Uses in {organization} were not asked for: the time was over.")
            continue
        try:
            uses, whole = world.audit.uses(organization, frozenset(secrets), since)
        except PatrolError as failure:
            notes.append(f"Uses in {organization} are not known. {failure.cause} {failure.remedy}")
            continue
        found += [UsedBy(secrets[use.authorization_id], use) for use in uses]
        if not whole:
            notes.append(f"The audit log of {organization} is longer than what was read: there may be earlier uses.")
    found.sort(key=lambda one: (one.use.at, one.secret), reverse=True)
    return tuple(found), tuple(notes)
