"""`check --online --canary`: which policies would stop or shorten what pats.yaml asks for, before the first rotation.

No API shows them: a PAT of the wanted life is made for each user and organization, and one of nearly a year, and both
are ended at once (reference: Azure DevOps, "Manage PATs with policies").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from shared.cli.arguments import PROGRAM
from shared.cli.finding import Finding, not_well
from shared.model import durations
from shared.model.errors import PatrolError, Refused
from shared.model.items import Item, User
from shared.model.pats import Owner
from shared.rotation.canary import Ended, Perch, Tried

LONGEST = timedelta(days=364)
"""What every tenant grants that has no policy for the longest life."""
_LIFESPAN = "patLifespanPolicyViolation"
_FULL_ACCESS = "app_token"
_ROUNDING = timedelta(minutes=1)

IN_DOUBT = "A PAT that was to be ended at once may live: the next run or `patrol check --online --canary` ends it."


@dataclass(frozen=True, slots=True)
class Asked:
    """What pats.yaml asks for of one user in one organization. `items` is never empty."""

    user: User
    organization: str
    items: tuple[Item, ...]

    @property
    def life(self) -> timedelta:
        return max(item.lifetime for item in self.items)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Of all items together: a canary can do no more than what is published."""
        return tuple(sorted({scope for item in self.items for scope in item.scopes}))

    @property
    def who(self) -> str:
        return f"{self.user.username} in {self.organization}"

    def named(self, items: Iterable[Item]) -> str:
        return ", ".join(item.secret for item in items)


def asked(user: User) -> list[Asked]:
    """By organization; what is on its way out is not minted for."""
    found: dict[str, list[Item]] = {}
    for item in user.items:
        if not item.decommission:
            found.setdefault(item.organization.casefold(), []).append(item)
    return [Asked(user, items[0].organization, tuple(items)) for items in found.values()]


def check(what: Asked, perch: Perch) -> list[Finding]:
    """Mint two canaries, end them, and say what they show. What a killed check left is ended first."""
    try:
        left = perch.end_all()
        if not any(one.failure for one in left):
            wanted = perch.try_life(what.scopes, what.life)
            # Whether PATs with full access are granted is another policy's matter.
            narrow = tuple(scope for scope in what.scopes if scope != _FULL_ACCESS) or ("vso.profile",)
            longest = perch.try_life(narrow, LONGEST)
            left = perch.end_all()
            return [_wanted(what, wanted), *_longest(what, wanted, longest), *_alive(what.who, perch.owner, left)]
    except PatrolError as failure:
        return [not_well(f"try the policies for {what.who}", failure), Finding(f"canaries of {what.who}", IN_DOUBT)]
    return _alive(what.who, perch.owner, left)


def _wanted(what: Asked, tried: Tried) -> Finding:
    title = f"make a PAT of {durations.show(what.life)} as {what.who}"
    if tried.failure is not None:
        found = not_well(title, tried.failure)
        return Finding(found.what, f"{found.says} It stops {_stopped(what, tried.failure)}.", found.code, 1)
    assert tried.granted is not None
    if tried.granted >= tried.life - _ROUNDING:
        return Finding(title)
    short = [item for item in what.items if item.lifetime > tried.granted + _ROUNDING]
    days = durations.show(tried.granted)
    return Finding(
        title,
        f"The policy for the longest life of PATs shortens it to {days}, and so of {what.named(short)}: all goes on, "
        f"with rotations that come as much earlier. Write `lifetime: {days}` to have it said, or ask an Azure DevOps "
        "administrator to put the user on that policy's allowlist.",
    )


def _stopped(what: Asked, failure: PatrolError) -> str:
    """Which items a refusal is about, where that shows."""
    word = failure.word if isinstance(failure, Refused) else ""
    if word == "fullScopePatPolicyViolation":
        return what.named(item for item in what.items if _FULL_ACCESS in item.scopes)
    if word == _LIFESPAN:
        return f"{what.named(item for item in what.items if item.lifetime == what.life)}, and what lives too long"
    return what.named(what.items)


def _longest(what: Asked, wanted: Tried, tried: Tried) -> list[Finding]:
    title = f"see the policy for the longest life of PATs, as {what.who}"
    if isinstance(tried.failure, Refused) and tried.failure.word == _LIFESPAN:
        return [Finding(f"{title}: less than {durations.show(LONGEST)}")]
    if tried.failure is not None:
        known = wanted.failure is not None and wanted.failure.cause == tried.failure.cause
        return [] if known else [Finding(f"{title}: not known", f"{tried.failure.cause} {tried.failure.remedy}")]
    assert tried.granted is not None
    if tried.granted < LONGEST - _ROUNDING:
        return [Finding(f"{title}: {durations.show(tried.granted)}")]
    if not what.user.enrolled:
        return [Finding(f"{title}: there is none")]
    says = (
        "Nothing bounds what a stolen refresh token together with the app's credential could mint: PATs of a year. Ask "
        "an Azure DevOps administrator for that policy (docs/security.md)."
    )
    return [Finding(f"{title}: there is none", says)]


def _alive(who: str, owner: Owner, left: Iterable[Ended]) -> list[Finding]:
    """What could not be ended; what could needs no word."""
    whose = f"--user {owner.username} --organization {owner.organization}"
    return [
        Finding(
            f"end a canary of {who}",
            f"{one.pat} may still work. {one.failure.cause} {one.failure.remedy} The next run tries again, and by hand "
            f"it is `{PROGRAM} pats revoke {one.pat} {whose}`.",
            one.failure.code,
            1,
        )
        for one in left
        if one.failure is not None
    ]
