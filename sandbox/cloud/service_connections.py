"""Service connections of Azure DevOps as pure state: what `serviceendpoint/endpoints` shows of them, and keeps.

Shapes: REST reference, Service Endpoints 7.1, and recorded answers of `az devops service-endpoint show`. A token is
never given back: its parameter is null. What is sent without a field loses it, as a PUT of the whole does. Unused for
100 days, a connection is disabled (sprint 276).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sandbox.cloud.pat_values import write_instant

IDLE = timedelta(days=100)
CONFIDENTIAL = {"Token": ("apitoken",), "UsernamePassword": ("password",)}
"""What is a secret, by the scheme of the authorization."""
KEPT = ("id", "createdBy", "creationDate", "operationStatus", "isReady", "isOutdated", "administratorsGroup")
"""What a caller cannot change."""


class ConnectionRefused(Exception):
    """An answer of 4xx in Azure DevOps' own words."""

    def __init__(self, status: int, type_key: str, message: str) -> None:
        super().__init__(f"{status} {type_key}")
        self.status = status
        self.type_key = type_key
        self.message = message


@dataclass(slots=True)
class ServiceConnection:
    """One connection. `shown` is what a GET answers, secrets apart; `secrets` are those by their parameter's name.

    `administrators`: who may change it, by subject. `used`: when a pipeline used it last.
    """

    organization: str
    project: str
    shown: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    administrators: set[str] = field(default_factory=set)
    used: datetime | None = None

    @property
    def id(self) -> str:
        return str(self.shown["id"])

    @property
    def token(self) -> str:
        """What it signs in with."""
        return next(iter(self.secrets.values()), "")

    def answer(self, now: datetime) -> dict[str, Any]:
        """The whole of it, as everybody sees it who may."""
        authorization = self.shown["authorization"]
        hidden = dict.fromkeys(self.secrets)
        idle = self.used is not None and now - self.used >= IDLE
        return {
            **self.shown,
            "authorization": {**authorization, "parameters": {**(authorization.get("parameters") or {}), **hidden}},
            "isDisabled": bool(self.shown.get("isDisabled")) or idle,
        }

    def put(self, subject: str, body: Mapping[str, Any], now: datetime) -> None:
        """Replace the whole of it by `body`. Raises ConnectionRefused."""
        if subject not in self.administrators:
            text = "You do not have the permissions to administer the service connection."
            raise ConnectionRefused(403, "ServiceEndpointException", text)
        authorization, places = body.get("authorization"), body.get("serviceEndpointProjectReferences")
        if not isinstance(authorization, dict) or not authorization.get("scheme") or not body.get("name"):
            raise ConnectionRefused(400, "ArgumentNullException", "Value cannot be null. Parameter name: authorization")
        if not isinstance(places, list) or not places or body.get("id") != self.id:
            text = "The service endpoint must have a reference to a project."
            raise ConnectionRefused(400, "ArgumentException", text)
        given = dict(authorization.get("parameters") or {})
        for name in CONFIDENTIAL.get(str(authorization["scheme"]), ()):
            value = given.pop(name, None)
            # Nobody can send back what nobody is shown: a null keeps the secret that is there.
            self.secrets[name] = str(value) if value else self.secrets.get(name, "")
        kept = {name: self.shown[name] for name in KEPT if name in self.shown}
        self.shown = {**dict(body), **kept, "authorization": {**authorization, "parameters": given}}
        self.modified(subject, now)

    def modified(self, subject: str, now: datetime) -> None:
        self.shown["modificationDate"] = write_instant(now)
        self.shown["modifiedBy"] = {"displayName": None, "id": str(uuid5(NAMESPACE_URL, subject))}


def new(
    organization: str,
    project: str,
    identity: str,
    url: str,
    at: datetime,
    *,
    kind: str = "externaltfs",
    scheme: str = "Token",
) -> ServiceConnection:
    """One as the portal makes it: of another organization's Azure Repos unless `kind` says otherwise."""
    name = f"connection-{identity[:8]}"
    place = {"id": str(uuid5(NAMESPACE_URL, f"{organization}/{project}")), "name": project}
    made = ServiceConnection(
        organization.lower(),
        project,
        {
            "administratorsGroup": None,
            "authorization": {"parameters": {} if scheme == "Token" else {"username": "patrol"}, "scheme": scheme},
            "createdBy": {"displayName": "Pat Person", "id": str(uuid5(NAMESPACE_URL, "person"))},
            "creationDate": write_instant(at),
            "data": {"note": "kept as it is", "nested": "ümlaut and <markup>"},
            "description": "Reads the other organization's repositories.",
            "groupScopeId": None,
            "id": identity,
            "isOutdated": False,
            "isReady": True,
            "isShared": False,
            "name": name,
            "operationStatus": None,
            "owner": "Library",
            "readersGroup": None,
            "serviceEndpointProjectReferences": [{"description": "", "name": name, "projectReference": place}],
            "serviceManagementReference": None,
            "type": kind,
            "url": url,
        },
        dict.fromkeys(CONFIDENTIAL[scheme], ""),
    )
    made.modified("person", at)
    return made
