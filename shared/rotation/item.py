"""One item's planned step, done and told: its main step first, then what is over of its earlier generations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.model.clock import Clock, Deadline, instant
from shared.model.errors import Code, PatrolError, Unclear
from shared.model.items import Inventory, Item
from shared.model.pats import Pat, PatId
from shared.model.ports import Events, Vault, Verifier
from shared.model.secret_state import (
    Nothing,
    Published,
    Secret,
    Seen,
    Unmarked,
    VaultListing,
    VersionSeen,
    expiry,
)
from shared.model.single_flight import SingleFlight, Turn
from shared.model.steps import (
    Because,
    Decommission,
    Fail,
    Hold,
    Mend,
    Recover,
    Renew,
    Rotate,
    Step,
    Wait,
)
from shared.model.tags import Mark
from shared.report.report import Failure, Outcome, Row, Verb
from shared.report.rows import WHY, failed, held, left, verb_of
from shared.rotation import rotate
from shared.rotation.consumers import Consumers
from shared.rotation.observe import as_published, item_seen, secret_again
from shared.rotation.push import push
from shared.rotation.retire import Ended, Handover, Owner, retire
from shared.rotation.rotate import Breaker, Done, Tools
from shared.rotation.sign_in import SignIns
from shared.rotation.threads import Threads
from shared.rules.overlap import ends_at_once, overlap_end, owes_push
from shared.rules.plan import (
    Asked,
    plan,
)

Listed = Mapping[PatId, Pat]

# The storage tells times in whole seconds: what was seen this shortly after another's work may lack it.
_SEEN_TOO_SOON = timedelta(seconds=2)

# Doubts that leave the secret as it was seen: its predecessors can still be judged.
_BEFORE_PUBLISHING = frozenset({Code.MINT_UNCLEAR, Code.VERIFY_UNCLEAR})


@dataclass(frozen=True, slots=True)
class Shared:
    """What all users of one run have in common. `looked_at`: when the vault's listing was begun, in vault time."""

    inventory: Inventory
    listing: VaultListing
    looked_at: datetime
    managed: frozenset[str]
    minted_in: Mapping[str, tuple[str, ...]]
    sign_ins: SignIns
    vault: Vault
    verifier: Verifier
    clock: Clock
    deadline: Deadline
    flight: SingleFlight
    mark: Mark
    tell: Events
    breaker: Breaker
    consumers: Consumers
    asked: Asked
    wanted: frozenset[str] | None
    dry_run: bool
    told: Callable[[Row], None]
    threads: Threads


