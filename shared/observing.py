"""What was seen of one item, put together from the vault's listing and a user's listing of PATs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from shared import tags
from shared.model import Item, Pat, PatId, VaultListing, VersionSeen
from shared.planning import (
    same_owner,
)
from shared.ports import PatApi, Vault
from shared.retiring import look
from shared.seen import (
    Nothing,
    Published,
    Secret,
    Seen,
    Unmarked,
    classify,
)
from shared.tags import Mark


def secret_seen(name: str, listing: VaultListing, vault: Vault, mark: Mark, *, look_for_deleted: bool = True) -> Secret:
    """The secret as the listing shows it.

    Asks further only where the listing cannot tell: a missing name may be soft-deleted (rule 11), an unmarked version
    may lie on top of marked ones (rule 10).
    """
    row = listing.secrets.get(name.casefold())
    if row is None:
        return Nothing(deleted=look_for_deleted and vault.is_deleted(name))
    whose = classify(row.tags, mark)
    if isinstance(whose, Unmarked):
        whose = classify(row.tags, mark, vault.versions(name))
    stamp = tags.read(row.tags)
    if whose is None and stamp is not None:
        return Published(stamp, row.created, row.expires_on, row.enabled, row.tags)
    return whose or Unmarked(tags=row.tags)


def item_seen(item: Item, secret: Secret, listed: Mapping[PatId, Pat], api: PatApi, now: datetime) -> Seen:
    """Add what the API knows of the current PAT; one that is not listed is looked up before it counts as gone."""
    if not isinstance(secret, Published):
        return Seen(secret)
    current = secret.stamp.authorization_id
    if current in listed:
        return Seen(secret, pat=listed[current])
    if item.decommission or not same_owner(item, secret.stamp):
        return Seen(secret)
    found = look(api, item.organization, current, now)
    return Seen(secret, pat=found, gone=found is None)


def as_published(version: VersionSeen) -> Published | None:
    """The facts of a version that patrol wrote; None when its tags are not patrol's."""
    stamp = tags.read(version.tags)
    if stamp is None:
        return None
    return Published(stamp, version.created, version.expires_on, version.enabled, version.tags)
