"""Doing: each step in an order that is safe to stop after any of its calls.

No rules here (they are in planning.py), only order: mint, verify, publish, retire later (rule 1). The next run looks at
the vault and the API again and goes on from what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.model import tags
from shared.model.clock import Clock, Deadline, whole_seconds
from shared.model.errors import Absent, Code, Denied, NotDone, PatrolError, Refused, Unclear
from shared.model.items import Item
from shared.model.pats import Minted, Pat, PatId
from shared.model.ports import Events, PatApi, Vault, Verifier
from shared.model.secret_state import (
    Current,
    Published,
    Secret,
    Unmarked,
    VersionSeen,
    is_ours,
)
from shared.model.secret_text import SecretText
from shared.model.steps import (
    Because,
)
from shared.model.tags import Mark, Predecessor, Stamp
from shared.rotation.consumers import Consumers
from shared.rules.due import due_at
from shared.rules.overlap import ends_at_once, generations, pushed_to, retire_at
from shared.rules.plan import PUBLISH_WITHIN

# How long a new PAT may take to be accepted everywhere is not documented: ask again for about half a minute.
VERIFY_AGAIN_AFTER = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 15))

MENDING = timedelta(minutes=2)


@dataclass(slots=True)
class Breaker:
    """A vault that refused one write is not minted for again in this run (rule 11)."""

    refusal: PatrolError | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything one item's steps may touch. `clock` shows vault time."""

    api: PatApi
    vault: Vault
    verifier: Verifier
    clock: Clock
    deadline: Deadline
    mark: Mark
    tell: Events
    consumers: Consumers
    sign_in_again: Callable[[], PatApi]
    breaker: Breaker = field(default_factory=Breaker)


@dataclass(frozen=True, slots=True)
class Done:
    """What is current after a step: the version and what stands on it."""

    version: VersionSeen
    because: Because

    def published(self) -> Published:
        stamp = tags.read(self.version.tags)
        if stamp is None:
            raise ValueError("a version that patrol wrote carries its mark")
        seen = self.version
        return Published(stamp, seen.created, seen.expires_on, seen.enabled, seen.tags)


def rotate(tools: Tools, item: Item, because: Because, secret: Secret, old: Pat | None) -> Done:
    """Mint, verify, publish. `old` is the live PAT this one succeeds, None where there is none.

    Raises NotDone when nothing changed, Unclear when the new value may be current.
    """
    known = secret.tags if isinstance(secret, Published | Unmarked) else {}
    _check_publish(tools, item, known)
    minted = tools.api.mint(
        item.organization, tools.mark.display_name(item.secret), item.scopes, tools.clock.now() + item.lifetime
    )
    tools.tell("pat.minted", secret=item.secret, authorization_id=minted.pat.id, expires=minted.pat.validity.ends)
    try:
        prove(tools, item, minted.value, minted.pat.organization_id)
        _in_time(tools, minted)
    except PatrolError as failure:
        # Nothing was sent to the vault yet, so ending the fresh PAT is safe whatever else is in doubt.
        raise _undone(tools, item, minted.pat.id, failure) from None
    try:
        done = _publish(tools, item, because, minted, _stamp(tools, item, because, minted, secret, old), known)
    except NotDone as refusal:
        raise _undone(tools, item, minted.pat.id, refusal) from None
    if tools.clock.now() - minted.at <= PUBLISH_WITHIN:
        return done
    return _mend_late(tools, item, done, minted)


