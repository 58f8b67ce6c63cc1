"""What Entra ID's refusals mean for a sign-in with username and password: whom they concern and what to do.

Numbers as in Microsoft's list of AADSTS codes, and whole ranges where it keeps them for one kind. Microsoft says that
numbers may change, so `error` decides where the number is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.model.errors import Again


class Concerns(StrEnum):
    USER = "user"
    CLIENT = "client"
    TENANT = "tenant"
    NOBODY = "nobody"
    """Transient: the same sign-in may work in a moment."""


@dataclass(frozen=True, slots=True)
class Refusal:
    concerns: Concerns
    cause: str
    remedy: str
    again: Again = Again.DAILY
    wants_password: bool = False
    """Whether another password is the way on: that is the secret's for one, and what a person types for another."""

    def remedy_of(self, password_secret: str | None) -> str:
        """What to do. `password_secret`: the name of the secret that holds it; None where a person signs in."""
        if not self.wants_password:
            return self.remedy
        right = (
            "Sign in with the right password."
            if password_secret is None
            else f"Write the right password as a new version of the secret {password_secret}."
        )
        return f"{self.remedy} {right}".lstrip()


def _user(cause: str, remedy: str, again: Again = Again.DAILY) -> Refusal:
    return Refusal(Concerns.USER, cause, remedy, again)


def _password(cause: str, remedy: str = "") -> Refusal:
    return Refusal(Concerns.USER, cause, remedy, Again.NEVER, wants_password=True)


def _client(cause: str, remedy: str) -> Refusal:
    return Refusal(Concerns.CLIENT, cause, remedy)


_MFA: Final = (
    "Exempt the technical user from that policy, as a password alone cannot pass it; or have a person enroll it "
    "(`enrolled: true`)."
)
_POLICY: Final = "Exclude the technical user, or this app, from that Conditional Access policy."
_SECRET: Final = (
    "Write a valid client secret (its value, not its id) as a new version of the secret that holds it; a federated "
    "credential or a certificate needs none (docs/deploy.md)."
)
_FEDERATED: Final = (
    "Give the app registration a federated credential with exactly the issuer, subject and audience of patrol's "
    "managed identity (upper and lower case count); a new one works after some minutes."
)
_CERTIFICATE: Final = (
    "Add the public part of the certificate's current version to the app registration; Key Vault's renewal does not."
)
_FRESH: Final = "Set this machine's clock; if it is right, the next run sends a fresh one."
_PERMISSIONS: Final = (
    "Give the app registration the delegated Azure DevOps permissions vso.pats and vso.pats_manage with admin consent."
)

_GUEST: Final = "Use a member of the tenant as the technical user: a guest's password is another tenant's."
DEMANDS_MFA: Final = _user("Entra ID demands multi-factor authentication.", _MFA)
BLOCKED_BY_POLICY: Final = _user("A Conditional Access policy or a risk blocks the sign-in.", _POLICY)
_LOCKED: Final = _user(
    "The account is locked (smart lock-out), or the address patrol calls from is flagged.",
    "Read the reason in Entra's sign-in log, unlock the account or change the outbound address.",
    Again.LOCKED,
)

_MFA_RANGE = range(50070, 50080)
_POLICY_RANGES = (range(53000, 54000), range(530000, 540000))
_MFA_NUMBERS = (50158, 500121)
_POLICY_NUMBERS = (50005, 50097, 50129, 50131, 50135, 50155, 50187)
TOO_MANY: Final = 50196
_TRANSIENT_NUMBERS = (90055, 50033, 50087, 90006, 90012, 90024, 90033, 90090, 80001, 80002, 80014)

