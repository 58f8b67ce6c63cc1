"""SonarQube as a consumer that keeps a copy of a PAT: its Web API `api/alm_settings` (SonarQube 10.0 and later).

Source: the Web API's own description on a server (`/web_api/api/alm_settings`), and SonarQube's published source of its
check: `validate` lists the projects of the setting's URL with the stored PAT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from shared.model.clock import Clock, Deadline
from shared.model.errors import Busy, Code, Denied, PatrolError, Refused, Unclear
from shared.model.items import SonarQube
from shared.model.secret_text import SecretText
from shared.services.pat_api import Bearer
from shared.services.transport import Later, never_sent, patiently, retry_after, timeouts

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
    """See `ports.Consumer`. Every call may be repeated: it says the same twice."""

    def __init__(self, session: requests.Session, clock: Clock, deadline: Deadline) -> None:
        self._session = session
        self._clock = clock
        self._deadline = deadline

    def check(self, to: SonarQube, token: SecretText, organization: str) -> None:
        self._address(to, token, organization)

    def push(self, to: SonarQube, token: SecretText, organization: str, value: SecretText) -> None:
        # `url` is required by the call; the present one is sent, so that nothing but the PAT changes.
        form = {
            "key": to.alm_setting,
            "url": self._address(to, token, organization),
            "personalAccessToken": value.reveal(),
        }
        self._ask(to, token, "POST", "update_azure", data=form)
        try:
            self._ask(to, token, "GET", "validate", params={"key": to.alm_setting})
        except Refused as refusal:
            cause = f"{refusal.cause} It has the new PAT, and its own check of the setting failed."
            raise Refused(Code.CONSUMER_REFUSED, cause, _CHECK) from None

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
                return Later(_lost(to, failure))
            try:
                return _judge(to, name, response)
            except (Busy, Unclear) as failure:
                return Later(failure, retry_after(response.headers.get("Retry-After"), self._clock.now()))

        return patiently(self._clock, self._deadline, attempt)


def _judge(to: SonarQube, name: str, response: requests.Response) -> Mapping[str, Any]:
    """What an answer means. Only its status is shown: the texts of refusals may carry anything."""
    status = response.status_code
    told = f"{to} answered {name} with HTTP {status}"
    if status == requests.codes.no_content:
        return {}
    if status == requests.codes.ok:
        return _json_of(told, response)
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        why = "its token is not valid" if status == requests.codes.unauthorized else "its token's user may not do that"
        raise Denied(Code.CONSUMER_REFUSED, f"{told}: {why}.", _TOKEN.format(name=to.token_secret_name))
    if status == requests.codes.too_many_requests:
        raise Busy(Code.CONSUMER_UNREACHABLE, f"{told}.", _LATER)
    if status == requests.codes.request_timeout or status >= 500:
        raise Unclear(Code.CONSUMER_UNREACHABLE, f"{told}.", _LATER)
    if status == requests.codes.not_found and name != "list_definitions":
        raise Refused(Code.CONSUMER_REFUSED, f"{told}: it does not know the setting.", _KEY)
    if 300 <= status < 400 or status == requests.codes.not_found:
        raise Refused(Code.CONSUMER_REFUSED, f"{told}: SonarQube is not at that address.", _URL)
    raise Refused(Code.CONSUMER_REFUSED, f"{told}.", _KEY)


def _json_of(told: str, response: requests.Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(Code.CONSUMER_REFUSED, f"{told}, and not with its own JSON: SonarQube is not there.", _URL)
    return body


def _lost(to: SonarQube, failure: requests.RequestException) -> PatrolError:
    cause = f"{to} gave no answer ({type(failure).__name__})."
    kind = Busy if never_sent(failure) else Unclear
    return kind(Code.CONSUMER_UNREACHABLE, cause, _LATER)


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
