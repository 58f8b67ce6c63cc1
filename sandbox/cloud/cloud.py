"""The whole cloud in one object: the services' states, scripted faults, hooks for tests, and a log of every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import count
from threading import RLock
from typing import Any

from sandbox.cloud.audit_log import AuditLog
from sandbox.cloud.chance import Chance
from sandbox.cloud.entra import Directory
from sandbox.cloud.entra_estate import User
from sandbox.cloud.faults import Fault, Faults
from sandbox.cloud.in_person import InPerson
from sandbox.cloud.key_vault import Secret, Vault, Version
from sandbox.cloud.pat_values import write_instant
from sandbox.cloud.pats import Pat, PatService
from sandbox.cloud.recipients import Recipient
from sandbox.cloud.service_connections import ServiceConnection
from sandbox.cloud.sonarqube import AzureSetting, SonarQube
from sandbox.cloud.switches import Switches
from sandbox.cloud.vault_log import VaultLog, resource_of
from sandbox.cloud.workload_identity import WorkloadIdentities


@dataclass(frozen=True, slots=True)
class Operation:
    """One outgoing call of the product, as hooks see it. `number` counts all calls from 1.

    `subject`: user name of a sign-in, authorization id or display name of a PAT call, secret name of a vault call.
    """

    number: int
    name: str
    method: str
    host: str
    path: str
    subject: str


@dataclass(frozen=True, slots=True)
class Logged:
    """One call after the fact; never a body. `status` 0 = cut or hung, `effect` = something in the cloud changed."""

    number: int
    at: datetime
    operation: str
    method: str
    host: str
    path: str
    query: str
    status: int
    effect: bool
    subject: str


@dataclass(slots=True)
class Identity:
    """The managed identity endpoint's side: the header it asks for, and the user-assigned client ids it knows."""

    header: str
    client_ids: set[str]
    subject: str
    enabled: bool = True


