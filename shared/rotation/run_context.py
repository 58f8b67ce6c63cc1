"""What everything in one run works with: the estate, the world, and what is remembered while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from shared.model.clock import Deadline, VaultTime
from shared.model.errors import Code, NotDone, Unclear
from shared.model.items import Item, User
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import Events, OwnedPats, PatApi, Vault
from shared.model.request import Request
from shared.model.secret_state import VaultListing, VersionListing
from shared.model.tags import Mark
from shared.model.vaults import HOME, VaultAddress
from shared.report.report import Row
from shared.report.rows import in_vault, tell_row
from shared.rotation.consumers import Consumers
from shared.rotation.elsewhere import Elsewhere
from shared.rotation.estate import Estate, Observed
from shared.rotation.publish import Publisher
from shared.rotation.readers import LogsOfRun
from shared.rotation.sign_in import SignIns
from shared.rotation.threads import Threads
from shared.rotation.world import World, asked_of
from shared.rules.plan import Asked
from shared.telemetry import with_vault

SILENT_USERS = 2
"""So many users without an answer, and an organization is not asked again in a run: each costs two minutes."""


class Organizations:
    """What the organizations showed in this run: `known`, every PAT that was seen, by id; and which give no answer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._silent: dict[str, int] = {}
        self.known: dict[PatId, Pat] = {}

    def active(self, api: OwnedPats, organization: str) -> dict[PatId, Pat]:
        """A user's live PATs, all pages. Raises as `OwnedPats.active`, and NotDone for an organization that was silent
        to several users (promise 5).
        """
        self._refuse(organization)
        try:
            pats = {pat.id: pat for pat in api.active(organization)}
        except Unclear:
            with self._lock:
                key = organization.casefold()
                self._silent[key] = self._silent.get(key, 0) + 1
            raise
        with self._lock:
            self._silent.pop(organization.casefold(), None)
        self.known.update(pats)
        return pats

    def _refuse(self, organization: str) -> None:
        with self._lock:
            silent = self._silent.get(organization.casefold(), 0)
        if silent >= SILENT_USERS:
            raise NotDone(
                Code.DEVOPS_UNAVAILABLE,
                f"The organization {organization} gave no answer to {silent} users in this run, so it was not asked "
                "again.",
                "Nothing to do if the next run succeeds; otherwise look at the status page of Azure DevOps.",
            )


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One technical user, signed in for this run."""

    user: User
    api: PatApi
    sign_ins: SignIns

    def again(self) -> SignedIn:
        """With a new access token: the old one may have expired."""
        return replace(self, api=self.sign_ins.sign_in(self.user, again=True))


@dataclass(frozen=True, slots=True)
class Run:
    """One run in one vault. `watch` hears each row as soon as it is one.

    Sign-ins, consumers and what organizations showed are the whole run's.
    """

    estate: Estate
    world: World
    request: Request
    sign_ins: SignIns
    publisher: Publisher
    consumers: Consumers
    threads: Threads
    watch: Callable[[Row], None]
    elsewhere: Elsewhere
    organizations: Organizations = field(default_factory=Organizations)
    logs: LogsOfRun = field(default_factory=lambda: LogsOfRun(None))

    def mark_of(self, listed: Pat, name: str) -> Mark:
        """The mark that a PAT of the secret `name` must carry: that of the vault its item left, if it has it."""
        left = self.elsewhere.left_by(listed, name)
        return self.mark if left is None else self.elsewhere.marks[left]

    def versions(self, name: str, pats: Iterable[Pat]) -> VersionListing:
        """All versions of the secret `name`, and those in a vault that its item left, where one of the PATs is from."""
        listing = self.vault.versions(name)
        left = {self.elsewhere.left_by(pat, name) for pat in pats}
        for address in (one for one in left if one is not None):
            there = self.world.vault_at(address).versions(name)
            listing = replace(listing, versions=(*there.versions, *listing.versions))
        return listing

    @property
    def asked(self) -> Asked:
        """What the plan is told of the request, in vault time."""
        request, estate = self.request, self.estate
        arrived = estate.looked_at if request.arrived_at is None else request.arrived_at + estate.clock.ahead
        return asked_of(request, arrived)

    @property
    def clock(self) -> VaultTime:
        """Shows vault time."""
        return self.estate.clock

    @property
    def deadline(self) -> Deadline:
        return self.world.deadline

    @property
    def vault(self) -> Vault:
        """The vault of what this is about: patrol's own notes are in the one of KEY_VAULT_URL."""
        return self.estate.vault

    @property
    def listing(self) -> VaultListing:
        return self.estate.listing

    @property
    def mark(self) -> Mark:
        return self.estate.mark

    @property
    def tell(self) -> Events:
        return self.world.tell

    @property
    def dry(self) -> bool:
        return self.request.dry_run

    def with_deadline(self, deadline: Deadline) -> Run:
        """The same run, with its own time."""
        return replace(self, world=replace(self.world, deadline=deadline))

    def here(self, row: Row) -> Row:
        """The row as one of this vault."""
        return in_vault(row, self.estate.address, self.estate.host, self.estate.inventory)

    def tell_row(self, row: Row) -> Row:
        """Tell a row, and give it."""
        row = self.here(row)
        self.watch(row)
        tell_row(self.world.tell, row)
        return row

    def api_of(self, owner: Owner) -> PatApi:
        """The PAT API as whoever minted a PAT. Raises NotDone for a user that is not in pats.yaml, else as sign_in."""
        return self.signed_in(owner).api

    def signed_in(self, owner: Owner) -> SignedIn:
        """The same, able to sign in again. Raises as `api_of`."""
        user = next((user for user in self.estate.inventory.users if user.key == owner.username.casefold()), None)
        if user is None:
            raise NotDone(
                Code.OWNER_CHANGED,
                f"{owner.username} is not in pats.yaml, so patrol cannot sign in as its owner.",
                f"Put {owner.username} back under `users:` with `pats: []`.",
            )
        return SignedIn(user, self.sign_ins.sign_in(user), self.sign_ins)

    def as_administrator(self, owner: Owner) -> OwnedPats:
        """The PATs of somebody who cannot sign in, as the administrator that pats.yaml names. Raises NotDone where it
        names none, else as `api_of`.
        """
        administrator = self.estate.inventory.administrator
        if not administrator:
            raise NotDone(Code.OWNER_CHANGED, "pats.yaml names no `administrator`.", "")
        return self.api_of(Owner(administrator, owner.organization)).administering(owner.username)


