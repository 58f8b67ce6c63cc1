"""What Key Vault's refusals mean, and what an answer is that is not Key Vault's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError

from shared.model.errors import Absent, Busy, Code, Denied, Misconfigured, NotDone, PatrolError, Refused, Unclear
from shared.services import answers
from shared.services.identity import NoToken
from shared.services.transport import retry_after
from shared.services.way_out import no_answer

_SETTLING = frozenset({"ObjectIsBeingRecovered", "ObjectIsBeingDeleted"})

_LATER = "Nothing to do if the next run succeeds; otherwise look at the vault's health and the network."
_READERS = "Give patrol's identity the role Key Vault Secrets User (credentials) or Key Vault Secrets Officer (PATs)."
_OFFICERS = "Give patrol's identity the role Key Vault Secrets Officer on the vault; a new grant takes some minutes."
_TENANT = "Give patrol an identity of the tenant that the vault belongs to."
_NETWORK = (
    "Let patrol's network in: the vault's firewall, virtual network rules or private endpoint keep it out, and no role "
    "changes that."
)
_POLICY = (
    "Read which policy it is in the vault's Azure Policy compliance, and change `lifetime`, the tags or the policy; "
    "patrol's rights are not the cause."
)


class Action(Enum):
    """What is asked of a vault: how a message says it, and which role it takes."""

    LIST = ("list", _READERS)
    READ = ("read", _READERS)
    FIND_DELETED = ("look among the deleted for", _READERS)
    WRITE = ("write", _OFFICERS)
    CHANGE = ("change", _OFFICERS)
    RECOVER = ("recover", _OFFICERS)

    def __init__(self, verb: str, role: str) -> None:
        self.verb = verb
        self.role = role


class Settling(Busy):
    """The name is not free yet: what had it is being recovered or deleted, which takes seconds."""


ODD = (AzureError, ValueError, TypeError, KeyError, AttributeError)
"""What the SDK raises: its own, and whatever comes of a page, of other JSON, or of another's challenge."""


def failure_of(action: Action, could_not: str, failure: Exception) -> PatrolError:
    """What a failed call means. Only codes are shown: the texts of 403 carry ids, a body may carry anything."""
    if isinstance(failure, NoToken):
        return _without_token(could_not, failure.known)
    if not isinstance(failure, AzureError):
        cause = f"{could_not}: the answer is not in Key Vault's own words."
        return Unclear(Code.VAULT_UNCLEAR, cause, answers.look_between("Key Vault"))
    answer = answers.Answer.of_sdk(failure) if isinstance(failure, HttpResponseError) else None
    if answer is None:
        inner = getattr(failure, "inner_exception", None) or failure
        return no_answer(inner, could_not, Code.VAULT_UNREACHABLE, Code.VAULT_UNCLEAR, _LATER)
    refusal = answers.key_vault(answer)
    if refusal is None:
        return _doubt(could_not, answer)
    return _refusal(action, f"{could_not} (HTTP {answer.status} {refusal.word}).", refusal)


def check_page(response: Any) -> None:
    """Raises ValueError for a 200 that is no page of a listing: the SDK would read an empty one (rule 5)."""
    got = response.http_response
    page = answers.Answer(got.status_code, got.headers, got.body())
    if page.status == 200 and not isinstance(page.facts().get("value"), list):
        raise ValueError("not a page of Key Vault's")


def wait_asked(failure: Exception, now: datetime) -> timedelta | None:
    """The answer's Retry-After, where there is one."""
    headers = getattr(getattr(failure, "response", None), "headers", None) or {}
    return retry_after(headers.get("Retry-After"), now)


def unreadable(what: str) -> Unclear:
    """An answer of 200 without a field that it must have."""
    return Unclear(Code.VAULT_UNCLEAR, f"Key Vault answered without `{what}`.", _LATER)


def _refusal(action: Action, cause: str, refusal: answers.Refusal) -> PatrolError:
    """A refusal in Key Vault's own words: nothing happened."""
    word = refusal.word
    match refusal.status:
        case _ if word == "SecretDisabled":
            return Denied(Code.DISABLED, cause, "Enable the current version of the secret.", word)
        case 403 if word == "ForbiddenByPolicy":
            return Refused(Code.VAULT_REFUSED, cause, _POLICY, word)
        case 403 if word in ("ForbiddenByFirewall", "ForbiddenByConnection"):
            return Denied(Code.VAULT_FORBIDDEN, cause, _NETWORK, word)
        case 401:
            return Denied(Code.VAULT_FORBIDDEN, cause, _TENANT, word)
        case 403:
            return Denied(Code.VAULT_FORBIDDEN, cause, action.role, word)
        case 404:
            return Absent(Code.VAULT_REFUSED, cause, "Create the secret, or correct its name in pats.yaml.")
        case 409 if word in _SETTLING:
            return Settling(Code.VAULT_UNREACHABLE, cause, "Nothing to do: it passes, and the next run tries again.")
        case 409:
            return Refused(Code.SECRET_DELETED, cause, "Recover or purge the soft-deleted secret of that name.", word)
        case 429:
            return Busy(Code.VAULT_UNREACHABLE, cause, "Nothing to do: the next run tries again.")
        case _:
            limits = "Check the secret's name and tags against Key Vault's limits."
            return Refused(Code.VAULT_REFUSED, cause, limits, word)


def _doubt(could_not: str, answer: answers.Answer) -> Unclear:
    """No word of Key Vault's: its own trouble (5xx), or somebody in between."""
    error = answer.facts().get("error")
    if answer.status >= 500 and isinstance(error, dict):
        word = answers.code_word(error.get("code"))
        return Unclear(Code.VAULT_UNCLEAR, f"{could_not} (HTTP {answer.status}{f' {word}' if word else ''}).", _LATER)
    cause = f"{could_not} ({answers.in_between(answer, 'Key Vault')})."
    return Unclear(Code.VAULT_UNCLEAR, cause, answers.look_between("Key Vault"))


def _without_token(could_not: str, failure: PatrolError) -> PatrolError:
    if isinstance(failure, Misconfigured):
        return failure
    return Denied(
        failure.code,
        f"{could_not}: {failure.cause}",
        failure.remedy,
        failure.word if isinstance(failure, Denied) else "",
    )


def publish_failure(failure: PatrolError) -> PatrolError:
    """The same, said of a publish."""
    match failure:
        case Misconfigured() | Busy():
            return failure
        case Denied(code=Code.IDENTITY_UNAVAILABLE):
            return failure
        case Denied(word=word):
            return Denied(Code.PUBLISH_FORBIDDEN, failure.cause, failure.remedy, word)
        case Refused(code=Code.SECRET_DELETED):
            return failure
        case Refused(word=word):
            return Refused(Code.PUBLISH_REFUSED, failure.cause, failure.remedy, word)
        case Absent():
            return Refused(Code.PUBLISH_REFUSED, failure.cause, failure.remedy)
        case NotDone():
            return failure
    return Unclear(Code.PUBLISH_UNCLEAR, failure.cause, failure.remedy)
