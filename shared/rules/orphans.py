"""Which live PAT with our mark belongs to nothing and may end (rule 4). In doubt it lives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.model.pats import Pat, PatId
from shared.model.secret_state import CONTENT_TYPE, Nothing, Published, Secret, VersionSeen, is_ours
from shared.model.tags import Mark, read

# A PAT younger than this may still be on its way into the vault: publishing is allowed for 5 minutes after minting.
ORPHAN_AGE = timedelta(hours=2)


def is_orphan_candidate(pat: Pat, secret: Secret, now: datetime) -> bool:
    """A live PAT with our mark that the current version does not name, old enough to judge (rule 4)."""
    if isinstance(secret, Published):
        named = {secret.stamp.authorization_id, *(one.id for one in secret.stamp.predecessors)}
        if pat.id in named:
            return False
    # A deleted secret may be recovered, and its PAT is in use meanwhile; where nobody can tell, neither is it ended.
    if isinstance(secret, Nothing) and secret.deleted is not False:
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
    naming = [version for version in known if _names(version, pat.id) or _may_hold(version, pat)]
    if not naming:
        return True
    last = max(naming, key=lambda version: version.created)
    others = [version.created for version in known if version.version != last.version]
    # Of versions of one second nobody can tell which came first: a certain successor goes before a tie.
    later = [at for at in others if at > last.created] or [at for at in others if at == last.created]
    return bool(later) and now >= min(min(later) + overlap, pat.validity.ends)


def _is_edited(secret: Secret, versions: list[VersionSeen], mark: Mark) -> bool:
    """Whether a version that is not ours lies on top of ours. Versions of one second tie: the listing decides then."""
    newest = max((version.created for version in versions), default=None)
    on_top = [is_ours(version.tags, mark) for version in versions if version.created == newest]
    if all(on_top) or not any(is_ours(version.tags, mark) for version in versions):
        return False
    return not (any(on_top) and isinstance(secret, Published))


def _may_hold(version: VersionSeen, pat: Pat) -> bool:
    """Whether a version of ours that lost its tags may have been published with this PAT."""
    lost = version.content_type == CONTENT_TYPE and read(version.tags) is None
    return lost and pat.validity.starts <= version.created


def _names(version: VersionSeen, pat: PatId) -> bool:
    stamp = read(version.tags)
    return stamp is not None and stamp.authorization_id == pat
