"""A service connection of Azure DevOps as a consumer that keeps a copy of a PAT.

Read, changed in its token alone, written as a whole, and read again: Azure DevOps replaces the whole, shows no token to
anybody, and knows no condition for a write. Sources: REST reference, Service Endpoints 7.1; release notes of sprint 276
(disabled after 100 days without use).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from azure.core.credentials import TokenCredential

from shared.model.clock import MOST_SKEW, Clock, Deadline, instant
from shared.model.consumers import Given, Keys, ServiceConnection
from shared.model.errors import Busy, Code, Denied, NotDone, PatrolError, Refused, Unclear
from shared.model.secret_text import SecretText
from shared.services import answers
from shared.services.answers import Answer
from shared.services.devops_answers import HEADERS, Bearer
from shared.services.identity import NoToken, OwnIdentity
from shared.services.pat_api import read_instant
from shared.services.transport import Later, later, patiently, retry_after, timeouts
from shared.services.way_out import no_answer

SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"
VERSION = "7.1"
TOKENS: Mapping[str, str] = {"Token": "apitoken", "UsernamePassword": "password"}
"""Where a PAT stands in `authorization.parameters`, by the scheme."""
HOSTS = ("dev.azure.com", "pkgs.dev.azure.com", "vssps.dev.azure.com", "feeds.dev.azure.com")

_CHANGES = ("modificationDate", "modifiedBy", "operationStatus", "isReady")
"""What a write changes besides what was written."""
_SERVICE = "Azure DevOps"
_LATER = "Nothing to do if the next run succeeds; otherwise look at the status page of Azure DevOps and the network."
_RIGHTS = (
    "Add patrol's managed identity to the organization {organization} (Organization settings, Users), and make it an "
    "Administrator of this service connection (its Security)."
)
_WHICH = "Correct `then` in pats.yaml: organization, project and id, as they stand in the connection's address."
_ENABLE = (
    "It is disabled, by a person or because no pipeline has used it for 100 days: enable it in the project's settings "
    "(Service connections) where it is still needed."
)


class ServiceConnections:
    """See `ports.ConsumerServices`. `identity` is patrol's own, a member of the organization of each connection."""

    def __init__(self, session: requests.Session, identity: TokenCredential, clock: Clock, deadline: Deadline) -> None:
        self._session = session
        self._identity = OwnIdentity(identity)
        self._clock = clock
        self._deadline = deadline

    def check(self, to: ServiceConnection, keys: Keys, organization: str) -> str:  # noqa: ARG002  # nothing opens it
        found = self._get(to)
        _token_of(to, found, organization)
        return _ENABLE if found.get("isDisabled") is True else ""

    def works(self, to: ServiceConnection, keys: Keys, organization: str, since: datetime) -> bool:  # noqa: ARG002
        """Whether it was written after the value was published: an older one cannot hold it."""
        found = self._get(to)
        _token_of(to, found, organization)
        modified = _modified(found)
        return modified is None or modified >= since - MOST_SKEW

    def push(self, to: ServiceConnection, keys: Keys, given: Given) -> str:  # noqa: ARG002
        before = self._get(to)
        name = _token_of(to, before, given.organization)
        wanted = deepcopy(dict(before))
        wanted["authorization"]["parameters"] = {
            **(wanted["authorization"].get("parameters") or {}),
            name: given.value.reveal(),
        }
        address = f"https://dev.azure.com/{quote(to.organization)}/_apis/serviceendpoint/endpoints/{to.id}"
        self._ask(to, "PUT", address, json=wanted)
        after = self._get(to)
        if changed := _differing(before, after):
            cause = f"{to} has the new PAT, and is not as it was before in: {', '.join(changed)}."
            remedy = "See in the project's settings whether somebody changed it at the same moment, and correct it."
            raise Refused(Code.CONSUMER_REFUSED, cause, remedy)
        return " ".join(filter(None, (_changed_by_another(before, after, given.published_at), _disabled(after))))

    def _get(self, to: ServiceConnection) -> dict[str, Any]:
        place = f"{quote(to.organization)}/{quote(to.project, safe='')}"
        address = f"https://dev.azure.com/{place}/_apis/serviceendpoint/endpoints/{to.id}"
        found = self._ask(to, "GET", address)
        if found is None:
            raise Refused(Code.CONSUMER_REFUSED, f"{to} is not there, or patrol may not see it.", _WHICH)
        if not isinstance(found, dict) or str(found.get("id")).lower() != to.id:
            raise Unclear(Code.CONSUMER_UNREACHABLE, f"{to}: the answer was another one than it.", _LATER)
        return found

    def _ask(self, to: ServiceConnection, method: str, address: str, **given: Any) -> Any:
        """The JSON of an answer. Every call may be repeated: it says the same twice."""
        token = self._token()

        def attempt() -> Any | Later:
            try:
                response = self._session.request(
                    method,
                    address,
                    params={"api-version": VERSION},
                    headers=HEADERS,
                    auth=Bearer(token),
                    timeout=timeouts(self._deadline),
                    allow_redirects=False,
                    **given,
                )
            except requests.RequestException as failure:
                return later(_lost(to, failure))
            try:
                return _judge(to, Answer.of(response))
            except (Busy, Unclear) as failure:
                return Later(failure, retry_after(response.headers.get("Retry-After"), self._clock.now()))

        return patiently(self._clock, self._deadline, attempt)

    def _token(self) -> SecretText:
        try:
            return SecretText(self._identity.get_token(SCOPE).token)
        except NoToken as failure:
            known = failure.known
            kind = Denied if isinstance(known, Denied) else NotDone
            cause = f"For a service connection: {known.cause}"
            raise kind(Code.CONSUMER_TOKEN_UNREADABLE, cause, known.remedy) from None


