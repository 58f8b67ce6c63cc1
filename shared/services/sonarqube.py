"""SonarQube as a consumer that keeps a copy of a PAT: its Web API `api/alm_settings` (SonarQube 10.0 and later).

Source: the Web API's own description on a server (`/web_api/api/alm_settings`), and SonarQube's published source of its
check: `validate` lists the projects of the setting's URL with the stored PAT.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from shared.model.clock import Clock, Deadline
from shared.model.consumers import Given, Keys, SonarQube
from shared.model.errors import Busy, Code, Denied, PatrolError, Refused, Unclear
from shared.model.secret_text import SecretText
from shared.services import answers, kept_text
from shared.services.answers import Answer
from shared.services.devops_answers import Bearer
from shared.services.transport import Later, later, patiently, retry_after, timeouts
from shared.services.way_out import no_answer

_LATER = "Nothing to do if the next run succeeds; otherwise look at SonarQube, the network and the certificate."
_TOKEN = (
    "Write a valid user token of SonarQube as a new version of the Key Vault secret {name}; its user needs the "
    "permission Administer System."
)
_KEY = "Correct `then` in pats.yaml, or make the setting in SonarQube (Administration, DevOps Platform Integrations)."
_URL = "Correct `then.url` in pats.yaml: SonarQube's own https address, with its context path where it has one."
_CHECK = (
    "See that SonarQube reaches dev.azure.com, and that the PAT's scopes let it list projects (vso.project, where "
    "vso.code does not); SonarQube's log names the cause."
)


class SonarQubeServer:
    """See `ports.ConsumerServices`. Every call may be repeated: it says the same twice."""

    def __init__(self, session: requests.Session, clock: Clock, deadline: Deadline) -> None:
        self._session = session
        self._clock = clock
        self._deadline = deadline

    def check(self, to: SonarQube, keys: Keys, organization: str) -> str:
        self._address(to, keys[0], organization)
        return ""

    def works(self, to: SonarQube, keys: Keys, organization: str, since: datetime) -> bool:  # noqa: ARG002  # no time is told
        (token,) = keys
        self._address(to, token, organization)
        try:
            self._validate(to, token)
        except Refused:
            return False
        return True

    def push(self, to: SonarQube, keys: Keys, given: Given) -> str:
        (token,) = keys
        # `url` is required by the call; the present one is sent, so that nothing but the PAT changes.
        form = {
            "key": to.alm_setting,
            "url": self._address(to, token, given.organization),
            "personalAccessToken": given.value.reveal(),
        }
        self._ask(to, token, "POST", "update_azure", data=form)
        try:
            self._validate(to, token)
        except Refused as refusal:
            cause = f"{refusal.cause} It has the new PAT, and its own check of the setting failed."
            raise Refused(Code.CONSUMER_REFUSED, cause, _CHECK) from None
        return ""

    def _validate(self, to: SonarQube, token: SecretText) -> None:
        """Its own check: it lists the projects of the setting's URL. It may take a page for people for an answer."""
        self._ask(to, token, "GET", "validate", params={"key": to.alm_setting})

    def _address(self, to: SonarQube, token: SecretText, organization: str) -> str:
        """The address of Azure DevOps in the setting. Raises Refused when there is none, or another organization's."""
        found = self._ask(to, token, "GET", "list_definitions").get("azure")
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        address = next((row.get("url") for row in rows if row.get("key") == to.alm_setting), None)
        if not isinstance(address, str):
            raise Refused(Code.CONSUMER_REFUSED, f"{to} has no Azure DevOps setting of that key.", _KEY)
        if not _is_of(organization, address):
            cause = f"{to} points to another organization than {organization}, where the PAT would not work."
            raise Refused(Code.CONSUMER_REFUSED, cause, _KEY)
        return address

    def _ask(self, to: SonarQube, token: SecretText, method: str, name: str, **given: Any) -> Mapping[str, Any]:
        """The JSON of an answer, `{}` for none."""
        if problem := kept_text.why_not_header(token):
            cause = f"The secret {to.token_secret_name} {problem.what}."
            raise Denied(Code.CONSUMER_TOKEN_UNREADABLE, cause, problem.remedy)

        def attempt() -> Mapping[str, Any] | Later:
            try:
                response = self._session.request(
                    method,
                    f"{to.url}/api/alm_settings/{name}",
                    headers={"Accept": "application/json"},
                    auth=Bearer(token),
                    timeout=timeouts(self._deadline),
                    allow_redirects=False,
                    **given,
                )
            except requests.RequestException as failure:
                return later(_lost(to, failure))
            try:
                return _judge(to, name, response)
            except (Busy, Unclear) as failure:
                return Later(failure, retry_after(response.headers.get("Retry-After"), self._clock.now()))

        return patiently(self._clock, self._deadline, attempt)


def _judge(to: SonarQube, name: str, response: requests.Response) -> Mapping[str, Any]:
    """What an answer means. Only its status is shown: the texts of refusals may carry anything."""
    answer = Answer.of(response)
    answered = f"{to} answered {name} with HTTP {answer.status}"
    if answer.status == requests.codes.no_content:
        return {}
    if answer.status == requests.codes.ok and isinstance(answer.json(), dict):
        return answer.facts()
    if answers.sonarqube(answer) is None and not _is_unknown_token(name, answer):
        raise _doubt(to, name, answer)
    match answer.status:
        case 401:
            cause = f"{answered}: its token is not valid."
            raise Denied(Code.CONSUMER_REFUSED, cause, _TOKEN.format(name=to.token_secret_name))
        case 403:
            cause = f"{answered}: its token's user may not do that."
            raise Denied(Code.CONSUMER_REFUSED, cause, _TOKEN.format(name=to.token_secret_name))
        case 404:
            raise Refused(Code.CONSUMER_REFUSED, f"{answered}: it does not know the setting.", _KEY)
        case 429:
            raise Busy(Code.CONSUMER_UNREACHABLE, f"{answered}.", _LATER)
    raise Refused(Code.CONSUMER_REFUSED, f"{answered}.", _KEY)


def _is_unknown_token(name: str, answer: Answer) -> bool:
    """SonarQube refuses a token that it does not know without a body.

    Believed of the first question alone: to one that came after an answer it is no more than anybody's 401.
    """
    return name == "list_definitions" and answer.status == requests.codes.unauthorized and not answer.body


def _doubt(to: SonarQube, name: str, answer: Answer) -> Unclear:
    """No word of SonarQube's: its own trouble, or somebody in between, or another server at that address."""
    cause = f"{to} did not answer {name}: {answers.in_between(answer, 'SonarQube')}."
    passing = answer.status in (408, 429) or answer.status >= 500
    return Unclear(Code.CONSUMER_UNREACHABLE, cause, _LATER if passing else f"{_URL} {_LATER}")


def _lost(to: SonarQube, failure: requests.RequestException) -> PatrolError:
    return no_answer(failure, str(to), Code.CONSUMER_UNREACHABLE, Code.CONSUMER_UNREACHABLE, _LATER)


def _is_of(organization: str, address: str) -> bool:
    """Whether an address of Azure DevOps Services is the organization's, in its present or its older form."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    first = parts.path.strip("/").partition("/")[0]
    host = (parts.hostname or "").casefold()
    name = organization.casefold()
    return host == f"{name}.visualstudio.com" or (host == "dev.azure.com" and first.casefold() == name)
