"""Giving an item's consumers what is published, before anything ends that it may still use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.model.consumers import Consumer, Given, has_taken, taker, with_taker, without_taker
from shared.model.errors import PatrolError
from shared.model.items import Item
from shared.model.secret_state import Current, Published, VersionSeen, is_ours
from shared.model.steps import Because
from shared.model.tags import Mark, Stamp
from shared.report.report import Row, Verb
from shared.report.rows import failed, of_step
from shared.rotation.publish import overtaken, published
from shared.rotation.run_context import Run


def _took(to: Consumer) -> str:
    """That a push is done, in words that go on a sentence with the consumer's name."""
    return "has taken the published value" if to.keeps_copy else "was told of the new version"


def _lacks(to: Consumer, owes: bool) -> str:
    """That it is not. `owes`: it is known to lack it."""
    if not to.keeps_copy:
        return "was not told of the new version for all that is known"
    return f"{'lacks' if owes else 'may lack'} the published value"


def give(item: Item, to: Consumer, secret: Published, run: Run, *, owes: bool) -> tuple[Published, Row | None]:
    """Give one consumer what is current. Gives the secret as it is then, and the row; None where nothing needs a word.

    Nobody gives its copy back, and its check may take a dead one: so it is asked, and given the value all the same.
    """
    try:
        works = not owes and run.consumers.works(to, item.organization, secret.created)
        pushed = push(item, to, secret, run)
    except PatrolError as failure:
        row = failed(item, Because.NOT_PUSHED, failure, verb=Verb.ROTATE)
        kept = f"{to} {_lacks(to, owes)}, and no PAT that it may use is ended before that is mended."
        return secret, replace(row, says=f"{item.secret}: {kept} {failure.cause} {failure.remedy}")
    secret = (published(pushed.version) if pushed.version else None) or secret
    if works and not pushed.note:
        return secret, None
    had = "" if owes or works else " What it had did not work: somebody changed it, or put an older copy back."
    says = " ".join(filter(None, (f"{to} {_took(to)}.{had}", pushed.note)))
    return secret, of_step(item, Verb.ROTATE, Because.NOT_PUSHED, says, secret.expires_on)


def push_all(item: Item, secret: Published, run: Run) -> None:
    """Give every consumer what is current. Raises what the first of those raised that did not take it."""
    failures = []
    for to in item.then:
        try:
            push(item, to, secret, run)
        except PatrolError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]


@dataclass(frozen=True, slots=True)
class Pushed:
    """`version`: as it is then; None where this run had pushed it before. `note`: what a person should know besides."""

    version: VersionSeen | None = None
    note: str = ""


def push(item: Item, to: Consumer, secret: Published, run: Run) -> Pushed:
    """Give the consumer what is current, whatever the tag says.

    A slower run, a person or a backup can have put an older copy back; what keeps none is told once. Tried once for a
    value in one run, whoever asks: raises the same PatrolError again.
    """
    if not to.keeps_copy and has_taken(secret.stamp.pushed_to, to):
        return Pushed()
    tried, key = run.consumers.tried, (item.key, secret.stamp.authorization_id, taker(to))
    if key in tried:
        if (before := tried[key]) is not None:
            raise before
        return Pushed()
    try:
        pushed = _push(item, to, secret, run)
    except PatrolError as failure:
        tried[key] = failure
        raise
    tried[key] = None
    return pushed


def _push(item: Item, to: Consumer, secret: Published, run: Run) -> Pushed:
    current = run.publisher.current(item.secret, secret.stamp.authorization_id)
    while True:
        pushed, failure, note = _ours(current, run.mark).authorization_id, None, ""
        try:
            note = run.consumers.push(to, _given(item, current, run))
        except PatrolError as refused:
            failure = refused
        else:
            run.tell("pat.pushed", secret=item.secret, authorization_id=pushed, consumer=str(to))
        # A run at the same moment can publish and push between the reading and the push: then this push put an older
        # copy back, and the tag of the newer version would hide that.
        current = run.vault.current(item.secret)
        if _ours(current, run.mark).authorization_id == pushed:
            break
        current = _tagged(item, current, lambda tag: without_taker(tag, to), run)
    if failure is not None:
        raise failure
    # Written last: killed before, the next run pushes once more, which changes nothing.
    version = _tagged(item, current, lambda tag: with_taker(tag, to), run).version
    if not version.names(secret.stamp.authorization_id):
        # The consumer has what another run published meanwhile. What was seen of the secret no longer holds, and what
        # this run would write belongs to another value.
        raise overtaken()
    return Pushed(version, note)


def _given(item: Item, current: Current, run: Run) -> Given:
    version = current.version
    return Given(
        run_id=run.request.run_id,
        vault=run.estate.host,
        secret=item.secret,
        version=version.version,
        username=item.username,
        organization=item.organization,
        expires_on=version.expires_on,
        published_at=version.created,
        value=current.value,
        owner=item.owner,
    )


def _tagged(item: Item, current: Current, change: Callable[[str], str], run: Run) -> Current:
    def given(stamp: Stamp) -> Stamp:
        return replace(stamp, pushed_to=change(stamp.pushed_to))

    return replace(current, version=run.publisher.remember(item.secret, current.version, given))


def _ours(current: Current, mark: Mark) -> Stamp:
    stamp = current.version.stamp
    if stamp is None or not is_ours(current.version.tags, mark):
        raise overtaken()
    return stamp
