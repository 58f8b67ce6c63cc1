"""One refresh: the tokens of all service principals, looked at and replaced where they are due.

Apart from a run over PATs: no user signs in and no PAT is listed, so the timer can look every ten minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from shared.model.clock import VaultTime, check_clock, instant, is_skewed
from shared.model.errors import Code, PatrolError
from shared.model.items import Inventory, Named, TokenItem
from shared.model.ports import Vault
from shared.model.request import Request, places
from shared.model.secret_state import PublishedToken, TokenSecret
from shared.model.steps import Because, Fail, Hold, Recover, Rotate, Step
from shared.model.tags import Mark
from shared.report.report import Outcome, Report, Row, Verb, in_order, owned
from shared.report.rows import failed, in_vault, invalid_row, left, tell_row, unexpected, why_then, would
from shared.rotation.heartbeat import heartbeat
from shared.rotation.sign_in import CREDENTIAL_WARNING
from shared.rotation.threads import Threads, nothing
from shared.rotation.token_refresh import Refresh, look
from shared.rotation.token_refresh import refresh as refresh_token
from shared.rotation.world import World, asked_of
from shared.rules.token_plan import is_short, plan
from shared.telemetry import with_vault

# What another runner works on is waited for as long as a holder that died keeps it (leases.py).
PATIENCE = timedelta(seconds=90)


def refresh(
    inventory: Inventory,
    world: World,
    mark: Mark,
    request: Request,
    threads: Threads | None = None,
    watch: Callable[[Row], None] = nothing,
) -> Report:
    """Look at every token, or the named ones, and replace what is due; `watch` sees each row as soon as it is one.

    Raises Misconfigured when nothing could be attempted.
    """
    with heartbeat("refresh", world, inventory, mark, request) as beat:
        return beat.end(_refresh(inventory, beat.world, mark, request, threads or Threads(), watch))


def _refresh(
    inventory: Inventory, world: World, mark: Mark, request: Request, threads: Threads, watch: Callable[[Row], None]
) -> Report:
    started, wanted = world.clock.now(), places(inventory, request)

    def tell(row: Row, item: Named) -> Row:
        row = in_vault(row, item.vault, world.host_of(item.vault), inventory)
        watch(row)
        tell_row(world.tell, row)
        return row

    items = [item for item in inventory.tokens if wanted is None or item.place in wanted]
    works = [_work(item, world, mark, inventory.sign_in.tenant, request, started, tell) for item in items]
    looked = threads.side_by_side([work.look for work in works])
    looked = [_on_time(work, seen) for work, seen in zip(works, _checked(looked), strict=True)]
    jobs = [partial(work.do, seen) for work, seen in zip(works, looked, strict=True) if isinstance(seen, Seen)]
    rows = [row for row in looked if isinstance(row, Row)] + threads.side_by_side(jobs)
    invalid = [item for item in inventory.invalid_tokens if wanted is None or item.place in wanted]
    rows += [tell(invalid_row(item), item) for item in invalid]
    return Report(request.run_id, started, world.clock.now(), in_order(owned(rows, inventory.owners())))


def _work(
    item: TokenItem,
    world: World,
    mark: Mark,
    tenant: str,
    request: Request,
    started: datetime,
    tell: Callable[[Row, Named], Row],
) -> TokenWork:
    """One token's work, in its vault."""
    here = replace(world, tell=with_vault(world.tell, world.host_of(item.vault)))
    vault, mark = world.vault_at(item.vault), mark.in_vault(item.vault)
    return TokenWork(item, here, vault, mark, tenant, request, started, tell)


def _checked(looked: list[Seen | Row]) -> list[Seen | Row]:
    """The same. Raises Misconfigured where no vault agrees with this machine's clock (rule 15)."""
    skewed = [seen for seen in looked if isinstance(seen, Seen) and is_skewed(seen.ahead)]
    if skewed and len(skewed) == sum(isinstance(seen, Seen) for seen in looked):
        check_clock(skewed[0].ahead)
    return looked


def _on_time(work: TokenWork, seen: Seen | Row) -> Seen | Row:
    """Where the others agree, a vault with another time stops its own tokens alone."""
    try:
        if isinstance(seen, Seen):
            check_clock(seen.ahead)
    except PatrolError as failure:
        return work.tell(failed(work.item, Because.NOT_SEEN, failure), work.item)
    return seen


@dataclass(frozen=True, slots=True)
class Seen:
    """A secret as it was looked at, and the vault's clock minus ours."""

    secret: TokenSecret
    ahead: timedelta


