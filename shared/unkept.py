"""Where no storage is configured (a laptop, a cron job): reports go to whoever asked, and are kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from shared.errors import Code, Misconfigured
from shared.kept_runs import Brief, KeptRun, PartDone
from shared.model import User


class Unkept:
    """`ports.Runs` without a storage."""

    def keep(self, run: KeptRun) -> bool:  # noqa: ARG002  # nowhere
        return False

    def add(self, run_id: str, part: PartDone, of: int) -> bool:  # noqa: ARG002  # nobody keeps it
        return False

    def read(self, run_id: str) -> KeptRun | None:  # noqa: ARG002  # nothing is kept under any id
        raise _no_storage()

    def latest(self, most: int, *, settled: bool = True) -> tuple[Brief, ...]:  # noqa: ARG002  # there are none
        raise _no_storage()

    def looked(self, user: User) -> None:
        """Nobody remembers."""

    def looks(self) -> Mapping[str, datetime]:
        return {}


def _no_storage() -> Misconfigured:
    return Misconfigured(
        Code.SETTINGS_INVALID,
        "Reports are not kept: no storage of a Functions host is configured.",
        "Set AzureWebJobsStorage, or AzureWebJobsStorage__accountName and its companions (README, Settings).",
    )
