"""What Entra ID's refusals mean for a sign-in with username and password: whom they concern and what to do.

Numbers as in Microsoft's list of AADSTS codes. Microsoft says that numbers may change, so `error` decides where the
number is unknown.
"""

from __future__ import annotations

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


def _user(cause: str, remedy: str, again: Again = Again.DAILY) -> Refusal:
    return Refusal(Concerns.USER, cause, remedy, again)


def _client(cause: str, remedy: str) -> Refusal:
    return Refusal(Concerns.CLIENT, cause, remedy)


_MFA: Final = "Exempt the technical user from that policy; a password alone cannot pass it."
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
_PASSWORD: Final = "Write the right password as a new version of the user's password secret."
_PERMISSIONS: Final = (
    "Give the app registration the delegated Azure DevOps permissions vso.pats and vso.pats_manage with admin consent."
)

_MFA_NUMBERS = (50072, 50074, 50076, 50078, 50079, 50158)
_POLICY_NUMBERS = (50097, 53000, 53001, 53003, 53004, 53011, 50135, 530032, 530035)
_TRANSIENT_NUMBERS = (90055, 50033, 50087, 90006, 90012, 90024, 90033, 90090, 80001, 80002, 80014)

KNOWN: Final[dict[int, Refusal]] = {
    50126: _user("The user name or the password is wrong.", _PASSWORD, Again.NEVER),
    50034: _user(
        "The user does not exist in this tenant.", "Correct `username` or `tenant` in pats.yaml.", Again.NEVER
    ),
    50053: _user(
        "The account is locked (smart lock-out), or the address patrol calls from is flagged.",
        "Read the reason in Entra's sign-in log, unlock the account or change the outbound address.",
        Again.LOCKED,
    ),
    50055: _user("The password has expired.", f"Set a new password that does not expire. {_PASSWORD}", Again.NEVER),
    50144: _user("The password has expired in the on-premises directory.", f"Reset it there. {_PASSWORD}", Again.NEVER),
    50056: _user("The account has no password in Entra ID.", "Use a cloud account with a password.", Again.NEVER),
    50057: _user("The account is disabled.", "Enable the account."),
    50105: _user("The app demands that users are assigned to it.", "Assign the technical user to the app."),
    65001: _user("The app's permissions were not consented to.", _PERMISSIONS),
    50196: _user("Entra ID saw too many identical requests.", "Look for other callers with the same credential."),
    **{number: _user("Entra ID demands multi-factor authentication.", _MFA) for number in _MFA_NUMBERS},
    **{
        number: _user("A Conditional Access policy or a risk blocks the sign-in.", _POLICY)
        for number in _POLICY_NUMBERS
    },
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
    9001023: Refusal(Concerns.TENANT, "The tenant must be one tenant's id.", "Correct `sign_in.tenant` in pats.yaml."),
    90124: Refusal(Concerns.TENANT, "The tenant must be one tenant's id.", "Correct `sign_in.tenant` in pats.yaml."),
    **{
        number: Refusal(Concerns.NOBODY, "Entra ID is temporarily unavailable.", "The next run tries again.")
        for number in _TRANSIENT_NUMBERS
    },
}


def trusts_nobody(number: int) -> bool:
    """Whether it says that no federated credential matches: 70021, and the finer ones that begin so (7002138)."""
    return str(number).startswith("70021")


def refusal(error: str, numbers: list[int]) -> Refusal:
    """Classify an OAuth error answer by its first known number, else by its `error`.

    An unknown number under `invalid_grant` may have judged the password: it is not repeated.
    """
    for number in numbers:
        if number in KNOWN:
            return KNOWN[number]
        if trusts_nobody(number):
            return KNOWN[70021]
    if error in ("temporarily_unavailable", "server_error"):
        return Refusal(Concerns.NOBODY, "Entra ID is temporarily unavailable.", "The next run tries again.")
    if error in ("invalid_client", "unauthorized_client", "invalid_scope", "invalid_resource", "invalid_request"):
        return _client(
            "Entra ID refused the app registration.", "Look the code up in Microsoft's list of AADSTS codes."
        )
    if error == "interaction_required":
        return _user("Entra ID demands that a person signs in.", _MFA)
    unknown = "Look the code up in Microsoft's list of AADSTS codes and in Entra's sign-in log."
    return _user("Entra ID refused the sign-in.", unknown, Again.NEVER)
