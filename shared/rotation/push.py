"""Giving an item's consumer what is published, before anything ends that it may still use."""

from __future__ import annotations

from dataclasses import replace

from shared.model.errors import PatrolError
from shared.model.items import Item, SonarQube
from shared.model.secret_state import Current, Published, VersionSeen, is_ours
from shared.model.tags import Mark, Stamp
from shared.rotation.publish import overtaken
from shared.rotation.run_context import Run
from shared.rules.overlap import pushed_to


def push(item: Item, to: SonarQube, secret: Published, run: Run) -> VersionSeen | None:
    """Give the consumer what is current, whatever the tag says.

    A slower run, a person or a backup can have put an older copy back. Tried once for a value in one run, whoever asks:
    gives the version as it is then, None where this run had done it, and raises the same PatrolError again.
    """
    tried, key = run.consumers.tried, (item.key, secret.stamp.authorization_id)
    if key in tried:
        if (before := tried[key]) is not None:
            raise before
        return None
    try:
        version = _push(item, to, secret, run)
    except PatrolError as failure:
        tried[key] = failure
        raise
    tried[key] = None
    return version


def _push(item: Item, to: SonarQube, secret: Published, run: Run) -> VersionSeen:
    current = run.publisher.current(item.secret, secret.stamp.authorization_id)
    while True:
        pushed, failure = _ours(current, run.mark).authorization_id, None
        try:
            run.consumers.push(item, to, current.value)
        except PatrolError as refused:
            failure = refused
        else:
            run.tell("pat.pushed", secret=item.secret, authorization_id=pushed, consumer=str(to))
        # A run at the same moment can publish and push between the reading and the push: then this push put an older
        # copy back, and the tag of the newer version would hide that.
        current = run.world.vault.current(item.secret)
        if _ours(current, run.mark).authorization_id == pushed:
            break
        current = _tagged(item, current, "", run)
    if failure is not None:
        raise failure
    # Written last: killed before, the next run pushes once more, which changes nothing.
    version = _tagged(item, current, pushed_to(to), run).version
    if not version.names(secret.stamp.authorization_id):
        # The consumer has what another run published meanwhile. What was seen of the secret no longer holds, and what
        # this run would write belongs to another value.
        raise overtaken()
    return version


def _tagged(item: Item, current: Current, consumer: str, run: Run) -> Current:
    def given(stamp: Stamp) -> Stamp:
        return replace(stamp, pushed_to=consumer)

    return replace(current, version=run.publisher.remember(item.secret, current.version, given))


def _ours(current: Current, mark: Mark) -> Stamp:
    stamp = current.version.stamp
    if stamp is None or not is_ours(current.version.tags, mark):
        raise overtaken()
    return stamp