def renew(tools: Tools, item: Item, secret: Published, pat: Pat) -> Done | None:
    """A later expiry for the same value; None when renewing no longer helps and the item must be rotated (rule 9)."""
    display_name = tools.mark.display_name(item.secret)
    try:
        granted = tools.api.extend(
            item.organization, pat.id, display_name, item.scopes, tools.clock.now() + item.lifetime
        )
    except (Refused, Absent) as refusal:
        tools.tell("renew.refused", secret=item.secret, code=getattr(refusal, "word", "") or refusal.code)
        return None
    ends = granted.validity.ends
    if (secret.expires_on and ends <= secret.expires_on) or tools.clock.now() >= due_at(item, secret, ends):
        return None
    current = tools.vault.current(item.secret)
    if not _still(current, secret.stamp.authorization_id):
        raise overtaken()
    try:
        prove(tools, item, current.value, granted.organization_id)
    except NotDone:
        return None
    stamp = replace(secret.stamp, organization=item.organization, username=item.username)
    written = tags.write(stamp, current.seen.tags)
    tools.vault.change(item.secret, current.seen.version, tags=written, expires_on=ends)
    tools.tell("pat.renewed", secret=item.secret, authorization_id=pat.id, expires=ends)
    return Done(replace(current.seen, tags=written, expires_on=ends), Because.NEAR_EXPIRY)


def mend(tools: Tools, item: Item, secret: Published, pat: Pat) -> Done:
    """The owner or the organization was renamed: write the new names on the same version."""
    current = tools.vault.current(item.secret)
    if not _still(current, secret.stamp.authorization_id):
        raise overtaken()
    stamp = replace(
        tags.read(current.seen.tags) or secret.stamp,
        organization=item.organization,
        organization_id=pat.organization_id or secret.stamp.organization_id,
        username=item.username,
    )
    written = tags.write(stamp, current.seen.tags)
    tools.vault.change(item.secret, current.seen.version, tags=written)
    tools.tell("secret.renamed", secret=item.secret, organization=item.organization, username=item.username)
    return Done(replace(current.seen, tags=written), Because.RENAMED)


def decommission(tools: Tools, item: Item, secret: Published, listed: Mapping[PatId, Pat]) -> None:
    """Disable the secret, then end its PATs: nobody reads a value that is about to die."""
    version = current_version(tools.vault, item.secret, secret)
    if version.enabled:
        tools.vault.change(item.secret, version.version, enabled=False)
        tools.tell("secret.disabled", secret=item.secret)
    ours = (secret.stamp.authorization_id, *(one.id for one in secret.stamp.predecessors))
    for pat in ours:
        if pat in listed and tools.mark.secret_of(listed[pat].display_name) == item.key:
            revoke(tools, item.secret, item.organization, pat)
    if secret.stamp.predecessors:
        remember(tools, item.secret, version, replace(secret.stamp, predecessors=()))


def revoke(tools: Tools, secret: str, organization: str, pat: PatId) -> None:
    tools.api.revoke(organization, pat)
    tools.tell("pat.revoked", secret=secret, authorization_id=pat)


def remember(tools: Tools, secret: str, version: VersionSeen, stamp: Stamp) -> None:
    """Write our facts on exactly this version; people's own tags stay."""
    tools.vault.change(secret, version.version, tags=tags.write(stamp, version.tags))


def disable_older(
    tools: Tools, secret: str, current: VersionSeen, ended: frozenset[PatId], in_overlap: frozenset[PatId]
) -> None:
    """After an emergency: no older version of ours can be read any more (rule 8).

    Older is by time or by what was ended, never "all the others": another run may have published meanwhile, and what
    was in overlap is no emergency's.
    """
    for version in tools.vault.versions(secret):
        stamp = tags.read(version.tags)
        if stamp is None or not version.enabled or not is_ours(version.tags, tools.mark):
            continue
        if stamp.authorization_id in in_overlap:
            continue
        if stamp.authorization_id in ended or version.created < current.created:
            tools.vault.change(secret, version.version, enabled=False)


def current_version(vault: Vault, name: str, secret: Published) -> VersionSeen:
    """The version our facts stand on, read again: a version id is not part of a listing.

    Raises Unclear when it is no longer the current one: somebody was faster, and the next run sees what they did.
    """
    try:
        return current_value(vault, name, secret).seen
    except Denied:
        # A disabled version cannot be read, and its answer looks like a missing permission: find it among all.
        naming = [version for version in vault.versions(name) if _names(version, secret.stamp.authorization_id)]
        if not naming:
            raise
        return max(naming, key=lambda version: version.created)


