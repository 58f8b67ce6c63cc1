"""Doing: each step in an order that is safe to stop after any of its calls.

No rules here (they are in shared/rules), only order: mint, verify, publish, retire later (rule 1). The next run looks
at the vault and the API again and goes on from what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from shared.model.clock import Deadline
from shared.model.errors import Absent, Denied, NotDone, PatrolError, Refused, Unclear
from shared.model.items import Item
from shared.model.pats import Claim, Minted, Owner, Pat
from shared.model.secret_state import Published, Secret, Seen, Unmarked, VersionSeen
from shared.model.steps import Because, Decommission, Fail
from shared.rotation import gate
from shared.rotation.observe import secret_again
from shared.rotation.publish import claim_of, in_time, overtaken, published, verify
from shared.rotation.run_context import Run, SignedIn
from shared.rules import may_end
from shared.rules.due import due_at
from shared.rules.overlap import stamp_after
from shared.rules.plan import plan

MENDING = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Done:
    """What is current after a step: the version and what stands on it."""

    version: VersionSeen
    because: Because

    def published(self) -> Published:
        """The facts of that version. Raises ValueError for one that patrol did not write."""
        facts = published(self.version)
        if facts is None:
            raise ValueError("a version that patrol wrote carries its mark")
        return facts


def rotate(
    item: Item, because: Because, secret: Secret, old: Pat | None, user: SignedIn, run: Run, *, given: bool = False
) -> Done:
    """Mint, verify, publish. `old` is the live PAT this one succeeds, None where there is none; `given`: a consumer has
    taken it, whatever the secret says.

    Raises NotDone when nothing changed, Unclear when the new value may be current.
    """
    people = secret.tags if isinstance(secret, Published | Unmarked) else {}
    run.publisher.check(item, people)
    name, clock = item.secret, run.clock
    minted = user.api.mint(item.organization, run.mark.display_name(name), item.scopes, clock.now() + item.lifetime)
    run.tell("pat.minted", secret=name, authorization_id=minted.pat.id, expires=minted.pat.validity.ends)
    try:
        prove(claim_of(item, minted.pat.organization_id), minted, name, run)
        in_time(minted, run.world.clock)
    except PatrolError as failure:
        # Nothing was sent to the vault yet, so ending the fresh PAT is safe whatever else is in doubt.
        raise _undone(item, minted, None, failure, user, run) from None
    stamp = stamp_after(item, because, minted, secret, old, clock.now(), run.mark, given=given)
    try:
        version = run.publisher.publish(name, minted, stamp, people, because)
    except NotDone as refusal:
        raise _undone(item, minted, refusal, refusal, user, run) from None
    try:
        in_time(minted, run.world.clock)
    except NotDone:
        return _mend_late(item, Done(version, because), minted, user, run)
    return Done(version, because)


def renew(item: Item, secret: Published, pat: Pat, user: SignedIn, run: Run) -> Done | None:
    """A later expiry for the same value; None when renewing no longer helps and the item must be rotated (rule 9).

    Raises Unclear when somebody replaced the value meanwhile, and what the calls raise.
    """
    owner = Owner(item.username, item.organization)
    allowed = may_end.renewal(pat, secret, item.secret, owner, run.mark)
    if allowed is None:
        # Renamed by a person, or the tag names a stranger's: patrol changes neither (rule 7).
        return None
    try:
        granted = gate.extend(user.api, allowed, item.scopes, run.clock.now() + item.lifetime)
    except (Refused, Absent) as refusal:
        run.tell("renew.refused", secret=item.secret, code=getattr(refusal, "word", "") or refusal.code)
        return None
    ends = granted.validity.ends
    if (secret.expires_on and ends <= secret.expires_on) or run.clock.now() >= due_at(item, secret, ends):
        return None
    current = run.publisher.current(item.secret, secret.stamp.authorization_id)
    try:
        verify(
            run.world.verifier,
            claim_of(item, granted.organization_id),
            current.value,
            run.world.clock,
            run.world.deadline,
        )
    except NotDone:
        return None
    run.tell("pat.verified", secret=item.secret)
    version = run.publisher.remember(
        item.secret,
        current.version,
        lambda stamp: replace(stamp, organization=item.organization, username=item.username),
        expires_on=ends,
    )
    run.tell("pat.renewed", secret=item.secret, authorization_id=pat.id, expires=ends)
    return Done(version, Because.NEAR_EXPIRY)


def mend(item: Item, secret: Published, pat: Pat, run: Run) -> Done:
    """The owner or the organization was renamed: write the new names on the same version.

    Raises Unclear when somebody replaced the value meanwhile, and what the calls raise.
    """
    current = run.publisher.current(item.secret, secret.stamp.authorization_id)
    version = run.publisher.remember(
        item.secret,
        current.version,
        lambda stamp: replace(
            stamp,
            organization=item.organization,
            organization_id=pat.organization_id or secret.stamp.organization_id,
            username=item.username,
        ),
    )
    run.tell("secret.renamed", secret=item.secret, organization=item.organization, username=item.username)
    return Done(version, Because.RENAMED)


def prove(claim: Claim, minted: Minted, secret: str, run: Run) -> None:
    """Verify a fresh PAT. Raises NotDone when it never worked, else Unclear."""
    verify(run.world.verifier, claim, minted.value, run.world.clock, run.world.deadline)
    run.tell("pat.verified", secret=secret)


def _mend_late(item: Item, done: Done, minted: Minted, user: SignedIn, run: Run) -> Done:
    # The answer came so late that another run may have judged this PAT an orphan before the write arrived (rule 2).
    try:
        run.world.verifier.verify(claim_of(item, minted.pat.organization_id), minted.value)
    except Denied:
        return replace_dead(item, minted.pat, user, run)
    except PatrolError as doubt:
        raise Unclear(
            doubt.code, f"The write of the secret took very long, and then: {doubt.cause}", doubt.remedy
        ) from None
    return done


def replace_dead(item: Item, dead: Pat, user: SignedIn, run: Run) -> Done:
    """Rotate an item whose current value died while it was being published, unless it is not patrol's to replace now.

    On what is there now and not on what this run wrote: another run or a person may have been here since. Raises
    NotDone for what a person must look at, Unclear where the version is another one, and as `rotate` does.
    """
    run.tell("pat.died", secret=item.secret, authorization_id=dead.id)
    # The access token may have expired and the time be over; a dead value cannot wait for the next run.
    run = run.with_deadline(Deadline.after(run.world.clock, MENDING))
    secret = secret_again(item.secret, run.vault, run.mark)
    step = plan(item, Seen(secret), run.clock.now())
    if isinstance(step, Fail):
        raise NotDone(step.code, step.cause, step.remedy)
    # Two witnesses that it is the version of that PAT: its tag and its expiry.
    if not isinstance(secret, Published) or secret.stamp.authorization_id != dead.id:
        raise overtaken()
    if secret.expires_on != dead.validity.ends or isinstance(step, Decommission):
        raise overtaken()
    return rotate(item, Because.DIED_WHILE_PUBLISHED, secret, None, user.again(), run)


def _undone(
    item: Item, minted: Minted, refusal: NotDone | None, failure: PatrolError, user: SignedIn, run: Run
) -> PatrolError:
    """End the PAT that will not be published; a revoke that fails is the next run's (rule 4 finds it)."""
    owner, fresh = Owner(item.username, item.organization), minted.pat.id
    try:
        gate.end(user.api, may_end.unpublished(minted, owner, item.secret, refusal, run.clock.now()), run.tell)
    except PatrolError as trouble:
        run.tell("revoke.failed", secret=item.secret, authorization_id=fresh, code=trouble.code)
        left = f"{failure.cause} The fresh PAT {fresh} could not be ended at once; a later run does."
        return NotDone(failure.code, left, failure.remedy)
    return failure
