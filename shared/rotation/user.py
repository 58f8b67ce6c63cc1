"""The unit of work: everything one technical user has to do in one run (rule 14).

A failure stays where it happened: an item's fails the item, an organization's its items, a sign-in the user's items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from shared.model.errors import Busy, Code, PatrolError, UserRefused
from shared.model.items import Item, User
from shared.model.ports import PatApi
from shared.model.secret_state import (
    Published,
    Secret,
    Seen,
    is_ours,
)
from shared.model.steps import (
    Because,
    Step,
)
from shared.report.report import Leftover, Outcome, Row
from shared.report.rows import failed, held_elsewhere, left, unexpected
from shared.rotation.item import ItemWork, Listed, Shared
from shared.rotation.observe import as_published, item_seen, secret_seen
from shared.rotation.retire import Ended, Handover, Judged, Owner, end_orphans, retire
from shared.rotation.rotate import Tools
from shared.rules.due import urgency
from shared.rules.plan import plan

Secrets = dict[str, Judged]
Planned = tuple[Item, Seen, Step]

# Longer than a holder that died keeps an item (leases.py).
PATIENCE = timedelta(seconds=90)


@dataclass(slots=True)
class Part:
    """What one user's work adds to the report."""

    rows: list[Row] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)

    def add(self, ended: Ended) -> None:
        self.rows += ended.rows
        self.leftovers += ended.leftovers
        self.handovers += ended.handovers