def _token_of(to: ServiceConnection, found: Mapping[str, Any], organization: str) -> str:
    """The name of the parameter that holds the PAT. Raises Refused where it is none that a PAT belongs in."""
    authorization = found.get("authorization")
    scheme = authorization.get("scheme") if isinstance(authorization, dict) else None
    name = TOKENS.get(scheme) if isinstance(scheme, str) else None
    if name is None:
        cause = f"{to} signs in by no token and no password, so a PAT has no place in it."
        raise Refused(Code.CONSUMER_REFUSED, cause, f"{_WHICH} It must be one with a token, or a user and a password.")
    if not _is_of(organization, found.get("url")):
        cause = f"{to} leads to another address than the organization {organization}, where the PAT would not work."
        raise Refused(Code.CONSUMER_REFUSED, cause, f"{_WHICH} Or correct the connection's server URL.")
    return name


def _is_of(organization: str, address: object) -> bool:
    """Whether an address is the organization's, of any service of Azure DevOps, in its present or its older form."""
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
        host = (parts.hostname or "").casefold()
    except ValueError:
        return False
    name = organization.casefold()
    first = parts.path.strip("/").partition("/")[0]
    older = (f"{name}.visualstudio.com", f"{name}.pkgs.visualstudio.com")
    own = host in older or (host in HOSTS and first.casefold() == name)
    return parts.scheme == "https" and own


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of what a write must not have changed, and has."""
    names = sorted({*before, *after} - set(_CHANGES))
    return [name for name in names if before.get(name) != after.get(name)]


def _changed_by_another(before: Mapping[str, Any], after: Mapping[str, Any], published_at: datetime) -> str:
    """That somebody else wrote it after the value was published: nobody can tell what its token was then."""
    at, who = _modified(before), _who(before)
    if at is None or who is None or who == _who(after) or at <= published_at:
        return ""
    return f"Somebody else had changed it at {instant(at)}, perhaps its token."


def _disabled(found: Mapping[str, Any]) -> str:
    return _ENABLE if found.get("isDisabled") is True else ""


def _modified(found: Mapping[str, Any]) -> datetime | None:
    try:
        return read_instant(found.get("modificationDate"))
    except Unclear:
        return None


def _who(found: Mapping[str, Any]) -> str | None:
    by = found.get("modifiedBy")
    name = by.get("id") if isinstance(by, dict) else None
    return name if isinstance(name, str) else None


def _judge(to: ServiceConnection, answer: Answer) -> Any:
    """What an answer means. Only its status and code words are shown."""
    refusal = answers.azure_devops(answer)
    if refusal is None:
        if answer.status == requests.codes.ok and _is_json(answer):
            return answer.json()
        raise _doubt(to, answer)
    words = " ".join(word for word in (str(refusal.status), refusal.type_key, refusal.number) if word)
    answered = f"{to}: {_SERVICE} answered HTTP {words}"
    if refusal.status in (401, 403) or 300 <= refusal.status < 400:
        cause = f"{answered}: it does not let patrol's managed identity do that."
        raise _denied(refusal.status, cause, _RIGHTS.format(organization=to.organization))
    if refusal.status == requests.codes.too_many_requests:
        raise Busy(Code.CONSUMER_UNREACHABLE, f"{answered}: too many requests.", _LATER)
    raise Refused(Code.CONSUMER_REFUSED, f"{answered}.", _WHICH)


def _denied(status: int, cause: str, remedy: str) -> PatrolError:
    # 403 is of this connection's own roles, and says nothing about the organization's others.
    kind = Refused if status == requests.codes.forbidden else Denied
    return kind(Code.CONSUMER_REFUSED, cause, remedy)


def _is_json(answer: Answer) -> bool:
    """Whether it is an object or null: a page under 200 is neither."""
    typed = "json" in (answer.headers.get("Content-Type") or "").lower()
    return typed and (isinstance(answer.json(), dict) or answer.body.strip() == b"null")


def _doubt(to: ServiceConnection, answer: Answer) -> Unclear:
    """Azure DevOps' own trouble (5xx), an unknown organization, or somebody in between."""
    cause = f"{to}: {answers.in_between(answer, _SERVICE)}."
    passing = answer.status in (408, 429) or answer.status >= 500
    remedy = _LATER if passing else f"{_WHICH} {answers.look_between(_SERVICE)}"
    return Unclear(Code.CONSUMER_UNREACHABLE, cause, remedy)


def _lost(to: ServiceConnection, failure: requests.RequestException) -> PatrolError:
    return no_answer(failure, str(to), Code.CONSUMER_UNREACHABLE, Code.CONSUMER_UNREACHABLE, _LATER)
