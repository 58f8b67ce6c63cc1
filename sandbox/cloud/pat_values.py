"""Values of the PAT API: its instants, its token shape, its scopes, and the two channels of refusal."""

from __future__ import annotations

import string
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.cloud.chance import LETTERS, Chance

TICKS = 300
"""The service's instants sit on steps of 1/300 s."""


def on_tick(instant: datetime) -> datetime:
    """Round to the nearest 1/300 s (kept to the microsecond)."""
    whole = instant.replace(microsecond=0)
    ticks = round(instant.microsecond * TICKS / 1_000_000)
    return datetime.fromtimestamp(whole.timestamp() + ticks // TICKS, UTC).replace(
        microsecond=round((ticks % TICKS) * 1_000_000 / TICKS)
    )


def write_instant(instant: datetime) -> str:
    """ISO 8601 with `Z`; up to seven fractional digits, trailing zeros dropped, no fraction on a whole second."""
    instant = on_tick(instant)
    ticks = round(instant.microsecond * TICKS / 1_000_000)
    text = instant.strftime("%Y-%m-%dT%H:%M:%S")
    if ticks:
        text += "." + f"{round(ticks * 10_000_000 / TICKS):07d}".rstrip("0")
    return text + "Z"


def read_instant(text: object) -> datetime:
    """ISO 8601 with `Z` or an offset, any number of fractional digits. Raises ValueError on anything else."""
    if not isinstance(text, str) or "T" not in text:
        raise ValueError("not an instant")
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without Z")
    return instant.astimezone(UTC)


def new_value(chance: Chance) -> str:
    """A PAT of 84 characters in the documented shape, put together here so that no file ever holds one."""
    parts = (
        chance.text(52),
        "JQQJ" + "99",
        chance.text(1),
        chance.text(1, "ABCDEFGHIJKL"),
        chance.text(12),
        "AAAA" + "AZDO",
        chance.text(4, LETTERS),
    )
    return chance.remember("".join(parts))


def _family(text: str) -> list[str]:
    """`code _write` → `vso.code`, `vso.code_write`."""
    base, *suffixes = text.split()
    return [f"vso.{base}", *(f"vso.{base}{suffix}" for suffix in suffixes)]


_FAMILIES = """
advsec _write _manage|agentpools _manage|environment_manage|analytics|auditlog|auditstreams_manage|build _execute
code _write _manage _full _status|connected_server|entitlements|memberentitlementmanagement _write
extension _manage .data .data_write|githubconnections _manage|graph _manage|identity _manage|machinegroup_manage
gallery _acquire _publish _manage|notification _write _manage _diagnostics|packaging _write _manage
pipelineresources_use|pipelineresources_manage|project _write _manage|release _execute _manage
securefiles_read|securefiles_write|securefiles_manage|security_manage|serviceendpoint _query _manage
hooks _write _interact|settings _write|symbols _write _manage|taskgroups_read|taskgroups_write|taskgroups_manage
dashboards _manage|test _write|threads_full|tokens|tokenadministration|profile _write
variablegroups_read|variablegroups_write|variablegroups_manage|wiki _write|work _write _full|drop _write _manage
loadtest _write
"""

SCOPES: frozenset[str] = frozenset(
    ["app_token"] + [scope for family in _FAMILIES.replace("\n", "|").split("|") if family for scope in _family(family)]
)
"""Scopes a PAT may have. Source: the public scopes list, and Microsoft's authentication CLI for drop and loadtest."""

_READERS = {
    "projects": ("vso.project",),
    "build": ("vso.build",),
    "git": ("vso.code",),
    "distributedtask": ("vso.agentpools", "vso.environment", "vso.taskgroups", "vso.variablegroups"),
    "packaging": ("vso.packaging",),
    "release": ("vso.release",),
    "wiki": ("vso.wiki",),
    "wit": ("vso.work",),
    "work": ("vso.work",),
    "test": ("vso.test",),
    "graph": ("vso.graph",),
    "serviceendpoint": ("vso.serviceendpoint",),
}


def may_read(scope: str, path: str, *, projects_with_code: bool = False) -> bool:
    """Whether a PAT with `scope` may GET `path` (after `/{organization}`); areas not listed here ask for nothing."""
    words = scope.split()
    if "app_token" in words:
        return True
    area = path.partition("/_apis/")[2].partition("/")[0].lower()
    needed = _READERS.get(area)
    if needed is not None and area == "projects" and projects_with_code:
        needed = (*needed, "vso.code")
    return needed is None or any(word.startswith(needed) for word in words)


def is_guid(text: object) -> bool:
    if not isinstance(text, str) or len(text) != 36:
        return False
    return [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12] and not set(text) - set(string.hexdigits + "-")


class PatRefused(Exception):
    """The body's channel: `error` is a patTokenError such as `invalidScope`."""

    def __init__(self, error: str, message: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.message = message or f"The request was refused: {error}."


class PatHttpRefused(Exception):
    """The status channel: an HTTP status and the service's `typeKey`."""

    def __init__(self, status: int, type_key: str, message: str, event: int = 3000) -> None:
        super().__init__(f"{status} {type_key}")
        self.status = status
        self.type_key = type_key
        self.message = message
        self.event = event


class NoOrganization(Exception):
    """No organization of that name (any longer): the service answers 404 with an HTML page."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: the PATs as wire objects, and the token of the next page, `""` at the end."""

    pats: list[dict[str, object]]
    continuation: str
