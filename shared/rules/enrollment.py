"""Enrolled users: which kept refresh token is redeemed, when a new one is kept, until when it is good (rule 16)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.model.clock import whole_seconds
from shared.model.credentials import SignIn
from shared.model.enrollment import Kept, Person
from shared.model.items import User
from shared.model.secret_state import VersionSeen
from shared.model.tags import MANAGED_BY, Mark

KEEP_A_NEW_ONE_AFTER = timedelta(days=7)
"""A vault never forgets a version: about 52 a year instead of one for each run."""
IDLE_LIFE = timedelta(days=90)
"""How long Entra ID keeps a refresh token that nobody redeems; each redemption gives one with as long a life."""
WARNING = timedelta(days=14)
CONTENT_TYPE = "application/vnd.patrol.refresh-token"
NEEDED_SCOPES = frozenset({"vso.pats", "vso.pats_manage"})

USERNAME, TENANT, CLIENT_ID, OBJECT_ID = "username", "tenant", "client-id", "object-id"
ENROLLED_AT, LONGEST_LIFE = "enrolled-at", "longest-life"
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def kept(versions: Iterable[VersionSeen], sign_in: SignIn) -> tuple[Kept, ...]:
    """The versions that this app registration can redeem, newest first: a refresh token is bound to its client.

    A disabled one is not there for patrol either. One whose tags somebody took off is tried as it is.
    """
    mine = [
        version
        for version in versions
        if version.enabled
        and version.tags.get(CLIENT_ID, sign_in.client_id).casefold() == sign_in.client_id.casefold()
        and version.tags.get(TENANT, sign_in.tenant).casefold() == sign_in.tenant.casefold()
    ]
    return tuple(sorted(map(_read, mine), key=lambda one: (one.created, one.enrolled_at, one.version), reverse=True))


def _read(version: VersionSeen) -> Kept:
    life = version.tags.get(LONGEST_LIFE, "")
    return Kept(
        version=version.version,
        created=version.created,
        enrolled_at=_instant(version.tags.get(ENROLLED_AT, "")) or version.created,
        object_id=version.tags.get(OBJECT_ID, "").lower(),
        longest_life=timedelta(seconds=int(life)) if life.isdecimal() and len(life) < 10 else None,
        tags=version.tags,
    )


def good_until(one: Kept) -> datetime:
    """When it ends if nobody redeems it, or when the policy ends it that ended the one before."""
    idle = one.created + IDLE_LIFE
    return idle if one.longest_life is None else min(idle, one.enrolled_at + one.longest_life)


def is_old(one: Kept, now: datetime) -> bool:
    """Whether the refresh token that came of redeeming this one is kept in its place."""
    return now - one.created > KEEP_A_NEW_ONE_AFTER


def enrolled_tags(
    mark: Mark, sign_in: SignIn, user: User, person: Person, before: Kept | None, now: datetime
) -> dict[str, str]:
    """The facts of a first version; `before`: of the enrollment that it replaces, whose policy may still hold."""
    life = None if before is None else before.longest_life
    return _tags(mark, sign_in, user, person.object_id, whole_seconds(now), life)


def renewed_tags(
    mark: Mark, sign_in: SignIn, user: User, person: Person, before: Kept, now: datetime
) -> dict[str, str]:
    """The facts of a version that renews `before`. A policy that it has outlived does not hold any more."""
    life = before.longest_life
    lasts = life if life is not None and now < before.enrolled_at + life else None
    return _tags(mark, sign_in, user, before.object_id or person.object_id, before.enrolled_at, lasts)


def limited_tags(one: Kept, life: timedelta) -> dict[str, str]:
    """The same version's facts, and how long a policy lets such a sign-in last."""
    return {**one.tags, LONGEST_LIFE: str(int(life.total_seconds()))}


def is_same_person(user: User, person: Person, object_id: str) -> bool:
    """Whether it is that very user: by the object id of the first enrollment, by name where there is none yet."""
    if object_id and person.object_id:
        return person.object_id == object_id
    return person.username.casefold() == user.key


def _tags(
    mark: Mark, sign_in: SignIn, user: User, object_id: str, enrolled_at: datetime, life: timedelta | None
) -> dict[str, str]:
    tags = {
        MANAGED_BY: mark.text,
        USERNAME: user.username,
        TENANT: sign_in.tenant,
        CLIENT_ID: sign_in.client_id,
        OBJECT_ID: object_id,
        ENROLLED_AT: enrolled_at.strftime(_FORMAT),
    }
    if life is not None:
        tags[LONGEST_LIFE] = str(int(life.total_seconds()))
    return {name: value for name, value in tags.items() if value}


def _instant(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Objection:
    """Why what a person's sign-in gave is not kept."""

    cause: str
    remedy: str


def objection(
    user: User, person: Person, scopes: frozenset[str], before: Kept | None, *, lasts: bool
) -> Objection | None:
    """Judge who signed in, and for what; None where all is well. `lasts`: whether a refresh token came along."""
    if person.is_guest:
        return Objection(
            f"{person.username or 'Who signed in'} is a guest here: another tenant decides about its sign-ins.",
            "Name a member of the tenant in pats.yaml, and enroll that one.",
        )
    if person.username.casefold() != user.key:
        return Objection(
            f"{person.username or 'Somebody without a name'} signed in, and not {user.username}.",
            f"Start again in a private window, and sign in as {user.username}.",
        )
    if before is not None and before.object_id and before.object_id != person.object_id:
        return Objection(
            f"Another account of the name {user.username} was enrolled before (object id {before.object_id}).",
            "If the account was made anew under that name, take the tag `object-id` off the newest version of "
            f"{user.credential_name}, and start again; if not, find out who made an account of that name.",
        )
    bare = scopes - {".default"}
    if bare and not bare >= NEEDED_SCOPES:
        return Objection(
            f"The app lacks a permission of Azure DevOps: {', '.join(sorted(NEEDED_SCOPES - bare))}.",
            "Give the app registration the delegated permissions vso.pats and vso.pats_manage with admin consent, and "
            "start again.",
        )
    if not lasts:
        return Objection(
            "Entra ID gave no refresh token along with the sign-in.",
            "Let the app registration ask for `offline_access`, and start again.",
        )
    return None
