"""The rules, as pure functions of what was asked for, what was seen and the time: no network, no clock, no chance.

Timer, HTTP, command line, dry run and status all show the plan made here. Rules are numbered as in docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.errors import Code
from shared.model import Item, Pat, PatId, Strategy, VersionSeen, whole_seconds
from shared.tags import MOST_PREDECESSORS, Mark, Predecessor, Stamp, read, scopes_text

# A PAT younger than this may still be on its way into the vault: publishing is allowed for 5 minutes after minting.
ORPHAN_AGE = timedelta(hours=2)
PUBLISH_WITHIN = timedelta(minutes=5)
MOST_SKEW = timedelta(minutes=5)


class Because(StrEnum):
    """Reason codes of the report."""

    NOTHING_PUBLISHED = "nothing-published"
    NEAR_EXPIRY = "near-expiry"
    EXPIRED = "expired"
    GONE = "gone"
    MAX_AGE = "max-age"
    SCOPES_CHANGED = "scopes-changed"
    ORGANIZATION_CHANGED = "organization-changed"
    USER_CHANGED = "user-changed"
    ADOPTED = "adopted"
    TAKEN_BACK = "taken-back"
    FORCED = "forced"
    EMERGENCY = "emergency"
    RENEWING_NO_LONGER_HELPS = "renewing-no-longer-helps"
    DIED_WHILE_PUBLISHED = "died-while-published"

    FRESH = "fresh"
    PAUSED = "paused"
    ALREADY_REPLACED = "already-replaced"
    RENAMED = "renamed"
    NOTHING_TO_END = "nothing-to-end"

    DECOMMISSIONED = "decommissioned"
    OVERLAP_OVER = "overlap-over"
    ORPHAN = "orphan"
    IN_OVERLAP = "in-overlap"

    CREDENTIAL_NEAR_EXPIRY = "credential-near-expiry"

    INVALID = "invalid"
    EDITED = "edited"
    FOREIGN = "foreign"
    UNMARKED = "unmarked"
    DISABLED = "disabled"
    DELETED = "deleted"
    BLOCKED = "blocked"
    USER_FAILED = "user-failed"
    ORGANIZATION_FAILED = "organization-failed"
    NOT_SEEN = "not-seen"
    UNEXPECTED = "unexpected"
    OUT_OF_TIME = "out-of-time"


# --- what was seen ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nothing:
    """No secret of that name; `deleted` when a soft-deleted one holds it."""

    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A secret without a mark; `edited` when an older version carries ours (rule 10). `tags` are people's own."""

    edited: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A secret with another deployment's mark."""

    managed_by: str


@dataclass(frozen=True, slots=True)
class Published:
    """A secret whose current version carries our mark."""

    stamp: Stamp
    created: datetime
    expires_on: datetime | None
    enabled: bool
    tags: Mapping[str, str]


Secret = Nothing | Unmarked | Foreign | Published


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one item.

    `pat` is its current PAT as the API listed it; `gone` is the proof that it is dead (rule 5). Neither: not looked.
    """

    secret: Secret
    pat: Pat | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller wants beyond what is due. `published_before` is in vault time."""

    published_before: datetime
    force: bool = False
    adopt: bool = False
    emergency: bool = False
    revoke_first: bool = False


# --- what to do ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing to do; `until` is when there will be."""

    because: Because
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rotate:
    because: Because


@dataclass(frozen=True, slots=True)
class Renew:
    because: Because


@dataclass(frozen=True, slots=True)
class Mend:
    """The same PAT under a new name of its organization or user: write the names, rotate nothing."""

    because: Because = Because.RENAMED


@dataclass(frozen=True, slots=True)
class Decommission:
    because: Because = Because.DECOMMISSIONED


@dataclass(frozen=True, slots=True)
class Recover:
    """Bring the soft-deleted secret back, then look again."""

    because: Because = Because.DELETED


@dataclass(frozen=True, slots=True)
class Wait:
    """Asked for, and refused for now: a predecessor is still in overlap (rule 7)."""

    until: datetime
    because: Because = Because.IN_OVERLAP


@dataclass(frozen=True, slots=True)
class Fail:
    """A person must look at this item first."""

    because: Because
    code: Code
    cause: str
    remedy: str


Step = Hold | Rotate | Renew | Mend | Decommission | Recover | Wait | Fail


