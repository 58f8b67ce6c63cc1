"""The plain loop as it is shown most: azure-identity signs in, azure-keyvault-secrets publishes, requests creates.

A credential for each user, one client of the vault, a connection for each call of `requests`; create, publish, revoke.
`python -m sandbox.bench.as_blogs_show USERS EACH`, on an estate of large_estate.py.
"""

from __future__ import annotations

import os
import sys
import warnings
from datetime import UTC, datetime, timedelta

import requests
from azure.identity import DefaultAzureCredential, UsernamePasswordCredential
from azure.keyvault.secrets import SecretClient

from sandbox.bench.plain_loop import PATS, VERSION
from sandbox.cloud.large_estate import secret, user
from sandbox.cloud.seed import CLIENT, TENANT

DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798/.default"


def main(users: int, each: int) -> None:
    vault = SecretClient(os.environ["KEY_VAULT_URL"], DefaultAzureCredential())
    ends = datetime.now(UTC) + timedelta(days=30)
    for number in range(users):
        credential = _signs_in(number)
        for item in range(number * each, (number + 1) * each):
            token = {"Authorization": f"Bearer {credential.get_token(DEVOPS).token}"}
            wanted = {
                "displayName": f"by hand {item}",
                "scope": "vso.code",
                "validTo": ends.isoformat(),
                "allOrgs": False,
            }
            answer = requests.post(PATS, params=VERSION, json=wanted, headers=token, timeout=60)
            answer.raise_for_status()
            vault.set_secret(secret(item), answer.json()["patToken"]["token"], expires_on=ends)
            old = {**VERSION, "authorizationId": f"a0000000-0000-4000-8000-{item:012d}"}
            requests.delete(PATS, params=old, headers=token, timeout=60).raise_for_status()


def _signs_in(number: int) -> UsernamePasswordCredential:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return UsernamePasswordCredential(
            CLIENT,
            user(number),
            f"sandbox-password-{number:05d}",
            tenant_id=TENANT,
            client_credential="sandbox-client-secret-demo",
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
