"""Puts the real adapters together; with process_wide.py the only place that builds clients."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import requests
from azure.core.credentials import TokenCredential

from shared.inventory import files
from shared.model.clock import GRACE, Clock, Deadline, SystemClock
from shared.model.inventory_files import InventoryFiles
from shared.model.items import Inventory, User
from shared.model.ports import AuditLogs, Events, Links, PatApi, Vault, VaultLogs
from shared.model.secret_text import SecretText
from shared.model.single_flight import Alone, SingleFlight
from shared.model.vaults import VaultAddress
from shared.process_wide import app_identity, managed_identity, shared_session
from shared.report.history import History, NoHistory
from shared.report.told import Forgetful, ToldBefore
from shared.rotation.ledger import Ledger
from shared.rotation.links import NoLinks
from shared.rotation.world import World
from shared.services.accounts import Accounts
from shared.services.blob_address import BlobAddress
from shared.services.client_credentials import ClientCredentials
from shared.services.consumers import EveryKind
from shared.services.entra_authority import Authority
from shared.services.entra_enrolled import EnrolledUsers
from shared.services.entra_sign_in import Entra
from shared.services.entra_tokens import EntraTokens
from shared.services.host_storage import ByIdentity, Storage
from shared.services.key_vault import SecretVault
from shared.services.managed_identity import ManagedAssertion
from shared.services.notice_post import DirectPost, Post, SessionPost
from shared.services.pat_api import UserPats
from shared.services.rate_limits import SIGN_INS, VERSIONS, Limit, Pace
from shared.services.recipients import NoticeRecipients
from shared.services.service_connections import ServiceConnections
from shared.services.sonarqube import SonarQubeServer
from shared.services.verify import Prover
from shared.services.webhooks import Webhooks
from shared.settings import Settings, read
from shared.telemetry import event

if TYPE_CHECKING:
    from shared.services.inventory_blobs import InventoryBlobs

MakeWorld = Callable[[Settings, timedelta, Events], World]
"""Makes what a run reaches, for so long, and tells events so; tests make their own."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What every door works with."""

    settings: Settings
    inventory: Inventory
    world: World


@cache
def shared_pace(of: str, limit: Limit) -> Pace:  # noqa: ARG001  # `of` is a part of the cache's key
    """One for each vault, or for sign-ins, and process: what runs side by side shares one limit."""
    return Pace(limit)


@cache
def shared_ledger(deployment: str) -> Ledger:  # noqa: ARG001  # a part of the cache's key
    """One for each deployment and process: no run of it sends a password that another one saw refused."""
    return Ledger()


def open(
    environ: Mapping[str, str],
    root: Path,
    most: timedelta | None = None,
    *,
    make_world: MakeWorld | None = None,
    tell: Events = event,
) -> Deployment:
    """The settings, the inventory that they name, and a world for RUN_BUDGET, or for `most` where that is shorter.

    Raises Misconfigured that names every mistake of the first of them that is wrong.
    """
    settings = read(environ, root)
    budget = settings.run_budget if most is None else min(most, settings.run_budget)
    return open_with(settings, budget, make_world=make_world, tell=tell)


def open_with(
    settings: Settings, budget: timedelta, *, make_world: MakeWorld | None = None, tell: Events = event
) -> Deployment:
    """The same of settings that were read, for a budget of one's own."""
    return Deployment(settings, inventory_of(settings), (make_world or world)(settings, budget, tell))


def inventory_of(settings: Settings) -> Inventory:
    """As it is now, from wherever PATS_FILE says. Raises Misconfigured."""
    return files.load(inventory_files(settings.pats_file, settings.identity), settings.vault_host)


def inventory_files(place: Path | BlobAddress, identity: tuple[bool, bool]) -> InventoryFiles:
    """What PATS_FILE names. `identity`: how patrol's own is found, as `settings.identity_of` says."""
    return files.read(place) if isinstance(place, Path) else _inventory_blobs(place, *identity).read()


@cache
def _inventory_blobs(address: BlobAddress, by_environment: bool, client_has_secret: bool) -> InventoryBlobs:
    """One per address and process: it keeps what it read."""
    from shared.services.inventory_blobs import InventoryBlobs  # the SDK of storages is loaded where it is needed only

    http = shared_session("services")
    return InventoryBlobs(address, app_identity(http, by_environment, client_has_secret), http)


