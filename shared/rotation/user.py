"""The unit of work: everything one technical user has to do in one run (rule 14).

A failure stays where it happened: an item's fails the item, an organization's its items, a sign-in the user's items.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from shared.model.clock import Deadline
from shared.model.errors import A_PERSON_MUST_ACT, Busy, Code, PatrolError
from shared.model.items import Item, User
from shared.model.pats import Owner
from shared.model.ports import PatApi
from shared.model.secret_state import Published, Secret, Seen, is_ours
from shared.model.single_flight import Turn
from shared.model.steps import Because, Hold, Step
from shared.model.tags import CANARY
from shared.model.vaults import VaultAddress
from shared.report.report import Failure, Leftover, Outcome, Row, Verb
from shared.report.rows import failed, held, held_elsewhere, left, unexpected
from shared.rotation.canary import end_canaries
from shared.rotation.ended import Ended, Handover, ended_row
from shared.rotation.generations import leaked_before_minting
from shared.rotation.item import ItemWork, Listed
from shared.rotation.observe import item_seen, secret_seen
from shared.rotation.orphans import end_orphans
from shared.rotation.publish import published
from shared.rotation.push import push_all
from shared.rotation.retire import Ending, predecessors_at_rest, retire
from shared.rotation.run_context import Run, SignedIn, WholeRun
from shared.rules.due import urgency
from shared.rules.orphans import Circumstances
from shared.rules.overlap import given_first
from shared.rules.plan import plan, rests

Planned = tuple[Item, Seen, Step]

# Longer than a holder that died keeps an item (blob_leases.py).
PATIENCE = timedelta(seconds=90)


@dataclass(slots=True)
class UserWorkDone:
    """What one user's work adds to the report, and what the ending of orphans needs of it.

    `listed`: the user's live PATs by casefolded organization; `judged`: what each secret is now, by its vault and
    casefolded name.
    """

    user: User
    rows: list[Row] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    listed: dict[str, Listed] = field(default_factory=dict)
    judged: dict[VaultAddress, dict[str, Circumstances]] = field(default_factory=dict)

    def add(self, ended: Ended, run: Run) -> None:
        """What was ended in one vault."""
        self.rows += map(run.here, ended.rows)
        self.leftovers += [replace(one, vault=run.estate.host) for one in ended.leftovers]
        self.handovers += [replace(one, vault=run.estate.address) for one in ended.handovers]

    def judge(self, name: str, what: Circumstances, run: Run) -> None:
        """Note what a secret of one vault is now."""
        self.judged.setdefault(run.estate.address, {})[name] = what


@dataclass(frozen=True, slots=True)
class UserWork:
    """One user's work in all vaults of a run. Its sign-in, and what its organizations list, are shared by them."""

    user: User
    whole: WholeRun

    @property
    def run(self) -> Run:
        """For what is the same in every vault."""
        return self.whole.any

    def do(self) -> UserWorkDone:
        """Sign in, list, plan, do. Never raises: one broken user never stops the others (promise 5)."""
        done = UserWorkDone(self.user)
        items = self.whole.items_of(self.user)
        try:
            self._do(items, done)
        except Exception as failure:  # noqa: BLE001  # what nobody expected is told on every item it left without a word
            with_row = {(row.vault, row.secret) for row in done.rows}
            silent = [item for item in items if (self._host(item), item.secret) not in with_row] or items
            done.rows += [self._tell(item, unexpected(item, failure)) for item in silent]
        return done

    def _tell(self, item: Item, row: Row) -> Row:
        return self.whole.of(item).tell_row(row)

    def _host(self, item: Item) -> str:
        return self.whole.of(item).estate.host

    def anything(self) -> bool:
        """Whether this user has work at all: a former one has none until something is handed over to it."""
        return bool(self.whole.items_of(self.user) or self.whole.organizations_of(self.user))

    def owns(self, handover: Handover) -> bool:
        """Whether this user has to end what another one's item handed over."""
        return handover.owner.username.casefold() == self.user.key

    def _do(self, items: list[Item], done: UserWorkDone) -> None:
        if self.run.deadline.passed():
            done.rows += [self._tell(item, left(item)) for item in items]
            return
        if (rows := self._all_rest(items)) is not None:
            done.rows += rows
            return
        user = self._sign_in(items, done)
        if user is None:
            return
        done.listed = self._list(user, items, done)
        there = [item for item in items if item.organization.casefold() in done.listed]
        self._do_items(user, there, done)
        if self.whole.observed.wanted is None and not self.run.dry:
            for run in self.whole.each.values():
                self._end_unmanaged(user, run, done)

    def _all_rest(self, items: list[Item]) -> list[Row] | None:
        """Of what was asked for by name: the rows, if the vault alone shows that nothing is to be done.

        Then nobody signs in: a request that repeats itself would only use up what Entra ID allows (rule 12).
        """
        if self.whole.observed.wanted is None or self.run.request.emergency or self.run.dry:
            return None
        rows = list[tuple[Item, Row]]()
        for item in items:
            run = self.whole.of(item)
            now = run.clock.now()
            try:
                secret = secret_seen(item.secret, run.listing, run.vault, run.mark, look_for_deleted=False)
            except PatrolError:
                return None
            step = plan(item, Seen(secret), now, run.asked)
            if not (isinstance(secret, Published) and isinstance(step, Hold) and rests(item, secret, step, now)):
                return None
            rows.append((item, held(item, step.because, step.until, secret.expires_on)))
        return [self._tell(item, row) for item, row in rows]

    def _sign_in(self, items: list[Item], done: UserWorkDone) -> SignedIn | None:
        try:
            return SignedIn(self.user, self.run.sign_ins.sign_in(self.user), self.run.sign_ins)
        except PatrolError as failure:
            because, outcome = (Because.BLOCKED, Outcome.BLOCKED) if is_refused(failure) else _USER_FAILED
            done.rows += [self._tell(item, failed(item, because, failure, outcome)) for item in items]
            if is_refused(failure):
                done.rows += self._end_leaked(items, failure)
            if not items:
                self.run.tell("user.failed", username=self.user.username, code=failure.code)
        except Exception as failure:  # noqa: BLE001  # promise 5: one broken user never stops the others
            done.rows += [self._tell(item, unexpected(item, failure)) for item in items]
        return None

    def _end_leaked(self, items: list[Item], refusal: PatrolError) -> list[Row]:
        """In an emergency nothing takes the place of what leaked before a person has acted for its user, and it ends
        all the same: by the administrator, where pats.yaml names one. What lives is told. A sign-in without an answer
        ends nothing: the next try may bring a new value first (promise 1).
        """
        rows = list[Row]()
        for item in items if self.run.request.emergency and not self.run.dry else ():
            try:
                ended = leaked_before_minting(item, self.whole.of(item), refusal)
            except PatrolError as failure:
                ended = [failed(item, Because.EMERGENCY, failure, verb=Verb.RETIRE)]
            rows += [self._tell(item, row) for row in ended]
        return rows

    def _list(self, user: SignedIn, items: list[Item], done: UserWorkDone) -> dict[str, Listed]:
        """The user's live PATs by casefolded organization, without the organizations that failed."""
        listed: dict[str, Listed] = {}
        for organization in self.whole.organizations_of(self.user):
            mine = [item for item in items if item.organization.casefold() == organization.casefold()]
            if self.run.deadline.passed():
                done.rows += [self._tell(item, left(item)) for item in mine]
                continue
            try:
                listed[organization.casefold()] = self.run.organizations.active(user.api, organization)
            except PatrolError as failure:
                done.rows += [self._tell(item, failed(item, Because.ORGANIZATION_FAILED, failure)) for item in mine]
                # Where no item of pats.yaml needs it, only an old tag names it, and it may be gone.
                self.run.tell("organization.failed", organization=organization, code=failure.code)
            except Exception as failure:  # noqa: BLE001
                done.rows += [self._tell(item, unexpected(item, failure)) for item in mine]
        return listed

    def _do_items(self, user: SignedIn, items: list[Item], done: UserWorkDone) -> None:
        """Plan all, then do them most urgent first. Notes what each secret is now, as far as orphans may be judged."""
        together, deadline = self.run.threads.together, self.run.deadline
        looked = together([partial(self._look, user, item, done.listed) for item in items])
        done.rows += [row for row in looked if isinstance(row, Row)]
        planned = [work for work in looked if not isinstance(work, Row)]
        now = {address: run.clock.now() for address, run in self.whole.each.items()}
        planned.sort(key=lambda work: urgency(work[1], work[2], now[work[0].vault]))
        firsts = together([partial(self._do_item, user, work, done.listed) for work in planned])
        # What another runner works on is waited for last, so that it holds back nothing else.
        until = deadline.within(PATIENCE)
        for work, first in zip(planned, firsts, strict=True):
            item, _, step = work
            run = self.whole.of(item)
            again = isinstance(first, Busy) and not deadline.passed()
            what = self._do_item(user, work, done.listed, until) if again else first
            if isinstance(what, Busy):
                done.rows.append(run.tell_row(held_elsewhere(item, step, what)))
                continue
            ended, secret_now = what
            done.add(ended, run)
            if secret_now is not None and not item.paused:
                done.judge(item.key, circumstances(item, secret_now, run), run)

    def _look(self, user: SignedIn, item: Item, listed: Mapping[str, Listed]) -> Planned | Row:
        run = self.whole.of(item)
        try:
            secret = secret_seen(item.secret, run.listing, run.vault, run.mark)
            now = run.clock.now()
            seen = item_seen(item, secret, listed[item.organization.casefold()], user.api, run.vault, run.mark, now)
            return item, seen, plan(item, seen, now, run.asked)
        except PatrolError as failure:
            return run.tell_row(failed(item, Because.NOT_SEEN, failure))
        except Exception as failure:  # noqa: BLE001
            return run.tell_row(unexpected(item, failure))

    def _do_item(
        self, user: SignedIn, planned: Planned, listed: Mapping[str, Listed], until: Deadline | None = None
    ) -> tuple[Ended, Secret | None] | Busy:
        """Gives Busy, and nothing was done, while another runner has the item; None: it is not waited for."""
        item, seen, step = planned
        run = self.whole.of(item)
        try:
            reconciles = run.estate.is_full_look(self.user)
            work = ItemWork(run, user, item, listed[item.organization.casefold()], reconciles)
            if run.deadline.passed() and not work.at_rest(seen, step):
                return Ended([run.tell_row(left(item))]), None
            at_once = run.deadline.within(timedelta(0))
            return work.do(seen, step, until or at_once, last=until is not None)
        except Busy as busy:
            return busy
        except Exception as failure:  # noqa: BLE001
            return Ended([run.tell_row(unexpected(item, failure))]), None

    def _end_unmanaged(self, user: SignedIn, run: Run, done: UserWorkDone) -> None:
        """Items that vanished from pats.yaml: their current PAT and value stay, what was promised to end still ends."""
        if run.estate.inventory.unread:
            # The item may stand where nobody can read it, with an overlap of its own.
            return
        ours = {run.mark.secret_of(pat.display_name) for pats in done.listed.values() for pat in pats.values()}
        for name in sorted(name for name in ours - run.estate.managed if name is not None):
            try:
                secret = secret_seen(name, run.listing, run.vault, run.mark)
                done.judge(name, Circumstances(secret, run.estate.inventory.overlap, False, run.mark), run)
                if isinstance(secret, Published):
                    self._retire_unmanaged(user, run.listing.secrets[name].name, secret, run, done)
            except PatrolError as failure:
                run.tell("secret.failed", secret=name, code=failure.code)

    def _retire_unmanaged(self, user: SignedIn, name: str, secret: Published, run: Run, done: UserWorkDone) -> None:
        owner = Owner(secret.stamp.username, secret.stamp.organization)
        pats = done.listed.get(owner.organization.casefold())
        if owner.username.casefold() != self.user.key or pats is None:
            return
        ending = Ending(name, None, owner, secret, pats, user.api)
        if predecessors_at_rest(ending, run, run.clock.now()):
            return
        given = any(predecessor.pushed for predecessor in secret.stamp.predecessors)
        ending = replace(ending, held=given and not self._is_given_elsewhere(name))
        with _turn(name, run):
            done.add(retire(ending, run), run)

    def _is_given_elsewhere(self, name: str) -> bool:
        """Whether the consumers of an item that moved have what is published there, not an older copy.

        That one of them has not is told where the item is.
        """
        for item in self.whole.observed.inventory.items():
            if item.key != name.casefold() or item.decommission or not any(to.keeps_copy for to in item.then):
                continue
            there = self.whole.each.get(item.vault)
            if there is None or item.paused:
                return False
            try:
                secret = secret_seen(item.secret, there.listing, there.vault, there.mark)
                if not isinstance(secret, Published):
                    return False
                push_all(item, secret, there)
            except PatrolError:
                return False
        return True

    def end_orphans(
        self, done: UserWorkDone, judged: Mapping[VaultAddress, Mapping[str, Circumstances]]
    ) -> UserWorkDone:
        """End what carries our mark, was minted by this user, and belongs to nothing, whoever the owner is now.

        Each is judged by what the vault of its mark shows. After everybody's work: what another user has published
        meanwhile explains versions. Never raises.
        """
        ended = UserWorkDone(self.user)
        try:
            api = self.run.sign_ins.sign_in(self.user)
            for address, run in self.whole.each.items():
                secrets = judged.get(address, {})
                items = {} if run.request.emergency else run.estate.inventory.by_key()
                for organization, pats in done.listed.items():
                    if not run.deadline.passed():
                        owner = Owner(self.user.username, organization)
                        ended.add(end_orphans(owner, api, pats, secrets, items, self._is_given_elsewhere, run), run)
                ended.rows += self._end_canaries(api, run, done)
        except PatrolError as failure:
            self.run.tell("user.failed", username=self.user.username, code=failure.code)
        except Exception as failure:  # noqa: BLE001
            self.run.tell("user.failed", username=self.user.username, code=Code.UNEXPECTED, says=type(failure).__name__)
        return ended

    def _end_canaries(self, api: PatApi, run: Run, done: UserWorkDone) -> list[Row]:
        rows = list[Row]()
        for organization, pats in done.listed.items():
            owner = Owner(self.user.username, organization)
            ended = end_canaries(owner, api, pats, run.vault, run.mark, run.tell)
            rows += [ended_row(CANARY, owner, Because.ORPHAN, one.failure, one.pat) for one in ended]
        return [run.tell_row(row) for row in rows]

    def end_former(self, handovers: list[Handover]) -> UserWorkDone:
        """End predecessors that this user minted before another user or organization took over (rule 13)."""
        done = UserWorkDone(self.user)
        for handover in handovers:
            run, ended = self.whole.each[handover.vault], Ended()
            try:
                with _turn(handover.secret, run):
                    ended = self._end_former(handover, run)
            except PatrolError as failure:
                ended.leftovers.append(leftover(handover, f"{failure.cause} {failure.remedy}"))
                if is_refused(failure):
                    ended.rows.append(run.tell_row(_blocked(handover, failure)))
            except Exception as failure:  # noqa: BLE001  # as above; the text may carry a secret
                says = f"patrol itself failed ({type(failure).__name__}); the next run tries again."
                ended.leftovers.append(leftover(handover, says))
            done.add(ended, run)
        return done

    def _end_former(self, handover: Handover, run: Run) -> Ended:
        owner = handover.owner
        api = run.sign_ins.sign_in(self.user)
        pats = run.organizations.active(api, owner.organization)
        current = run.vault.current(handover.secret).version
        secret = published(current)
        if secret is None or not is_ours(current.tags, run.mark):
            return Ended()
        predecessor = handover.predecessor
        ended = retire(Ending(handover.secret, handover.item, owner, secret, pats, api, predecessor.id), run)
        return Ended([run.tell_row(row) for row in ended.rows], ended.leftovers)


