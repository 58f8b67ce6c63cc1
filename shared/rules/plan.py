"""What an item needs: pure functions of what was asked for, what was seen and the time.

Timer, HTTP, command line, dry run and status all show the plan made here. Rules are numbered as in docs/rules.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.model.clock import whole_seconds
from shared.model.items import Item, Strategy
from shared.model.secret_state import Foreign, Nothing, Published, Secret, Seen, Unmarked, expiry
from shared.model.steps import Because, Decommission, Fail, Hold, Mend, Recover, Renew, Rotate, Step, Wait
from shared.model.tags import Stamp, scopes_text
from shared.rules.due import due_at
from shared.rules.needs_a_person import deleted, disabled, edited, foreign, moved, paused, unmarked
from shared.rules.overlap import overlap_end, owes_push


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller wants beyond what is due. `published_before` is in vault time."""

    published_before: datetime
    force: bool = False
    adopt: bool = False
    emergency: bool = False
    revoke_first: bool = False


def plan(item: Item, seen: Seen, now: datetime, asked: Asked | None = None) -> Step:
    """Say what `item` needs at `now` (vault time)."""
    secret = seen.secret
    forced = asked is not None and (asked.force or asked.emergency)
    if item.decommission:
        return _plan_end(item, secret, seen)
    if item.paused and not (asked and asked.emergency):
        return paused() if forced else Hold(Because.PAUSED)
    match secret:
        case Nothing(deleted=True):
            return Recover() if item.recover_deleted else deleted(item.secret)
        case Nothing():
            return Rotate(Because.NOTHING_PUBLISHED)
        case Foreign():
            return foreign(secret)
        case Unmarked(edited=True):
            taken_back = asked is not None and asked.force and asked.adopt
            return Rotate(Because.TAKEN_BACK) if taken_back else edited(item)
        case Unmarked():
            return Rotate(Because.ADOPTED) if item.adopt else unmarked()
    due = _plan_published(item, secret, seen, now)
    return _plan_asked(item, secret, due, now, asked) if asked is not None and forced else due


def rests(item: Item, secret: Secret, step: Step, now: datetime) -> bool:
    """Whether the vault alone shows that nothing is to be done: no step, no push owed, no overlap over."""
    if not isinstance(step, Hold | Wait | Fail):
        return False
    if item.paused or not isinstance(secret, Published):
        return True
    if owes_push(item, secret) and not isinstance(step, Fail):
        return False
    return all(overlap_end(predecessor, secret, item.overlap) > now for predecessor in secret.stamp.predecessors)


def _plan_published(item: Item, secret: Published, seen: Seen, now: datetime) -> Step:
    ends = expiry(seen)
    if seen.gone:
        dead = Because.MISNAMED if seen.misnamed else Because.GONE
        return Rotate(Because.EXPIRED if ends is not None and ends <= now else dead)
    if not secret.enabled:
        return disabled(item)
    changed = _what_changed(item, secret.stamp)
    renamed = changed in (Because.USER_CHANGED, Because.ORGANIZATION_CHANGED) and seen.pat is not None
    if changed is not None and not renamed:
        return Rotate(changed)
    if ends is None or now >= ends:
        return Rotate(Because.EXPIRED)
    if now >= secret.created + item.max_age:
        return Rotate(Because.MAX_AGE)
    due = due_at(item, secret, ends)
    if now >= due:
        return Renew(Because.NEAR_EXPIRY) if item.strategy is Strategy.RENEW else Rotate(Because.NEAR_EXPIRY)
    # Listed under the user and the organization of pats.yaml: the same PAT, whose owner has a new name.
    return Mend() if renamed else Hold(Because.FRESH, until=due)


def _plan_asked(item: Item, secret: Published, due: Step, now: datetime, asked: Asked) -> Step:
    # `created` has whole seconds: within the second of the request nobody can tell which came first. A doubtful `force`
    # leaves alone (a repeated request must not mint again), a doubtful emergency replaces (rule 8).
    limit = whole_seconds(asked.published_before)
    replaced = secret.created > limit if asked.emergency else secret.created >= limit
    if replaced:
        return Hold(Because.ALREADY_REPLACED) if isinstance(due, Hold) else due
    if asked.emergency:
        return Rotate(Because.EMERGENCY)
    if isinstance(due, Rotate):
        return due
    ends = [overlap_end(predecessor, secret, item.overlap) for predecessor in secret.stamp.predecessors]
    in_overlap = [end for end in ends if end > now]
    if not in_overlap:
        return Rotate(Because.FORCED)
    return due if isinstance(due, Renew) else Wait(until=max(in_overlap))


def _plan_end(item: Item, secret: Secret, seen: Seen) -> Step:
    match secret:
        case Published(enabled=True) if not same_owner(item, secret.stamp) and seen.pat is None:
            return moved(secret.stamp)
        case Published():
            ended = not secret.enabled and seen.pat is None and not secret.stamp.predecessors
            return Hold(Because.DECOMMISSIONED) if ended else Decommission()
        case _:
            return Hold(Because.NOTHING_TO_END)


def _what_changed(item: Item, stamp: Stamp) -> Because | None:
    if stamp.username.casefold() != item.username.casefold():
        return Because.USER_CHANGED
    if stamp.organization.casefold() != item.organization.casefold():
        return Because.ORGANIZATION_CHANGED
    return Because.SCOPES_CHANGED if stamp.scopes != scopes_text(item.scopes) else None


def same_owner(item: Item, stamp: Stamp) -> bool:
    """Whether the current PAT belongs to the user and organization that `pats.yaml` names now."""
    return _what_changed(item, stamp) in (None, Because.SCOPES_CHANGED)


# --- what a person must look at --------------------------------------------------------------------------------------