KNOWN: Final[dict[int, Refusal]] = {
    50126: _password("The user name or the password is wrong."),
    50034: _user(
        "The user does not exist in this tenant.", "Correct `username` or `tenant` in pats.yaml.", Again.NEVER
    ),
    50053: _LOCKED,
    500532: _LOCKED,
    50055: _password("The password has expired.", "Set a new password that does not expire."),
    50144: _password("The password has expired in the on-premises directory.", "Reset it there."),
    50056: _user("The account has no password in Entra ID.", "Use a cloud account with a password.", Again.NEVER),
    50052: _password("The password is longer than Entra ID takes (256 letters)."),
    50057: _user("The account is disabled.", "Enable the account."),
    500571: _user("The guest account is disabled.", _GUEST),
    50020: _user("The user is a guest: the account belongs to another tenant.", _GUEST),
    90072: _user("The user is a guest: the account belongs to another tenant.", _GUEST),
    500208: _user(
        "The user's domain is none that this tenant signs in.", "Correct `username` or `tenant` in pats.yaml."
    ),
    50105: _user("The app demands that users are assigned to it.", "Assign the technical user to the app."),
    65001: _user("The app's permissions were not consented to.", _PERMISSIONS),
    **dict.fromkeys(_MFA_NUMBERS, DEMANDS_MFA),
    **dict.fromkeys(_POLICY_NUMBERS, BLOCKED_BY_POLICY),
    65002: _client("The client id belongs to a Microsoft app.", "Use an app registration of your own."),
    650057: _client("Azure DevOps is not among the app's permissions.", _PERMISSIONS),
    65005: _client("Azure DevOps is not among the app's permissions.", _PERMISSIONS),
    650056: _client("The app registration is misconfigured.", _PERMISSIONS),
    500011: _client("Azure DevOps has no service principal in this tenant.", f"Sign in to it once. {_PERMISSIONS}"),
    70011: _client("The scope is invalid.", _PERMISSIONS),
    28002: _client("The scope is invalid.", _PERMISSIONS),
    700016: _client("The client id is not known in this tenant.", "Correct `sign_in.client_id` or `sign_in.tenant`."),
    7000112: _client("The app registration is disabled.", "Enable it."),
    70001: _client("The app registration is disabled or unknown.", "Enable it, or correct `sign_in.client_id`."),
    7000215: _client("The client secret is wrong.", _SECRET),
    7000222: _client("The client secret has expired.", _SECRET),
    7000218: _client("No credential of the app arrived.", _SECRET),
    700025: _client(
        "The app is a public client, which may prove itself by nothing.", "Make it a confidential (web) client."
    ),
    70021: _client("The app trusts no identity such as patrol's.", _FEDERATED),
    700211: _client("The app trusts no identity of this issuer.", _FEDERATED),
    700212: _client("The app trusts no identity with this audience.", _FEDERATED),
    700213: _client("The app trusts no identity with this subject.", _FEDERATED),
    700027: _client("The certificate is not one of the app's, or has expired.", _CERTIFICATE),
    7000214: _client("The certificate was revoked.", _CERTIFICATE),
    1000502: _client("The certificate is not within its validity.", _CERTIFICATE),
    50012: _client("The signature of the app's assertion is not valid.", _CERTIFICATE),
    50013: _client("The app's assertion is not valid.", _FRESH),
    50027: _client("The app's assertion is malformed.", _CERTIFICATE),
    700021: _client("The app's assertion names another client.", "Correct `sign_in.client_id`."),
    700023: _client(
        "The app's assertion was made for another endpoint.", "Correct `sign_in.tenant` and AZURE_AUTHORITY_HOST."
    ),
    700024: _client("The app's assertion is out of its time.", _FRESH),
    90002: Refusal(Concerns.TENANT, "The tenant does not exist.", "Correct `sign_in.tenant` in pats.yaml."),
    900021: Refusal(Concerns.TENANT, "The tenant is not a valid one.", "Correct `sign_in.tenant` in pats.yaml."),
    900023: Refusal(Concerns.TENANT, "The tenant is not a valid one.", "Correct `sign_in.tenant` in pats.yaml."),
    9001023: Refusal(Concerns.TENANT, "The tenant must be one tenant's id.", "Correct `sign_in.tenant` in pats.yaml."),
    90124: Refusal(Concerns.TENANT, "The tenant must be one tenant's id.", "Correct `sign_in.tenant` in pats.yaml."),
    TOO_MANY: Refusal(
        Concerns.NOBODY,
        "Entra ID saw too many identical sign-ins in a row.",
        "Nothing to do: it passes in some minutes. If it lasts, look for other callers with the same credential.",
    ),
    **{
        number: Refusal(Concerns.NOBODY, "Entra ID is temporarily unavailable.", "The next run tries again.")
        for number in _TRANSIENT_NUMBERS
    },
}


def trusts_nobody(number: int) -> bool:
    """Whether it says that no federated credential matches: 70021, and the finer ones that begin so (7002138)."""
    return str(number).startswith("70021")


def refusal(error: str, numbers: Sequence[int]) -> Refusal:
    """Classify an OAuth error answer by its first known number, else by its `error`.

    A number that nobody knows is tried once a day, not never: most are policies.
    """
    for number in numbers:
        if (found := _of(number)) is not None:
            return found
    if error in ("temporarily_unavailable", "server_error"):
        return Refusal(Concerns.NOBODY, "Entra ID is temporarily unavailable.", "The next run tries again.")
    if error in ("invalid_client", "unauthorized_client", "invalid_scope", "invalid_resource", "invalid_request"):
        return _client(
            "Entra ID refused the app registration.", "Look the code up in Microsoft's list of AADSTS codes."
        )
    if error == "interaction_required":
        return _user("Entra ID demands that a person signs in.", _MFA)
    unknown = "Look the code up in Microsoft's list of AADSTS codes and in Entra's sign-in log."
    return _user("Entra ID refused the sign-in.", unknown)


def _of(number: int) -> Refusal | None:
    if number in KNOWN:
        return KNOWN[number]
    if trusts_nobody(number):
        return KNOWN[70021]
    if number in _MFA_RANGE:
        return DEMANDS_MFA
    return BLOCKED_BY_POLICY if any(number in known for known in _POLICY_RANGES) else None