@dataclass(frozen=True, slots=True)
class ItemWork:
    run: Shared
    tools: Tools
    item: Item
    listed: Listed

    def do(self, seen: Seen, step: Step, wait_until: datetime) -> tuple[Ended, Secret | None]:
        """Do the step, push, then retire. Gives the rows, and what the secret is now; None while that is in doubt.

        Raises Busy (`Code.ROTATED_ELSEWHERE`) when another runner still works on the item at `wait_until`.
        """
        if self.run.dry_run:
            return Ended(self._planned(seen, step)), None
        if not self.acts(seen, step):
            return self.do_now(seen, step)
        with self.run.flight.take(self.item.secret, wait_until) as turn:
            try:
                work, seen, step = self._up_to_date(seen, step, turn)
            except PatrolError as failure:
                row = failed(self.item, Because.NOT_SEEN, failure)
                self.run.told(row)
                return Ended([row]), None
            if not work.acts(seen, step):
                return work.do_now(seen, step)
            if self.run.deadline.passed():
                return Ended([left(self.item)]), None
            try:
                return work.do_now(seen, step)
            finally:
                turn.worked()

    def at_rest(self, seen: Seen, step: Step) -> bool:
        """Whether there is nothing to do at all: then the item holds, however late it is."""
        if self.acts(seen, step):
            return False
        secret = seen.secret
        if not isinstance(secret, Published):
            return True
        now = self.tools.clock.now()
        return all(
            one.id in self.listed and overlap_end(one, secret, self.item) > now for one in secret.stamp.predecessors
        )

    def acts(self, seen: Seen, step: Step) -> bool:
        """Whether the step changes anything, or the consumer still lacks the value."""
        return not isinstance(step, Hold | Wait | Fail) or self._owes_push(seen.secret, step)

    def _owes_push(self, secret: Secret | None, step: Step) -> bool:
        looked_at = self.item.paused or isinstance(step, Fail)
        return isinstance(secret, Published) and not looked_at and owes_push(self.item, secret)

    def _up_to_date(self, seen: Seen, step: Step, turn: Turn) -> tuple[ItemWork, Seen, Step]:
        """The plan, made again where another runner worked on the item after this one looked at it."""
        now, idle = self.tools.clock.now(), turn.idle()
        if idle is None or idle > now - self.run.looked_at + _SEEN_TOO_SOON:
            return self, seen, step
        secret = secret_again(self.item.secret, self.tools.vault, self.tools.mark)
        listed = {pat.id: pat for pat in self.tools.api.active(self.item.organization)}
        seen = item_seen(self.item, secret, listed, self.tools.api, now)
        return replace(self, listed=listed), seen, plan(self.item, seen, now, self.run.asked)

    def do_now(self, seen: Seen, step: Step) -> tuple[Ended, Secret | None]:
        """The step and the retiring, whoever else is at it: the engine converges."""
        ended, item = Ended(), self.item
        secret: Secret | None = seen.secret
        version: VersionSeen | None = None
        worked = True
        try:
            row, done = self._main(seen, step)
            if done is not None:
                secret, version = done.published(), done.version
            if isinstance(step, Decommission):
                secret = None
        except PatrolError as failure:
            worked = False
            row = failed(self.item, step.because, failure, verb=verb_of(step))
            if failure.code is Code.SECRET_DELETED:
                # A deletion that has not settled shows in neither listing: the refused write is what proves it.
                secret = Nothing(deleted=True)
            if isinstance(failure, Unclear) and failure.code not in _BEFORE_PUBLISHING:
                secret = None
        self.run.told(row)
        ended.rows.append(row)
        # While the published value is dead and could not be replaced, a predecessor may be all that still works.
        only_hope = not worked and (seen.gone or _expired(seen, self.tools.clock.now()))
        if isinstance(secret, Published) and not self.item.paused and not only_hope:
            # What leaked does not wait until a consumer has answered, not in a run that takes an emergency up either.
            at_once = any(ends_at_once(one, secret) for one in secret.stamp.predecessors)
            if not at_once:
                secret, version = self._push(secret, version, step, ended)
            owner = Owner(secret.stamp.username, secret.stamp.organization)
            mine = Owner(self.item.username, self.item.organization)
            if not owner.same(mine):
                now = self.tools.clock.now()
                ended.handovers += [
                    Handover(item.secret, item, one, owner, now >= overlap_end(one, secret, item))
                    for one in secret.stamp.predecessors
                ]
            else:
                why = Because.EMERGENCY if at_once and self.run.asked.emergency else Because.OVERLAP_OVER
                later = retire(self.tools, item.secret, item, mine, secret, version, self.listed, because=why)
                for one in later.rows:
                    self.run.told(one)
                ended.rows += later.rows
                ended.leftovers += later.leftovers
                ended.handovers += later.handovers
            if at_once:
                self._push(secret, version, step, ended)
        return ended, secret

    def _push(
        self, secret: Published, version: VersionSeen | None, step: Step, ended: Ended
    ) -> tuple[Published, VersionSeen | None]:
        """Give the consumer what it lacks. Gives the secret as it is then, and its version where that is known."""
        to = self.item.then
        if to is None or not self._owes_push(secret, step):
            return secret, version
        try:
            pushed = push(self.tools, self.item, to, secret)
        except PatrolError as failure:
            row = failed(self.item, Because.NOT_PUSHED, failure, verb=Verb.ROTATE)
            kept = f"{to} lacks the published value, and no PAT that it may use is ended before it has it."
            row = replace(row, says=f"{self.item.secret}: {kept} {failure.cause} {failure.remedy}")
        else:
            version = pushed or version
            secret = (as_published(version) if version else None) or secret
            ends = secret.expires_on
            row = self._row(Verb.ROTATE, Because.NOT_PUSHED, f"{to} has taken the published value.", ends)
        self.run.told(row)
        ended.rows.append(row)
        return secret, version

    def _main(self, seen: Seen, step: Step) -> tuple[Row, Done | None]:
        item, secret = self.item, seen.secret
        match step:
            case Hold(because=because, until=until):
                return held(item, because, until, expiry(seen)), None
            case Wait(until=until):
                return self._busy(until), None
            case Fail():
                return failed(item, step.because, PatrolError(step.code, step.cause, step.remedy)), None
            case Recover():
                return self._recover()
            case Decommission() if isinstance(secret, Published):
                rotate.decommission(self.tools, item, secret, self.listed)
                return self._row(Verb.DECOMMISSION, step.because, "its PAT was ended and the secret disabled."), None
            case Mend() if isinstance(secret, Published) and seen.pat is not None:
                done = rotate.mend(self.tools, item, secret, seen.pat)
                return self._row(Verb.HOLD, step.because, "the tags now carry the new names.", expiry(seen)), done
            case Renew() if isinstance(secret, Published) and seen.pat is not None:
                renewed = rotate.renew(self.tools, item, secret, seen.pat)
                if renewed is None:
                    return self._rotate(seen, Because.RENEWING_NO_LONGER_HELPS)
                ends = renewed.version.expires_on
                return self._row(
                    Verb.RENEW, step.because, f"the same value now works until {instant(ends)}.", ends
                ), renewed
            case _:
                return self._rotate(seen, step.because)

    def _rotate(self, seen: Seen, because: Because) -> tuple[Row, Done]:
        item, secret = self.item, seen.secret
        old = seen.pat
        if isinstance(secret, Unmarked) and isinstance(item.adopt, str):
            old = self.listed.get(item.adopt)
        emergency = because is Because.EMERGENCY
        try:
            if emergency and self.run.asked.revoke_first and isinstance(secret, Published):
                self._revoke_generations(secret)
            done = rotate.rotate(self.tools, item, because, secret, old)
        except PatrolError as failure:
            raise (self._still_alive(failure, secret) if emergency else failure) from None
        ends = done.version.expires_on
        verb = "made" if because is Because.NOTHING_PUBLISHED else "replaced"
        says = f"{verb}, because {WHY[because]}; the new PAT works until {instant(ends)}."
        if because is Because.ADOPTED and old is None:
            says += " The PAT that was published before was not patrol's and was left alive: end it by hand."
        elif old is not None and not emergency:
            says += f" The old one works on until {instant(_end_of(old.id, done))}."
        return self._row(Verb.ROTATE, because, says, ends), done

    def _recover(self) -> tuple[Row, Done | None]:
        self.tools.vault.recover(self.item.secret)
        self.tools.tell("secret.recovered", secret=self.item.secret)
        secret = as_published(self.tools.vault.current(self.item.secret).seen)
        if secret is None:
            return held(self.item, Because.DELETED, None, None), None
        now = self.tools.clock.now()
        seen = item_seen(self.item, secret, self.listed, self.tools.api, now)
        step = plan(self.item, seen, now, self.run.asked)
        return self._main(seen, step)

    def _revoke_generations(self, secret: Published) -> None:
        for pat in (secret.stamp.authorization_id, *(one.id for one in secret.stamp.predecessors)):
            if pat in self.listed and self.tools.mark.secret_of(self.listed[pat].display_name) == self.item.key:
                rotate.revoke(self.tools, self.item.secret, self.item.organization, pat)

    def _still_alive(self, failure: PatrolError, secret: Secret) -> PatrolError:
        if not isinstance(secret, Published) or self.run.asked.revoke_first:
            return failure
        leaked = f"{failure.cause} The leaked PAT {secret.stamp.authorization_id} still lives."
        remedy = (
            f"End it now: `python -m shared emergency {self.item.secret} --revoke-first`, or have an Azure DevOps "
            f"administrator revoke it. Then: {failure.remedy}"
        )
        return type(failure)(failure.code, leaked, remedy)

    def _planned(self, seen: Seen, step: Step) -> list[Row]:
        ends = expiry(seen)
        match step:
            case Hold(because=because, until=until):
                rows = [held(self.item, because, until, expiry(seen))]
            case Wait(until=until):
                rows = [self._busy(until)]
            case Fail():
                rows = [failed(self.item, step.because, PatrolError(step.code, step.cause, step.remedy))]
            case _:
                why = WHY.get(step.because, step.because.value)
                rows = [
                    self._row(
                        verb_of(step), step.because, f"would {verb_of(step)}, because {why}.", ends, Outcome.PLANNED
                    )
                ]
        if self.item.then is not None and (isinstance(step, Rotate) or self._owes_push(seen.secret, step)):
            says = f"would push the published value to {self.item.then}."
            rows.append(self._row(Verb.ROTATE, Because.NOT_PUSHED, says, None, Outcome.PLANNED))
        if isinstance(seen.secret, Published):
            for one in seen.secret.stamp.predecessors:
                if one.id in self.listed and overlap_end(one, seen.secret, self.item) <= self.tools.clock.now():
                    says = f"would end the predecessor {one.id}, whose overlap is over."
                    rows.append(self._row(Verb.RETIRE, Because.OVERLAP_OVER, says, None, Outcome.PLANNED))
        return rows

    def _busy(self, until: datetime) -> Row:
        cause = f"A predecessor is still in overlap until {instant(until)}, so consumers may still use it."
        remedy = "Ask again after that; for a leaked PAT use emergency."
        row = self._row(Verb.ROTATE, Because.IN_OVERLAP, f"{cause} {remedy}", None, Outcome.BUSY)
        return replace(row, error=Failure(Code.IN_OVERLAP, cause, remedy), again_at=until)

    def _row(
        self, verb: Verb, because: Because, says: str, ends: datetime | None = None, outcome: Outcome = Outcome.DONE
    ) -> Row:
        item = self.item
        return Row(
            item.secret, item.username, item.organization, verb, outcome, because, f"{item.secret}: {says}", ends
        )


def _expired(seen: Seen, now: datetime) -> bool:
    ends = expiry(seen)
    return ends is not None and ends <= now


def _end_of(old: PatId, done: Done) -> datetime | None:
    ends = [one.retire_at for one in done.published().stamp.predecessors if one.id == old]
    return ends[0] if ends else None