@dataclass(frozen=True, slots=True)
class TokenWork:
    """Everything one token has to do in one refresh. Never raises: one failure stays one failure (promise 5)."""

    item: TokenItem
    world: World
    vault: Vault
    mark: Mark
    tenant: str
    request: Request
    started: datetime
    tell: Callable[[Row, Named], Row]

    def look(self) -> Seen | Row:
        """The secret, or the row that says why it could not be looked at."""
        try:
            return Seen(*look(self.item.secret, self.vault, self.mark))
        except PatrolError as failure:
            return self.tell(failed(self.item, Because.NOT_SEEN, failure), self.item)
        except Exception as failure:  # noqa: BLE001  # what nobody expected is told, without its text
            return self.tell(unexpected(self.item, failure), self.item)

    def do(self, seen: Seen) -> Row:
        """Plan, and do what is due."""
        clock = VaultTime(self.world.clock, seen.ahead)
        step = self._plan(seen.secret, clock.now(), seen)
        try:
            row = self._do(seen, step, clock)
        except PatrolError as failure:
            elsewhere = failure.code is Code.ROTATED_ELSEWHERE
            because = Because.ROTATED_ELSEWHERE if elsewhere else step.because
            row = failed(self.item, because, failure, Outcome.BUSY if elsewhere else Outcome.FAILED, Verb.ROTATE)
        except Exception as failure:  # noqa: BLE001  # as above
            row = unexpected(self.item, failure)
        ends = row.expires_on or _ends(seen.secret)
        if not (self.request.dry_run or self.item.paused) and is_short(ends, clock.now()):
            # The event of PATs, so that the same alert sees it.
            self.world.tell("pat.expiring", secret=self.item.secret, username=self.item.username, expires=ends)
        return self.tell(row, self.item)

    def _plan(self, secret: TokenSecret, now: datetime, seen: Seen) -> Step:
        arrived = (self.request.arrived_at or self.started) + seen.ahead
        return plan(self.item, secret, now, asked_of(self.request, arrived))

    def _do(self, seen: Seen, step: Step, clock: VaultTime) -> Row:
        if isinstance(step, Hold | Fail):
            return self._still(step, seen.secret)
        if self.request.dry_run:
            return self._row(step.because, would(step, of_token=True), _ends(seen.secret), Outcome.PLANNED)
        if self.world.deadline.passed():
            return left(self.item)
        with self.world.flight.take(self.item.place, self.world.deadline.within(PATIENCE)) as turn:
            # Looked at again: another runner may just have replaced it, and the version that it replaces counts.
            seen = Seen(*look(self.item.secret, self.vault, self.mark))
            step = self._plan(seen.secret, clock.now(), seen)
            if isinstance(step, Recover):
                self.vault.recover(self.item.secret)
                self.world.tell("secret.recovered", secret=self.item.secret)
                seen = Seen(*look(self.item.secret, self.vault, self.mark))
                step = self._plan(seen.secret, clock.now(), seen)
            if not isinstance(step, Rotate):
                return self._still(step, seen.secret)
            run = Refresh(self.world, self.vault, self.tenant, self.mark, clock)
            try:
                done = refresh_token(run, self.item, step.because, seen.secret)
            finally:
                turn.worked()
            why = why_then(step.because, of_token=True)
            says = f"rotated, because {why}; the new token works until {instant(done.ends)}."
            if done.credential_ends is not None and done.credential_ends - clock.now() <= CREDENTIAL_WARNING:
                says += f" The service principal's credential expires at {instant(done.credential_ends)}: replace it."
            return replace(self._row(step.because, says, done.ends, Outcome.DONE), version=done.version)

    def _still(self, step: Step, secret: TokenSecret) -> Row:
        """The row of a token that was left as it is."""
        if isinstance(step, Fail):
            return failed(self.item, step.because, PatrolError(step.code, step.cause, step.remedy))
        ends = _ends(secret)
        until = step.until if isinstance(step, Hold) else None
        says = {
            Because.FRESH: f"works until {instant(ends)}; next due at {instant(until)}.",
            Because.PAUSED: "paused in pats.yaml; nothing was done.",
            Because.ALREADY_REPLACED: "was already replaced after this was asked for.",
            Because.DELETED: "was recovered; the next refresh looks at it.",
        }[step.because]
        return self._row(step.because, says, ends, Outcome.HELD)

    def _row(self, because: Because, says: str, ends: datetime | None, outcome: Outcome) -> Row:
        item, verb = self.item, Verb.HOLD if outcome is Outcome.HELD else Verb.ROTATE
        sentence = f"{item.secret}: {says}"
        return Row(item.secret, item.username, item.organization, verb, outcome, because, sentence, ends)


def _ends(secret: TokenSecret) -> datetime | None:
    return secret.expires_on if isinstance(secret, PublishedToken) else None
