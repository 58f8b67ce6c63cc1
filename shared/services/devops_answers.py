"""What answers of Azure DevOps mean, and what an answer is that is not its own: for the PAT API and dev.azure.com."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import requests
from requests.auth import AuthBase

from shared.model.errors import Absent, Busy, Code, Denied, NotDone, PatrolError, Refused, Unclear
from shared.model.secret_text import SecretText
from shared.services import answers, pat_token_errors
from shared.services.answers import Answer, DevOpsRefusal
from shared.services.way_out import no_answer

# Without Suppress, a caller who is not signed in is sent to a page for people (302, or 203 with HTML).
HEADERS = {"Accept": "application/json", "X-TFS-FedAuthRedirect": "Suppress", "X-VSS-ForceMsaPassThrough": "true"}

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
LATER = "Nothing to do if the next run succeeds; otherwise look at the status page of Azure DevOps and the network."
ACCESS = (
    "Check that the technical user is a member of the organization, that the organization belongs to the tenant, and "
    "that the app registration has vso.pats and vso.pats_manage with admin consent."
)
ORGANIZATION = "Correct `organization` in pats.yaml; was the organization renamed or deleted?"
SERVICE = "Azure DevOps"

_BY_NUMBER: Final[Mapping[str, str]] = {
    "TF401444": (
        "Sign in once in a browser as the technical user, at https://dev.azure.com/ and the organization's name: it "
        "has never been there."
    ),
}


class Bearer(AuthBase):
    """`token` as the Authorization header."""

    def __init__(self, token: SecretText) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


def judge(
    method: str,
    organization: str,
    response: requests.Response,
    what: str = "the sign-in",
    remedy: str | None = None,
) -> Mapping[str, Any]:
    """The JSON of a success, `{}` for 204; anything else as the failure it is. Body texts go no further than here.

    Raises NotDone for a refusal in Azure DevOps' own words alone, else Unclear.
    """
    answer = Answer.of(response)
    refusal = answers.azure_devops(answer)
    if refusal is not None:
        if refusal.pat_error:
            raise _pat_refused(refusal.pat_error)
        words = " ".join(word for word in (str(refusal.status), refusal.type_key, refusal.number) if word)
        answered = f"{SERVICE} answered HTTP {words}{_activity(answer)}"
        if refusal.status in (401, 403) or 300 <= refusal.status < 400:
            cause = f"{answered}: {organization} does not accept {what}."
            way = _BY_NUMBER.get(refusal.number) or remedy or ACCESS
            raise Denied(Code.ORGANIZATION_DENIED, cause, way, refusal.number or refusal.type_key)
        raise _refused(refusal, answered, method, organization)
    if answer.status == requests.codes.no_content:
        return {}
    if answer.status == requests.codes.ok:
        return _done(method, answer)
    raise _doubt(answer, organization)


def lost(failure: requests.RequestException, organization: str) -> PatrolError:
    """A request without an answer: NotDone (Busy where it may pass) when it was never sent, Unclear otherwise."""
    return no_answer(failure, f"{SERVICE} ({organization})", Code.DEVOPS_UNAVAILABLE, Code.DEVOPS_UNAVAILABLE, LATER)


def unreadable(what: str, answer: Answer | None = None) -> Unclear:
    """An answer of 200 that is not what was asked for, so that nothing may be assumed."""
    where = _activity(answer) if answer is not None else ""
    return Unclear(Code.DEVOPS_UNCLEAR, f"{SERVICE} answered with something that is not {what}{where}.", LATER)


def is_own(response: requests.Response) -> bool:
    """Whether an answer carries the id that Azure DevOps gives every request of its own."""
    return bool(_activity(Answer.of(response)))


def _done(method: str, answer: Answer) -> Mapping[str, Any]:
    if method == "DELETE" and not answer.body:
        return {}
    body = answer.facts()
    typed = "json" in (answer.headers.get("Content-Type") or "").lower()
    if not typed or not isinstance(answer.json(), dict) or (method == "DELETE" and "patTokenError" not in body):
        raise unreadable("JSON" if not typed else "its own JSON", answer)
    return body


def _refused(refusal: DevOpsRefusal, answered: str, method: str, organization: str) -> PatrolError:
    """A refusal in Azure DevOps' own words: nothing was done."""
    if refusal.status == requests.codes.not_found and refusal.type_key == "SessionTokenNotFoundException":
        return Absent(Code.PAT_UNKNOWN, f"{SERVICE} does not know the PAT.", "The next run replaces it.")
    if refusal.status == requests.codes.not_found:
        # Of a PAT that says nothing (rule 5); of one that was to be made, that it was not.
        kind = NotDone if method == "POST" else Unclear
        return kind(Code.ORGANIZATION_UNKNOWN, f"{answered} for the organization {organization}.", ORGANIZATION)
    if refusal.status == requests.codes.too_many_requests:
        return Busy(Code.DEVOPS_UNAVAILABLE, f"{answered}: too many requests.", LATER)
    read = "Read the activity in the organization's audit log."
    return Refused(Code.DEVOPS_REFUSED, f"{answered}.", read, refusal.word)


def _pat_refused(word: str) -> PatrolError:
    cause = f"{SERVICE} refused: {word}."
    if word in pat_token_errors.GONE:
        return Absent(Code.PAT_UNKNOWN, cause, pat_token_errors.remedy(word))
    return Refused(Code.DEVOPS_REFUSED, cause, pat_token_errors.remedy(word), word)


def _doubt(answer: Answer, organization: str) -> Unclear:
    """No refusal in Azure DevOps' own words: its own trouble (5xx), an unknown organization, or somebody in between."""
    status, activity = answer.status, _activity(answer)
    answered = f"{SERVICE} answered HTTP {status}{activity}"
    between = f"{SERVICE} ({organization}): {answers.in_between(answer, SERVICE)}."
    if status == requests.codes.not_found:
        # An unknown or renamed organization answers with a page: that says nothing about a PAT (rule 5).
        cause = f"{answered} for the organization {organization}." if activity else between
        remedy = ORGANIZATION if activity else f"{ORGANIZATION} {answers.look_between(SERVICE)}"
        return Unclear(Code.ORGANIZATION_UNKNOWN, cause, remedy)
    passing = status in (requests.codes.request_timeout, requests.codes.too_many_requests) or status >= 500
    code = Code.DEVOPS_UNAVAILABLE if passing else Code.DEVOPS_UNCLEAR
    if activity:
        return Unclear(code, f"{answered}.", LATER)
    return Unclear(code, between, answers.look_between(SERVICE))


def _activity(answer: Answer) -> str:
    identity = answer.headers.get("ActivityId") or ""
    return f" (activity {identity.lower()})" if GUID.fullmatch(identity) else ""
