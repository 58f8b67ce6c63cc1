"""Who reads what is published, asked of the vault's log: for a run that would end a predecessor, and for who looks.

A log never fails a run (promise 5): what it does not tell is said, and holds where pats.yaml asks for that (rule 18).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from shared.model.errors import Code, NotDone, PatrolError, defect
from shared.model.ports import VaultLogs
from shared.model.readers import VaultLogSeen

LOOK_BACK = timedelta(days=90)
"""How far back a log is asked; a workspace may keep less."""


class LogsOfRun:
    """What the logs of vaults tell, each asked once in a run: a failure counts for the rest of it as well."""

    def __init__(self, logs: VaultLogs | None) -> None:
        self._logs = logs
        self._lock = Lock()
        self._known: dict[str, VaultLogSeen | PatrolError] = {}

    @property
    def any(self) -> bool:
        """Whether a setting names logs."""
        return self._logs is not None

    def seen(self, vault_host: str, now: datetime) -> VaultLogSeen | PatrolError:
        """The log, or why it could not be read; never raises."""
        with self._lock:
            if vault_host not in self._known:
                self._known[vault_host] = self._ask(vault_host, now)
            return self._known[vault_host]

    def _ask(self, vault_host: str, now: datetime) -> VaultLogSeen | PatrolError:
        if self._logs is None:
            cause = "VAULT_LOGS names no log of a vault, so nobody knows who reads."
            return NotDone(Code.LOGS_UNREADABLE, cause, "Set it (docs/readers.md), or take `hold_for_readers` away.")
        try:
            return self._logs.seen(vault_host, now - LOOK_BACK)
        except PatrolError as failure:
            return failure
        except Exception as failure:  # noqa: BLE001  # no log is worth a run
            return defect(failure)
