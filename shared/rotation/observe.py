"""What was seen of one item, put together from the vault's listing and a user's listing of PATs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from shared.model import tags
from shared.model.errors import Absent, Code, Denied, Misconfigured, PatrolError
from shared.model.items import Item, User
from shared.model.pats import Pat, PatId
from shared.model.ports import PatApi, Vault
from shared.model.secret_state import (
    CONTENT_TYPE,
    Nothing,
    Published,
    Secret,
    SecretSeen,
    Seen,
    Unmarked,
    VaultListing,
    VersionSeen,
    classify,
)
from shared.model.tags import Mark
from shared.rotation.retire import look
from shared.rotation.threads import Threads
from shared.rules import lock_out
from shared.rules.plan import (
    same_owner,
)


def secret_seen(name: str, listing: VaultListing, vault: Vault, mark: Mark, *, look_for_deleted: bool = True) -> Secret:
    """The secret as the listing shows it.

    Asks further only where the listing cannot tell: a missing name may be soft-deleted (rule 11), an unmarked version
    may lie on top of marked ones (rule 10).
    """
    row = listing.secrets.get(name.casefold())
    if row is None:
        return Nothing(deleted=look_for_deleted and vault.is_deleted(name))
    return _classified(name, row, vault, mark)


def secret_again(name: str, vault: Vault, mark: Mark) -> Secret:
    """The secret as it is now: another runner may have worked on it since the listing."""
    try:
        version = vault.current(name).seen
    except Absent:
        return Nothing(deleted=vault.is_deleted(name))
    except Denied as refusal:
        if refusal.code is not Code.DISABLED:
            raise
        version = max(vault.versions(name), key=lambda one: one.created)
    return _classified(name, version, vault, mark)


def _classified(name: str, seen: SecretSeen | VersionSeen, vault: Vault, mark: Mark) -> Secret:
    whose = classify(seen.tags, mark)
    if isinstance(whose, Unmarked) and seen.content_type == CONTENT_TYPE:
        # Nobody but patrol writes it: somebody took the tags off a value that consumers may use. As an orphan, its PAT
        # would be ended.
        return Unmarked(edited=True, tags=seen.tags)
    if isinstance(whose, Unmarked):
        whose = classify(seen.tags, mark, vault.versions(name))
    stamp = tags.read(seen.tags)
    if whose is None and stamp is not None:
        return Published(stamp, seen.created, seen.expires_on, seen.enabled, seen.tags)
    return whose or Unmarked(tags=seen.tags)


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


class LazyListing(Mapping[str, SecretSeen]):
    """By casefolded name. Asking for a name looks it up, once; iterating gives what was looked up.

    Looking may fail as `ports.Vault.look` does: absence needs proof (rule 5), so a failure is not a missing secret.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._seen: dict[str, SecretSeen | None] = {}
        self.ahead = timedelta(0)

    def __getitem__(self, key: str) -> SecretSeen:
        if key not in self._seen:
            looked = self._vault.look(key)
            self.ahead = self.ahead or looked.ahead
            self._seen[key] = looked.seen
        seen = self._seen[key]
        if seen is None:
            raise KeyError(key)
        return seen

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, seen in self._seen.items() if seen is not None])

    def __len__(self) -> int:
        return sum(seen is not None for seen in self._seen.values())


def look_up(user: User, names: frozenset[str] | None, vault: Vault, threads: Threads) -> VaultListing:
    """What the vault has of one user: its remembered refusal, and its items, only those of `names` if given.

    Raises Misconfigured when the vault cannot be read at all; an item that cannot be looked at fails later, alone.
    """
    found = LazyListing(vault)
    try:
        found.get(lock_out.note_name(user.username))
    except Denied as failure:
        raise Misconfigured(failure.code, failure.cause, failure.remedy) from None
    except PatrolError as failure:
        raise Misconfigured(Code.VAULT_UNREACHABLE, failure.cause, failure.remedy) from None

    def look(key: str) -> None:
        with suppress(PatrolError):
            found.get(key)

    wanted = [item.key for item in user.items if names is None or item.key in names]
    threads.side_by_side([partial(look, key) for key in wanted])
    return VaultListing(found, found.ahead)
