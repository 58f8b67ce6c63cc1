"""How Key Vault refuses, in its own words."""

from __future__ import annotations

ACTIONS = {
    "get": "getSecret",
    "set": "setSecret",
    "update": "setSecret",
    "list": "readMetadata",
    "versions": "readMetadata",
    "delete": "delete",
    "deleted": "readMetadata",
    "recover": "recover",
    "purge": "purge",
    "backup": "backup",
    "restore": "restore",
}
"""Operation → the data action that permits it."""


class VaultRefused(Exception):
    """An error answer: HTTP status, `code`, `inner` code or empty, message, seconds of Retry-After or None."""

    def __init__(self, status: int, code: str, message: str, inner: str = "", retry_after: int | None = None) -> None:
        super().__init__(f"{status} {code} {inner}".rstrip())
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner
        self.retry_after = retry_after


def forbidden(vault: str, operation: str, name: str) -> VaultRefused:
    """That the caller has no role for `operation` on the secret `name` of `vault`, its short name."""
    action = ACTIONS[operation]
    suffix = action if operation in ("delete", "recover", "purge") else f"{action}/action"
    lines = (
        "Caller is not authorized to perform action on resource.",
        (
            "If role assignments, deny assignments or role definitions were changed recently, please observe "
            "propagation time."
        ),
        (
            "Caller: appid=00000000-0000-0000-0000-000000000001;oid=00000000-0000-0000-0000-000000000002;"
            "iss=https://sts.windows.net/00000000-0000-0000-0000-000000000003/"
        ),
        f"Action: 'Microsoft.KeyVault/vaults/secrets/{suffix}'",
        (
            "Resource: '/subscriptions/sandbox/resourcegroups/sandbox/providers/microsoft.keyvault"
            f"/vaults/{vault}/secrets/{name.lower()}'"
        ),
        "Assignment: (not found)",
        f"Vault: {vault};location=sandbox",
    )
    return VaultRefused(403, "Forbidden", "\r\n".join(lines), inner="ForbiddenByRbac")


def not_found(name: str) -> VaultRefused:
    message = (
        f"A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may "
        "be able to recover it using the correct recovery command. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125182"
    )
    return VaultRefused(404, "SecretNotFound", message)


def deleted_not_found(name: str) -> VaultRefused:
    return VaultRefused(404, "SecretNotFound", f"Deleted Secret not found: {name}")


def being_deleted(name: str) -> VaultRefused:
    message = f"Secret {name} is currently being deleted and cannot be re-created; retry later."
    return VaultRefused(409, "Conflict", message, inner="ObjectIsBeingDeleted")


def bad_parameter(message: str) -> VaultRefused:
    return VaultRefused(400, "BadParameter", message)
