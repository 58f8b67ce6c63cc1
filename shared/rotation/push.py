"""Giving an item's consumer what is published, before anything ends that it may still use."""

from __future__ import annotations

from dataclasses import replace

from shared.model import tags
from shared.model.errors import PatrolError
from shared.model.items import Item, SonarQube
from shared.model.secret_state import Current, Published, VersionSeen, is_ours
from shared.model.tags import Mark, Stamp
from shared.rotation.rotate import Tools, current_value, overtaken
from shared.rules.overlap import pushed_to


def push(tools: Tools, item: Item, to: SonarQube, secret: Published) -> VersionSeen | None:
    """Give the consumer what is current, whatever the tag says.

    A slower run, a person or a backup can have put an older copy back. Tried once for a value in one run, whoever asks:
    gives the version as it is then, None where this run had done it, and raises the same PatrolError again.
    """
    tried, key = tools.consumers.tried, (item.key, secret.stamp.authorization_id)
    if key in tried:
        if (before := tried[key]) is not None:
            raise before
        return None
    try:
        version = _push(tools, item, to, secret)
    except PatrolError as failure:
        tried[key] = failure
        raise
    tried[key] = None
    return version


def _push(tools: Tools, item: Item, to: SonarQube, secret: Published) -> VersionSeen:
    current = current_value(tools.vault, item.secret, secret)
    while True:
        pushed, failure = _ours(current, tools.mark).authorization_id, None
        try:
            tools.consumers.push(item, to, current.value)
        except PatrolError as refused:
            failure = refused
        else:
            tools.tell("pat.pushed", secret=item.secret, authorization_id=pushed, consumer=str(to))
        # A run at the same moment can publish and push between the reading and the push: then this push put an older
        # copy back, and the tag of the newer version would hide that.
        current = tools.vault.current(item.secret)
        stamp = _ours(current, tools.mark)
        if stamp.authorization_id == pushed:
            break
        current = _tagged(tools, item, current, replace(stamp, pushed_to=""))
    if failure is not None:
        raise failure
    # Written last: killed before, the next run pushes once more, which changes nothing.
    return _tagged(tools, item, current, replace(stamp, pushed_to=pushed_to(to))).seen


def _tagged(tools: Tools, item: Item, current: Current, stamp: Stamp) -> Current:
    if stamp == tags.read(current.seen.tags):
        return current
    written = tags.write(stamp, current.seen.tags)
    tools.vault.change(item.secret, current.seen.version, tags=written)
    return replace(current, seen=replace(current.seen, tags=written))


def _ours(current: Current, mark: Mark) -> Stamp:
    stamp = tags.read(current.seen.tags)
    if stamp is None or not is_ours(current.seen.tags, mark):
        raise overtaken()
    return stamp
