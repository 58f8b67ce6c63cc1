"""Readers of an estate: a vault whose log patrol may read, and identities that read its secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import requests

from sandbox.cloud.seed import PATS_VAULT
from sandbox.cloud.vault_log import resource_of
from sandbox.process.in_process import session_for
from shared.model.clock import Clock
from shared.model.errors import Code, Unclear
from shared.model.readers import Asked, Reader, VaultLogSeen
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


@dataclass(frozen=True, slots=True)
class Read:
    """One read of a published value."""

    at: datetime
    host: str
    who: str
    secret: str
    version: str
    value: str


@dataclass
class FakeLogs:
    """`ports.VaultLogs` in memory, minutes late; `down`: it gives no answer."""

    clock: Clock
    reads: list[Read] = field(default_factory=list)
    down: bool = False

    def seen(self, vault_host: str, since: datetime) -> VaultLogSeen:
        if self.down:
            raise Unclear(Code.LOGS_UNREADABLE, "gave no answer", "-")
        until = self.clock.now() - DELAYED
        there = [one for one in self.reads if one.host == vault_host and since <= one.at <= until]
        asked = [Asked(Reader(one.who), one.secret, one.version, False, True, one.at, one.at) for one in there]
        return VaultLogSeen(tuple(asked), until, {one.who: one.at for one in there})