def is_ours(tags: Mapping[str, str], mark: Mark) -> bool:
    """Whether these tags carry our mark."""
    stamp = read(tags)
    return stamp is not None and stamp.managed_by.casefold() == mark.text.casefold()


def classify(tags: Mapping[str, str], mark: Mark, versions: Iterable[VersionSeen] = ()) -> Foreign | Unmarked | None:
    """Whose a secret is by the tags of its current version; None when it is ours. `versions` tells `edited` apart."""
    stamp = read(tags)
    if stamp is None:
        return Unmarked(edited=any(is_ours(version.tags, mark) for version in versions), tags=tags)
    return None if stamp.managed_by.casefold() == mark.text.casefold() else Foreign(stamp.managed_by)


def margin(item: Item, life: timedelta) -> timedelta:
    """How long before expiry a PAT is due: never more than half of the granted life (rule 6)."""
    return min(item.rotate_before, life / 2)


def expiry(seen: Seen) -> datetime | None:
    """When the published value stops working: the earlier of what the vault says and what the API says."""
    known = [seen.pat.validity.ends] if seen.pat else []
    if isinstance(seen.secret, Published) and seen.secret.expires_on:
        known.append(seen.secret.expires_on)
    return min(known) if known else None


def due_at(item: Item, secret: Published, ends: datetime) -> datetime:
    """The instant an item falls due: its margin before expiry, or at `max_age` of the value (rules 6 and 9)."""
    return min(ends - margin(item, ends - secret.created), secret.created + item.max_age)


def plan(item: Item, seen: Seen, now: datetime, asked: Asked | None = None) -> Step:
    """Say what `item` needs at `now` (vault time)."""
    secret = seen.secret
    forced = asked is not None and (asked.force or asked.emergency)
    if item.decommission:
        return _plan_end(secret, seen)
    if item.paused and not (asked and asked.emergency):
        return _paused() if forced else Hold(Because.PAUSED)
    match secret:
        case Nothing(deleted=True):
            return Recover() if item.recover_deleted else _deleted(item)
        case Nothing():
            return Rotate(Because.NOTHING_PUBLISHED)
        case Foreign():
            return _foreign(secret)
        case Unmarked(edited=True):
            taken_back = asked is not None and asked.force and asked.adopt
            return Rotate(Because.TAKEN_BACK) if taken_back else _edited(item)
        case Unmarked():
            return Rotate(Because.ADOPTED) if item.adopt else _unmarked()
    due = _plan_published(item, secret, seen, now)
    return _plan_asked(item, secret, due, now, asked) if asked is not None and forced else due


def _plan_published(item: Item, secret: Published, seen: Seen, now: datetime) -> Step:
    if seen.gone:
        return Rotate(Because.GONE)
    if not secret.enabled:
        return _disabled(item)
    changed = _what_changed(item, secret.stamp)
    renamed = changed in (Because.USER_CHANGED, Because.ORGANIZATION_CHANGED) and seen.pat is not None
    if changed is not None and not renamed:
        return Rotate(changed)
    ends = expiry(seen)
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


def _plan_end(secret: Secret, seen: Seen) -> Step:
    match secret:
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


# --- generations -----------------------------------------------------------------------------------------------------


def retire_at(item: Item, ends: datetime | None, now: datetime) -> datetime:
    """When the overlap of the PAT that is current until `now` ends: at its own expiry at the latest (rule 6)."""
    over = now + item.overlap
    return whole_seconds(min(over, ends) if ends else over)


def overlap_end(one: Predecessor, secret: Published, item: Item | None) -> datetime:
    """When a predecessor's overlap is over: never before its successor has been current for the whole of it.

    The tag is written before the vault stamps `created`; what lies between the two is given back here. An end at or
    before `created` was an emergency's: at once.
    """
    newest = max((other.retire_at for other in secret.stamp.predecessors), default=one.retire_at)
    if item is None or one.retire_at < newest or ends_at_once(one, secret):
        return one.retire_at
    return max(one.retire_at, secret.created + item.overlap)


def ends_at_once(one: Predecessor, secret: Published) -> bool:
    """Whether an emergency wrote this predecessor: its versions are disabled too (rule 8)."""
    return one.retire_at <= secret.created