def world(
    settings: Settings,
    budget: timedelta,
    tell: Events = event,
    *,
    grace: timedelta = GRACE,
    clock: Clock | None = None,
    http: requests.Session | None = None,
    identity: TokenCredential | None = None,
    federated: Callable[[], TokenCredential] | None = None,
    processes: int = 1,
) -> World:
    """Everything a run reaches, over one session; `budget`, then `grace`, count from now; `identity` opens vaults.

    `federated` makes the identity that signs in for the app registration, when it is asked for.

    `processes`: how many may work at once and share what the vault takes.
    """
    versions, most_sign_ins = VERSIONS.share(processes), SIGN_INS.share(processes)
    own_clock = clock is not None
    pace = Pace(versions) if own_clock else shared_pace(settings.vault_host, versions)
    sign_ins = Pace(most_sign_ins) if own_clock else shared_pace("sign-ins", most_sign_ins)
    ledger = Ledger() if own_clock else shared_ledger(settings.mark.text)
    clients = _Clients.of(settings, budget, grace, clock or SystemClock(), tell, http, identity, federated)

    def elsewhere(address: VaultAddress) -> Vault:
        pace = Pace(versions) if own_clock else shared_pace(address.host, versions)
        return clients.vault(address.url, pace, named_by="the address in pats.yaml")

    return clients.world(clients.vaults(pace), Opened(elsewhere).at, sign_ins, ledger)


class Opened:
    """Vaults of one world, each opened once: what runs in one shares its pace."""

    def __init__(self, opens: Callable[[VaultAddress], Vault]) -> None:
        self._opens = opens
        self._lock = Lock()
        self._vaults: dict[VaultAddress, Vault] = {}

    def at(self, address: VaultAddress) -> Vault:
        with self._lock:
            if address not in self._vaults:
                self._vaults[address] = self._opens(address)
            return self._vaults[address]


@dataclass(frozen=True, slots=True)
class _Vaults:
    """Those of the PATs, of the credentials and of the enrollments; two with one address are one client."""

    pats: SecretVault
    credentials: SecretVault
    enrollments: SecretVault


