"""How a client library learns where Azure DevOps' resources are: `OPTIONS` of `_apis` or an area, and resource areas.

The ids are public: Microsoft's client libraries know each resource and each area by them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox.wire.api_versions import NEWEST


@dataclass(frozen=True, slots=True)
class Resource:
    """`released` is the newest version that left preview, "0.0" where none did."""

    id: str
    area: str
    name: str
    template: str
    version: int = 1
    released: str = "7.1"

    def wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "area": self.area,
            "resourceName": self.name,
            "routeTemplate": self.template,
            "resourceVersion": self.version,
            "minVersion": 1.0,
            "maxVersion": NEWEST[0] + NEWEST[1] / 10,
            "releasedVersion": self.released,
        }


PATH = re.compile(r"_apis(?:/([A-Za-z]+))?/?")
"""Below an organization: of everything, or of one area."""
LOCATION_AREAS = "e81700f7-3be2-46de-8624-2eb35882fcaa"
IN_AREA = "{project}/_apis/{area}/{resource}"
RESOURCES = (
    Resource("00d9565f-ed9c-4a06-9a50-00e7896ccab4", "Location", "ConnectionData", "_apis/{resource}", released="0.0"),
    Resource(LOCATION_AREAS, "Location", "ResourceAreas", "_apis/{resource}/{areaId}", released="0.0"),
    Resource("603fe2ac-9723-48b9-88ad-09305aa6c6e1", "core", "projects", "_apis/{resource}/{*projectId}", 4),
    Resource("225f7195-f9c7-4d14-ab28-a83f7ff77e1f", "git", "repositories", f"{IN_AREA}/{{repositoryId}}"),
    Resource("0cd358e1-9217-4d94-8269-1c1ee6f93dcf", "build", "builds", f"{IN_AREA}/{{buildId}}", 7),
    Resource("dbeaf647-6167-421a-bda9-c9327b25e2e6", "build", "definitions", f"{IN_AREA}/{{definitionId}}", 7),
    Resource("a8c47e17-4d56-4a56-92bb-de7ea7dc65be", "distributedtask", "pools", "_apis/{area}/{resource}/{poolId}"),
    Resource("e85f1c62-adfc-4b74-b618-11a150fb195e", "serviceendpoint", "endpoints", f"{IN_AREA}/{{endpointId}}", 4),
    Resource("288d122c-dbd4-451d-aa5f-7dbbba070728", "wiki", "wikis", f"{IN_AREA}/{{wikiIdentifier}}", 2),
)
AREAS = {
    "79134c72-4a58-4b42-976c-04e7115f32bf": "core",
    "4e080c62-fa21-4fbc-8fef-2a10a2b38049": "git",
    "965220d5-5bb9-42cf-8d67-9b146df2a5a4": "build",
    "a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd": "distributedtask",
    "1814ab31-2f4f-4a9f-8761-f4d77dc5a5d7": "serviceendpoint",
    "bf7d82a0-8aa5-4613-94ef-6172a5ea01f3": "wiki",
}


def locations(area: str = "") -> dict[str, Any]:
    """The answer of `OPTIONS`, for everything (the Python library) or one area (the Node.js one)."""
    wanted = (resource for resource in RESOURCES if area.casefold() in ("", resource.area.casefold()))
    rows = [resource.wire() for resource in wanted]
    return {"count": len(rows), "value": rows}


def areas(organization_url: str) -> dict[str, Any]:
    """The answer of `ResourceAreas`: everything the sandbox plays is at the organization's own address."""
    rows = [{"id": area, "name": name, "locationUrl": organization_url} for area, name in AREAS.items()]
    return {"count": len(rows), "value": rows}
