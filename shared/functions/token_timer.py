"""What the timer function `refresh_tokens` does. Where `pats.yaml` names no service principal it reads that file only:
no SDK is loaded, nothing is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from shared.model.errors import Code, PatrolError, place_of
from shared.telemetry import event, quieten

if TYPE_CHECKING:
    from shared.model.items import Inventory
    from shared.rotation.world import World
    from shared.settings import Settings

BUDGET = timedelta(minutes=8)
"""The next refresh comes after ten."""

MakeWorld = Callable[["Settings", timedelta], "World"]


class RefreshFailed(Exception):
    """Everything that could be refreshed was, and something was not: fails the invocation, so that alerts see it."""


def refresh_tokens(
    *,
    past_due: bool = False,
    environ: Mapping[str, str] = os.environ,
    root: Path | None = None,
    make_world: MakeWorld | None = None,
    enter: Callable[[], None] = lambda: None,
) -> None:
    """One refresh of all tokens; `enter` prepares each thread. Raises RefreshFailed after doing all it can."""
    root = root or Path(__file__).resolve().parents[2]
    if not _names_principals(environ, root):
        return
    quieten()
    try:
        known, estate, world = _prepare(environ, root, make_world)
    except PatrolError as failure:
        raise _not_started(failure.code, str(failure)) from None
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        raise _not_started(Code.UNEXPECTED, place_of(failure)) from None
    if world is None:
        return
    if past_due:
        event("schedule.late", function="refresh_tokens")
    from shared.model.request import Request
    from shared.rotation.threads import Threads
    from shared.rotation.tokens import refresh

    try:
        # From here on the refresh itself tells `refresh.finished`, whatever happens.
        report = refresh(estate, world, known.mark, Request(door="timer"), Threads(known.parallel_users, enter))
    except PatrolError as failure:
        raise RefreshFailed(f"failed ({failure.code}): {failure}") from None
    except Exception as failure:  # noqa: BLE001  # as above
        raise RefreshFailed(f"failed ({Code.UNEXPECTED}): {place_of(failure)}") from None
    if report.exit_code():
        from shared.functions.rotation_timer import summary

        raise RefreshFailed(summary(report))


def _names_principals(environ: Mapping[str, str], root: Path) -> bool:
    """Whether the file may name service principals. One that cannot be read may: then the refresh says so."""
    path = root / (environ.get("PATS_FILE", "").strip() or "pats.yaml")
    try:
        return "service_principals" in path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return True


def _prepare(
    environ: Mapping[str, str], root: Path, make_world: MakeWorld | None
) -> tuple[Settings, Inventory, World | None]:
    """No world: the word was a comment's."""
    from shared import settings
    from shared.inventory import pats_yaml

    known = settings.read(environ, root)
    estate = pats_yaml.load_file(known.pats_file)
    if not estate.token_keys():
        return known, estate, None
    if make_world is None:
        from shared import wiring

        make_world = wiring.world
    return known, estate, make_world(known, min(BUDGET, known.run_budget))


def _not_started(code: Code, says: str) -> RefreshFailed:
    event("refresh.finished", outcome="failed", code=code, says=says)
    return RefreshFailed(f"failed ({code}): {says}")