def current_value(vault: Vault, name: str, secret: Published) -> Current:
    """As `current_version`, with the value, which a disabled version does not give: Denied."""
    current = vault.current(name)
    if not _still(current, secret.stamp.authorization_id):
        raise overtaken()
    return current


def overtaken() -> Unclear:
    return Unclear(
        Code.VAULT_UNCLEAR,
        "Another run replaced the secret meanwhile.",
        "Nothing to do: the next run goes on from there.",
    )


def prove(tools: Tools, item: Item, value: SecretText, organization_id: str | None) -> None:
    """Verify, asking again while a new PAT spreads. Raises NotDone when it never worked, else Unclear."""
    waits = iter(VERIFY_AGAIN_AFTER)
    while True:
        try:
            tools.verifier.verify(item, value, organization_id)
        except PatrolError as failure:
            wait = next(waits, None)
            if wait is None or tools.deadline.left() < wait:
                raise _unproved(failure) from None
            tools.clock.sleep(wait)
        else:
            tools.tell("pat.verified", secret=item.secret)
            return


def _publish(
    tools: Tools, item: Item, because: Because, minted: Minted, stamp: Stamp, known: Mapping[str, str]
) -> Done:
    written = tags.write(stamp, known)
    ends = minted.pat.validity.ends
    try:
        version = tools.vault.publish(item.secret, minted.value, ends, written)
    except NotDone as refusal:
        if refusal.code is Code.PUBLISH_FORBIDDEN:
            tools.breaker.refusal = refusal
        raise
    except Unclear:
        version = _read_back(tools, item, minted)
    tools.tell("pat.published", secret=item.secret, authorization_id=minted.pat.id, expires=ends, because=because)
    return Done(version, because)


def _read_back(tools: Tools, item: Item, minted: Minted) -> VersionSeen:
    # Never revoke while in doubt: the write may arrive yet (rule 2).
    try:
        current = tools.vault.current(item.secret)
    except PatrolError:
        current = None
    if current is not None and _still(current, minted.pat.id):
        return current.seen
    raise Unclear(
        Code.PUBLISH_UNCLEAR,
        "Key Vault gave no clear answer to the write, and the new PAT is not seen as current.",
        "Nothing to do: the old PAT stays current and alive, the next run looks again and ends what is left over.",
    ) from None


def _mend_late(tools: Tools, item: Item, done: Done, minted: Minted) -> Done:
    # The answer came so late that another run may have judged this PAT an orphan before the write arrived (rule 2).
    try:
        tools.verifier.verify(item, minted.value, minted.pat.organization_id)
    except Denied:
        tools.tell("pat.died", secret=item.secret, authorization_id=minted.pat.id)
        # The access token may have expired and the time be over; a dead value cannot wait for the next run.
        fresh = replace(tools, api=tools.sign_in_again(), deadline=Deadline.after(tools.clock, MENDING))
        return rotate(fresh, item, Because.DIED_WHILE_PUBLISHED, done.published(), None)
    except PatrolError as doubt:
        raise Unclear(
            doubt.code, f"The write of the secret took very long, and then: {doubt.cause}", doubt.remedy
        ) from None
    return done


def _no_emergency(one: Predecessor, now: datetime) -> Predecessor:
    """Ends after the write that is about to happen: what ended before it would count as an emergency's.

    That waits for no consumer, which may still hold a PAT whose overlap was over long ago.
    """
    return replace(one, retire_at=max(one.retire_at, whole_seconds(now + PUBLISH_WITHIN) + timedelta(seconds=1)))


