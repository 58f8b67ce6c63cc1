"""What Entra ID's refusals mean for a user whom a person enrolled: why it ended, and what to do (rule 16).

The numbers say something else here than of a password: what ended is a sign-in of the past. What is no user's business
(the client, the tenant, the moment) means the same: see entra_errors.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.model import durations
from shared.model.clock import instant
from shared.model.errors import Again, Code, UserRefused
from shared.model.items import User
from shared.services.answers import EntraRefusal
from shared.services.entra_errors import BLOCKED_BY_POLICY, DEMANDS_MFA, Refusal

_AGAIN: Final = "Enroll the user again"
_MFA_AGAIN: Final = "Enroll the user again, passing what the page asks for; or exempt the user from that policy."
_POLICY: Final = (
    "Exclude the user, or this app, from that Conditional Access policy (then it goes on by itself), or enroll the "
    "user again from where the policy lets it."
)
_GUEST: Final = "Name a member of the tenant in pats.yaml, and enroll that one."
# Whole kinds, whatever numbers they have: `entra_errors` keeps the ranges.
_KINDS: Final[Mapping[Refusal, tuple[str, str]]] = {
    DEMANDS_MFA: ("Entra ID demands multi-factor authentication that the enrollment did not bring.", _MFA_AGAIN),
    BLOCKED_BY_POLICY: ("A Conditional Access policy blocks it.", _POLICY),
}

_KNOWN: Final[Mapping[int, tuple[str, str]]] = {
    50173: (
        "Its sessions were revoked: an administrator reset the password or revoked them, after the enrollment.",
        f"{_AGAIN}; if nobody of yours did that, find out who in Entra's audit log first.",
    ),
    50132: ("Its session is no longer valid since the password was changed or reset.", f"{_AGAIN}."),
    700082: (
        "Nobody redeemed the enrollment for 90 days.",
        f"{_AGAIN}, and see why no run signed it in for so long (alert `schedule-stopped`).",
    ),
    70008: ("The enrollment has expired.", f"{_AGAIN}."),
    70000: ("What is kept is no refresh token of this app registration.", f"{_AGAIN}."),
    700084: (
        "The enrollment was made over a redirect URI of the single-page kind, whose sign-ins last 24 hours.",
        f"Register the redirect URI under the platform Web of the app registration (docs/deploy.md). {_AGAIN}.",
    ),
    50078: (
        "The multi-factor authentication of the enrollment is older than the tenant lets it be.",
        f"{_AGAIN}. If that comes regularly, look at the per-user setting `remember multi-factor authentication`.",
    ),
    65001: (
        "The consent to the app's permissions was taken back.",
        f"Give vso.pats and vso.pats_manage admin consent again. {_AGAIN} if that does not help.",
    ),
    50020: ("The user is a guest: the account belongs to another tenant.", _GUEST),
    90072: ("The user is a guest: the account belongs to another tenant.", _GUEST),
    50034: (
        "The user does not exist in this tenant any more.",
        "Correct `username` in pats.yaml, and enroll that user.",
    ),
    50057: ("The account is disabled.", f"Enable the account. {_AGAIN} if its sessions were revoked as well."),
}


def ended(user: User, said: EntraRefusal, otherwise: Refusal) -> UserRefused:
    """The refusal of a kept refresh token. `otherwise`: what its number means for any sign-in."""
    number = said.numbers[0]
    if number == 70043:
        return _too_old(user, said)
    unknown = (otherwise.cause, f"{otherwise.remedy_of(None)} {_AGAIN} if that does not help.")
    cause, remedy = _KNOWN.get(number) or _KINDS.get(otherwise, unknown)
    return _refused(user, said, cause, remedy)


def _too_old(user: User, said: EntraRefusal) -> UserRefused:
    """A sign-in frequency policy: its text names when the token was issued and how long one may live."""
    life = said.longest_life
    if life is None:
        cause, every = "A sign-in frequency policy ended the enrollment.", "each time it ends"
    else:
        since = "" if said.issued is None else f", which was issued at {instant(said.issued)}"
        cause = (
            f"A sign-in frequency policy of Conditional Access lets a sign-in last {durations.show(life)} at most, and "
            f"ended this one{since}."
        )
        every = f"at least every {durations.show(life)}"
    remedy = (
        "Exclude the user, or this app, from that policy; confidential clients with a redirect URI of the platform Web "
        f"are usually spared by it. Else enroll the user again, {every}."
    )
    return _refused(user, said, cause, remedy)


def _refused(user: User, said: EntraRefusal, cause: str, remedy: str) -> UserRefused:
    told = f"The enrollment of {user.username} has ended ({said.word}). {cause}"
    return UserRefused(
        told,
        f"{remedy} {how_to_enroll(user.username)}",
        said.word,
        Again.DAILY,
        Code.ENROLLMENT_ENDED,
        said.longest_life,
    )


def how_to_enroll(username: str) -> str:
    return f"To enroll: `patrol enroll {username}`, which leads to a page to sign in at."
