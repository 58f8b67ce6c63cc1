"""The way to Entra ID that msal is given: our session and timeouts, one host, and what came back word for word."""

from __future__ import annotations

import threading
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from shared.model.clock import Deadline
from shared.services import answers
from shared.services.answers import Answer, EntraRefusal
from shared.services.transport import timeouts
from shared.services.way_out import never_sent

SERVICE: Final = "Entra ID"

_DISCOVERY = "/openid-configuration"
_REALM = "/common/userrealm/"
# Whether an authority that msal does not know is one at all: asked of the public cloud, about a name and nothing else.
_INSTANCES = ("login.microsoftonline.com", "/common/discovery/instance")


class Federated(Exception):
    """The user's domain has its own server judge passwords."""


class AnotherHost(Exception):
    """A request was meant for a host that is not the authority; not a byte of it went out."""


class NotEntras(Exception):
    """The token endpoint's answer is not in Entra ID's own words."""


class Wire:
    """The http_client of one msal app object. `discovered`: one discovery document for all users.

    `sent` says whether a request for a token, with whatever proves the caller, may have arrived.
    """

    def __init__(
        self,
        session: requests.Session,
        authority_host: str,
        deadline: Deadline,
        discovered: dict[str, requests.Response],
        lock: threading.Lock,
    ) -> None:
        self._session = session
        self._host = authority_host.lower()
        self._deadline = deadline
        self._discovered = discovered
        self._lock = lock
        self.sent = False
        self.path = ""
        self.answer: Answer | None = None

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        """As msal asks; discovery is asked once. Raises Federated for a user whose domain has a server of its own."""
        if not url.endswith(_DISCOVERY):
            answer = self._send("GET", url, **kwargs)
            if self.path.startswith(_REALM) and Answer.of(answer).facts().get("account_type") == "Federated":
                # msal would ask the domain's own server next, and post the password to it.
                raise Federated
            return answer
        with self._lock:
            if url not in self._discovered:
                answer = self._send("GET", url, **kwargs)
                if answer.status_code != requests.codes.ok or "token_endpoint" not in Answer.of(answer).facts():
                    return answer
                self._discovered[url] = answer
            return self._discovered[url]

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        """As msal asks; from here on a password may have been judged. Raises NotEntras for foreign words."""
        self._check_host("POST", url)
        self.sent = True
        try:
            response = self._send("POST", url, **kwargs)
        except Exception as failure:
            self.sent = not never_sent(failure)
            raise
        answer = Answer.of(response)
        # msal would log a body that it cannot read as an error, and a truncated answer holds most of an access token.
        if answer.facts() and (answer.status == requests.codes.ok or answers.entra(answer) is not None):
            return response
        raise NotEntras

    def close(self) -> None:
        """The session outlives the app object."""

    def refusal(self) -> EntraRefusal | None:
        """The last answer, where it is a refusal in Entra ID's own words."""
        return None if self.answer is None else answers.entra(self.answer)

    def at_discovery(self) -> bool:
        """Whether the last request was for the tenant's endpoints."""
        return self.path.endswith(_DISCOVERY)

    def at_instance_discovery(self) -> bool:
        """Whether the last request was for the clouds that Entra ID knows."""
        return self.path == _INSTANCES[1]

    def _send(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        self._check_host(method, url)
        self.path, self.answer = urlsplit(url).path, None
        kwargs.pop("timeout", None)
        answer = self._session.request(method, url, timeout=timeouts(self._deadline), allow_redirects=False, **kwargs)
        self.answer = Answer.of(answer)
        return answer

    def _check_host(self, method: str, url: str) -> None:
        parts = urlsplit(url)
        asks_of_instances = method == "GET" and (parts.hostname, parts.path) == _INSTANCES
        if parts.scheme != "https" or not (parts.hostname == self._host or asks_of_instances):
            raise AnotherHost
