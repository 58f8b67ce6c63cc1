"""Ending orphans: live PATs with our mark that belong to nothing (rule 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from shared.model.clock import instant
from shared.model.errors import PatrolError, defect
from shared.model.items import Item
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import PatApi
from shared.model.secret_state import Published
from shared.model.steps import Because
from shared.model.tags import Stamp, read
from shared.report.report import Outcome, Row, Verb
from shared.report.rows import failed, why_then
from shared.rotation import gate
from shared.rotation.ended import SAYS, Ended, ended_row, left_alive
from shared.rotation.push import push_all
from shared.rotation.rotate import replace_dead
from shared.rotation.run_context import Run
from shared.rules import may_end
from shared.rules.may_end import MayEnd
from shared.rules.orphans import Circumstances, is_candidate, unexplained


def end_orphans(
    owner: Owner,
    api: PatApi,
    listed: Mapping[PatId, Pat],
    secrets: Mapping[str, Circumstances],
    items: Mapping[str, Item],
    given_elsewhere: Callable[[str], bool],
    run: Run,
) -> Ended:
    """Revoke what carries our mark and belongs to nothing.

    `secrets`: what this run may judge, by casefolded name; `items`: where a consumer may hold one. `given_elsewhere`:
    whether the consumers of an item that has left the vault have what is published where it is.
    """
    ended = Ended()
    for pat in listed.values():
        name = run.mark.secret_of(pat.display_name)
        if name is None or name not in secrets or not is_candidate(pat, secrets[name].secret, run.clock.now()):
            continue
        ending = _Orphan(name, owner, pat)
        try:
            _end_orphan(ending, secrets[name], items.get(name), given_elsewhere, api, run, ended)
        except PatrolError as failure:
            ended.rows.append(_row(ending, Because.ORPHAN, failure, pat.id))
        except Exception as failure:  # noqa: BLE001  # one odd PAT never stops the others (promise 5)
            ended.rows.append(_row(ending, Because.ORPHAN, defect(failure), pat.id))
    return ended


@dataclass(frozen=True, slots=True)
class _Orphan:
    name: str
    owner: Owner
    pat: Pat


def _end_orphan(
    orphan: _Orphan,
    of: Circumstances,
    item: Item | None,
    given_elsewhere: Callable[[str], bool],
    api: PatApi,
    run: Run,
    ended: Ended,
) -> None:
    pat, known = orphan.pat, dict(run.organizations.known)
    listing = run.vault.versions(orphan.name)
    for stamp in unexplained(pat, listing, known):
        if (witness := _witness(stamp, orphan.owner, api, run)) is not None:
            known[witness.id] = witness
    verdict = may_end.orphan(pat, orphan.name, orphan.owner, of, listing, known)
    if not isinstance(verdict, MayEnd):
        if verdict in SAYS:
            ended.leftovers.append(left_alive(orphan.name, orphan.owner, pat.id, verdict))
        return
    if not of.managed and not given_elsewhere(orphan.name):
        return
    pushed = not of.managed
    if item is not None and item.then and not item.decommission and isinstance(of.secret, Published):
        pushed = True
        # Two runs at one moment: a consumer may have what the other one published for a while.
        try:
            push_all(item, of.secret, run)
        except PatrolError as failure:
            ended.rows.append(_row(orphan, Because.NOT_PUSHED, failure, pat.id))
            return
    if pushed:
        # A push took its time, and rule 2 wants what is ended to have been judged just before.
        verdict = may_end.orphan(pat, orphan.name, orphan.owner, of, run.vault.versions(orphan.name), known)
        if not isinstance(verdict, MayEnd):
            return
    gate.end(api, verdict, run.tell)
    ended.rows.append(_row(orphan, Because.ORPHAN, None, pat.id))
    _look_again(orphan, item, run, ended)


def _look_again(orphan: _Orphan, item: Item | None, run: Run, ended: Ended) -> None:
    """A write that was under way may have made current what was just ended: then it is replaced at once (rule 2).

    Either this look sees the late write, or whoever made it sees the end when it verifies.
    """
    current = run.vault.look(orphan.name).seen
    stamp = None if current is None else read(current.tags)
    if stamp is None or stamp.authorization_id != orphan.pat.id or item is None or item.paused or item.decommission:
        return
    try:
        user = run.signed_in(Owner(item.username, item.organization))
        made = replace_dead(item, orphan.pat, user, run).version
    except PatrolError as failure:
        ended.rows.append(failed(item, Because.DIED_WHILE_PUBLISHED, failure, verb=Verb.ROTATE))
        return
    why = why_then(Because.DIED_WHILE_PUBLISHED)
    says = f"{orphan.name}: rotated, because {why}; the new PAT works until {instant(made.expires_on)}."
    verb, outcome, because = Verb.ROTATE, Outcome.DONE, Because.DIED_WHILE_PUBLISHED
    row = Row(orphan.name, item.username, item.organization, verb, outcome, because, says, made.expires_on)
    ended.rows.append(replace(row, version=made.version))


def _witness(stamp: Stamp, owner: Owner, api: PatApi, run: Run) -> Pat | None:
    """The PAT that a version names, as its own owner sees it, dead or alive; None where nobody can say."""
    minter = Owner(stamp.username, stamp.organization)
    try:
        asked = api if minter.key[0] == owner.key[0] else run.api_of(minter)
        return asked.get(minter.organization, stamp.authorization_id)
    except PatrolError:
        return None


def _row(orphan: _Orphan, because: Because, failure: PatrolError | None, pat: PatId) -> Row:
    return ended_row(orphan.name, orphan.owner, because, failure, pat)
