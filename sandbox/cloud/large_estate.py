"""Estates of any size as data, for measuring: so many technical users with so many PATs each, in one organization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.cloud.seed import CLIENT, CREDENTIALS_VAULT, ORGANIZATIONS, PATS_VAULT, TENANT, deployment

CONTENT_TYPE = "application/vnd.patrol.azure-devops-pat"
HEALTHY, NEAR_EXPIRY = ("-5d", "+25d"), ("-25d", "+5d")


@dataclass(frozen=True, slots=True)
class Size:
    """`due`: how many of all PATs, first users first, are near expiry; `versions`: how many the first secret has.

    `vaults`: each user's PATs are spread over so many. `refused`: the vault has none of the users' passwords right.
    """

    users: int
    each: int
    due: int = 0
    versions: int = 1
    vaults: int = 1
    refused: bool = False

    @property
    def pats(self) -> int:
        return self.users * self.each


RECIPIENT = {"host": "hooks.contoso.com", "kind": "webhook", "vault": CREDENTIALS_VAULT, "secret": "patrol-hook-url"}
NOTIFY = "notify: [{kind: webhook, url_secret_name: patrol-hook-url}]"
OURS = f"{deployment().rpartition('-')[0]}-"
"""What the mark of the deployment begins with in every vault."""


def vault(number: int) -> str:
    """The host of one of the vaults; the first is that of KEY_VAULT_URL."""
    return f"kv-{number:02d}.vault.azure.net" if number else PATS_VAULT


def user(number: int) -> str:
    return f"svc-{number:05d}@contoso.com"


def secret(number: int) -> str:
    return f"pat-{number:06d}"


def estate(size: Size) -> dict[str, Any]:
    """What `sandbox.seed.apply` takes."""
    users = [user(number) for number in range(size.users)]
    hosts = [vault(number) for number in range(size.vaults)]
    pats = [
        _pat(number, users[number // size.each], number < size.due, hosts[number % size.vaults])
        for number in range(size.pats)
    ]
    before = [_former(age, users[0]) for age in range(size.versions - 1, 0, -1)]
    published: dict[str, list[dict[str, Any]]] = {host: [] for host in hosts}
    for number, pat in enumerate(pats):
        host = hosts[number % size.vaults]
        published[host].append(_published(number, pat, host))
    published[PATS_VAULT] += [_published(0, pat, PATS_VAULT) for pat in before]
    credentials = [{"name": "patrol-client-secret", "value": "sandbox-client-secret-demo", "created": "-90d"}]
    kept = "former-password" if size.refused else "sandbox-password"
    credentials += [
        {"name": f"password-{number:05d}", "value": f"{kept}-{number:05d}", "created": "-90d"}
        for number in range(size.users)
    ]
    return {
        "tenants": [{"domain": TENANT, "guid": "72f00000-0000-4000-8000-000000000001"}],
        "clients": [{"client_id": CLIENT, "secrets": ["sandbox-client-secret-demo"]}],
        "users": [{"upn": upn, "password": f"sandbox-password-{number:05d}"} for number, upn in enumerate(users)],
        "organizations": [{"name": "contoso", "guid": ORGANIZATIONS["contoso"], "members": users}],
        "pats": [*pats, *before],
        # The sandbox takes the second one for that of the credentials.
        "vaults": [
            {"host": PATS_VAULT, "secrets": published.pop(PATS_VAULT)},
            {"host": CREDENTIALS_VAULT, "secrets": credentials},
            *({"host": host, "secrets": secrets} for host, secrets in published.items()),
        ],
        "recipients": [RECIPIENT],
    }


def inventory_text(size: Size) -> str:
    """The inventory that fits."""
    lines = [
        f"sign_in: {{tenant: {TENANT}, client_id: {CLIENT}, client_secret_name: patrol-client-secret}}",
        "defaults: {organization: contoso, lifetime: 30d, rotate_before: 7d, overlap: 1d}",
        *((NOTIFY,) if size.refused else ()),
        "users:",
    ]
    for number in range(size.users):
        lines += [f"  - username: {user(number)}", f"    password_secret_name: password-{number:05d}", "    pats:"]
        first = number * size.each
        lines += [_item(one, one % size.vaults) for one in range(first, first + size.each)]
    return "\n".join(lines) + "\n"


def _item(number: int, at: int) -> str:
    where = f", vault: 'https://{vault(at)}'" if at else ""
    return f"      - {{secret: {secret(number)}, scopes: [vso.code]{where}}}"


def _pat(number: int, owner: str, due: bool, host: str) -> dict[str, Any]:
    start, end = NEAR_EXPIRY if due else HEALTHY
    return {
        "owner": owner,
        "organization": "contoso",
        "display_name": f"{_deployment(host)}/{secret(number)}",
        "scope": "vso.code",
        "valid_from": start,
        "valid_to": end,
        "authorization_id": f"a0000000-0000-4000-8000-{number:012d}",
    }


def _former(age: int, owner: str) -> dict[str, Any]:
    """What the first secret held so many times before, long since expired."""
    ended = {"valid_from": f"-{30 + 10 * age}d", "valid_to": f"-{1 + 10 * age}d"}
    return {**_pat(0, owner, False, PATS_VAULT), **ended, "authorization_id": f"b0000000-0000-4000-8000-{age:012d}"}


def _deployment(host: str) -> str:
    return deployment(host, PATS_VAULT.partition(".")[0])


def _published(number: int, pat: dict[str, Any], host: str) -> dict[str, Any]:
    return {
        "name": secret(number),
        "value_of": pat["authorization_id"],
        "content_type": CONTENT_TYPE,
        "created": pat["valid_from"],
        "tags": {
            "managed-by": _deployment(host),
            "authorization-id": pat["authorization_id"],
            "organization": "contoso",
            "organization-id": ORGANIZATIONS["contoso"],
            "username": pat["owner"],
            "scopes": pat["scope"],
        },
    }
