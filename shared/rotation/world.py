"""What a run can reach: made by wiring, or by a test."""

from __future__ import annotations

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
from shared.report.history import History, NoHistory
from shared.report.told import Forgetful, ToldBefore
from shared.rotation.ledger import Ledger
from shared.rotation.links import NoLinks
from shared.rules.plan import Asked


@dataclass(frozen=True, slots=True)
class World:
    """What a run reaches. `ledger` is the process's, so that its runs never send a refused password twice.

    `vault_host`: where PATs are published.
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
    audit: AuditLogs | None = None


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