def circumstances(item: Item, secret: Secret, run: Run) -> Circumstances:
    """What an orphan of an item is judged by, once its work is done."""
    return Circumstances(secret, item.overlap, True, run.mark, given_first(item), run.asked.emergency)


_USER_FAILED = (Because.USER_FAILED, Outcome.FAILED)


def is_refused(failure: PatrolError) -> bool:
    """Whether a person must act before the user can sign in (exit 3)."""
    return failure.code in A_PERSON_MUST_ACT


def leftover(handover: Handover, says: str) -> Leftover:
    """A predecessor that nobody of pats.yaml can end."""
    owner = handover.owner
    return Leftover(handover.secret, handover.predecessor.id, owner.username, owner.organization, says)


def _blocked(handover: Handover, failure: PatrolError) -> Row:
    owner = handover.owner
    says = f"{handover.secret}: ending {handover.predecessor.id} must wait. {failure.cause} {failure.remedy}"
    return Row(
        handover.secret,
        owner.username,
        owner.organization,
        Verb.RETIRE,
        Outcome.BLOCKED,
        Because.BLOCKED,
        says,
        error=Failure.of(failure),
    )


def _turn(secret: str, run: Run) -> AbstractContextManager[Turn]:
    """The turn at a secret that no item's work holds; Busy where another runner has it: the next run retires."""
    return run.world.flight.take(run.estate.address.key_of(secret), run.deadline.within(PATIENCE))
