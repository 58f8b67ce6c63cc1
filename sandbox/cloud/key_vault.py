"""One Key Vault as pure state: secrets, versions, soft delete, paging, permissions.

Shapes and limits: Key Vault secrets REST reference and its published recordings.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sandbox.cloud.chance import Chance
from sandbox.cloud.key_vault_bundles import Bundles
from sandbox.cloud.key_vault_refusals import (
    VaultRefused,
    bad_parameter,
    being_deleted,
    deleted_not_found,
    forbidden,
    not_found,
)
from sandbox.cloud.key_vault_values import (
    MAX_CONTENT_TYPE,
    MAX_PAGE,
    MAX_TAG,
    MAX_TAGS,
    MAX_VALUE,
    NAME,
    SHORT_PAGE,
    Secret,
    VaultPage,
    Version,
)
from sandbox.cloud.switches import Switches

__all__ = ["Secret", "Vault", "VaultPage", "VaultRefused", "Version"]


class Vault:
    """A vault under its real host name. `denied` holds names of operations that answer 403."""

    def __init__(self, host: str, now: Callable[[], datetime], chance: Chance, switches: Switches) -> None:
        self.host = host.lower()
        self.name = self.host.partition(".")[0]
        self.denied: set[str] = set()
        self._bundles = Bundles(self.host)
        self._now = now
        self._chance = chance
        self._switches = switches
        self._secrets: dict[str, Secret] = {}
        self._deleted: dict[str, Secret] = {}
        self._order: list[str] = []
        self._creations: deque[datetime] = deque()

    # reading

    def secrets(self) -> list[Secret]:
        """Every live secret, by name."""
        return [self._secrets[key] for key in self._order]

    def deleted_secrets(self) -> list[Secret]:
        return list(self._deleted.values())

    def secret(self, name: str) -> Secret:
        """Raises KeyError when there is no live secret of that name."""
        return self._secrets[name.lower()]

    def get(self, name: str, version: str = "") -> dict[str, Any]:
        """A SecretBundle with its value. Raises VaultRefused."""
        self._permit("get", name)
        secret = self._find(name)
        self._settle(secret)
        found = self._version(secret, version)
        if not found.enabled:
            raise VaultRefused(
                403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner="SecretDisabled"
            )
        return self._bundles.of_version(secret, found, with_value=True)

    def list_secrets(self, max_results: int | None = None, skip: tuple[int, str] | None = None) -> VaultPage:
        """One page of all live secrets, disabled and expired ones included. Raises VaultRefused."""
        self._permit("list", "")
        return self._page(self._order, max_results, skip, lambda key: self._bundles.of_secret(self._secrets[key]))

    def list_versions(
        self, name: str, max_results: int | None = None, skip: tuple[int, str] | None = None
    ) -> VaultPage:
        """One page of versions, ascending by id: not by time; of an unknown name an empty one. Raises VaultRefused."""
        self._permit("versions", name)
        secret = self._secrets.get(name.lower())
        if secret is None:
            return VaultPage([], None)
        ids = sorted(secret.versions)
        return self._page(ids, max_results, skip, lambda key: self._bundles.of_version(secret, secret.versions[key]))

    # changing

    def settle(self) -> None:
        """As if every deletion and recovery had been some time ago."""
        for secret in (*self._secrets.values(), *self._deleted.values()):
            secret.settles_at, secret.refusals_left = 0.0, 0

    def set_secret(
        self,
        name: str,
        value: str,
        tags: Mapping[str, str] | None = None,
        content_type: str | None = None,
        enabled: bool = True,
        not_before: int | None = None,
        expires: int | None = None,
    ) -> dict[str, Any]:
        """A new version that inherits nothing from the one before. Raises VaultRefused."""
        self._permit("set", name)
        self._judge(name, value, tags or {}, content_type)
        key = name.lower()
        gone = self._deleted.get(key)
        if gone is not None:
            if gone.settling(self._now().timestamp()):
                raise being_deleted(name)
            message = (
                f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in "
                "this state, the secret can only be recovered or purged."
            )
            raise VaultRefused(409, "Conflict", message, inner="ObjectIsDeletedButRecoverable")
        self._throttle()
        self._chance.remember(value)
        secret = self._secrets.get(key)
        if secret is not None:
            self._judge_recovered(secret)
            secret.refusals_left = 0
        if secret is None:
            secret = self._secrets[key] = Secret(name)
            insort(self._order, key)
        now = self._seconds()
        version = Version(
            self._chance.hex32(), value, content_type, dict(tags or {}), enabled, not_before, expires, now, now
        )
        secret.versions[version.id] = version
        return self._bundles.of_version(secret, version, with_value=True)

    def seed(self, name: str, value: str, *, created: datetime | None = None, **details: Any) -> Version:
        """Put a version there past permissions, throttles and soft delete; `details` as in `set_secret`."""
        key = name.lower()
        secret = self._secrets.get(key)
        if secret is None:
            secret = self._secrets[key] = Secret(name)
            insort(self._order, key)
        stamp = self._seconds() if created is None else int(created.timestamp())
        version = Version(
            self._chance.hex32(),
            self._chance.remember(value),
            details.get("content_type"),
            dict(details.get("tags") or {}),
            details.get("enabled", True),
            details.get("not_before"),
            details.get("expires"),
            stamp,
            stamp,
        )
        secret.versions[version.id] = version
        return version

    def update(self, name: str, version: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH with a body as sent: an absent field stays, `tags` replaces the whole map. Raises VaultRefused."""
        self._permit("update", name)
        secret = self._find(name)
        self._judge_recovered(secret)
        found = self._version(secret, version)
        tags = changes.get("tags")
        content_type = changes.get("contentType")
        attributes = changes.get("attributes") or {}
        self._judge(secret.name, "", tags or {}, content_type)
        if tags is not None:
            found.tags = dict(tags)
        if content_type is not None:
            found.content_type = content_type
        if attributes.get("enabled") is not None:
            found.enabled = bool(attributes["enabled"])
        if attributes.get("exp") is not None:
            found.expires = int(attributes["exp"])
        if attributes.get("nbf") is not None:
            found.not_before = int(attributes["nbf"])
        found.updated = self._seconds()
        return self._bundles.of_version(secret, found)

    def delete(self, name: str) -> dict[str, Any]:
        """Soft delete of all versions; it is seen among the deleted a little later. Raises VaultRefused."""
        self._permit("delete", name)
        secret = self._find(name)
        self._judge_recovered(secret)
        key = name.lower()
        del self._secrets[key]
        self._order.remove(key)
        secret.deleted_at = self._seconds()
        secret.refusals_left = self._switches.delete_refusals
        secret.settles_at = self._now().timestamp() + self._switches.delete_settle_seconds
        self._deleted[key] = secret
        return self._bundles.of_deleted(secret)

    def get_deleted(self, name: str) -> dict[str, Any]:
        """Raises VaultRefused: 404 while the delete has not settled."""
        self._permit("deleted", name)
        secret = self._find_deleted(name)
        if secret.settling(self._now().timestamp()):
            secret.refusals_left = max(secret.refusals_left - 1, 0)
            raise deleted_not_found(name)
        return self._bundles.of_deleted(secret)

    def list_deleted(self, max_results: int | None = None, skip: tuple[int, str] | None = None) -> VaultPage:
        """One page of the deleted secrets whose deletion has settled. Raises VaultRefused."""
        self._permit("deleted", "")
        now = self._now().timestamp()
        settled = sorted(key for key, secret in self._deleted.items() if now >= secret.settles_at)
        return self._page(settled, max_results, skip, lambda key: self._bundles.of_deleted_item(self._deleted[key]))

    def recover(self, name: str) -> dict[str, Any]:
        """Bring all versions back; for a while reading them is 404 and writing them 409. Raises VaultRefused."""
        self._permit("recover", name)
        secret = self._find_deleted(name)
        self._judge_deleted(secret)
        key = name.lower()
        del self._deleted[key]
        secret.deleted_at = None
        secret.refusals_left = self._switches.recover_refusals
        secret.settles_at = self._now().timestamp() + self._switches.recover_settle_seconds
        self._secrets[key] = secret
        insort(self._order, key)
        return self._bundles.of_version(secret, secret.latest)

    def purge(self, name: str) -> None:
        """Raises VaultRefused."""
        self._permit("purge", name)
        self._judge_deleted(self._find_deleted(name))
        del self._deleted[name.lower()]

    def backup(self, name: str) -> str:
        """All versions as one opaque text, for `restore`. Raises VaultRefused."""
        self._permit("backup", name)
        secret = self._find(name)
        self._settle(secret)
        rows = [asdict(version) for version in secret.versions.values()]
        raw = json.dumps({"name": secret.name, "versions": rows}).encode()
        return self._chance.remember(base64.urlsafe_b64encode(raw).rstrip(b"=").decode())

    def restore(self, blob: str) -> dict[str, Any]:
        """Put a backup back under the ids of its versions. Raises VaultRefused; ValueError for no backup."""
        known = json.loads(base64.urlsafe_b64decode(blob + "=" * (-len(blob) % 4)))
        name = str(known["name"])
        self._permit("restore", name)
        key = name.lower()
        if key in self._secrets or key in self._deleted:
            raise VaultRefused(409, "Conflict", f"The secret {name} already exists.")
        secret = self._secrets[key] = Secret(name)
        insort(self._order, key)
        for row in known["versions"]:
            self._chance.remember(row["value"])
            secret.versions[row["id"]] = Version(**row)
        return self._bundles.of_version(secret, secret.latest)

    # inside

    def _seconds(self) -> int:
        return int(self._now().timestamp())

    def _permit(self, operation: str, name: str) -> None:
        if operation in self.denied:
            raise forbidden(self.name, operation, name)

    def _judge(self, name: str, value: str, tags: Mapping[str, str], content_type: str | None) -> None:
        if NAME.fullmatch(name) is None:
            raise bad_parameter("The request URI contains an invalid name.")
        if len(value.encode()) > MAX_VALUE:
            raise bad_parameter("The secret value is too long.")
        if len(tags) > MAX_TAGS:
            raise bad_parameter("Property has invalid value")
        if any(len(tag) > MAX_TAG or len(text) > MAX_TAG for tag, text in tags.items()):
            raise bad_parameter(f"A tag's name and value have at most {MAX_TAG} characters.")
        if content_type is not None and len(content_type) > MAX_CONTENT_TYPE:
            raise bad_parameter("The content type is too long.")

    def _throttle(self) -> None:
        limit = self._switches.vault_creations_per_10s
        if limit is None:
            return
        now = self._now()
        while self._creations and now - self._creations[0] >= timedelta(seconds=10):
            self._creations.popleft()
        if len(self._creations) >= limit:
            message = "The vault has too many requests. Reason: VaultRequestTypeLimitReached"
            raise VaultRefused(429, "Throttled", message, retry_after=self._switches.vault_retry_after)
        self._creations.append(now)

    def _find(self, name: str) -> Secret:
        try:
            return self._secrets[name.lower()]
        except KeyError:
            raise not_found(name) from None

    def _find_deleted(self, name: str) -> Secret:
        try:
            return self._deleted[name.lower()]
        except KeyError:
            raise deleted_not_found(name) from None

    def _settle(self, secret: Secret) -> None:
        """Raises VaultRefused 404 for a reader who comes before a recovery has settled."""
        if secret.settling(self._now().timestamp()):
            secret.refusals_left = max(secret.refusals_left - 1, 0)
            raise not_found(secret.name)

    def _judge_recovered(self, secret: Secret) -> None:
        """Raises VaultRefused 409 for a writer who comes before a recovery has settled."""
        if self._now().timestamp() < secret.settles_at:
            message = f"Secret {secret.name} is currently being recovered."
            raise VaultRefused(409, "Conflict", message, inner="ObjectIsBeingRecovered")

    def _judge_deleted(self, secret: Secret) -> None:
        """Raises VaultRefused 409 for whoever wants it back, or gone for good, before its deletion has settled."""
        if self._now().timestamp() < secret.settles_at:
            raise being_deleted(secret.name)

    def _version(self, secret: Secret, version: str) -> Version:
        if not version:
            return secret.latest
        try:
            return secret.versions[version.lower()]
        except KeyError:
            raise not_found(f"{secret.name}/{version}") from None

    def _page(
        self,
        keys: list[str],
        max_results: int | None,
        skip: tuple[int, str] | None,
        item: Callable[[str], dict[str, Any]],
    ) -> VaultPage:
        """`skip` = (number of the page, last key given). Of several pages the first two hold nothing or little."""
        if max_results is not None and not 1 <= max_results <= MAX_PAGE:
            raise bad_parameter(f"maxresults is 1 to {MAX_PAGE}.")
        size = min(max_results or MAX_PAGE, self._switches.vault_page_size)
        number, after = skip or (0, "")
        start = bisect_right(keys, after) if after else 0
        left = len(keys) - start
        if number == 0 and left <= size:
            return VaultPage([item(key) for key in keys], None)
        if self._switches.irregular_vault_pages and number < 2:
            short = number == 0 and self._switches.first_vault_pages == "short"
            size = min(size, SHORT_PAGE) if short else 0
        chosen = keys[start : start + size]
        more = left > size
        return VaultPage([item(key) for key in chosen], (number + 1, chosen[-1] if chosen else after) if more else None)