@dataclass(frozen=True, slots=True)
class WholeRun:
    """One run: what it does in each of its vaults, by address."""

    observed: Observed
    each: Mapping[VaultAddress, Run]

    @classmethod
    def begin(
        cls, observed: Observed, world: World, request: Request, threads: Threads, watch: Callable[[Row], None]
    ) -> WholeRun:
        """Nobody has signed in yet."""
        notes = observed.estates.get(HOME) or next(iter(observed.estates.values()))
        sign_in, mark = observed.inventory.sign_in, observed.home_mark
        sign_ins = SignIns(world, sign_in, notes.clock, mark, urgent=request.emergency)
        consumers, organizations = Consumers(world.consumers, world.credentials), Organizations()
        logs = LogsOfRun(world.logs)
        each, everywhere = {}, Elsewhere.of(observed.inventory, mark)
        for address, estate in observed.estates.items():
            tell = with_vault(world.tell, estate.host)
            each[address] = Run(
                estate=estate,
                world=replace(world, tell=tell),
                request=request,
                sign_ins=sign_ins,
                publisher=Publisher(estate.vault, estate.mark, tell),
                consumers=consumers,
                threads=threads,
                watch=watch,
                elsewhere=everywhere.beside(address),
                organizations=organizations,
                logs=logs,
            )
        return cls(observed, each)

    @property
    def any(self) -> Run:
        """In one of its vaults: for what is the same in all of them."""
        return next(iter(self.each.values()))

    def of(self, item: Item) -> Run:
        """In the item's vault. Raises KeyError for one that could not be looked at."""
        return self.each[item.vault]

    def items_of(self, user: User) -> list[Item]:
        """The user's items that were asked for, in the vaults that could be looked at."""
        return [item for item in user.items if item.vault in self.each and self.observed.is_wanted(item)]

    def organizations_of(self, user: User) -> list[str]:
        """Where to look: where the items are, and when all is looked at where else the user may have minted."""
        found = {item.organization.casefold(): item.organization for item in self.items_of(user)}
        share = self.observed.shares.get(user.key)
        if self.observed.wanted is None and share is not None:
            for organization in share.organizations:
                found.setdefault(organization.casefold(), organization)
        return list(found.values())