@dataclass(frozen=True, slots=True)
class _Clients:
    """What clients of one world share. On `alone` PATs are proved: no bearer token has been there."""

    settings: Settings
    http: requests.Session
    alone: requests.Session
    clock: Clock
    deadline: Deadline
    tell: Events
    identity: TokenCredential
    """Who opens the vaults."""
    federated: Callable[[], TokenCredential]
    """Makes the identity that signs in for the app registration."""
    post: Post
    """Sends notices."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        budget: timedelta,
        grace: timedelta,
        clock: Clock,
        tell: Events,
        http: requests.Session | None,
        identity: TokenCredential | None,
        federated: Callable[[], TokenCredential] | None,
    ) -> _Clients:
        """With the process's own where there is None."""
        post = DirectPost() if http is None else SessionPost(http)
        alone = http or shared_session("proofs")
        http = http or shared_session("services")
        identity = identity or app_identity(http, settings.identity_by_environment, settings.client_has_secret)
        managed = partial(managed_identity, http, settings.identity_client_id)
        deadline = Deadline.after(clock, budget, grace)
        return cls(settings, http, alone, clock, deadline, tell, identity, federated or managed, post)

    def world(
        self, vaults: _Vaults, elsewhere: Callable[[VaultAddress], Vault], sign_ins: Pace, ledger: Ledger
    ) -> World:
        """All of them together."""
        http, clock, deadline, host = self.http, self.clock, self.deadline, self.settings.authority_host
        authority = Authority(http, host, clock, deadline, sign_ins)
        accounts, recipients = Accounts(http, deadline), NoticeRecipients(self.post, clock)

        def api_for(user: User, token: SecretText) -> PatApi:
            accounts.keep(user, token)
            return UserPats(http, token, clock, deadline)

        return World(
            vault=vaults.pats,
            credentials=vaults.credentials,
            proofs=ClientCredentials(vaults.credentials, ManagedAssertion(self.federated, host)),
            directory=Entra(authority, api_for),
            enrolled=EnrolledUsers(authority, api_for),
            refresh_tokens=vaults.enrollments,
            verifier=Prover(self.alone, http, clock, deadline, accounts),
            consumers=self.consumers(recipients),
            recipients=recipients,
            tokens=EntraTokens(authority),
            clock=clock,
            deadline=deadline,
            ledger=ledger,
            tell=self.tell,
            flight=self.single_flight(),
            runs=self.runs(),
            links=self.links(),
            told=self.told(),
            logs=self.logs(),
            audit=self.audit(),
            known_readers=self.settings.known_readers,
            vault_host=self.settings.vault_host,
            elsewhere=elsewhere,
        )

    def consumers(self, recipients: NoticeRecipients) -> EveryKind:
        """Of service connections patrol's own identity is a member."""
        http, clock, deadline = self.http, self.clock, self.deadline
        return EveryKind(
            SonarQubeServer(http, clock, deadline),
            ServiceConnections(http, self.identity, clock, deadline),
            Webhooks(recipients, clock, deadline, self.settings.deployment_name),
        )

    def vaults(self, pace: Pace) -> _Vaults:
        """Publishing has a pace; the others are written seldom."""
        settings = self.settings
        found = {settings.key_vault_url: self.vault(settings.key_vault_url, pace)}
        for url in (settings.credentials_vault_url, settings.enrollments_vault_url):
            if url not in found:
                found[url] = self.vault(url)
        return _Vaults(
            found[settings.key_vault_url], found[settings.credentials_vault_url], found[settings.enrollments_vault_url]
        )

    def vault(self, url: str, pace: Pace | None = None, named_by: str = "KEY_VAULT_URL") -> SecretVault:
        return SecretVault(url, self.identity, self.http, self.clock, self.deadline, pace, named_by=named_by)

    def single_flight(self) -> SingleFlight:
        """Leases in the host's storage where there is one."""
        storage = self.settings.storage
        if storage is None:
            return Alone()
        from shared.services.blob_leases import BlobLeases  # the SDK of storages is loaded where one is configured only

        holder = f"{socket.gethostname()} (process {os.getpid()})"
        return BlobLeases(
            storage,
            self._opens(storage),
            self.http,
            self.clock,
            self.deadline,
            self.tell,
            folder=self.settings.mark.text,
            holder=holder,
        )

    def links(self) -> Links:
        """Links to enroll by in the host's storage where there is one."""
        storage = self.settings.storage
        if storage is None:
            return NoLinks()
        from shared.services.blob_links import BlobLinks  # as above

        identity, folder = self._opens(storage), self.settings.mark.text
        return BlobLinks(storage, identity, self.http, self.clock, self.deadline, folder=folder)

    def told(self) -> ToldBefore:
        """What recipients were told, in the host's storage where there is one."""
        storage = self.settings.storage
        if storage is None:
            return Forgetful()
        from shared.services.blob_told import BlobTold  # as above

        return BlobTold(storage, self._opens(storage), self.http, self.deadline, folder=self.settings.mark.text)

    def logs(self) -> VaultLogs | None:
        """Where VAULT_LOGS names logs of vaults."""
        settings = self.settings
        if not settings.vault_logs:
            return None
        from shared.services.vault_logs import LogsOfVaults  # loaded where logs are configured only

        resources, host = settings.vault_logs, settings.vault_host
        return LogsOfVaults(resources, host, self.identity, self.http, self.clock, self.deadline)

    def audit(self) -> AuditLogs | None:
        """Uses belong to readers: without logs of vaults nobody is asked for them."""
        if not self.settings.vault_logs:
            return None
        from shared.services.devops_audit import AuditLogsOfOrganizations  # as above

        return AuditLogsOfOrganizations(self.identity, self.http, self.clock, self.deadline)

    def runs(self) -> History:
        """Reports in the host's storage where there is one."""
        storage = self.settings.storage
        if storage is None:
            return NoHistory()
        from shared.services.blob_reports import BlobReports  # as above

        identity, folder = self._opens(storage), self.settings.mark.text
        return BlobReports(storage, identity, self.http, self.clock, self.deadline, self.tell, folder=folder)

    def _opens(self, storage: Storage) -> TokenCredential:
        """Who opens the host's storage: the vaults' identity unless the host names another."""
        if isinstance(storage, ByIdentity) and storage.managed:
            return managed_identity(self.http, storage.client_id)
        return self.identity


def sharers(settings: Settings, messages: int) -> int:
    """How many instances may work at once on a run of so many messages: no more than it has.

    Among more than 300 a turn to write would come later than five minutes after the PAT was minted (rule 2).
    """
    return min(settings.queue_instances, messages, VERSIONS.most)


def one_of(instances: int) -> MakeWorld:
    """Makes a world that takes its share of the vault's limit, and leaves their shares to the other instances."""
    return lambda settings, budget, tell: world(settings, budget, tell, processes=instances)
