"""Who reads each secret, and what their PATs were used for: for a person, a page and a program that ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.model import tags
from shared.model.clock import check_clock, instant
from shared.model.errors import Code, Misconfigured, PatrolError
from shared.model.items import Inventory
from shared.model.pats import PatId
from shared.model.readers import Use
from shared.model.secret_state import VaultListing, is_ours
from shared.model.tags import Mark
from shared.rotation.readers import LOOK_BACK
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

    def of(self, key: str) -> tuple[ReadBy, ...]:
        """Who reads one secret, by its casefolded name."""
        return tuple(one for secret, one in self.found if secret.casefold() == key)

    def to_json(self) -> dict[str, object]:
        """The document of `GET /api/readers`; `notes` only where there is something to say."""
        document: dict[str, object] = {
            "as_of": instant(self.as_of),
            "logs_until": instant(self.logs_until),
            "readers": [self._reader(secret, one) for secret, one in self.found],
            "uses": [_use(one) for one in self.uses],
        }
        if self.notes:
            document["notes"] = list(self.notes)
        return document

    def _reader(self, secret: str, one: ReadBy) -> Mapping[str, object]:
        return {
            "vault": self.vault,
            "secret": secret,
            "object_id": one.reader.object_id,
            "app_id": one.reader.app_id,
            "name": one.reader.name,
            "first_read": instant(one.first_read),
            "last_read": instant(one.last_read),
            "last_version": one.last_version,
            "verdict": one.verdict.value,
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
    """Of the named secrets, or of all that pats.yaml publishes.

    Raises Misconfigured (no log is named, a vault that cannot be read, a wrong clock), and what asking the log raises:
    without it nobody knows. What the audit log does not tell is a note.
    """
    if world.logs is None:
        cause = "VAULT_LOGS names no log of a vault, so nobody knows who reads."
        raise Misconfigured(Code.LOGS_UNREADABLE, cause, "Set it, and grant the role for it (docs/readers.md).")
    listing = world.vault.listing()
    check_clock(listing.ahead)
    now = world.clock.now() + listing.ahead
    log = world.logs.seen(world.vault_host, now - LOOK_BACK)
    wanted = frozenset(name.casefold() for name in names) or inventory.managed()
    rows = [row for key, row in listing.secrets.items() if key in wanted]
    found = [(row.name, one) for row in rows for one in readers(row.name, row.created, log)]
    found.sort(key=lambda pair: pair[0].casefold())
    notes = [] if log.whole else ["Only a part of the vault's log came: there may be more readers."]
    ids, unlisted = _ids(listing, world, mark, wanted)
    uses, more = _uses(ids, world, now - LOOK_BACK)
    return Readers(now, log.until, world.vault_host, tuple(found), uses, (*notes, *unlisted, *more))


def readers_of_one(inventory: Inventory, world: World, mark: Mark, name: str) -> Readers | None:
    """The same of one secret for a page, on which a log that cannot be read is a note; None where no log is named."""
    if world.logs is None:
        return None
    try:
        return who_reads(inventory, world, mark, (name,))
    except PatrolError as failure:
        return Readers(world.clock.now(), None, world.vault_host, (), (), (f"{failure.cause} {failure.remedy}",))


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