@dataclass(frozen=True, slots=True)
class UserWork:
    user: User
    run: Shared

    def do(self) -> Part:
        """Sign in, list, plan, do. Never raises: one broken user never stops the others (promise 5)."""
        part = Part()
        items = self._items()
        try:
            self._do(items, part)
        except Exception as failure:  # noqa: BLE001  # what nobody expected is told on every item it left without a word
            told = {row.secret for row in part.rows}
            silent = [item for item in items if item.secret not in told] or items
            part.rows += [self._told(unexpected(item, failure)) for item in silent]
        return part

    def _do(self, items: list[Item], part: Part) -> None:
        if self.run.deadline.passed():
            part.rows += [left(item) for item in items]
            return
        api = self._sign_in(items, part)
        if api is None:
            return
        tools = self._tools(api)
        listed = self._list(api, items, part)
        judged = self._do_items(tools, [item for item in items if item.organization.casefold() in listed], listed, part)
        if self.run.dry_run:
            return
        if self.run.wanted is None:
            judged |= self._end_unmanaged(tools, listed, part)
        for organization, pats in listed.items():
            if not self.run.deadline.passed():
                part.rows += end_orphans(tools, Owner(self.user.username, organization), pats, judged)

    def end_former(self, handovers: list[Handover]) -> Part:
        """End predecessors that this user minted before another user or organization took over (rule 13)."""
        part = Part()
        for one in handovers:
            try:
                tools = self._tools(self.run.sign_ins.sign_in(self.user))
                pats = {pat.id: pat for pat in tools.api.active(one.owner.organization)}
                current = self.run.vault.current(one.secret).seen
                secret = as_published(current)
                if secret is not None and is_ours(current.tags, self.run.mark):
                    ended = retire(tools, one.secret, one.item, one.owner, secret, current, pats, one.predecessor.id)
                    part.rows += ended.rows
                    part.leftovers += ended.leftovers
            except PatrolError as failure:
                part.leftovers.append(leftover(one, f"{failure.cause} {failure.remedy}"))
            except Exception as failure:  # noqa: BLE001  # as above; the text may carry a secret
                says = f"patrol itself failed ({type(failure).__name__}); the next run tries again."
                part.leftovers.append(leftover(one, says))
        return part

    def anything(self) -> bool:
        """Whether this user has work at all: a former one has none until something is handed over to it."""
        return bool(self._items() or self._organizations([]))

    def owns(self, handover: Handover) -> bool:
        return handover.owner.username.casefold() == self.user.key

    def _items(self) -> list[Item]:
        wanted = self.run.wanted
        return [item for item in self.user.items if wanted is None or item.key in wanted]

    def _organizations(self, items: list[Item]) -> list[str]:
        """Where to look: where the items are, and on a whole run where our tags say that this user minted."""
        found = {item.organization.casefold(): item.organization for item in items}
        if self.run.wanted is None:
            for organization in self.run.minted_in.get(self.user.key, ()):
                found.setdefault(organization.casefold(), organization)
        return list(found.values())

    def _tools(self, api: PatApi) -> Tools:
        run = self.run

        def again() -> PatApi:
            return run.sign_ins.sign_in(self.user, again=True)

        return Tools(
            api=api,
            vault=run.vault,
            verifier=run.verifier,
            clock=run.clock,
            deadline=run.deadline,
            mark=run.mark,
            tell=run.tell,
            consumers=run.consumers,
            sign_in_again=again,
            breaker=run.breaker,
        )

    def _sign_in(self, items: list[Item], part: Part) -> PatApi | None:
        try:
            return self.run.sign_ins.sign_in(self.user)
        except PatrolError as failure:
            refused = isinstance(failure, UserRefused) or failure.code is Code.USER_BLOCKED
            because = Because.BLOCKED if refused else Because.USER_FAILED
            outcome = Outcome.BLOCKED if refused else Outcome.FAILED
            part.rows += [self._told(failed(item, because, failure, outcome)) for item in items]
        except Exception as failure:  # noqa: BLE001  # promise 5: one broken user never stops the others
            part.rows += [self._told(unexpected(item, failure)) for item in items]
        return None

    def _list(self, api: PatApi, items: list[Item], part: Part) -> dict[str, Listed]:
        """The user's live PATs by casefolded organization, without the organizations that failed."""
        listed: dict[str, Listed] = {}
        for organization in self._organizations(items):
            mine = [item for item in items if item.organization.casefold() == organization.casefold()]
            try:
                listed[organization.casefold()] = {pat.id: pat for pat in api.active(organization)}
            except PatrolError as failure:
                part.rows += [self._told(failed(item, Because.ORGANIZATION_FAILED, failure)) for item in mine]
                # Where no item of pats.yaml needs it, only an old tag names it, and it may be gone.
                self.run.tell("organization.failed", organization=organization, code=failure.code)
            except Exception as failure:  # noqa: BLE001
                part.rows += [self._told(unexpected(item, failure)) for item in mine]
        return listed

    def _do_items(self, tools: Tools, items: list[Item], listed: Mapping[str, Listed], part: Part) -> Secrets:
        """Plan all, then do them most urgent first. Gives what each secret is now, as far as orphans may be judged."""
        together, deadline = self.run.threads.together, self.run.deadline
        looked = together([partial(self._look, tools, item, listed) for item in items])
        part.rows += [one for one in looked if isinstance(one, Row)]
        now = tools.clock.now()
        planned = [one for one in looked if not isinstance(one, Row)]
        planned.sort(key=lambda one: urgency(one[1], one[2], now))
        done = together([partial(self._do_item, tools, one, listed) for one in planned])
        # What another runner works on is waited for last, so that it holds back nothing else.
        until = min(deadline.at, deadline.clock.now() + PATIENCE)
        judged: Secrets = {}
        for one, first in zip(planned, done, strict=True):
            again = isinstance(first, Busy) and not deadline.passed()
            what = self._do_item(tools, one, listed, until) if again else first
            item, _, step = one
            if isinstance(what, Busy):
                part.rows.append(self._told(held_elsewhere(item, step, what)))
                continue
            ended, secret_now = what
            part.add(ended)
            if secret_now is not None and not item.paused:
                # An emergency is never held back by a consumer (rule 8).
                judged[item.key] = Judged(secret_now, item.overlap, None if self.run.asked.emergency else item)
        return judged

    def _look(self, tools: Tools, item: Item, listed: Mapping[str, Listed]) -> Planned | Row:
        try:
            secret = secret_seen(item.secret, self.run.listing, self.run.vault, self.run.mark)
            now = tools.clock.now()
            seen = item_seen(item, secret, listed[item.organization.casefold()], tools.api, now)
            return item, seen, plan(item, seen, now, self.run.asked)
        except PatrolError as failure:
            return self._told(failed(item, Because.NOT_SEEN, failure))
        except Exception as failure:  # noqa: BLE001
            return self._told(unexpected(item, failure))

    def _do_item(
        self, tools: Tools, planned: Planned, listed: Mapping[str, Listed], wait_until: datetime | None = None
    ) -> tuple[Ended, Secret | None] | Busy:
        """Gives Busy, and nothing was done, while another runner has the item; None: it is not waited for."""
        item, seen, step = planned
        try:
            work = ItemWork(self.run, tools, item, listed[item.organization.casefold()])
            if self.run.deadline.passed() and not work.at_rest(seen, step):
                return Ended([left(item)]), None
            return work.do(seen, step, wait_until or self.run.deadline.clock.now())
        except Busy as busy:
            return busy
        except Exception as failure:  # noqa: BLE001
            return Ended([self._told(unexpected(item, failure))]), None

    def _end_unmanaged(self, tools: Tools, listed: Mapping[str, Listed], part: Part) -> Secrets:
        """Items that vanished from pats.yaml: their current PAT and value stay, what was promised to end still ends."""
        run = self.run
        judged: Secrets = {}
        ours = {run.mark.secret_of(pat.display_name) for pats in listed.values() for pat in pats.values()}
        for name in sorted(name for name in ours if name is not None and name not in run.managed):
            try:
                secret = secret_seen(name, run.listing, run.vault, run.mark)
            except PatrolError as failure:
                run.tell("secret.failed", secret=name, code=failure.code)
                continue
            judged[name] = Judged(secret, run.inventory.overlap)
            if isinstance(secret, Published):
                owner = Owner(secret.stamp.username, secret.stamp.organization)
                pats = listed.get(owner.organization.casefold())
                if owner.username.casefold() == self.user.key and pats is not None:
                    part.add(retire(tools, run.listing.secrets[name].name, None, owner, secret, None, pats))
        return judged

    def _told(self, row: Row) -> Row:
        self.run.told(row)
        return row


def leftover(one: Handover, says: str) -> Leftover:
    return Leftover(one.secret, one.predecessor.id, one.owner.username, one.owner.organization, says)
