"""Puts the real adapters together; the only place that builds clients."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential

from shared.inventory import pats_yaml
from shared.model.clock import GRACE, Clock, Deadline, SystemClock
from shared.model.items import Inventory, User
from shared.model.ports import Events, PatApi
from shared.model.secret_text import SecretText
from shared.model.single_flight import Alone, SingleFlight
from shared.report.history import History, NoHistory
from shared.rotation.sign_in import Ledger
from shared.rotation.world import World
from shared.services.accounts import Accounts
from shared.services.client_credentials import ClientCredentials
from shared.services.entra_sign_in import Entra
from shared.services.entra_tokens import EntraTokens
from shared.services.host_storage import ByIdentity, Storage
from shared.services.identity import own_identity
from shared.services.key_vault import SecretVault
from shared.services.managed_identity import ManagedAssertion
from shared.services.pat_api import UserPats
from shared.services.rate_limits import SIGN_INS, VERSIONS, Limit, Pace
from shared.services.sonarqube import SonarQubeServer
from shared.services.transport import READ_TIMEOUT, session
from shared.services.verify import Prover
from shared.settings import Settings, read
from shared.telemetry import event

CONNECTIONS = 64

MakeWorld = Callable[[Settings, timedelta, Events], World]
"""Makes what a run reaches, for so long, and tells events so; tests make their own."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What every door works with."""

    settings: Settings
    inventory: Inventory
    world: World


@cache
def shared_session(of: str, connections: int) -> requests.Session:  # noqa: ARG001  # `of` is a part of the cache's key
    """One session per process and purpose: its connections outlive a run."""
    return session(connections)


@cache
def shared_pace(of: str, limit: Limit) -> Pace:  # noqa: ARG001  # `of` is a part of the cache's key
    """One for each vault, or for sign-ins, and process: what runs side by side shares one limit."""
    return Pace(limit)


@cache
def shared_ledger(deployment: str) -> Ledger:  # noqa: ARG001  # a part of the cache's key
    """One for each deployment and process: no run of it sends a password that another one saw refused."""
    return Ledger()


@cache
def app_identity(http: requests.Session, by_environment: bool, client_has_secret: bool) -> TokenCredential:
    """One per process: it keeps its tokens, so that a message of the queue need not ask for them again."""
    return own_identity(by_environment=by_environment, client_has_secret=client_has_secret, **_patience(http))


@cache
def managed_identity(http: requests.Session, client_id: str | None) -> TokenCredential:
    """The same of an identity that opens the host's storage, or signs in for the app registration."""
    # Its endpoint is on this machine. Where there is none (a laptop), azure-core would wait for 300 seconds.
    near = _patience(http, connection_timeout=2, read_timeout=READ_TIMEOUT)
    return ManagedIdentityCredential(client_id=client_id, **near)


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
    inventory = pats_yaml.load_file(settings.pats_file)
    return Deployment(settings, inventory, (make_world or world)(settings, budget, tell))


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
    own_clock = clock is None
    versions, most_sign_ins = VERSIONS.share(processes), SIGN_INS.share(processes)
    pace = shared_pace(settings.vault_host, versions) if clock is None else Pace(versions)
    sign_ins = shared_pace("sign-ins", most_sign_ins) if clock is None else Pace(most_sign_ins)
    clock = clock or SystemClock()
    # Requests to the HTTP API run side by side and share it: a pool that is too small throws connections away.
    connections = max(CONNECTIONS, settings.parallel_users)
    # The proof of a PAT goes out on connections of its own, where no bearer token has been.
    proofs = http or shared_session("proofs", connections)
    http = http or shared_session("services", connections)
    deadline = Deadline.after(clock, budget, grace)
    identity = identity or app_identity(http, settings.identity_by_environment, settings.client_has_secret)
    vault = SecretVault(settings.key_vault_url, identity, http, clock, deadline, pace)
    same = settings.credentials_vault_url == settings.key_vault_url
    credentials = vault if same else SecretVault(settings.credentials_vault_url, identity, http, clock, deadline)

    def managed() -> TokenCredential:
        return managed_identity(http, settings.identity_client_id)

    accounts = Accounts(http, deadline)

    def api_for(user: User, token: SecretText) -> PatApi:
        accounts.keep(user, token)
        return UserPats(http, token, clock, deadline)

    return World(
        vault=vault,
        credentials=credentials,
        proofs=ClientCredentials(credentials, ManagedAssertion(federated or managed, settings.authority_host)),
        directory=Entra(http, settings.authority_host, clock, deadline, api_for, sign_ins),
        verifier=Prover(proofs, clock, deadline, accounts),
        consumer=SonarQubeServer(http, clock, deadline),
        tokens=EntraTokens(http, settings.authority_host, clock, deadline),
        token_verifier=Prover(http, clock, deadline),
        clock=clock,
        deadline=deadline,
        ledger=shared_ledger(settings.mark.text) if own_clock else Ledger(),
        tell=tell,
        flight=single_flight(settings, http, identity, clock, deadline, tell),
        runs=runs(settings, http, identity, clock, deadline, tell),
    )


def sharers(settings: Settings, messages: int) -> int:
    """How many instances may work at once on a run of so many messages: no more than it has.

    Among more than 300 a turn to write would come later than five minutes after the PAT was minted (rule 2).
    """
    return min(settings.queue_instances, messages, VERSIONS.most)


def one_of(instances: int) -> MakeWorld:
    """Makes a world that takes its share of the vault's limit, and leaves their shares to the other instances."""
    return lambda settings, budget, tell: world(settings, budget, tell, processes=instances)


def single_flight(
    settings: Settings,
    http: requests.Session,
    identity: TokenCredential,
    clock: Clock,
    deadline: Deadline,
    tell: Events,
) -> SingleFlight:
    """Leases in the host's storage where there is one; `identity` opens it unless the host names another."""
    storage = settings.storage
    if storage is None:
        return Alone()
    from shared.services.blob_leases import BlobLeases  # the SDK of storages is loaded where one is configured only

    identity = _opens(storage, identity, http)
    holder = f"{socket.gethostname()} (process {os.getpid()})"
    return BlobLeases(storage, identity, http, clock, deadline, tell, folder=settings.mark.text, holder=holder)


def runs(
    settings: Settings,
    http: requests.Session,
    identity: TokenCredential,
    clock: Clock,
    deadline: Deadline,
    tell: Events,
) -> History:
    """Reports in the host's storage where there is one."""
    storage = settings.storage
    if storage is None:
        return NoHistory()
    from shared.services.blob_reports import BlobReports  # as above

    identity = _opens(storage, identity, http)
    return BlobReports(storage, identity, http, clock, deadline, tell, folder=settings.mark.text)


def _opens(storage: Storage, identity: TokenCredential, http: requests.Session) -> TokenCredential:
    """Who opens the host's storage."""
    if isinstance(storage, ByIdentity) and storage.managed:
        return managed_identity(http, storage.client_id)
    return identity


def _patience(http: requests.Session, **timeouts: float) -> dict[str, Any]:
    """How azure-identity asks for tokens."""
    transport = RequestsTransport(session=http, session_owner=False, **timeouts)
    return {"transport": transport, "retry_total": 2, "retry_backoff_max": 5}
