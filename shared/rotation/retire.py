"""Ending what is over: predecessors after their overlap, and orphans. Only ever our own (rules 4, 5 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.model import tags
from shared.model.errors import Absent, PatrolError
from shared.model.items import Item
from shared.model.pats import Pat, PatId
from shared.model.ports import PatApi
from shared.model.secret_state import (
    Published,
    Secret,
    VersionSeen,
)
from shared.model.steps import (
    Because,
)
from shared.model.tags import Predecessor
from shared.report.report import Failure, Leftover, Outcome, Row, Verb
from shared.rotation.push import push
from shared.rotation.rotate import Tools, current_version, disable_older, remember, revoke
from shared.rules.orphans import is_orphan_candidate, orphan_over
from shared.rules.overlap import Fate, ends_at_once, fate, overlap_end, waits_for_consumer


@dataclass(frozen=True, slots=True)
class Owner:
    """Who minted a PAT, and in which organization."""

    username: str
    organization: str

    def same(self, other: Owner) -> bool:
        return (self.username.casefold(), self.organization.casefold()) == (
            other.username.casefold(),
            other.organization.casefold(),
        )


@dataclass(frozen=True, slots=True)
class Handover:
    """A predecessor that only its former owner can end (rule 13)."""

    secret: str
    item: Item | None
    predecessor: Predecessor
    owner: Owner
    due: bool


class Judged(NamedTuple):
    """What a secret is now, and what ending its orphans depends on. `item`: where a consumer may hold one."""

    secret: Secret
    overlap: timedelta
    item: Item | None = None


@dataclass(slots=True)
class Ended:
    rows: list[Row] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)


def retire(
    tools: Tools,
    name: str,
    item: Item | None,
    owner: Owner,
    secret: Published,
    version: VersionSeen | None,
    listed: Mapping[PatId, Pat],
    only: PatId | None = None,
    because: Because = Because.OVERLAP_OVER,
) -> Ended:
    """Revoke what is over, then take it off the tags; where there is a consumer, it is given the current value first.

    `version` is known only when this run wrote it. `only`: judge just this predecessor, leave the others. `because`:
    an emergency waits for no overlap.
    """
    ended = Ended()
    now = tools.clock.now()
    judged = [one for one in secret.stamp.predecessors if only in (None, one.id)]
    fates = {one: fate(one, secret, listed.get(one.id), item, name, tools.mark, now) for one in judged}
    over: set[Predecessor] = {one for one, what in fates.items() if what is Fate.FORGET}
    for one, what in fates.items():
        if what is Fate.STRANGER and now >= overlap_end(one, secret, item):
            ended.leftovers.append(_stranger(name, one, owner))
        elif what is Fate.LOOK and _is_over(tools, name, item, owner, secret, one, ended):
            over.add(one)
    due = [one for one, what in fates.items() if what is Fate.REVOKE]
    waiting = [one for one in (*due, *over) if waits_for_consumer(one, secret, item)]
    if item is not None and item.then is not None and waiting:
        try:
            version = push(tools, item, item.then, secret) or version
        except PatrolError as failure:
            ended.rows += [_row(name, owner, Because.NOT_PUSHED, failure, one.id) for one in waiting]
            due = [one for one in due if one not in waiting]
            over -= set(waiting)
    if not due and not over:
        return ended
    try:
        # Read before anything is ended: on a secret that changed meanwhile, the tags seen no longer count.
        version = version or current_version(tools.vault, name, secret)
    except PatrolError as failure:
        ended.rows.append(_row(name, owner, because, failure, secret.stamp.authorization_id))
        return ended
    for one in due:
        try:
            revoke(tools, name, owner.organization, one.id)
        except PatrolError as failure:
            ended.rows.append(_row(name, owner, because, failure, one.id))
        else:
            over.add(one)
            ended.rows.append(_row(name, owner, because, None, one.id))
    try:
        if any(ends_at_once(one, secret) for one in over):
            in_overlap = frozenset(one.id for one in secret.stamp.predecessors if not ends_at_once(one, secret))
            disable_older(tools, name, version, frozenset(one.id for one in over), in_overlap)
        if over:
            left = tuple(one for one in secret.stamp.predecessors if one not in over)
            pushed = (tags.read(version.tags) or secret.stamp).pushed_to
            remember(tools, name, version, replace(secret.stamp, predecessors=left, pushed_to=pushed))
    except PatrolError as failure:
        ended.rows.append(_row(name, owner, because, failure, secret.stamp.authorization_id))
    return ended


def end_orphans(tools: Tools, owner: Owner, listed: Mapping[PatId, Pat], secrets: Mapping[str, Judged]) -> list[Row]:
    """Revoke what carries our mark and belongs to nothing. `secrets`: what this run may judge, by casefolded name."""
    rows: list[Row] = []
    for pat in listed.values():
        name = tools.mark.secret_of(pat.display_name)
        if name is None or name not in secrets:
            continue
        secret, overlap, item = secrets[name]
        because = Because.ORPHAN
        try:
            if not _is_orphan(tools, name, pat, secret, overlap):
                continue
            if item is not None and item.then is not None and isinstance(secret, Published):
                # Two runs at one moment: the consumer may have what the other one published for a while.
                because = Because.NOT_PUSHED
                push(tools, item, item.then, secret)
                because = Because.ORPHAN
            revoke(tools, name, owner.organization, pat.id)
            rows.append(_row(name, owner, because, None, pat.id))
        except PatrolError as failure:
            rows.append(_row(name, owner, because, failure, pat.id))
    return rows


def is_dead(api: PatApi, organization: str, pat: PatId, now: datetime) -> bool:
    """Proof that a PAT which is not listed as active is dead (rule 5): Get says so, or the listing of revoked ones."""
    return look(api, organization, pat, now) is None


def look(api: PatApi, organization: str, pat: PatId, now: datetime) -> Pat | None:
    """A PAT that the listing of active ones does not show: None when it is proved dead, itself when it lives."""
    try:
        found = api.get(organization, pat)
    except Absent:
        return None
    if found.validity.ends <= now or pat in api.revoked(organization):
        return None
    return found


def _is_orphan(tools: Tools, name: str, pat: Pat, secret: Secret, overlap: timedelta) -> bool:
    now = tools.clock.now()
    if not is_orphan_candidate(pat, secret, now):
        return False
    return orphan_over(pat, secret, tools.vault.versions(name), overlap, tools.mark, now)


def _is_over(
    tools: Tools, name: str, item: Item | None, owner: Owner, secret: Published, one: Predecessor, ended: Ended
) -> bool:
    """Judge a predecessor that its supposed owner's listing does not show: somebody else's, dead, or in doubt."""
    due = tools.clock.now() >= overlap_end(one, secret, item)
    try:
        former = _owner_of(tools.vault.versions(name), one.id)
        if former is not None and not former.same(owner):
            ended.handovers.append(Handover(name, item, one, former, due))
            return False
        return due and is_dead(tools.api, owner.organization, one.id, tools.clock.now())
    except PatrolError as failure:
        ended.rows.append(_row(name, owner, Because.OVERLAP_OVER, failure, one.id))
        return False


def _owner_of(versions: tuple[VersionSeen, ...], pat: PatId) -> Owner | None:
    for version in versions:
        stamp = tags.read(version.tags)
        if stamp is not None and stamp.authorization_id == pat:
            return Owner(stamp.username, stamp.organization)
    return None


def _stranger(name: str, one: Predecessor, owner: Owner) -> Leftover:
    return Leftover(
        name,
        one.id,
        owner.username,
        owner.organization,
        "The tag `predecessors` names this PAT, and the PAT does not carry patrol's mark for this secret: not revoked. "
        "End it by hand if it should not live, or set `adopt` to its id.",
    )


def _row(name: str, owner: Owner, because: Because, failure: PatrolError | None, pat: PatId) -> Row:
    if failure is not None and because is Because.NOT_PUSHED:
        kept = f"{name}: {pat} is not ended before the item's consumer has the published value."
        says, outcome = f"{kept} {failure.cause} {failure.remedy}", Outcome.FAILED
    elif failure is not None:
        says, outcome = f"{name}: ending {pat} failed. {failure.cause} {failure.remedy}", Outcome.FAILED
    elif because is Because.ORPHAN:
        says, outcome = f"{name}: {pat}, which was neither current nor in overlap, was ended.", Outcome.DONE
    elif because is Because.EMERGENCY:
        says, outcome = f"{name}: of an emergency, the predecessor {pat} was ended at once.", Outcome.DONE
    else:
        says, outcome = f"{name}: the overlap is over, and the predecessor {pat} was ended.", Outcome.DONE
    return Row(
        secret=name,
        username=owner.username,
        organization=owner.organization,
        step=Verb.RETIRE,
        outcome=outcome,
        because=because,
        says=says,
        error=None if failure is None else Failure.of(failure),
    )
