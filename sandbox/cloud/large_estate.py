"""Estates of any size as data, for measuring: so many technical users with so many PATs each, in one organization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.cloud.seed import CLIENT, CREDENTIALS_VAULT, ORGANIZATIONS, PATS_VAULT, TENANT, deployment, mark

CONTENT_TYPE = "application/vnd.patrol.azure-devops-pat"
HEALTHY, NEAR_EXPIRY = ("-5d", "+25d"), ("-25d", "+5d")


@dataclass(frozen=True, slots=True)
class Size:
    """`due`: how many of all PATs, first users first, are near expiry; `versions`: how many the first secret has."""

    users: int
    each: int
    due: int = 0
    versions: int = 1

    @property
    def pats(self) -> int:
        return self.users * self.each


def user(number: int) -> str:
    return f"svc-{number:05d}@contoso.com"


def secret(number: int) -> str:
    return f"pat-{number:06d}"


def estate(size: Size) -> dict[str, Any]:
    """What `sandbox.seed.apply` takes."""
    users = [user(number) for number in range(size.users)]
    pats = [_pat(number, users[number // size.each], number < size.due) for number in range(size.pats)]
    before = [_former(age, users[0]) for age in range(size.versions - 1, 0, -1)]
    credentials = [{"name": "patrol-client-secret", "value": "sandbox-client-secret-demo", "created": "-90d"}]
    credentials += [
        {"name": f"password-{number:05d}", "value": f"sandbox-password-{number:05d}", "created": "-90d"}
        for number in range(size.users)
    ]
    return {
        "tenants": [{"domain": TENANT, "guid": "72f00000-0000-4000-8000-000000000001"}],
        "clients": [{"client_id": CLIENT, "secrets": ["sandbox-client-secret-demo"]}],
        "users": [{"upn": upn, "password": f"sandbox-password-{number:05d}"} for number, upn in enumerate(users)],
        "organizations": [{"name": "contoso", "guid": ORGANIZATIONS["contoso"], "members": users}],
        "pats": [*pats, *before],
        "vaults": [
            {
                "host": PATS_VAULT,
                "secrets": [_published(number, pat) for number, pat in enumerate(pats)]
                + [_published(0, pat) for pat in before],
            },
            {"host": CREDENTIALS_VAULT, "secrets": credentials},
        ],
    }


def inventory_text(size: Size) -> str:
    """The inventory that fits."""
    lines = [
        f"sign_in: {{tenant: {TENANT}, client_id: {CLIENT}, client_secret_name: patrol-client-secret}}",
        "defaults: {organization: contoso, lifetime: 30d, rotate_before: 7d, overlap: 1d}",
        "users:",
    ]
    for number in range(size.users):
        lines += [f"  - username: {user(number)}", f"    password_secret_name: password-{number:05d}", "    pats:"]
        first = number * size.each
        lines += [f"      - {{secret: {secret(one)}, scopes: [vso.code]}}" for one in range(first, first + size.each)]
    return "\n".join(lines) + "\n"


def _pat(number: int, owner: str, due: bool) -> dict[str, Any]:
    start, end = NEAR_EXPIRY if due else HEALTHY
    return {
        "owner": owner,
        "organization": "contoso",
        "display_name": mark(secret(number)),
        "scope": "vso.code",
        "valid_from": start,
        "valid_to": end,
        "authorization_id": f"a0000000-0000-4000-8000-{number:012d}",
    }


def _former(age: int, owner: str) -> dict[str, Any]:
    """What the first secret held so many times before, long since expired."""
    ended = {"valid_from": f"-{30 + 10 * age}d", "valid_to": f"-{1 + 10 * age}d"}
    return {**_pat(0, owner, False), **ended, "authorization_id": f"b0000000-0000-4000-8000-{age:012d}"}


def _published(number: int, pat: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": secret(number),
        "value_of": pat["authorization_id"],
        "content_type": CONTENT_TYPE,
        "created": pat["valid_from"],
        "tags": {
            "managed-by": deployment(),
            "authorization-id": pat["authorization_id"],
            "organization": "contoso",
            "organization-id": ORGANIZATIONS["contoso"],
            "username": pat["owner"],
            "scopes": pat["scope"],
        },
    }
