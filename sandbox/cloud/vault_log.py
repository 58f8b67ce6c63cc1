"""The audit log of vaults as Log Analytics keeps it: one of two tables, minutes late, in the shapes that were recorded.

Shapes: the table reference and a published recording of `SecretGet`, whose `id` names the version that was served. In
`AzureDiagnostics` a claim that no row ever had is no column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

TABLES = ("AZKVAuditLogs", "AzureDiagnostics")
GROUP = "/subscriptions/5b000000-0000-4000-8000-000000000005/resourceGroups/rg-patrol"
ALWAYS = frozenset({"TimeGenerated", "OperationName", "ResultSignature", "_ResourceId"})


def resource_of(vault_host: str) -> str:
    """A vault's resource id; every vault of the sandbox is in one resource group."""
    return f"{GROUP}/providers/Microsoft.KeyVault/vaults/{vault_host.partition('.')[0]}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call of a vault. `id`: the secret with the version that was served; `claim`: of the caller's token."""

    at: datetime
    seen_at: datetime
    table: str
    operation: str
    id: str
    uri: str
    status: int
    claim: Mapping[str, str]
    ip: str
    client: str


@dataclass(slots=True)
class VaultLog:
    """One vault's. `denied`: whoever asks is refused; `partial`: an answer holds what was found until it was cut."""

    resource_id: str
    rows: list[Recorded] = field(default_factory=list)
    denied: bool = False
    partial: bool = False

    def record(self, row: Recorded) -> None:
        self.rows.append(row)

    def table(self, name: str, now: datetime, since: datetime | None) -> tuple[list[dict[str, Any]], frozenset[str]]:
        """The rows that have arrived, oldest first, and the columns that there are; no column: there is no table."""
        arrived = [row for row in self.rows if row.table == name and row.seen_at <= now]
        made = [_shape(row, self.resource_id) for row in arrived]
        columns = ALWAYS.union(*(row.keys() for row in made)) if made else frozenset()
        wanted = [row for row in made if since is None or row["TimeGenerated"] >= since]
        return sorted(wanted, key=lambda row: row["TimeGenerated"]), columns


def recorded(
    table: str,
    at: datetime,
    delay: timedelta,
    operation: str,
    id_: str,
    uri: str,
    status: int,
    claim: Mapping[str, str],
    client: str,
) -> Recorded:
    return Recorded(at, at + delay, table, operation, id_, uri, status, claim, "10.2.3.4", client)


_REASONS = {200: "OK", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


def _shape(row: Recorded, resource_id: str) -> dict[str, Any]:
    result = _REASONS.get(row.status, str(row.status))
    if row.table == "AZKVAuditLogs":
        return {
            "TimeGenerated": row.at,
            "OperationName": row.operation,
            "OperationVersion": "7.6",
            "Id": row.id,
            "RequestUri": row.uri,
            "ClientInfo": row.client,
            "HttpStatusCode": row.status,
            "DurationMs": 12,
            "CallerIpAddress": row.ip,
            "Identity": {"claim": dict(row.claim)},
            "ResultSignature": result,
            "_ResourceId": resource_id.lower(),
        }
    shaped = {
        "TimeGenerated": row.at,
        "OperationName": row.operation,
        "ResourceProvider": "MICROSOFT.KEYVAULT",
        "Resource": resource_id.rpartition("/")[2].upper(),
        "id_s": row.id,
        "requestUri_s": row.uri,
        "clientInfo_s": row.client,
        "httpStatusCode_d": float(row.status),
        "CallerIPAddress": row.ip,
        "ResultSignature": result,
        "_ResourceId": resource_id.lower(),
    }
    names = {
        "oid": "identity_claim_oid_g",
        "appid": "identity_claim_appid_g",
        "upn": "identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s",
    }
    return shaped | {names[claim]: value for claim, value in row.claim.items() if claim in names}
