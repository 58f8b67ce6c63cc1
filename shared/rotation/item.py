"""One item's planned step, done and told: its main step first, then what is over of its earlier generations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.model.clock import Deadline, instant
from shared.model.errors import Busy, Code, PatrolError, Unclear
from shared.model.items import Item
from shared.model.pats import Owner, Pat, PatId
from shared.model.secret_state import Nothing, Published, Secret, Seen, Unmarked, expiry
from shared.model.single_flight import Turn, Unwatched
from shared.model.steps import Because, Decommission, Fail, Hold, Mend, Recover, Renew, Rotate, Step, Wait
from shared.report.report import Outcome, Row, Verb
from shared.report.rows import failed, held, in_overlap, left, of_step, verb_of, why_then, would
from shared.rotation import generations, rotate
from shared.rotation.elsewhere import left_behind
from shared.rotation.ended import Ended
from shared.rotation.held import held_for_readers
from shared.rotation.observe import item_seen, secret_again
from shared.rotation.push import give
from shared.rotation.retire import Ending, handed_over, predecessors_at_rest, retire
from shared.rotation.rotate import Done
from shared.rotation.run_context import Run, SignedIn
from shared.rules.due import is_pressing
from shared.rules.overlap import Fate, overlap_end, owed, owes_push
from shared.rules.plan import plan

Listed = Mapping[PatId, Pat]

# The storage tells times in whole seconds: what was seen this shortly after another's work may lack it.
_SEEN_TOO_SOON = timedelta(seconds=2)

EMERGENCY_WAITS = timedelta(seconds=5)
"""What leaked does not wait for long: the engine converges without turns (rule 8)."""

# Doubts that leave the secret as it was seen: its predecessors can still be judged.
_BEFORE_PUBLISHING = frozenset({Code.MINT_UNCLEAR, Code.VERIFY_UNCLEAR})


@dataclass(frozen=True, slots=True)
class ItemWork:
    """What one item has to do in one run. `listed`: its user's live PATs in its organization.

    `reconciles`: it is its user's full look, so its consumers are asked, and given the value whatever the tag says.
    """

    run: Run
    user: SignedIn
    item: Item
    listed: Listed
    reconciles: bool = False

    def do(self, seen: Seen, step: Step, until: Deadline, *, last: bool) -> tuple[Ended, Secret | None]:
        """Do the step, push, then retire. Gives the rows, and what the secret is now; None while that is in doubt.

        Raises Busy (`Code.ROTATED_ELSEWHERE`) when another runner still works on the item when `until` has passed;
        `last`: it is not asked again in this run.
        """
        if self.run.dry:
            return Ended(self._planned(seen, step)), None
        resting = self.at_rest(seen, step)
        if resting and not (self._reconciles(seen.secret, step) and not self.run.deadline.passed()):
            return replace(self, reconciles=False).do_now(seen, step)
        try:
            return self._in_turn(seen, step, until, last=last)
        except Busy:
            if not resting:
                raise
            # Whoever has the item gives its consumers what it publishes.
            return replace(self, reconciles=False).do_now(seen, step)

    def _in_turn(self, seen: Seen, step: Step, until: Deadline, *, last: bool) -> tuple[Ended, Secret | None]:
        with self._turn(seen, until, last=last) as turn:
            try:
                work, seen, step = self._up_to_date(seen, step, turn)
            except PatrolError as failure:
                return Ended([self.run.tell_row(failed(self.item, Because.NOT_SEEN, failure))]), None
            if work.at_rest(seen, step):
                return work.do_now(seen, step)
            if self.run.deadline.passed():
                return Ended([left(self.item)]), None
            try:
                return work.do_now(seen, step)
            finally:
                turn.worked()

    def at_rest(self, seen: Seen, step: Step) -> bool:
        """Whether there is nothing to do at all: then the item holds, however late it is."""
        if self._acts(seen, step) or self.run.asked.emergency:
            return False
        if not isinstance(seen.secret, Published):
            return True
        return predecessors_at_rest(self._ending(seen.secret), self.run, self.run.clock.now())

    def _acts(self, seen: Seen, step: Step) -> bool:
        """Whether the step changes anything, or a consumer still lacks the value."""
        return not isinstance(step, Hold | Wait | Fail) or self._owes_push(seen.secret, step)

    def _owes_push(self, secret: Secret | None, step: Step) -> bool:
        return self._may_push(secret, step) and isinstance(secret, Published) and owes_push(self.item, secret)

    def _reconciles(self, secret: Secret | None, step: Step) -> bool:
        return self.reconciles and self._may_push(secret, step)

    def _may_push(self, secret: Secret | None, step: Step) -> bool:
        """Whether its consumers may be given the value: the item is not paused, at its end, or a person's to mend."""
        aside = self.item.paused or self.item.decommission or isinstance(step, Fail)
        return bool(self.item.then) and isinstance(secret, Published) and not aside

    @contextmanager
    def _turn(self, seen: Seen, until: Deadline, *, last: bool) -> Iterator[Turn]:
        """The item's turn. In an emergency, and when little of the margin is left, it is advice and no more."""
        now = self.run.clock.now()
        emergency = self.run.asked.emergency
        if emergency:
            until = self.run.deadline.within(EMERGENCY_WAITS)
        try:
            held_by = self.run.world.flight.take(self.item.place, until)
            turn = held_by.__enter__()
        except Busy:
            if not emergency and not (last and (seen.gone or is_pressing(self.item, seen, now))):
                raise
            # Nobody may say how long the other one takes: look again, and converge without a turn.
            yield Unwatched(timedelta(0))
            return
        try:
            yield turn
        finally:
            held_by.__exit__(None, None, None)

    def _up_to_date(self, seen: Seen, step: Step, turn: Turn) -> tuple[ItemWork, Seen, Step]:
        """The plan, made again where another runner worked on the item after this one looked at it."""
        run, item = self.run, self.item
        now, idle = run.clock.now(), turn.idle()
        if idle is None or idle > now - run.estate.looked_at + _SEEN_TOO_SOON:
            return self, seen, step
        secret = secret_again(item.secret, run.vault, run.mark)
        listed = run.organizations.active(self.user.api, item.organization)
        seen = item_seen(item, secret, listed, self.user.api, run.vault, run.mark, now)
        return replace(self, listed=listed), seen, plan(item, seen, now, run.asked)

    def do_now(self, seen: Seen, step: Step) -> tuple[Ended, Secret | None]:
        """The step and the retiring, whoever else is at it: the engine converges."""
        ended, secret = Ended(), seen.secret
        try:
            row, rows, now_there = self._main(seen, step)
        except PatrolError as failure:
            ended.rows.append(self.run.tell_row(failed(self.item, step.because, failure, verb=verb_of(step))))
            left_there = _after(failure, secret)
            # While the published value is dead and could not be replaced, a predecessor may be all that still works.
            only_hope = seen.gone or _expired(seen, self.run.clock.now())
            stays = only_hope or self.item.paused or self.run.asked.emergency
            if isinstance(left_there, Published) and not stays:
                self._finish(left_there, step, ended)
            return ended, left_there
        ended.rows += [self.run.tell_row(done) for done in (row, *rows)]
        if isinstance(now_there, Published) and not (self.item.paused and not self.run.asked.emergency):
            now_there = self._finish(now_there, step, ended)
        elif self.run.asked.emergency and isinstance(step, Fail):
            ended.rows += [
                self.run.tell_row(row) for row in generations.still_lives(self.item, self.listed.values(), self.run)
            ]
        return ended, now_there

    def _finish(self, secret: Published, step: Step, ended: Ended) -> Published:
        """What leaked is ended before a consumer is asked for anything; all else waits for it."""
        at_once = self.run.asked.emergency or any(predecessor.at_once for predecessor in secret.stamp.predecessors)
        # What is ended at once may be what a consumer has, whatever the tag says.
        again = at_once and self._end_generations(secret, ended)
        secret = self._push(secret, step, ended, again=again)
        if not self.run.asked.emergency:
            self._retire(secret, ended)
        return secret

    def _end_generations(self, secret: Published, ended: Ended) -> bool:
        """The postcondition of an emergency: of this one, or of one that was stopped before its end.

        Gives whether anything was ended.
        """
        before, in_overlap = self.run.asked.published_before, frozenset[PatId]()
        if not self.run.asked.emergency:
            # What it ends was written down; what an ordinary rotation replaced since then has its overlap.
            named = secret.stamp.predecessors
            before = max(predecessor.retire_at for predecessor in named if predecessor.at_once)
            in_overlap = frozenset(predecessor.id for predecessor in named if not predecessor.at_once)
        try:
            published_now = secret.stamp.authorization_id
            rows = generations.emergency(self.item, published_now, before, self.run, in_overlap)
        except PatrolError as failure:
            rows = [failed(self.item, Because.EMERGENCY, failure, verb=Verb.RETIRE)]
        ended.rows += [self.run.tell_row(row) for row in rows]
        return any(row.outcome is Outcome.DONE for row in rows)

    def _retire(self, secret: Published, ended: Ended) -> None:
        owner = Owner(secret.stamp.username, secret.stamp.organization)
        if not owner.same(self._owner):
            ended.handovers += handed_over(self.item.secret, self.item, owner, secret, self.run.clock.now())
            return
        later = retire(self._ending(secret), self.run)
        for row in later.rows:
            self.run.tell_row(row)
        ended.add(later)

    @property
    def _owner(self) -> Owner:
        return Owner(self.item.username, self.item.organization)

    def _ending(self, secret: Published) -> Ending:
        return Ending(self.item.secret, self.item, self._owner, secret, self.listed, self.user.api)

    def _push(self, secret: Published, step: Step, ended: Ended, *, again: bool = False) -> Published:
        """Give the consumers what they lack, and on a full look or `again` whatever the tag says.

        Each for itself: what one of them answers keeps none of the others waiting. Gives the secret as it is then.
        """
        lacking = owed(self.item, secret) if self._may_push(secret, step) else ()
        again = self._reconciles(secret, step) or (again and self._may_push(secret, step))
        for to in (to for to in self.item.then if to in lacking or (again and to.keeps_copy)):
            secret, row = give(self.item, to, secret, self.run, owes=to in lacking)
            ended.rows += [] if row is None else [self.run.tell_row(row)]
        return secret

    def _main(self, seen: Seen, step: Step) -> tuple[Row, list[Row], Secret | None]:
        """The step itself: its row, more of them, and what the secret is then."""
        item, secret = self.item, seen.secret
        match step:
            case Hold(because=because, until=until):
                return held(item, because, until, expiry(seen)), [], secret
            case Wait(until=until):
                return in_overlap(self.item, until), [], secret
            case Fail():
                return failed(item, step.because, PatrolError(step.code, step.cause, step.remedy)), [], secret
            case Recover():
                return self._recover()
            case Decommission() if isinstance(secret, Published):
                version, _ = self.run.publisher.current_version(item.secret, secret.stamp.authorization_id)
                rows = generations.decommission(item, version, self.run)
                ended = "decommissioned: its PAT was revoked and the secret disabled."
                return of_step(self.item, Verb.DECOMMISSION, step.because, ended), _wrong(rows), None
            case Mend() if isinstance(secret, Published) and seen.pat is not None:
                done = rotate.mend(item, secret, seen.pat, self.run)
                row = of_step(self.item, Verb.HOLD, step.because, "the tags now carry the new names.", expiry(seen))
                return row, [], done.published()
            case Renew() if isinstance(secret, Published) and seen.pat is not None:
                renewed = rotate.renew(item, secret, seen.pat, self.user, self.run)
                if renewed is None:
                    return self._rotate(seen, Because.RENEWING_NO_LONGER_HELPS)
                ends = renewed.version.expires_on
                says = f"renewed, because {why_then(step.because)}: the same value now works until {instant(ends)}."
                row = of_step(self.item, Verb.RENEW, step.because, says, ends)
                return replace(row, version=renewed.version.version), [], renewed.published()
            case _:
                return self._rotate(seen, step.because)

    def _rotate(self, seen: Seen, because: Because) -> tuple[Row, list[Row], Secret | None]:
        item, secret = self.item, seen.secret
        old, given = seen.pat, False
        if isinstance(secret, Unmarked) and isinstance(item.adopt, str):
            old = self.listed.get(item.adopt)
        if isinstance(secret, Nothing):
            left = left_behind(item, self.listed, self.run.elsewhere, self.run.world)
            old, given = (None, False) if left is None else (left.pat, left.given)
        emergency = because is Because.EMERGENCY
        first: list[Row] = []
        try:
            if emergency and self.run.asked.revoke_first and isinstance(secret, Published):
                first = generations.leaked_before_minting(item, self.run)
            done = rotate.rotate(item, because, secret, old, self.user, self.run, given=given)
        except PatrolError as failure:
            raise (self._still_alive(failure, secret) if emergency else failure) from None
        ends = done.version.expires_on
        says = f"rotated, because {why_then(because)}; the new PAT works until {instant(ends)}."
        if because is Because.ADOPTED and old is None:
            says += " The PAT that was published before was not patrol's and was left alive: end it by hand."
        elif old is not None and not emergency:
            says += f" The predecessor works on until {instant(_end_of(old.id, done))}."
        row = of_step(self.item, Verb.ROTATE, because, says, ends)
        return replace(row, version=done.version.version), _wrong(first), done.published()

    def _recover(self) -> tuple[Row, list[Row], Secret | None]:
        run, item = self.run, self.item
        run.vault.recover(item.secret)
        run.tell("secret.recovered", secret=item.secret)
        secret = secret_again(item.secret, run.vault, run.mark)
        if not isinstance(secret, Published):
            return held(item, Because.DELETED, None, None), [], None
        seen = item_seen(item, secret, self.listed, self.user.api, run.vault, run.mark, run.clock.now())
        return self._main(seen, plan(item, seen, run.clock.now(), run.asked))

    def _still_alive(self, failure: PatrolError, secret: Secret) -> PatrolError:
        if not isinstance(secret, Published) or self.run.asked.revoke_first:
            return failure
        leaked = f"{failure.cause} The leaked PAT {secret.stamp.authorization_id} still lives."
        remedy = (
            f"End it now: `patrol emergency {self.item.secret} --revoke-first`, or have an Azure DevOps "
            f"administrator revoke it. Then: {failure.remedy}"
        )
        return type(failure)(failure.code, leaked, remedy)

    def _planned(self, seen: Seen, step: Step) -> list[Row]:
        """What would be done, by the rules that do it."""
        # Of what is proved dead no expiry is told.
        ends, now = None if seen.gone else expiry(seen), self.run.clock.now()
        match step:
            case Hold(because=because, until=until):
                rows = [held(self.item, because, until, ends)]
            case Wait(until=until):
                rows = [in_overlap(self.item, until)]
            case Fail():
                rows = [failed(self.item, step.because, PatrolError(step.code, step.cause, step.remedy))]
            case _:
                rows = [of_step(self.item, verb_of(step), step.because, would(step), ends, Outcome.PLANNED)]
        lacking = owed(self.item, seen.secret) if self._may_push(seen.secret, step) else ()
        for to in self.item.then if isinstance(step, Rotate) else lacking:
            says = f"{to} would be {'given the published value' if to.keeps_copy else 'told of the new version'}."
            rows.append(of_step(self.item, Verb.ROTATE, Because.NOT_PUSHED, says, None, Outcome.PLANNED))
        if isinstance(seen.secret, Published):
            ending = self._ending(seen.secret)
            for predecessor in seen.secret.stamp.predecessors:
                if ending.fate(predecessor, self.run, now) not in (Fate.REVOKE, Fate.PUSHED):
                    continue
                if (row := held_for_readers(ending, predecessor, self.run, now)) is not None:
                    rows.append(row)
                else:
                    says = f"the predecessor {predecessor.id} would be retired, because its overlap is over."
                    rows.append(of_step(self.item, Verb.RETIRE, Because.OVERLAP_OVER, says, None, Outcome.PLANNED))
        return rows


def _after(failure: PatrolError, secret: Secret) -> Secret | None:
    """What a secret is after a step that failed; None while that is in doubt."""
    if failure.code is Code.SECRET_DELETED:
        # A deletion that has not settled shows in neither listing: the refused write is what proves it.
        return Nothing(deleted=True)
    if isinstance(failure, Unclear) and failure.code not in _BEFORE_PUBLISHING:
        return None
    if isinstance(secret, Nothing):
        # Whatever refused the step may be a deletion that has not settled: nobody can tell, so nothing of it ends.
        return Nothing(deleted=None)
    return secret


def _wrong(rows: list[Row]) -> list[Row]:
    """Of the PATs that a step ended, those that need a word: the step's own row tells the others."""
    return [row for row in rows if row.outcome is not Outcome.DONE]


def _expired(seen: Seen, now: datetime) -> bool:
    ends = expiry(seen)
    return ends is not None and ends <= now


def _end_of(old: PatId, done: Done) -> datetime | None:
    published_now = done.published()
    ends = [
        overlap_end(predecessor, published_now, timedelta(0))
        for predecessor in published_now.stamp.predecessors
        if predecessor.id == old
    ]
    return ends[0] if ends else None
