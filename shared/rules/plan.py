"""What an item needs: pure functions of what was asked for, what was seen and the time.

Timer, HTTP, command line, dry run and status all show the plan made here. Rules are numbered as in docs/rules.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.model.errors import Code
from shared.model.items import Item, Strategy, whole_seconds
from shared.model.secret_state import Foreign, Nothing, Published, Secret, Seen, Unmarked, expiry
from shared.model.steps import Because, Decommission, Fail, Hold, Mend, Recover, Renew, Rotate, Step, Wait
from shared.model.tags import Stamp, scopes_text
from shared.rules.overlap import overlap_end

PUBLISH_WITHIN = timedelta(minutes=5)
MOST_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller wants beyond what is due. `published_before` is in vault time."""

    published_before: datetime
    force: bool = False
    adopt: bool = False
    emergency: bool = False
    revoke_first: bool = False


def margin(item: Item, life: timedelta) -> timedelta:
    """How long before expiry a PAT is due: never more than half of the granted life (rule 6)."""
    return min(item.rotate_before, life / 2)


def due_at(item: Item, secret: Published, ends: datetime) -> datetime:
    """The instant an item falls due: its margin before expiry, or at `max_age` of the value (rules 6 and 9)."""
    return min(ends - margin(item, ends - secret.created), secret.created + item.max_age)


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
            return Rotate(Because.TAKEN_BACK) if taken_back else _edited(item)
        case Unmarked():
            return Rotate(Because.ADOPTED) if item.adopt else _unmarked()
    due = _plan_published(item, secret, seen, now)
    return _plan_asked(item, secret, due, now, asked) if asked is not None and forced else due


def _plan_published(item: Item, secret: Published, seen: Seen, now: datetime) -> Step:
    ends = expiry(seen)
    if seen.gone:
        return Rotate(Because.EXPIRED if ends is not None and ends <= now else Because.GONE)
    if not secret.enabled:
        return _disabled(item)
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
    ends = [overlap_end(one, secret, item) for one in secret.stamp.predecessors]
    in_overlap = [end for end in ends if end > now]
    if not in_overlap:
        return Rotate(Because.FORCED)
    return due if isinstance(due, Renew) else Wait(until=max(in_overlap))


def _plan_end(item: Item, secret: Secret, seen: Seen) -> Step:
    match secret:
        case Published(enabled=True) if not same_owner(item, secret.stamp) and seen.pat is None:
            return _moved(secret.stamp)
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


def urgency(seen: Seen, step: Step, now: datetime) -> tuple[int, float]:
    """Sort key, most urgent first: emergencies, what consumers miss now, then the least time left."""
    if isinstance(step, Rotate) and step.because is Because.EMERGENCY:
        return (0, 0.0)
    ends = expiry(seen)
    if ends is None or seen.gone:
        return (1, 0.0)
    return (2, (ends - now).total_seconds())


# --- what a person must look at --------------------------------------------------------------------------------------


def _moved(stamp: Stamp) -> Fail:
    return Fail(
        Because.USER_CHANGED,
        Code.OWNER_CHANGED,
        f"The item is to be decommissioned, and its PAT belongs to {stamp.username} in {stamp.organization}.",
        "Put the item back under that user and organization until it is decommissioned.",
    )


def _edited(item: Item) -> Fail:
    return Fail(
        Because.EDITED,
        Code.EDITED,
        "Somebody wrote the secret, or took patrol's tags off it; patrol did not replace it, and ended no PAT.",
        f"Find out who did; to take the secret back run `python -m shared rotate {item.secret} --force --adopt`.",
    )


def foreign(secret: Foreign) -> Fail:
    return Fail(
        Because.FOREIGN,
        Code.FOREIGN,
        f"The secret belongs to another patrol deployment, {secret.managed_by}.",
        "Remove the item from one of the two deployments, or give it another secret name.",
    )


def _unmarked() -> Fail:
    return Fail(
        Because.UNMARKED,
        Code.UNMARKED,
        "The secret exists and does not carry patrol's mark, so patrol does not touch it.",
        "Set `adopt: true` on the item (`adopt: <authorization-id>` ends the old PAT too), or name another secret.",
    )


def _disabled(item: Item) -> Fail:
    return Fail(
        Because.DISABLED,
        Code.DISABLED,
        "Somebody disabled the current version of the secret, so no consumer can read it, while its PAT still lives.",
        f"Enable the version, or replace it: `python -m shared rotate {item.secret} --force`.",
    )


def deleted(name: str) -> Fail:
    return Fail(
        Because.DELETED,
        Code.SECRET_DELETED,
        "The secret is soft-deleted, and its name cannot be written until it is recovered or purged.",
        f"Recover it (`az keyvault secret recover --name {name} ...`), or set `recover_deleted: true`.",
    )


def paused() -> Fail:
    return Fail(
        Because.PAUSED,
        Code.PAUSED,
        "The item is paused in pats.yaml, so it was not rotated.",
        "Take `paused: true` off the item, then ask again; an emergency is not held back by it.",
    )
