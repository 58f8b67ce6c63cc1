"""What each `patTokenError` of the PAT lifecycle API means and what an operator does about it.

Source: REST reference, Tokens / Pats 7.1 and 7.2-preview, `SessionTokenError`; the policy rows from "Manage PATs with
policies". An unknown word is kept and shown: the service adds new ones without a new api-version.
"""

from __future__ import annotations

from typing import Final

NONE: Final = "none"

GONE: Final = frozenset({"authorizationNotFound", "tokenNotFound", "invalidAuthorizationId"})
"""Answers to Get and Update that say that the PAT does not exist."""

_ASK_AN_ADMINISTRATOR: Final = "Ask an Azure DevOps administrator to put the technical user on that policy's allowlist"
_USER: Final = "Check that the technical user is an active member of the organization, signed in to it at least once."
_TOKEN: Final = "Check the app registration: delegated permissions vso.pats and vso.pats_manage, with admin consent."
_OURS: Final = "This is a request patrol should not have made: report it with the activity id from the log."
_GONE: Final = "The user has no such PAT, or has it no longer. The next run replaces one that pats.yaml keeps."
_FINAL: Final = (
    "An expired PAT is final, and nothing extends it. The next run replaces one that pats.yaml keeps; in place of "
    "another make a new one."
)
_LATER: Final = "Nothing to do if the next run succeeds; otherwise look at the status page of Azure DevOps."

REMEDIES: Final = {
    "displayNameRequired": _OURS,
    "invalidDisplayName": "Shorten the secret's name or DEPLOYMENT_NAME: together they make the PAT's display name.",
    "invalidValidTo": "Shorten `lifetime` of the item in pats.yaml.",
    "invalidScope": "Correct `scopes` of the item in pats.yaml; `patrol scopes` lists the known ones.",
    "userIdRequired": _USER,
    "invalidUserId": _USER,
    "invalidUserType": "Use a member account: service principals, managed identities and guests cannot own such PATs.",
    "accessDenied": _USER,
    "failedToIssueAccessToken": _LATER,
    "invalidClient": _TOKEN,
    "invalidClientType": _TOKEN,
    "invalidClientId": _TOKEN,
    "invalidTargetAccounts": "Check `organization` of the item in pats.yaml, and that the user belongs to it.",
    "hostAuthorizationNotFound": "Check `organization` of the item in pats.yaml, and that the user belongs to it.",
    "authorizationNotFound": _GONE,
    "failedToUpdateAccessToken": _LATER,
    "sourceNotSupported": _OURS,
    "invalidSourceIP": "Allow patrol's outbound addresses in the organization's conditional access or IP policy.",
    "invalidSource": _OURS,
    "duplicateHash": _LATER,
    "sshPolicyDisabled": _OURS,
    "invalidToken": _GONE,
    "tokenNotFound": _GONE,
    "invalidAuthorizationId": _GONE,
    "failedToReadTenantPolicy": _LATER,
    "globalPatPolicyViolation": _OURS,
    "fullScopePatPolicyViolation": f"Give the item narrower `scopes`. {_ASK_AN_ADMINISTRATOR} (full-scoped PATs).",
    "patLifespanPolicyViolation": f"Shorten `lifetime` of the item. {_ASK_AN_ADMINISTRATOR} (maximum lifespan).",
    "invalidTokenType": _OURS,
    "invalidAudience": _TOKEN,
    "invalidSubject": _USER,
    "deploymentHostNotSupported": "Check `organization` of the item in pats.yaml: it must be one organization's name.",
    "disablePatCreationPolicyViolation": f"{_ASK_AN_ADMINISTRATOR} (restrict PAT creation, organization settings).",
    "failedToReadOrgPolicy": _LATER,
    "globalPATCreationBlocked": _OURS,
    "expiredPatCannotBeExtended": _FINAL,
}


def remedy(word: str) -> str:
    """What to do about a `patTokenError`, in one sentence; never fails on a word it does not know."""
    return REMEDIES.get(
        word, "Look the word up in the Azure DevOps documentation, and report it: patrol does not know it."
    )