def _stamp(tools: Tools, item: Item, because: Because, minted: Minted, secret: Secret, old: Pat | None) -> Stamp:
    now = tools.clock.now()
    known = secret.stamp.predecessors if isinstance(secret, Published) else ()
    first = None
    if old is not None:
        first = Predecessor(old.id, retire_at(item, old.validity.ends, now))
    elif isinstance(secret, Published) and because in (Because.USER_CHANGED, Because.ORGANIZATION_CHANGED):
        # The old owner's listing was not read: the PAT is taken to live until its owner's listing says otherwise.
        first = Predecessor(secret.stamp.authorization_id, retire_at(item, secret.expires_on, now))
    if because is Because.EMERGENCY:
        first = first and replace(first, retire_at=whole_seconds(now))
        known = tuple(replace(one, retire_at=min(one.retire_at, whole_seconds(now))) for one in known)
    else:
        if first is not None and (item.overlap or item.then):
            first = _no_emergency(first, now)
        if isinstance(secret, Published) and item.then is not None:
            known = tuple(one if ends_at_once(one, secret) else _no_emergency(one, now) for one in known)
    return Stamp(
        managed_by=tools.mark.text,
        authorization_id=minted.pat.id,
        organization=item.organization,
        organization_id=minted.pat.organization_id or "",
        username=item.username,
        scopes=tags.scopes_text(item.scopes),
        predecessors=generations(first, known, minted.pat.id),
    )


def _check_publish(tools: Tools, item: Item, known: Mapping[str, str]) -> None:
    """Refuse before minting what the vault would refuse after it (rule 11)."""
    if tools.breaker.refusal is not None:
        refusal = tools.breaker.refusal
        raise NotDone(
            Code.VAULT_CLOSED, f"The vault refused a write earlier in this run. {refusal.cause}", refusal.remedy
        )
    widest = Stamp(tools.mark.text, PatId("0" * 36), item.organization, "0" * 36, item.username, "s" * 100, ())
    spare = replace(
        widest,
        predecessors=(Predecessor(PatId("0" * 36), tools.clock.now()),),
        pushed_to="" if item.then is None else pushed_to(item.then),
    )
    if problem := tags.why_it_would_not_fit(tags.write(spare, known)):
        raise NotDone(
            Code.PUBLISH_WOULD_FAIL,
            f"Key Vault would refuse the write: {problem}.",
            f"Remove tags of your own from the secret; patrol needs {len(tags.OURS)} of {tags.MOST_TAGS}.",
        )


def _in_time(tools: Tools, minted: Minted) -> None:
    if tools.clock.now() - minted.at > PUBLISH_WITHIN:
        raise NotDone(
            Code.PUBLISH_LATE,
            "More than five minutes passed between minting and publishing, so another run may have taken over.",
            "Nothing to do: the fresh PAT was ended and the next run tries again.",
        )


def _undone(tools: Tools, item: Item, pat: PatId, refusal: PatrolError) -> PatrolError:
    """End the PAT that will not be published; a revoke that fails is the next run's (rule 4 finds it)."""
    try:
        revoke(tools, item.secret, item.organization, pat)
    except PatrolError as failure:
        tools.tell("revoke.failed", secret=item.secret, authorization_id=pat, code=failure.code)
        left = f"{refusal.cause} The fresh PAT {pat} could not be ended at once; a later run does."
        return NotDone(refusal.code, left, refusal.remedy)
    return refusal


def _unproved(failure: PatrolError) -> PatrolError:
    cause = f"The PAT did not pass its verification. {failure.cause}"
    if isinstance(failure, NotDone):
        hint = "If its scopes cannot read connectionData, set `verify` on the item to a GET path they can read."
        return Refused(Code.VERIFY_FAILED, cause, f"{failure.remedy} {hint}")
    return Unclear(Code.VERIFY_UNCLEAR, cause, failure.remedy)


def _still(current: Current, pat: PatId) -> bool:
    return _names(current.seen, pat)


def _names(version: VersionSeen, pat: PatId) -> bool:
    stamp = tags.read(version.tags)
    return stamp is not None and stamp.authorization_id == pat
