"""Ending predecessors after their overlap. Only ever our own (rules 5 and 7).

Judged again by the vault's own clock right before anything ends: between seeing and doing a process may be suspended,
a clock may step, and another run or a person may write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.model.clock import VaultInstant
from shared.model.errors import Denied, PatrolError
from shared.model.items import Item
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import PatApi
from shared.model.secret_state import Published, VersionListing, VersionSeen
from shared.model.steps import Because
from shared.model.tags import Predecessor
from shared.report.report import Leftover, Row
from shared.rotation import gate
from shared.rotation.ended import Ended, Handover, ended_row, left_alive
from shared.rotation.held import held_for_readers
from shared.rotation.observe import find_unlisted, owner_of
from shared.rotation.publish import overtaken, without
from shared.rotation.push import push_all
from shared.rotation.run_context import Run
from shared.rules import may_end
from shared.rules.orphans import Standing
from shared.rules.overlap import (
    Fate,
    fate,
    overlap_end,
    overlap_of,
    stays_with_consumer,
    waits_for_consumers,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """A secret whose predecessors may be over, by the owner whose live PATs are `listed`.

    `item`: None for a secret that pats.yaml does not name any more. `only`: judge just this predecessor. `held`: what a
    consumer was given stays, because it may have nothing newer.
    """

    name: str
    item: Item | None
    owner: Owner
    secret: Published
    listed: Mapping[PatId, Pat]
    api: PatApi
    only: PatId | None = None
    held: bool = False

    def overlap(self, run: Run) -> timedelta:
        """How long its predecessors go on working."""
        current = self.listed.get(self.secret.stamp.authorization_id)
        return overlap_of(self.item, self.secret, current, run.estate.inventory.overlap)

    def fate(self, predecessor: Predecessor, run: Run, now: VaultInstant) -> Fate:
        """What becomes of one predecessor at `now`."""
        listed = self.listed.get(predecessor.id)
        if listed is not None and run.elsewhere.has(listed, self.name):
            return Fate.FORGET  # its item came back to the vault that publishes it
        mark = run.mark if listed is None else run.mark_of(listed, self.name)
        found = fate(predecessor, self.secret, listed, self.item, self.name, mark, self.overlap(run), now)
        return Fate.KEEP if self.held and found is Fate.PUSHED else found


def predecessors_at_rest(ending: Ending, run: Run, now: VaultInstant) -> bool:
    """Whether every predecessor stays as it is for now."""
    fates = (ending.fate(predecessor, run, now) for predecessor in ending.secret.stamp.predecessors)
    return all(fate is Fate.KEEP for fate in fates)


def retire(ending: Ending, run: Run) -> Ended:
    """Revoke what is over, then take it off the tags; where there are consumers, they have the current value first.

    Predecessors that an emergency ends at once are not judged here while pats.yaml has the item:
    rotation/generations.py does.
    """
    ended = Ended()
    due, over = _judged(ending, run, ended)
    waiting = {predecessor for predecessor in (*due, *over) if waits_for_consumers(predecessor, ending.item)}
    if waiting and (failure := _not_pushed(ending, run)) is not None:
        ended.rows += [_row(ending, Because.NOT_PUSHED, failure, predecessor.id) for predecessor in waiting]
        due = [predecessor for predecessor in due if predecessor not in waiting]
        over -= waiting
    if not due and not over:
        return ended
    name, pat = ending.name, ending.secret.stamp.authorization_id
    given = [ending.listed[predecessor.id] for predecessor in due if predecessor.pushed]
    try:
        # Read before anything is ended: on a secret that changed meanwhile, the tags seen no longer count.
        versions = run.versions(name, given) if given else None
        now_there = _Now(*_current(name, pat, run), versions)
        over |= {predecessor for predecessor in due if _end(ending, predecessor, now_there, run, ended)}
        if over:
            ids = frozenset(predecessor.id for predecessor in over)
            run.publisher.remember(name, now_there.version, lambda stamp: without(stamp, ids))
    except PatrolError as failure:
        ended.rows.append(_row(ending, Because.OVERLAP_OVER, failure, pat))
    return ended


def _judged(ending: Ending, run: Run, ended: Ended) -> tuple[list[Predecessor], set[Predecessor]]:
    """What is to be revoked, and what is over already; what is neither and needs a word is told in `ended`."""
    due, over, now = list[Predecessor](), set[Predecessor](), run.clock.now()
    for predecessor in ending.secret.stamp.predecessors:
        judged_there = predecessor.at_once and ending.item is not None
        if ending.only not in (None, predecessor.id) or judged_there:
            continue
        match ending.fate(predecessor, run, now):
            case Fate.REVOKE | Fate.PUSHED if (row := held_for_readers(ending, predecessor, run, now)) is not None:
                ended.rows.append(row)
                run.tell("predecessor.held", secret=row.secret, predecessor=predecessor.id, says=row.says)
            case Fate.REVOKE | Fate.PUSHED:
                due.append(predecessor)
            case Fate.FORGET:
                over.add(predecessor)
            case Fate.LOOK if _is_dead(ending, predecessor, run, ended):
                over.add(predecessor)
            case Fate.STRANGER if now >= overlap_end(predecessor, ending.secret, ending.overlap(run)):
                ended.leftovers.append(_stranger(ending, predecessor))
    return due, over


@dataclass(frozen=True, slots=True)
class _Now:
    """What is read right before anything ends; `versions`: all of them, where a consumer was given one."""

    version: VersionSeen
    at: VaultInstant
    versions: VersionListing | None


def _end(ending: Ending, predecessor: Predecessor, there: _Now, run: Run, ended: Ended) -> bool:
    """End one predecessor if it still may end; gives whether it is over now."""
    allowed = may_end.predecessor_over(
        predecessor,
        ending.secret,
        ending.listed[predecessor.id],
        ending.item,
        ending.name,
        ending.owner,
        run.mark_of(ending.listed[predecessor.id], ending.name),
        ending.overlap(run),
        there.version,
        there.at,
        Because.OVERLAP_OVER,
        there.versions,
    )
    if allowed is None:
        given = there.versions if predecessor.pushed else None
        if given is not None and stays_with_consumer(predecessor, ending.secret, given, ending.item):
            ended.leftovers.append(left_alive(ending.name, ending.owner, predecessor.id, Standing.WITH_CONSUMER))
        return False
    try:
        gate.end(ending.api, allowed, run.tell)
    except PatrolError as failure:
        ended.rows.append(_row(ending, Because.OVERLAP_OVER, failure, predecessor.id))
        return False
    ended.rows.append(_row(ending, Because.OVERLAP_OVER, None, predecessor.id))
    return True


def _not_pushed(ending: Ending, run: Run) -> PatrolError | None:
    """Give the consumers what is current; the failure, if that could not be done for one of them."""
    try:
        if ending.item is not None:
            push_all(ending.item, ending.secret, run)
    except PatrolError as failure:
        return failure
    return None


def _current(name: str, pat: PatId, run: Run) -> tuple[VersionSeen, VaultInstant]:
    try:
        current = run.publisher.current(name, pat)
    except Denied:
        # A disabled version cannot be read, and its answer looks like a missing permission: find it among all.
        listing = run.vault.versions(name)
        newest = listing.newest()
        if newest is None or newest.enabled:
            raise
        if not newest.names(pat):
            raise overtaken() from None
        return newest, listing.at
    return current.version, current.at


def _is_dead(ending: Ending, predecessor: Predecessor, run: Run, ended: Ended) -> bool:
    """Judge a predecessor that its supposed owner's listing does not show: somebody else's, dead, or in doubt."""
    now = run.clock.now()
    due = now >= overlap_end(predecessor, ending.secret, ending.overlap(run))
    try:
        former = owner_of(run.vault.versions(ending.name), predecessor.id)
        if former is not None and not former.same(ending.owner):
            ended.handovers.append(Handover(ending.name, ending.item, predecessor, former, due))
            return False
        return due and not find_unlisted(ending.api, ending.owner.organization, predecessor.id, now)[1]
    except PatrolError as failure:
        ended.rows.append(_row(ending, Because.OVERLAP_OVER, failure, predecessor.id))
        return False


def _stranger(ending: Ending, predecessor: Predecessor) -> Leftover:
    return Leftover(
        ending.name,
        predecessor.id,
        ending.owner.username,
        ending.owner.organization,
        "The tag `predecessors` names this PAT, and the PAT does not carry patrol's mark for this secret: not revoked. "
        "End it by hand if it should not live, or set `adopt` to its id.",
    )


def handed_over(name: str, item: Item, owner: Owner, secret: Published, now: VaultInstant) -> list[Handover]:
    """The predecessors of an item that now belongs to somebody else."""
    return [
        Handover(name, item, predecessor, owner, now >= overlap_end(predecessor, secret, item.overlap))
        for predecessor in secret.stamp.predecessors
    ]


def _row(ending: Ending, because: Because, failure: PatrolError | None, pat: PatId) -> Row:
    return ended_row(ending.name, ending.owner, because, failure, pat)
