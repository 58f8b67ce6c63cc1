"""Once a day: owners whom only older versions of secrets name, and whose live PATs no other listing shows (rule 13).

A tag of the current version may have lost them: a person took it off, or more than three generations overlapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from shared.model import tags
from shared.model.errors import Code, PatrolError
from shared.model.items import User
from shared.model.pats import Owner
from shared.model.secret_state import is_ours
from shared.rotation.run_context import Run, WholeRun
from shared.rotation.user import UserWorkDone


def look_for_former_owners(parts: Iterable[UserWorkDone], whole: WholeRun) -> list[UserWorkDone]:
    """What the listings of such owners show, where this run has not read them anyway. Never raises.

    Costs one listing of versions for each secret of a user whose full look this is, and one of PATs for each owner
    found. Only where looks are remembered: else every run would be one.
    """
    read = {(part.user.key, organization) for part in parts for organization in part.listed}
    run, shares = whole.any, whole.observed.shares
    looked_at = {key: share.user for key, share in shares.items() if share.older_versions}
    looks = []
    for one in whole.each.values():
        looks += [partial(_named, name, one) for name in sorted(_of(looked_at, one))]
    found = run.threads.side_by_side(looks)
    owners = {owner.key: owner for named in found for owner in named if owner.key not in read}
    users = {user.key: user for user in whole.observed.inventory.users}
    asked = [(users[key[0]], owner) for key, owner in sorted(owners.items()) if key[0] in users]
    return run.threads.side_by_side([partial(_list, user, owner, run) for user, owner in asked])


def _of(users: Mapping[str, User], run: Run) -> set[str]:
    """Secrets of a vault that are the users' by pats.yaml, or by the current version of what was seen."""
    stamps = {name: tags.read(row.tags) for name, row in run.listing.secrets.items() if is_ours(row.tags, run.mark)}
    mine = {name for name, stamp in stamps.items() if stamp is not None and stamp.username.casefold() in users}
    items = (item for user in users.values() for item in user.items if item.vault == run.estate.address)
    return mine | {item.key for item in items if item.key in stamps}


def _named(secret: str, run: Run) -> set[Owner]:
    """Who minted what a version of ours names, as far as that has not expired."""
    if run.deadline.passed():
        return set()
    try:
        listing = run.vault.versions(secret)
    except PatrolError as failure:
        run.tell("secret.failed", secret=secret, code=failure.code)
        return set()
    except Exception as failure:  # noqa: BLE001  # one odd secret never stops the others (promise 5)
        run.tell("secret.failed", secret=secret, code=Code.UNEXPECTED, says=type(failure).__name__)
        return set()
    living = [one for one in listing if one.expires_on is None or one.expires_on > listing.at]
    stamps = [one.stamp for one in living if is_ours(one.tags, run.mark)]
    return {Owner(stamp.username, stamp.organization) for stamp in stamps if stamp is not None}


def _list(user: User, owner: Owner, run: Run) -> UserWorkDone:
    done = UserWorkDone(user)
    if run.deadline.passed():
        return done
    try:
        pats = run.organizations.active(run.api_of(owner), owner.organization)
        done.listed[owner.organization.casefold()] = pats
    except PatrolError as failure:
        # Only an old version names it: the organization may be gone, and the user no member of it any more.
        run.tell("organization.failed", organization=owner.organization, code=failure.code)
    except Exception as failure:  # noqa: BLE001
        run.tell("user.failed", username=user.username, code=Code.UNEXPECTED, says=type(failure).__name__)
    return done
