"""The tags of a published Entra token: the mark, whose token it is, and which versions it replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.model import tags
from shared.model.tags import AUTHORIZATION_ID, MANAGED_BY, MOST_PREDECESSORS, ORGANIZATION, PREDECESSORS, Mark

CLIENT_ID = "client-id"
OURS = frozenset({MANAGED_BY, CLIENT_ID, ORGANIZATION, PREDECESSORS})

_PREDECESSOR = re.compile(r"([0-9a-fA-F]{32})@(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")


@dataclass(frozen=True, slots=True)
class Replaced:
    """An older version of the secret, to be disabled from `over_at` on (vault time, whole seconds)."""

    version: str
    over_at: datetime


@dataclass(frozen=True, slots=True)
class TokenStamp:
    """Our facts on one version that holds a token."""

    managed_by: str
    client_id: str
    organization: str
    replaced: tuple[Replaced, ...] = ()


def read(found: Mapping[str, str]) -> TokenStamp | None:
    """Our facts; None where they are not those of a token: no mark of patrol, or a PAT's."""
    managed_by, client_id = found.get(MANAGED_BY, ""), found.get(CLIENT_ID, "")
    if not managed_by.startswith("patrol/") or not client_id or AUTHORIZATION_ID in found:
        return None
    return TokenStamp(managed_by, client_id.lower(), found.get(ORGANIZATION, ""), _read(found.get(PREDECESSORS, "")))


def is_ours(found: Mapping[str, str], mark: Mark) -> bool:
    """Whether these are the tags of a token of ours."""
    stamp = read(found)
    return stamp is not None and stamp.managed_by.casefold() == mark.text.casefold()


def write(stamp: TokenStamp, previous: Mapping[str, str]) -> dict[str, str]:
    """All tags of a version: people's own from `previous`, ours replaced, a PAT's that was adopted left out."""
    written = {name: value for name, value in previous.items() if name not in OURS | tags.OURS}
    written[MANAGED_BY] = stamp.managed_by
    written[CLIENT_ID] = stamp.client_id
    written[ORGANIZATION] = stamp.organization
    if stamp.replaced:
        written[PREDECESSORS] = " ".join(f"{old.version}@{old.over_at:%Y-%m-%dT%H:%M:%SZ}" for old in stamp.replaced)
    return written


def newest(replaced: tuple[Replaced, ...]) -> tuple[Replaced, ...]:
    """As many as a tag holds. One that no longer fits stays enabled: its token ends by itself."""
    return tuple(sorted(replaced, key=lambda old: (old.over_at, old.version), reverse=True)[:MOST_PREDECESSORS])


def _read(text: str) -> tuple[Replaced, ...]:
    # What does not read as `version@instant` was not written by patrol: ignored, as tags.py does.
    found = []
    for version, instant in _PREDECESSOR.findall(text):
        try:
            over_at = datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            continue
        found.append(Replaced(version.lower(), over_at))
    return tuple(found)
