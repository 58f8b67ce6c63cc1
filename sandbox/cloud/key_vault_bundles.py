"""Secrets and their versions as Key Vault answers with them."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.key_vault_values import RECOVERABLE_DAYS, Secret, Version


class Bundles:
    """Wire objects of the vault under `host`."""

    def __init__(self, host: str) -> None:
        self._host = host

    def of_version(self, secret: Secret, version: Version, *, with_value: bool = False) -> dict[str, Any]:
        """A SecretBundle, or the SecretItem of one version."""
        bundle: dict[str, Any] = {"value": version.value} if with_value else {}
        if version.content_type is not None:
            bundle["contentType"] = version.content_type
        bundle["id"] = f"https://{self._host}/secrets/{secret.name}/{version.id}"
        bundle["attributes"] = _attributes(version)
        if version.tags:
            bundle["tags"] = dict(version.tags)
        return bundle

    def of_secret(self, secret: Secret) -> dict[str, Any]:
        """The SecretItem of a listing: what its newest version says, under the secret's own id."""
        return {**self.of_version(secret, secret.latest), "id": f"https://{self._host}/secrets/{secret.name}"}

    def of_deleted(self, secret: Secret) -> dict[str, Any]:
        """A DeletedSecretBundle; it has no value."""
        return {**self.of_version(secret, secret.latest), **self._deletion(secret)}

    def of_deleted_item(self, secret: Secret) -> dict[str, Any]:
        """A DeletedSecretItem of a listing."""
        return {**self.of_secret(secret), **self._deletion(secret)}

    def _deletion(self, secret: Secret) -> dict[str, Any]:
        at = secret.deleted_at or 0
        return {
            "recoveryId": f"https://{self._host}/deletedsecrets/{secret.name}",
            "deletedDate": at,
            "scheduledPurgeDate": at + RECOVERABLE_DAYS * 86400,
        }


def _attributes(version: Version) -> dict[str, Any]:
    attributes: dict[str, Any] = {"enabled": version.enabled}
    if version.not_before is not None:
        attributes["nbf"] = version.not_before
    if version.expires is not None:
        attributes["exp"] = version.expires
    attributes["created"] = version.created
    attributes["updated"] = version.updated
    attributes["recoveryLevel"] = "Recoverable+Purgeable"
    attributes["recoverableDays"] = RECOVERABLE_DAYS
    return attributes
