"""What people use today, to measure against: one PAT after the other create, set the secret, revoke the old one.

Requests and nothing else. `python -m sandbox.plain_loop USERS EACH`, on an estate of large_estate.py.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta

import requests

from sandbox.cloud.large_estate import secret, user
from sandbox.cloud.seed import CLIENT, TENANT

PATS = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats"
VERSION = {"api-version": "7.1-preview.1"}


def main(users: int, each: int) -> None:
    session = requests.Session()
    vault = os.environ["KEY_VAULT_URL"]
    identity = session.get(
        os.environ["IDENTITY_ENDPOINT"],
        params={"resource": "https://vault.azure.net", "api-version": "2019-08-01"},
        headers={"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]},
        timeout=60,
    ).json()["access_token"]
    ends = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in range(users):
        form = {
            "grant_type": "password",
            "client_id": CLIENT,
            "client_secret": "sandbox-client-secret-demo",
            "username": user(number),
            "password": f"sandbox-password-{number:05d}",
            "scope": "499b84ac-1321-427f-aa17-267ca6975798/.default",
        }
        answer = session.post(f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token", data=form, timeout=60)
        token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        for item in range(number * each, (number + 1) * each):
            wanted = {"displayName": f"by hand {item}", "scope": "vso.code", "validTo": ends, "allOrgs": False}
            made = session.post(PATS, params=VERSION, json=wanted, headers=token, timeout=60).json()["patToken"]
            body = {"value": made["token"]}
            written = session.put(
                f"{vault}/secrets/{secret(item)}?api-version=7.4",
                json=body,
                headers={"Authorization": f"Bearer {identity}"},
                timeout=60,
            )
            written.raise_for_status()
            old = {**VERSION, "authorizationId": f"a0000000-0000-4000-8000-{item:012d}"}
            session.delete(PATS, params=old, headers=token, timeout=60).raise_for_status()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