def generations(first: Predecessor | None, known: Iterable[Predecessor], current: PatId) -> tuple[Predecessor, ...]:
    """The `predecessors` tag of a new version: the newest three, never the current one (rules 7 and 9).

    One that no longer fits is found again by rule 4: an older version names it.
    """
    by_id = {one.id: one for one in known}
    if first is not None:
        by_id[first.id] = first
    by_id.pop(current, None)
    return tuple(sorted(by_id.values(), key=lambda one: (one.retire_at, one.id), reverse=True)[:MOST_PREDECESSORS])


class Fate(StrEnum):
    """What becomes of an id in the tag `predecessors`."""

    KEEP = "keep"
    REVOKE = "revoke"
    FORGET = "forget"
    LOOK = "look"
    STRANGER = "stranger"


def fate(
    one: Predecessor, secret: Published, listed: Pat | None, item: Item | None, owner: str, mark: Mark, now: datetime
) -> Fate:
    """Decide on one predecessor of the secret named `owner`.

    Only our mark for this very secret, or `adopt`, lets a PAT be ended (rule 7). LOOK: it is not listed, which proves
    nothing yet (rule 5).
    """
    if one.id == secret.stamp.authorization_id:
        return Fate.FORGET
    if listed is None:
        return Fate.LOOK
    named = item is not None and item.adopt == one.id
    if mark.secret_of(listed.display_name) != owner.casefold() and not named:
        return Fate.STRANGER
    return Fate.REVOKE if now >= overlap_end(one, secret, item) else Fate.KEEP


def is_orphan_candidate(pat: Pat, secret: Secret, now: datetime) -> bool:
    """A live PAT with our mark that the current version does not name, old enough to judge (rule 4)."""
    if isinstance(secret, Published):
        named = {secret.stamp.authorization_id, *(one.id for one in secret.stamp.predecessors)}
        if pat.id in named:
            return False
    if isinstance(secret, Nothing) and secret.deleted:
        return False
    return now - pat.validity.starts >= ORPHAN_AGE


def orphan_over(
    pat: Pat, secret: Secret, versions: Iterable[VersionSeen], overlap: timedelta, mark: Mark, now: datetime
) -> bool:
    """Whether an orphan candidate may be revoked, judged by all versions of its secret (rule 4).

    Named by an older version it is a predecessor: its overlap began when the next version was created. Named by the
    newest, or on a secret that somebody edited, it is left alone.
    """
    known = list(versions)
    if _is_edited(secret, known, mark):
        return False
    naming = [version for version in known if _names(version, pat.id)]
    if not naming:
        return True
    last = max(naming, key=lambda version: version.created)
    later = [
        version.created for version in known if version.version != last.version and version.created >= last.created
    ]
    return bool(later) and now >= min(min(later) + overlap, pat.validity.ends)


def _is_edited(secret: Secret, versions: list[VersionSeen], mark: Mark) -> bool:
    """Whether a version that is not ours lies on top of ours. Versions of one second tie: the listing decides then."""
    newest = max((version.created for version in versions), default=None)
    on_top = [is_ours(version.tags, mark) for version in versions if version.created == newest]
    if all(on_top) or not any(is_ours(version.tags, mark) for version in versions):
        return False
    return not (any(on_top) and isinstance(secret, Published))


def _names(version: VersionSeen, pat: PatId) -> bool:
    stamp = read(version.tags)
    return stamp is not None and stamp.authorization_id == pat


# --- what a person must look at --------------------------------------------------------------------------------------


def _edited(item: Item) -> Fail:
    return Fail(
        Because.EDITED,
        Code.EDITED,
        "Somebody wrote a new version of the secret; patrol neither read nor replaced it, and revoked nothing.",
        f"Find out who did; to take the secret back run `python -m shared rotate {item.secret} --force --adopt`.",
    )


def _foreign(secret: Foreign) -> Fail:
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


def _deleted(item: Item) -> Fail:
    return Fail(
        Because.DELETED,
        Code.SECRET_DELETED,
        "The secret is soft-deleted, and its name cannot be written until it is recovered or purged.",
        f"Recover it (`az keyvault secret recover --name {item.secret} ...`), or set `recover_deleted: true`.",
    )


def _paused() -> Fail:
    return Fail(
        Because.PAUSED,
        Code.PAUSED,
        "The item is paused in pats.yaml, so it was not rotated.",
        "Take `paused: true` off the item, then ask again; an emergency is not held back by it.",
    )
