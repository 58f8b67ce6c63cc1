"""What the timer function `refresh_tokens` does. Where `pats.yaml` names no service principal it reads that file only:
no SDK is loaded, nothing is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from shared.model.errors import Misconfigured
from shared.settings import ROOT, pats_file
from shared.telemetry import event, quieten, with_run_id

if TYPE_CHECKING:
    from shared.wiring import MakeWorld

BUDGET = timedelta(minutes=8)
"""The next refresh comes after ten."""


class RefreshFailed(Exception):
    """Everything that could be refreshed was, and something was not: fails the invocation, so that alerts see it."""


def refresh_tokens(
    *,
    past_due: bool = False,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
    make_world: MakeWorld | None = None,
    enter: Callable[[], None] = lambda: None,
) -> None:
    """One refresh of all tokens; `enter` prepares each thread. Raises RefreshFailed after doing all it can."""
    if not _names_principals(environ, root):
        return
    from shared import wiring
    from shared.functions.invocation import failing_as, summary
    from shared.model.request import Request
    from shared.rotation.heartbeat import opening
    from shared.rotation.threads import Threads
    from shared.rotation.tokens import refresh

    quieten()
    request = Request(door="timer")
    with failing_as(RefreshFailed):
        with opening("refresh", event, request):
            tell = with_run_id(event, request.run_id)
            patrol = wiring.open(environ, root, BUDGET, make_world=make_world or wiring.world, tell=tell)
        if not patrol.inventory.token_keys():
            return  # the word was a comment's
        if past_due:
            event("schedule.late", function="refresh_tokens")
        threads = Threads(patrol.settings.parallel_users, enter)
        report = refresh(patrol.inventory, patrol.world, patrol.settings.mark, request, threads)
        if report.exit_code():
            raise RefreshFailed(summary(report))


def _names_principals(environ: Mapping[str, str], root: Path) -> bool:
    """Whether the inventory may name service principals. What is not read here may: then the refresh says so."""
    try:
        place = pats_file(environ, root)
        if not isinstance(place, Path):
            return True
        texts = list(place.glob("*.yaml")) if place.is_dir() else [place]
        return any("service_principals" in text.read_text(encoding="utf-8-sig") for text in texts)
    except (Misconfigured, OSError, ValueError):
        return True
