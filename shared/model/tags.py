"""The tags of a published secret version: the only state patrol keeps, and the mark that says whose it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.model.pats import PatId
from shared.model.vaults import VaultAddress

MANAGED_BY = "managed-by"
AUTHORIZATION_ID = "authorization-id"
ORGANIZATION = "organization"
ORGANIZATION_ID = "organization-id"
USERNAME = "username"
SCOPES = "scopes"
PREDECESSORS = "predecessors"
PUSHED_TO = "pushed-to"
OURS = frozenset(
    {MANAGED_BY, AUTHORIZATION_ID, ORGANIZATION, ORGANIZATION_ID, USERNAME, SCOPES, PREDECESSORS, PUSHED_TO}
)

# Key Vault allows 15 tags; names and values of 256 characters everywhere (512 in newer pages only).
MOST_TAGS = 15
LONGEST_TAG = 256
MOST_PREDECESSORS = 3

_PREDECESSOR = re.compile(
    r"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})@(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)([!+]*)"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """How patrol knows what is its own: `patrol/<deployment>-<6 hex of SHA-256 of the vault's host>`.

    The vault's host is part of it, so two deployments with one name in two vaults never meet.
    """

    text: str

    @classmethod
    def of(cls, deployment: str, vault_host: str) -> Mark:
        """The mark of a deployment; `vault_host` is that of its PATs."""
        return cls(f"patrol/{deployment}-{_of_host(vault_host)}")

    def in_vault(self, address: VaultAddress) -> Mark:
        """The mark of the same deployment in another of its vaults."""
        return Mark(f"{self.text.rpartition('-')[0]}-{_of_host(address.host)}") if address.host else self

    def display_name(self, secret: str) -> str:
        """What a PAT that is minted for `secret` is called."""
        return f"{self.text}/{secret}"

    def secret_of(self, display_name: str) -> str | None:
        """The casefolded name of the secret a PAT was minted for; None when the PAT does not carry this mark."""
        prefix = f"{self.text}/".casefold()
        name = display_name.casefold()
        return name.removeprefix(prefix) if name.startswith(prefix) and "/" not in name.removeprefix(prefix) else None


def _of_host(host: str) -> str:
    return hashlib.sha256(host.lower().encode()).hexdigest()[:6]


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A PAT that was current before, to be ended at `retire_at` (vault time, whole seconds).

    `at_once` (written `!`): an emergency ends it without an overlap. `pushed` (written `+`): a consumer was given it,
    and may use it until it is given a newer one. Both are written down, because two times that happen to meet say
    nothing (rule 8).
    """

    id: PatId
    retire_at: datetime
    at_once: bool = False
    pushed: bool = False

    def __str__(self) -> str:
        flags = ("!" if self.at_once else "") + ("+" if self.pushed else "")
        return f"{self.id}@{self.retire_at:%Y-%m-%dT%H:%M:%SZ}{flags}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """Our facts on one secret version. `pushed_to`: the consumers that have taken this very value, as consumers.py
    writes them; "" for none."""

    managed_by: str
    authorization_id: PatId
    organization: str
    organization_id: str
    username: str
    scopes: str
    predecessors: tuple[Predecessor, ...] = ()
    pushed_to: str = ""


def scopes_text(scopes: Iterable[str]) -> str:
    """Sorted and space separated, as a tag holds it."""
    return fitting(" ".join(sorted(set(scopes))))


def fitting(text: str) -> str:
    """The text, or a digest of it where it would not fit into a tag: only ever compared."""
    return text if len(text) <= LONGEST_TAG else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read(tags: Mapping[str, str]) -> Stamp | None:
    """Our facts, or None where `managed-by` is not a mark of patrol or the id is missing."""
    managed_by, authorization_id = tags.get(MANAGED_BY, ""), tags.get(AUTHORIZATION_ID, "")
    if not managed_by.startswith("patrol/") or not authorization_id:
        return None
    return Stamp(
        managed_by=managed_by,
        authorization_id=PatId(authorization_id.lower()),
        organization=tags.get(ORGANIZATION, ""),
        organization_id=tags.get(ORGANIZATION_ID, "").lower(),
        username=tags.get(USERNAME, ""),
        scopes=tags.get(SCOPES, ""),
        predecessors=_read_predecessors(tags.get(PREDECESSORS, "")),
        pushed_to=tags.get(PUSHED_TO, ""),
    )


def write(stamp: Stamp, previous: Mapping[str, str]) -> dict[str, str]:
    """All tags of a version: people's own from `previous`, ours replaced.

    Key Vault does not inherit tags from the version before, and an update replaces the whole map.
    """
    tags = {name: value for name, value in previous.items() if name not in OURS}
    tags[MANAGED_BY] = stamp.managed_by
    tags[AUTHORIZATION_ID] = stamp.authorization_id
    tags[ORGANIZATION] = stamp.organization
    tags[ORGANIZATION_ID] = stamp.organization_id
    tags[USERNAME] = stamp.username
    tags[SCOPES] = stamp.scopes
    if stamp.predecessors:
        tags[PREDECESSORS] = " ".join(map(str, stamp.predecessors))
    if stamp.pushed_to:
        tags[PUSHED_TO] = stamp.pushed_to
    return tags


def refuse_another_pat(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Raises ValueError when tags would say of a version that it holds another PAT than it did (rule 7)."""
    old, new = read(before), read(after)
    if old is not None and (new is None or new.authorization_id != old.authorization_id):
        raise ValueError("a value never changes within a version, so neither does its authorization-id")


def why_it_would_not_fit(tags: Mapping[str, str]) -> str | None:
    """What Key Vault would refuse these tags for, in words; None when they fit."""
    if len(tags) > MOST_TAGS:
        return f"the secret would have {len(tags)} tags, and Key Vault takes {MOST_TAGS}"
    for name, value in tags.items():
        if len(name) > LONGEST_TAG or len(value) > LONGEST_TAG:
            return f"the tag {name[:40]!r} is longer than {LONGEST_TAG} characters"
    return None


def _read_predecessors(text: str) -> tuple[Predecessor, ...]:
    # What does not read as `id@instant` was not written by patrol: ignored, so that a forged tag cannot fail a run.
    found = []
    for identity, instant, flags in _PREDECESSOR.findall(text):
        try:
            retire_at = datetime.fromisoformat(instant).astimezone(UTC)
        except ValueError:
            continue
        found.append(Predecessor(PatId(identity.lower()), retire_at, "!" in flags, "+" in flags))
    return tuple(found)


BLOCKED_PREFIX = "patrol-blocked-"
ENROLLED_PREFIX = "patrol-enrolled-"
CANARY = "patrol-canary"
"""What the mark of a PAT names that was made to be ended at once: no secret has this name, and none may."""
OWN_PREFIXES = (BLOCKED_PREFIX, ENROLLED_PREFIX, CANARY)
"""Of secrets that patrol keeps for itself; in lower case."""
