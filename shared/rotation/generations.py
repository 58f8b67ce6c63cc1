"""Ending every generation of an item but the published one: what an emergency and a decommissioning come down to.

Judged by what holds afterwards, not by the steps (rule 8). The set comes from listings by mark and from all versions,
under every owner that pats.yaml or any version names; the tag `predecessors` is only a hint. What is not confirmed dead
is told with its id, its owner and the command that ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.model.errors import Busy, Code, NotDone, PatrolError
from shared.model.items import Item
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import OwnedPats
from shared.model.secret_state import Current, VersionListing, VersionSeen, is_ours
from shared.model.steps import Because
from shared.report.report import Row
from shared.rotation import gate
from shared.rotation.ended import ended_row
from shared.rotation.estate import organizations
from shared.rotation.meant import Generations, is_nameless
from shared.rotation.observe import find_unlisted
from shared.rotation.publish import overtaken, without
from shared.rotation.run_context import Run
from shared.rules import may_end
from shared.rules.may_end import MayEnd
from shared.rules.orphans import is_under_way, may_have_leaked

REPLACED_AT_MOST = 3
"""So often another run may replace what an emergency published before this one gives up and says so."""


def emergency(
    item: Item, published: PatId, made_before: datetime, run: Run, in_overlap: frozenset[PatId] = frozenset()
) -> list[Row]:
    """End every live PAT of the item that was made before `made_before`, but the published one; disable older versions.

    `published`: its id, proved and current. When another run replaces it meanwhile, what that one published stays.
    Gives the rows; what still lives is a failed one. Raises what reading the secret raises.
    """
    name = item.secret
    for _ in range(REPLACED_AT_MOST):
        versions = run.vault.versions(name)
        meant = Generations(item, versions, Because.EMERGENCY, published, made_before, in_overlap)
        rows, dead = _end_all(meant, run)
        # Read again: only what lies under the version that is current now may be disabled.
        current = run.vault.current(name)
        if not current.version.names(published):
            stamp = current.version.stamp
            if stamp is None or not is_ours(current.version.tags, run.mark):
                raise overtaken()
            published = stamp.authorization_id
            continue
        rows += _disable_older(meant, current, run)
        run.publisher.remember(name, current.version, partial(without, ended=frozenset(dead)))
        return rows
    raise overtaken()


def leaked_before_minting(item: Item, run: Run, refusal: PatrolError | None = None) -> list[Row]:
    """`revoke_first`, or `refusal` of its user: end what is meant of the item without a new value. Gives the rows.

    What another run has published since it was asked for did not leak, and consumers have it (rule 8).
    """
    versions, before = run.vault.versions(item.secret), run.asked.published_before
    return _end_all(Generations(item, versions, Because.EMERGENCY, made_before=before, refusal=refusal), run)[0]


def decommission(item: Item, version: VersionSeen, run: Run) -> list[Row]:
    """Disable the secret, then end its PATs: nobody reads a value that is about to die. Gives the rows of the PATs."""
    allowed = may_end.decommissioned(version, item)
    if version.enabled and allowed is not None:
        gate.disable(run.vault, allowed)
        run.tell("secret.disabled", secret=item.secret)
    versions = run.vault.versions(item.secret)
    rows, dead = _end_all(Generations(item, versions, Because.DECOMMISSIONED), run)
    run.publisher.remember(item.secret, version, partial(without, ended=frozenset(dead)))
    return rows


def still_lives(item: Item, listed: Iterable[Pat], run: Run) -> list[Row]:
    """Of an emergency that may not touch the secret (edited, another's): what of it may still work."""
    owner = Owner(item.username, item.organization)
    mine = [pat for pat in listed if run.mark.secret_of(pat.display_name) == item.key]
    cause = NotDone(Code.EDITED, "The secret is not patrol's to replace now, so nothing was ended.", "")
    return [_lives(item, owner, pat.id, Because.EMERGENCY, cause) for pat in mine]


def _end_all(meant: Generations, run: Run) -> tuple[list[Row], set[PatId]]:
    rows: list[Row] = []
    dead: set[PatId] = set()
    listings: list[_Listed] = []
    for owner in meant.owners():
        try:
            listings.append(_list(owner, meant, run))
        except PatrolError as failure:
            # Of a former owner without an id that may live there is nothing to say.
            rows += [_lives(meant.item, owner, pat, meant.because, failure) for pat in meant.named(owner)]
    if meant.refusal is None and meant.may_be_anybody_s():
        rows += _ask_everybody_else(meant, listings, run)
    # After the PATs the versions, and after them what is current: what a run at the same moment published in between is
    # named by a version then, or current, and what it has only minted is too young to end.
    versions = run.vault.versions(meant.item.secret)
    current = None if meant.spared is None else _published(meant, listings, run)
    for one in listings:
        owner, listed, named = one.owner, one.pats, meant.named(one.owner)
        for pat in listed.values():
            try:
                allowed = _allowed(meant, pat, owner, versions, current, run)
            except PatrolError as failure:
                rows.append(_lives(meant.item, owner, pat.id, meant.because, failure))
                continue
            if allowed is not None:
                rows.append(_ended(meant, one, allowed, run, dead))
            elif meant.is_meant(pat) and _in_doubt(meant, pat, versions, run):
                doubt = NotDone(Code.EDITED, "It is young, and a version that somebody wrote may hold it.", "")
                rows.append(_lives(meant.item, owner, pat.id, meant.because, doubt))
            elif pat.id in named and _is_another_item_s(pat, named[pat.id], meant.item, run):
                dead.add(pat.id)  # it lives, and was never this item's: the tag need not name it any more
            elif pat.id in named and meant.is_meant(pat) and run.mark.secret_of(pat.display_name) != meant.item.key:
                renamed = NotDone(Code.UNMARKED, _NOT_MARKED, "")
                rows.append(_lives(meant.item, owner, pat.id, meant.because, renamed))
        rows += _unlisted(meant, owner, named, listed, one.api, run, dead)
    return rows, dead


def _ask_everybody_else(meant: Generations, listings: list[_Listed], run: Run) -> list[Row]:
    """Add what every user of pats.yaml has in every organization that it names. Gives the rows of who did not answer.

    Whom an organization does not let in has nothing there that works.
    """
    rows, asked = list[Row](), {owner.key for owner in meant.owners()}
    inventory = run.estate.inventory
    names = organizations(inventory, {}).values()
    everybody = [Owner(user.username, name) for user in inventory.users for name in names]
    for owner in everybody:
        if owner.key in asked:
            continue
        try:
            if run.deadline.passed():
                raise NotDone(Code.TIME_OVER, "The time of this run was over before it was asked.", "Ask again.")
            listings.append(_list(owner, meant, run))
        except PatrolError as failure:
            if failure.code is not Code.ORGANIZATION_DENIED:
                rows.append(_may_live(meant, owner, failure))
    return rows


@dataclass(frozen=True, slots=True)
class _Listed:
    """An owner's live PATs. `by`: the administrator that sees and ends them, "" for the owner."""

    owner: Owner
    api: OwnedPats
    pats: Mapping[PatId, Pat]
    by: str = ""


def _list(owner: Owner, meant: Generations, run: Run) -> _Listed:
    """As the owner; in an emergency as the administrator where the owner cannot sign in. Raises why neither could."""
    try:
        if meant.refusal is not None:
            raise meant.refusal
        own = run.api_of(owner)
        return _Listed(owner, own, run.organizations.active(own, owner.organization))
    except PatrolError as failure:
        if meant.because is not Because.EMERGENCY or isinstance(failure, Busy) or not isinstance(failure, NotDone):
            raise
        administrator = run.estate.inventory.administrator
        if not administrator:
            raise NotDone(
                failure.code, failure.cause, f"{failure.remedy} {_BY_HAND.format(owner.organization)}"
            ) from None
        try:
            api = run.as_administrator(owner)
            return _Listed(owner, api, run.organizations.active(api, owner.organization), administrator)
        except PatrolError as trouble:
            cause = f"{failure.cause} Nor could {administrator} end it as administrator. {trouble.cause}"
            raise NotDone(trouble.code, cause, f"{trouble.remedy} {_BY_HAND.format(owner.organization)}") from None


_BY_HAND = (
    "Where its user cannot sign in: a Project Collection Administrator sends its id to Azure DevOps "
    "(`POST https://vssps.dev.azure.com/{}/_apis/tokenadmin/revocations?api-version=7.2-preview.1`, "
    '`[{{"authorizationId": "ID"}}]`), or name such a user as `administrator` in pats.yaml (docs/operations.md).'
)


_NOT_MARKED = "It does not carry patrol's mark for this secret: a person renamed it, or a tag names another's PAT."


def _published(meant: Generations, listings: Iterable[_Listed], run: Run) -> Current | None:
    """What consumers read now. Raises NotDone where its tag and its expiry do not name the same PAT: which one is
    published is believed of two witnesses only, and else what leaked might be spared.
    """
    if meant.spared is None:
        return None
    current = run.publisher.current(meant.item.secret, meant.spared)
    spared = next((one.pats[meant.spared] for one in listings if meant.spared in one.pats), None)
    if spared is not None and spared.validity.ends != current.version.expires_on:
        raise NotDone(
            Code.EDITED,
            "Tags and expiry of the published version do not name the same PAT, so nothing was ended.",
            f"Take it back: `patrol rotate {meant.item.secret} --force --adopt`, then ask again.",
        )
    return current


def _is_another_item_s(pat: Pat, version: VersionSeen, item: Item, run: Run) -> bool:
    """Whether a version names another item's PAT: one with its mark, that does not end when the version does."""
    whose = run.mark.secret_of(pat.display_name)
    return whose not in (None, item.key) and version.expires_on != pat.validity.ends


def _in_doubt(meant: Generations, pat: Pat, versions: VersionListing, run: Run) -> bool:
    mine = run.mark.secret_of(pat.display_name) == meant.item.key
    return mine and is_under_way(pat, versions) and may_have_leaked(pat, versions, run.organizations.known)


def _allowed(
    meant: Generations, pat: Pat, owner: Owner, versions: VersionListing, current: Current | None, run: Run
) -> MayEnd | None:
    """Raises what the vault says that the item has left, where the PAT is from there."""
    if not meant.is_meant(pat):
        return None
    name, mark = meant.item.secret, run.mark
    left = run.elsewhere.left_by(pat, name)
    if left is not None:
        # Named by no version here, it is judged by those of its own vault.
        there = run.world.vault_at(left).versions(name)
        if meant.succeeds(pat.id, there):
            mark, versions = run.elsewhere.marks[left], there
    adopted = meant.adopted(pat.id)
    if current is None or meant.made_before is None:
        return may_end.given_up(pat, name, owner, mark, versions, meant.because, adopted=adopted)
    return may_end.replaced_generation(pat, name, owner, mark, current, meant.made_before, versions, adopted=adopted)


def _ended(meant: Generations, one: _Listed, allowed: MayEnd, run: Run, dead: set[PatId]) -> Row:
    owner = one.owner
    try:
        gate.end(one.api, allowed, run.tell)
    except PatrolError as failure:
        return _lives(meant.item, owner, allowed.pat, meant.because, failure)
    if one.by:
        return _ends_soon(meant, owner, allowed.pat, one.by)
    dead.add(allowed.pat)
    return ended_row(meant.item.secret, owner, meant.because, None, allowed.pat)


def _unlisted(
    meant: Generations,
    owner: Owner,
    named: Iterable[PatId],
    listed: Mapping[PatId, Pat],
    api: OwnedPats,
    run: Run,
    dead: set[PatId],
) -> list[Row]:
    """What versions name and no listing shows counts as dead only when the service says so (rule 5)."""
    rows = []
    for pat in named:
        if pat in listed:
            continue
        try:
            found, lives = find_unlisted(api, owner.organization, pat, run.clock.now())
        except PatrolError as failure:
            rows.append(_lives(meant.item, owner, pat, meant.because, failure))
            continue
        if not lives:
            dead.add(pat)
        elif found is not None and meant.is_meant(found):
            odd = NotDone(Code.DEVOPS_UNCLEAR, "It is not listed, and Azure DevOps says that it lives.", "")
            rows.append(_lives(meant.item, owner, pat, meant.because, odd))
    return rows


def _disable_older(meant: Generations, current: Current, run: Run) -> list[Row]:
    """No older version of ours can be read any more, whichever tags it has left."""
    rows = []
    for version in meant.versions:
        ours = is_ours(version.tags, run.mark) or is_nameless(version)
        ours = ours and not any(version.names(pat) for pat in meant.in_overlap)
        allowed = may_end.older_version(version, meant.item.secret, current) if ours and version.enabled else None
        if allowed is None:
            continue
        try:
            gate.disable(run.vault, allowed)
        except PatrolError as failure:
            owner = Owner(meant.item.username, meant.item.organization)
            cause = f"An older version of the secret can still be read. {failure.cause}"
            known = NotDone(failure.code, cause, failure.remedy)
            rows.append(ended_row(meant.item.secret, owner, Because.EMERGENCY, known, _id_of(version)))
    return rows


def _id_of(version: VersionSeen) -> PatId:
    return version.stamp.authorization_id if version.stamp is not None else PatId(version.version)


def _ends_soon(meant: Generations, owner: Owner, pat: PatId, administrator: str) -> Row:
    """What an administrator revoked: Azure DevOps takes up to an hour, so that it is dead is not confirmed yet."""
    who = owner.username if meant.refusal is None else meant.item.username
    cause = (
        f"{pat} of {owner.username} in {owner.organization} may still work for up to an hour: {administrator} revoked "
        f"it as administrator, because {who} could not sign in."
    )
    remedy = (
        "Ask for the emergency again in an hour: it says whether that holds. Consumers get no new value before "
        f"{who} can sign in again."
    )
    failure = NotDone(Code.LEAKED_PAT_LIVES, cause, remedy)
    return ended_row(meant.item.secret, owner, Because.EMERGENCY, failure, pat)


def _lives(item: Item, owner: Owner, pat: PatId, because: Because, failure: PatrolError) -> Row:
    """A PAT that was to be dead, and of which nobody could confirm it."""
    whose = f"--user {owner.username} --organization {owner.organization}"
    cause = f"{pat} of {owner.username} in {owner.organization} may still work. {failure.cause}"
    remedy = (
        f"End it: `patrol pats revoke {pat} {whose}`, or have an Azure DevOps administrator revoke it."
        f"{f' {failure.remedy}' if failure.remedy else ''}"
    )
    return ended_row(item.secret, owner, because, NotDone(Code.LEAKED_PAT_LIVES, cause, remedy), pat)


def _may_live(meant: Generations, owner: Owner, failure: PatrolError) -> Row:
    """Of an owner who was not listed, while a version names no owner at all: nobody knows of which id."""
    name, whose = meant.item.secret, f"--user {owner.username} --organization {owner.organization}"
    cause = (
        f"A version of {name} names no owner any more, because its tags were taken off: a PAT of {owner.username} in "
        f"{owner.organization} may still work. {failure.cause}"
    )
    remedy = (
        f"Look for one named patrol/…/{name} (`patrol pats list {whose}`) and end it (`patrol pats revoke ID {whose}`)."
        f"{f' {failure.remedy}' if failure.remedy else ''}"
    )
    known = NotDone(Code.LEAKED_PAT_LIVES, cause, remedy)
    return ended_row(name, owner, meant.because, known, PatId(f"a PAT of {owner.username}"))
