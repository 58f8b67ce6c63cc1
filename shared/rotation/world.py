"""What a run can reach: made by wiring, or by a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from shared.model.clock import Clock, Deadline, VaultInstant
from shared.model.items import User
from shared.model.ports import (
    AuditLogs,
    ClientProofs,
    ConsumerServices,
    Credentials,
    Directory,
    EnrolledDirectory,
    Events,
    Links,
    Recipients,
    RefreshTokens,
    ServiceTokens,
    Vault,
    VaultLogs,
    Verifier,
)
from shared.model.request import Request
from shared.model.single_flight import Alone, SingleFlight
from shared.model.vaults import HOME, VaultAddress
from shared.report.history import History, NoHistory
from shared.report.told import Forgetful, ToldBefore
from shared.rotation.ledger import Ledger
from shared.rotation.links import NoLinks
from shared.rules.plan import Asked


def nowhere_else(address: VaultAddress) -> Vault:
    """Of a world with the one vault. Raises LookupError."""
    raise LookupError(f"no client for the vault {address.host}")


@dataclass(frozen=True, slots=True)
class World:
    """What a run reaches. `ledger` is the process's, so that its runs never send a refused password twice.

    `vault`, `vault_host`: the vault of KEY_VAULT_URL, where items are published that name no other, and where patrol
    keeps its own notes. `elsewhere` opens the others, each with a pace of its own.
    """

    vault: Vault
    credentials: Credentials
    proofs: ClientProofs
    directory: Directory
    enrolled: EnrolledDirectory
    refresh_tokens: RefreshTokens
    verifier: Verifier
    consumers: ConsumerServices
    recipients: Recipients
    tokens: ServiceTokens
    clock: Clock
    deadline: Deadline
    tell: Events
    vault_host: str
    flight: SingleFlight = field(default_factory=Alone)
    runs: History = field(default_factory=NoHistory)
    ledger: Ledger = field(default_factory=Ledger)
    links: Links = field(default_factory=NoLinks)
    told: ToldBefore = field(default_factory=Forgetful)
    logs: VaultLogs | None = None
    """Where a setting names the logs of vaults."""
    known_readers: frozenset[str] | None = None
    """Object ids of who reads by right, in lower case; None: no setting names them."""
    audit: AuditLogs | None = None
    elsewhere: Callable[[VaultAddress], Vault] = nowhere_else

    def vault_at(self, address: VaultAddress) -> Vault:
        """Where items of this address are published."""
        return self.vault if address == HOME else self.elsewhere(address)

    def host_of(self, address: VaultAddress) -> str:
        """The vault's host, in lower case."""
        return address.host or self.vault_host


@dataclass(frozen=True, slots=True)
class UserShare:
    """One technical user's share of a run.

    `organizations`: where its PATs may be besides where its items are. `full_look`: its daily one (rule 13).
    `older_versions`: those of its secrets are looked at as well, for owners whom nothing else names.
    """

    user: User
    organizations: tuple[str, ...] = ()
    full_look: bool = False
    older_versions: bool = False


def asked_of(request: Request, arrived: datetime) -> Asked:
    """What the plan is told of a request; `arrived` in vault time."""
    return Asked(
        published_before=VaultInstant(request.published_before or arrived),
        force=request.force,
        adopt=request.adopt,
        emergency=request.emergency,
        revoke_first=request.revoke_first,
    )
