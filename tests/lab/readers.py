"""Readers of an estate: a vault whose log patrol may read, and identities that read its secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import requests

from sandbox.cloud.seed import PATS_VAULT
from sandbox.cloud.vault_log import resource_of
from sandbox.process.in_process import session_for
from tests.lab.lab import Lab, item

AGENT = "a9e00000-0000-4000-8000-000000000009"
SONAR_APP = "50000000-0000-4000-8000-000000000005"
RESOURCE = resource_of(PATS_VAULT)
DELAYED = timedelta(minutes=6)
"""After it a row can be found."""


def logged(table: str = "AZKVAuditLogs", **more: Any) -> Lab:
    """A lab whose vault is logged to this table from now on; `more` are keys of its one item."""
    lab = Lab([item(**more)], environment={"VAULT_LOGS": RESOURCE})
    lab.cloud.switches.vault_log_table = table
    return lab


def reads(lab: Lab, who: str = AGENT, secret: str = "build-pat", version: str = "") -> requests.Response:
    """One read as somebody's workload does it."""
    token = lab.cloud.directory.application_token("https://vault.azure.net", who)[0]
    url = f"https://{PATS_VAULT}/secrets/{secret}/{version}?api-version=7.6"
    return session_for(lab.cloud).get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5)
