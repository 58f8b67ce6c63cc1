"""One request over both kinds of items, PATs and tokens: names decide, and a look at everything shows both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shared.model.items import Inventory
from shared.model.request import Request, check_names
from shared.model.tags import Mark
from shared.report.report import Report, Row, in_order
from shared.rotation.run import run
from shared.rotation.threads import Threads, nothing
from shared.rotation.tokens import refresh
from shared.rotation.world import World


def do(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    threads: Threads | None = None,
    watch: Callable[[Row], None] = nothing,
) -> Report:
    """A run over what `request` names, a refresh over the tokens among it, one report.

    Without names: the PATs only, because tokens have a timer of their own, and both for a dry run. Raises as `run`.
    """
    check_names(inventory, request)
    tokens = inventory.token_keys()
    if request.names is None:
        report = run(inventory, world, mark, request, threads, watch)
        if not (request.dry_run and tokens):
            return report
        return _together(report, refresh(inventory, world, mark, request, threads, watch))
    named = tuple(name for name in request.names if name.casefold() in tokens)
    others = tuple(name for name in request.names if name.casefold() not in tokens)
    if not named:
        return run(inventory, world, mark, request, threads, watch)
    refreshed = refresh(inventory, world, mark, replace(request, names=named), threads, watch)
    if not others:
        return refreshed
    return _together(run(inventory, world, mark, replace(request, names=others), threads, watch), refreshed)


def names_tokens(inventory: Inventory, request: Request) -> bool:
    """Whether tokens are asked for by name."""
    return any(name.casefold() in inventory.token_keys() for name in request.names or ())


def _together(report: Report, refreshed: Report) -> Report:
    """Begun when the first one began; what says that the deployment is misconfigured comes from the run."""
    return replace(
        report,
        started_at=min(report.started_at, refreshed.started_at),
        finished_at=max(report.finished_at, refreshed.finished_at),
        items=in_order((*report.items, *refreshed.items)),
    )
