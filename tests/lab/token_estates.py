"""Estates with one service principal whose token is published, for the tests of tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.key_vault import Version
from sandbox.cloud.seed import PATS_VAULT, small_estate
from tests.lab.lab import Lab

APP = "22222222-0000-4000-8000-000000000001"
SECRET = "ado-token"
APP_SECRET = "sandbox-secret-of-the-app"
OTHER_APP, OTHER_SECRET = "22222222-0000-4000-8000-000000000002", "sandbox-secret-of-another"


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def estate(**more: Any) -> dict[str, Any]:
    """The small estate, with two service principals; the second one is a member of no organization."""
    made = small_estate()
    made["clients"] = [
        *made["clients"],
        {"client_id": APP, "secrets": [APP_SECRET]},
        {"client_id": OTHER_APP, "secrets": [OTHER_SECRET]},
    ]
    (contoso,) = made["organizations"]
    made["organizations"] = [{**contoso, "members": [*contoso["members"], APP]}]
    pats, credentials = made["vaults"]
    secrets = [
        *credentials["secrets"],
        {"name": "app-secret", "value": APP_SECRET, "created": "-90d"},
        {"name": "other-app-secret", "value": OTHER_SECRET, "created": "-90d"},
    ]
    return {**made, "vaults": [pats, {**credentials, "secrets": secrets}], **more}


def principal(secret: str = SECRET, client_id: str = APP, name: str = "app-secret", **token: Any) -> dict[str, Any]:
    return {"client_id": client_id, "client_secret_name": name, "entra_token": {"secret": secret, **token}}


def lab(*principals: dict[str, Any], quick: bool = True, **more: Any) -> Lab:
    return Lab(principals=list(principals) or [principal()], estate=estate(), quick=quick, **more)


def published(quick: bool = True, **token: Any) -> Lab:
    made = lab(principal(**token), quick=True)
    made.refresh()
    made.quick = quick
    return made


def left(made: Lab, secret: str = SECRET) -> timedelta:
    """How much longer a consumer that reads the secret now can use its value; nothing where it cannot."""
    vault = made.cloud.vaults[PATS_VAULT]
    try:
        current = vault.secret(secret).latest
    except KeyError:
        return timedelta(0)
    bearer = made.cloud.directory.bearer(current.value, AZURE_DEVOPS)
    if not current.enabled or bearer is None:
        return timedelta(0)
    return bearer.expires - made.cloud.now()


def versions(made: Lab, secret: str = SECRET) -> list[Version]:
    """Oldest first."""
    return sorted(made.vault.secret(secret).versions.values(), key=lambda version: version.created)


def expires(version: Version) -> datetime:
    assert version.expires is not None
    return datetime.fromtimestamp(version.expires, UTC)
