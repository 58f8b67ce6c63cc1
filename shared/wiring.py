"""Puts the real adapters together; the only place that builds clients."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from functools import cache
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential

from shared.clock import GRACE, Clock, Deadline, SystemClock
from shared.devops import Prover, UserPats
from shared.host_storage import ByIdentity, Storage
from shared.identity import own_identity
from shared.pace import MOST, MOST_SIGN_INS, Pace
from shared.ports import PatApi, Runs, SingleFlight
from shared.run import World
from shared.secrecy import SecretText
from shared.settings import Settings
from shared.signin import Entra
from shared.single_flight import Alone
from shared.sonarqube import SonarQubeServer
from shared.telemetry import Events, event
from shared.transport import session
from shared.unkept import Unkept
from shared.vault import SecretVault

CONNECTIONS = 64


class _Transport(RequestsTransport):  # type: ignore[misc]  # azure-core exports it lazily, so it has no type
    """azure-identity retries by itself, and sleeps on its transport: ours sleeps on the run's clock."""

    def __init__(self, http: requests.Session, clock: Clock) -> None:
        super().__init__(session=http, session_owner=False)
        self._clock = clock

    def sleep(self, duration: float) -> None:
        self._clock.sleep(timedelta(seconds=duration))


@cache
def shared_session(connections: int) -> requests.Session:
    """One session per process: its connections outlive a run."""
    return session(connections)


@cache
def shared_pace(of: str, most: int, processes: int) -> Pace:  # noqa: ARG001  # `of` is a part of the cache's key
    """One for each vault, or for sign-ins, and process: what runs side by side shares one limit."""
    return Pace.share(most, processes)


def world(
    settings: Settings,
    budget: timedelta,
    *,
    grace: timedelta = GRACE,
    clock: Clock | None = None,
    http: requests.Session | None = None,
    identity: TokenCredential | None = None,
    tell: Events = event,
    processes: int = 1,
) -> World:
    """Everything a run reaches, over one session; `budget`, then `grace`, count from now; `identity` opens vaults.

    `processes`: how many may work at once and share what the vault takes.
    """
    pace = shared_pace(settings.vault_host, MOST, processes) if clock is None else Pace.share(MOST, processes)
    sign_ins = shared_pace("sign-ins", MOST_SIGN_INS, processes) if clock is None else None
    clock = clock or SystemClock()
    # Requests to the HTTP API run side by side and share it: a pool that is too small throws connections away.
    http = http or shared_session(max(CONNECTIONS, settings.parallel_users))
    deadline = Deadline.after(clock, budget, grace)
    identity = identity or own_identity(
        by_environment=settings.identity_by_environment,
        client_has_secret=settings.client_has_secret,
        **_patience(http, clock),
    )
    vault = SecretVault(settings.key_vault_url, identity, http, clock, deadline, pace)
    same = settings.credentials_vault_url == settings.key_vault_url
    credentials = vault if same else SecretVault(settings.credentials_vault_url, identity, http, clock, deadline)

    def api_for(token: SecretText) -> PatApi:
        return UserPats(http, token, clock, deadline)

    return World(
        vault=vault,
        credentials=credentials,
        directory=Entra(http, settings.authority_host, clock, deadline, api_for, sign_ins),
        verifier=Prover(http, deadline),
        consumer=SonarQubeServer(http, clock, deadline),
        clock=clock,
        deadline=deadline,
        tell=tell,
        flight=single_flight(settings, http, identity, clock, deadline, tell),
        runs=runs(settings, http, identity, clock, deadline, tell),
    )


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
    from shared.leases import BlobLeases  # the SDK of storages is loaded where one is configured only

    identity = _opens(storage, identity, http, clock)
    holder = f"{socket.gethostname()} (process {os.getpid()})"
    return BlobLeases(storage, identity, http, clock, deadline, tell, folder=settings.mark.text, holder=holder)


def runs(
    settings: Settings,
    http: requests.Session,
    identity: TokenCredential,
    clock: Clock,
    deadline: Deadline,
    tell: Events,
) -> Runs:
    """Reports in the host's storage where there is one."""
    storage = settings.storage
    if storage is None:
        return Unkept()
    from shared.run_store import BlobRuns  # as above

    identity = _opens(storage, identity, http, clock)
    return BlobRuns(storage, identity, http, clock, deadline, tell, folder=settings.mark.text)


def _opens(storage: Storage, identity: TokenCredential, http: requests.Session, clock: Clock) -> TokenCredential:
    """Who opens the host's storage."""
    if isinstance(storage, ByIdentity) and storage.managed:
        return ManagedIdentityCredential(client_id=storage.client_id, **_patience(http, clock))
    return identity


def _patience(http: requests.Session, clock: Clock) -> dict[str, Any]:
    """How azure-identity asks for tokens."""
    return {"transport": _Transport(http, clock), "retry_total": 2, "retry_backoff_max": 5}
