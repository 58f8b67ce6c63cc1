"""What was seen of one item, put together from the vault's listing and a user's listing of PATs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from shared.model import tags
from shared.model.clock import VaultInstant
from shared.model.errors import Absent, Code, Denied, Misconfigured, PatrolError
from shared.model.items import Item, User
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import OwnedPats, PatApi, Vault
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
from shared.model.vaults import VaultAddress
from shared.rotation.threads import Threads
from shared.rules import lock_out
from shared.rules.orphans import held_by_current
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
    found = vault.look(name).seen
    if found is None:
        return Nothing(deleted=vault.is_deleted(name))
    return _classified(name, found, vault, mark)


def _classified(name: str, found: SecretSeen, vault: Vault, mark: Mark) -> Secret:
    whose = classify(found.tags, mark)
    if isinstance(whose, Unmarked) and found.content_type != CONTENT_TYPE:
        whose = classify(found.tags, mark, vault.versions(name))
    if isinstance(whose, Unmarked):
        # The content type is nobody's but patrol's: somebody took the tags off a value that consumers may use.
        edited = whose.edited or found.content_type == CONTENT_TYPE
        return Unmarked(edited, found.tags, found.created, found.expires_on)
    stamp = tags.read(found.tags)
    if whose is None and stamp is not None:
        return Published(stamp, found.created, found.expires_on, found.enabled, found.tags)
    return whose or Unmarked(tags=found.tags, created=found.created, expires_on=found.expires_on)


def item_seen(
    item: Item,
    secret: Secret,
    listed: Mapping[PatId, Pat],
    api: PatApi,
    vault: Vault,
    mark: Mark,
    now: VaultInstant,
) -> Seen:
    """Add what the API knows of the current PAT; one that is not listed is looked up before it counts as gone.

    Tags are a hint: a PAT is the current one where the version ends when it does. Where they name one that is not
    there, not ours or another generation, while a live one of ours may be what the version holds, somebody edited the
    secret (rules 4 and 10).
    """

    def ours() -> list[Pat]:
        # Only where the tag does not settle it: over all items of a user this grows with the square of them.
        return [pat for pat in listed.values() if mark.secret_of(pat.display_name) == item.key]

    if isinstance(secret, Unmarked):
        created = secret.created
        suspect = created and held_by_current(created, secret.expires_on, None, (), ours())
        return Seen(replace(secret, edited=secret.edited or suspect is not None))
    if not isinstance(secret, Published):
        return Seen(secret)
    current = secret.stamp.authorization_id
    pat, lives = _named(item, secret, listed, mark), True
    if pat is not None and mark.secret_of(pat.display_name) == item.key and pat.validity.ends == secret.expires_on:
        return Seen(secret, pat=pat)
    if pat is None:
        if item.decommission or not same_owner(item, secret.stamp):
            return Seen(secret)
        pat, lives = find_unlisted(api, item.organization, current, now)
    if _holds_another(item, secret, pat, ours(), api):
        return Seen(Unmarked(True, secret.tags, secret.created, secret.expires_on))
    if pat is not None and _is_misnamed(item, secret, pat, vault, mark):
        return Seen(secret, gone=True, misnamed=True)
    return Seen(secret, pat=pat if lives else None, gone=not lives)


def _named(item: Item, secret: Published, listed: Mapping[PatId, Pat], mark: Mark) -> Pat | None:
    """The listed PAT that the tags name. Where the owner is another than the version's, it has to be more than named to
    be a witness that the owner's name changed: by what it is called, or by when it ends.
    """
    pat = listed.get(secret.stamp.authorization_id)
    if pat is None or same_owner(item, secret.stamp) or pat.validity.ends == secret.expires_on:
        return pat
    return None if mark.secret_of(pat.display_name) is None else pat


def _holds_another(item: Item, secret: Published, pat: Pat | None, ours: Iterable[Pat], api: PatApi) -> bool:
    """Whether a live PAT of ours may be what the version holds, and not `pat`, which its tags name."""
    current = secret.stamp.authorization_id
    named = [current, *(predecessor.id for predecessor in secret.stamp.predecessors)]

    def may_hold_another(known: Pat | None) -> bool:
        return held_by_current(secret.created, secret.expires_on, known, named, ours) is not None

    return may_hold_another(pat) and may_hold_another(pat or _revoked(api, item.organization, current))


def _is_misnamed(item: Item, secret: Published, pat: Pat, vault: Vault, mark: Mark) -> bool:
    """Whether the PAT that the tags name is certainly not what the version holds, so that this value is nobody's.

    Another item's never is. One of this item's is not where an older version holds it; a renewal that was killed
    between its two writes looks the same but for that.
    """
    whose = mark.secret_of(pat.display_name)
    if whose is None or pat.validity.ends == secret.expires_on:
        return whose not in (None, item.key)
    if whose != item.key:
        return True
    versions = vault.versions(item.secret)
    return any(version.names(pat.id) and version.created < secret.created for version in versions)


def _revoked(api: PatApi, organization: str, pat: PatId) -> Pat | None:
    """A PAT that Get does not know, as the listing of revoked ones goes on showing it for months; None: it does not.

    What ended before it was replaced (an emergency that revokes first) still is what the version says it is.
    """
    return next((found for found in api.by_state(organization, "revoked") if found.id == pat), None)


def owner_of(versions: Iterable[VersionSeen], pat: PatId) -> Owner | None:
    """Who minted a PAT, by the version that names it; of one from a vault that its item left, by its successor's: an
    item that moves keeps its owner.
    """
    oldest_first = sorted(versions, key=lambda version: version.created)
    stamps = [version.stamp for version in oldest_first if version.stamp is not None]
    named = [stamp for stamp in stamps if stamp.authorization_id == pat]
    succeeded = [stamp for stamp in stamps if any(old.id == pat for old in stamp.predecessors)]
    return next((Owner(stamp.username, stamp.organization) for stamp in (*named, *succeeded)), None)


def find_unlisted(api: OwnedPats, organization: str, pat: PatId, now: VaultInstant) -> tuple[Pat | None, bool]:
    """A PAT that the listing of active ones does not show, and whether it lives (rule 5).

    Dead is what Get does not know, what is expired, and what the listing of revoked ones names.
    """
    try:
        found = api.get(organization, pat)
    except Absent:
        return None, False
    return found, found.validity.ends > now and pat not in api.revoked(organization)


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


def look_up(
    user: User, address: VaultAddress, wanted: frozenset[str] | None, vault: Vault, threads: Threads
) -> VaultListing:
    """What a vault has of one user: its remembered refusal, and its items there, only those `wanted` if given.

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

    mine = [item for item in user.items if item.vault == address]
    keys = [item.key for item in mine if wanted is None or item.place in wanted]
    threads.side_by_side([partial(look, key) for key in keys])
    return VaultListing(found, found.ahead)