class Cloud:
    """Deterministic for a seed and an order of calls. Guard compound reads with `lock`; never hold it in a hook."""

    def __init__(self, now: Callable[[], datetime], seed: int = 0) -> None:
        self.now = now
        self.lock = RLock()
        self.chance = Chance(seed)
        self.switches = Switches()
        self.directory = Directory(now, self.chance, self.switches)
        self.in_person = InPerson(now, self.chance, self.directory)
        self.workloads = WorkloadIdentities(now, self.chance, self.directory)
        self.pats = PatService(now, self.chance, self.switches, self.directory.is_enabled)
        self.vaults: dict[str, Vault] = {}
        self.vault_logs: dict[str, VaultLog] = {}
        self.audit_logs: dict[str, AuditLog] = {}
        self.sonarqubes: dict[str, SonarQube] = {}
        self.recipients: dict[str, Recipient] = {}
        self.connections: dict[str, ServiceConnection] = {}
        self.identity = Identity(self.chance.remember(self.chance.text(40)), set(), self.chance.guid())
        self.faults = Faults()
        self.log: list[Logged] = []
        self.before_effect: Callable[[Operation], None] | None = None
        self.after_effect: Callable[[Operation], None] | None = None
        self._numbers = count(1)

    def add_vault(self, host: str) -> Vault:
        """`host` is a full name such as `contoso-pats.vault.azure.net`."""
        vault = self.vaults[host.lower()] = Vault(host, self.now, self.chance, self.switches)
        self.vault_logs[host.lower()] = VaultLog(resource_of(vault.host))
        return vault

    def vault_log_of(self, resource_id: str) -> VaultLog | None:
        """What a vault's calls left in Log Analytics, by its resource id in any spelling."""
        wanted = resource_id.casefold()
        return next((log for log in self.vault_logs.values() if log.resource_id.casefold() == wanted), None)

    def audit_log_of(self, organization: str) -> AuditLog:
        """What was audited in an organization."""
        return self.audit_logs.setdefault(organization.casefold(), AuditLog())

    def add_sonarqube(self, host: str) -> SonarQube:
        """`host` is a full name such as `sonarqube.contoso.com`."""
        server = self.sonarqubes[host.lower()] = SonarQube()
        return server

    def add_recipient(self, host: str, kind: str, key: str = "") -> str:
        """An address that takes notices, of a kind of `recipients.KINDS`; gives it whole, as its maker shows it once.

        It, and what it is made of, is a secret.
        """
        token = self.chance.remember(self.chance.text(43))
        path = {
            "slack": f"/services/T{self.chance.text(9)}/B{self.chance.text(9)}/{token}",
            "webhook": f"/hooks/{token}",
        }
        flow = self.chance.remember(self.chance.hex32())
        triggers = f"/workflows/{flow}/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0"
        target = path.get(kind, f"{triggers}&sig={token}")
        self.recipients[host.lower()] = Recipient(kind, target, token, self.chance.remember(key))
        return self.chance.remember(f"https://{host}{target}")

    def add_fault(self, operation: str, kind: str, **details: Any) -> Fault:
        """Script a fault; `details` are fields of `Fault`. Raises ValueError for an unknown operation or kind."""
        fault = Fault(operation, kind, **details)
        self.faults.add(fault)
        return fault

    def next_number(self) -> int:
        return next(self._numbers)

    def every_secret(self) -> set[str]:
        """Every password, client secret, PAT value, token and vault value the sandbox saw or made."""
        with self.lock:
            return self.chance.secrets()

    def calls(self, operation: str | None = None) -> list[Logged]:
        """The log in order of arrival, of one operation or of all."""
        rows = sorted(self.log, key=lambda row: row.number)
        return rows if operation is None else [row for row in rows if row.operation == operation]

    def live_pats(self, owner: str | None = None) -> list[Pat]:
        """PATs that are neither expired nor revoked."""
        now = self.now()
        with self.lock:
            return [
                pat
                for pat in self.pats.all()
                if pat.state(now) == "active" and (owner is None or pat.owner == owner.lower())
            ]

    def estate(self, *, reveal: bool = False) -> dict[str, Any]:
        """Everything as JSON; values of PATs and secrets only with `reveal`, passwords never."""
        with self.lock:
            now = self.now()
            names = {home.guid: home.name for home in self.pats.organizations()}
            return {
                "now": write_instant(now),
                "users": [_user(user) for user in self.directory.users()],
                "federations": [
                    {"domain": server.domain, "host": server.host, "received": len(server.received)}
                    for server in self.directory.federations.values()
                ],
                "organizations": [
                    {"name": home.name, "guid": home.guid, "members": sorted(home.members)}
                    for home in self.pats.organizations()
                ],
                "pats": [_pat(pat, now, names, reveal) for pat in self.pats.all()],
                "vaults": [_vault(vault, reveal) for vault in self.vaults.values()],
                "sonarqubes": [
                    {"host": host, "azure": [self._copy(setting) for setting in server.azure.values()]}
                    for host, server in self.sonarqubes.items()
                ],
                "service_connections": [
                    {
                        "organization": one.organization,
                        "project": one.project,
                        "shown": one.answer(now),
                        "authorization_id": self._held(one.token),
                    }
                    for one in self.connections.values()
                ],
                "recipients": [
                    {"host": host, "kind": one.kind, "received": one.received, "shown": one.shown}
                    for host, one in self.recipients.items()
                ],
                "switches": asdict(self.switches),
                "faults": [dict(asdict(fault)) for fault in self.faults.pending()],
            }

    to_json = estate

    def _copy(self, setting: AzureSetting) -> dict[str, Any]:
        """A setting of SonarQube, with the PAT it has a copy of by its authorization id."""
        return {"key": setting.key, "url": setting.url, "authorization_id": self._held(setting.pat)}

    def _held(self, value: str) -> str | None:
        return next((pat.authorization_id for pat in self.pats.all() if pat.value == value), None)


def _pat(pat: Pat, now: datetime, names: dict[str, str], reveal: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "authorization_id": pat.authorization_id,
        "owner": pat.owner,
        "organization": names.get(pat.organization, pat.organization),
        "display_name": pat.display_name,
        "scope": pat.scope,
        "valid_from": write_instant(pat.valid_from),
        "valid_to": write_instant(pat.valid_to),
        "state": pat.state(now),
        "all_orgs": pat.all_orgs,
        "uses": pat.uses,
    }
    if reveal:
        row["value"] = pat.value
    return row


def _user(user: User) -> dict[str, Any]:
    return {
        "upn": user.upn,
        "state": user.state.value,
        "token_requests": user.token_requests,
        "password_attempts": user.password_attempts,
        "wrong_passwords": user.wrong_passwords,
    }


def _vault(vault: Vault, reveal: bool) -> dict[str, Any]:
    return {
        "host": vault.host,
        "secrets": [_secret(secret, reveal) for secret in vault.secrets()],
        "deleted": [_secret(secret, reveal) for secret in vault.deleted_secrets()],
    }


def _secret(secret: Secret, reveal: bool) -> dict[str, Any]:
    return {"name": secret.name, "versions": [_version(version, reveal) for version in secret.versions.values()]}


def _version(version: Version, reveal: bool) -> dict[str, Any]:
    row = asdict(version)
    if not reveal:
        del row["value"]
    return row
