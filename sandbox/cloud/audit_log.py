"""Azure DevOps' audit log of an organization: what was done, by whom, and with which authorization.

Shapes: REST reference Audit Log Query 7.2; `authenticationMechanism` of a PAT as published rules of SIEMs match it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class AuditLog:
    """One organization's. `readers`: casefolded subjects that may view it."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    readers: set[str] = field(default_factory=set)

    def page(self, start: datetime, end: datetime, batch: int, skip: int) -> tuple[list[dict[str, Any]], int | None]:
        """One page, newest first, and where the next one begins."""
        found = [row for row in self.entries if start <= datetime.fromisoformat(row["timestamp"]) <= end]
        found.sort(key=lambda row: str(row["timestamp"]), reverse=True)
        after = skip + batch
        return found[skip:after], after if after < len(found) else None


def entry(at: datetime, **facts: str) -> dict[str, Any]:
    """A decorated entry. `facts`: what differs from an agent that a PAT registers."""
    stamp = at.isoformat().replace("+00:00", "Z")
    base = {
        "id": f"{stamp};{facts.get('authenticationMechanism', '')}",
        "correlationId": "c0000000-0000-4000-8000-000000000001",
        "activityId": "c0000000-0000-4000-8000-000000000002",
        "actorCUID": "c0000000-0000-4000-8000-000000000003",
        "actorUserId": "c0000000-0000-4000-8000-000000000004",
        "actorClientId": "00000000-0000-0000-0000-000000000000",
        "actorUPN": "",
        "authenticationMechanism": "AAD_Cookie",
        "timestamp": stamp,
        "scopeType": "organization",
        "scopeDisplayName": "contoso (Organization)",
        "projectName": "",
        "ipAddress": "10.2.3.4",
        "userAgent": "VSServices/16.170.30907.0 (vstest; Agent.Listener)",
        "actionId": "Library.AgentAdded",
        "data": {"AgentName": "linux-1", "AgentPoolName": "Default"},
        "details": "Added agent linux-1 to pool Default",
        "area": "Library",
        "category": "create",
        "categoryDisplayName": "Create",
        "actorDisplayName": "",
    }
    return {**base, **facts}
