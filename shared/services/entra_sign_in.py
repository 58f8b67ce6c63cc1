"""Signing in at Entra ID with username and password (msal), as one technical user at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msal
import requests

from shared.model.clock import Clock, Deadline
from shared.model.credentials import ClientProof, SignIn
from shared.model.errors import Busy, ClientRefused, Code, PatrolError, Unclear, UserRefused
from shared.model.items import User
from shared.model.ports import PatApi
from shared.model.secret_text import SecretText
from shared.services.client_credentials import for_msal
from shared.services.entra_errors import Concerns, refusal, trusts_nobody
from shared.services.managed_identity import shows
from shared.services.rate_limits import Pace
from shared.services.transport import Later, patiently, retry_after, timeouts

# Azure DevOps, in every tenant. `/.default`: what the app registration was consented to.
SCOPES = ["499b84ac-1321-427f-aa17-267ca6975798/.default"]

_TRY_LATER = "Nothing to do if the next run succeeds; otherwise look at Entra's service health and the network."


class Entra:
    """Entra ID. Signed-in users get the PAT API that `api_for` makes of their access token."""

    def __init__(
        self,
        session: requests.Session,
        authority_host: str,
        clock: Clock,
        deadline: Deadline,
        api_for: Callable[[SecretText], PatApi],
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace
        self._session = session
        self._authority_host = authority_host
        self._clock = clock
        self._deadline = deadline
        self._api_for = api_for
        self._discovered: dict[str, requests.Response] = {}
        self._lock = threading.Lock()

    def sign_in(self, sign_in: SignIn, user: User, password: SecretText, proof: ClientProof) -> PatApi:
        """See `ports.Directory`. An attempt that may have judged the password is not repeated."""

        def attempt() -> PatApi | Later:
            if self._pace is not None:
                self._pace.turn(self._clock, self._deadline)
            return self._attempt(sign_in, user, password, proof)

        return patiently(self._clock, self._deadline, attempt)

    def _attempt(self, sign_in: SignIn, user: User, password: SecretText, proof: ClientProof) -> PatApi | Later:
        # One app object per attempt: msal replays a 429, a 5xx or any answer with Retry-After to every user of an app
        # object, and a 400 to the same user for 60 s (measured with msal 1.39).
        wire = Wire(self._session, self._deadline, self._discovered, self._lock)
        try:
            app = msal.ConfidentialClientApplication(
                sign_in.client_id,
                client_credential=for_msal(proof),
                authority=f"https://{self._authority_host}/{sign_in.tenant}",
                http_client=wire,
            )
            result: Mapping[str, Any] = app.acquire_token_by_username_password(
                user.username, password.reveal(), scopes=SCOPES
            )
        except PatrolError:
            raise  # of the assertion: nothing was sent
        except Exception as failure:  # noqa: BLE001  # msal raises what it meets: ValueError, JSON, requests, its own
            return self._no_answer(sign_in, user, wire, failure)
        if "access_token" in result:
            return self._api_for(SecretText(str(result["access_token"])))
        return self._refused(user, proof, wire, result)

    def _refused(self, user: User, proof: ClientProof, wire: Wire, result: Mapping[str, Any]) -> Later:
        numbers = [number for number in result.get("error_codes") or [] if isinstance(number, int)]
        error = str(result.get("error") or "")
        if not error and not numbers:
            # No OAuth error at all: something between here and Entra ID answered, and nothing was judged.
            cause = f"Entra ID gave no usable answer to the sign-in of {user.username} (HTTP {wire.last_status})."
            raise Unclear(Code.SIGN_IN_UNAVAILABLE, cause, _TRY_LATER)
        why = refusal(error, numbers)
        word = f"AADSTS{numbers[0]}" if numbers else plain(error)
        cause = f"Entra ID refused to sign {user.username} in ({word}). {why.cause}"
        match why.concerns:
            case Concerns.USER:
                raise UserRefused(cause, why.remedy, word, why.again)
            case Concerns.CLIENT:
                # Cached: what was presented a moment ago.
                shown = shows(proof.means()) if callable(proof.means) and any(map(trusts_nobody, numbers)) else ""
                remedy = f"{why.remedy} {shown}".rstrip()
                raise ClientRefused(Code.CLIENT_REFUSED, f"Entra ID refused the app ({word}). {why.cause}", remedy)
            case Concerns.TENANT:
                raise ClientRefused(Code.TENANT_UNKNOWN, f"Entra ID ({word}): {why.cause}", why.remedy)
            case Concerns.NOBODY:
                busy = Busy(Code.SIGN_IN_UNAVAILABLE, cause, why.remedy)
                return Later(busy, retry_after(wire.retry_after, self._clock.now()))

    def _no_answer(self, sign_in: SignIn, user: User, wire: Wire, failure: Exception) -> Later:
        at_discovery = wire.last_path.endswith("/openid-configuration")
        if at_discovery and wire.last_status in (400, 404):
            raise ClientRefused(
                Code.TENANT_UNKNOWN,
                f"Entra ID does not know the tenant {sign_in.tenant}.",
                "Correct `sign_in.tenant` in pats.yaml.",
            ) from None
        kind = f"HTTP {wire.last_status}" if wire.last_status else type(failure).__name__
        cause = f"Entra ID gave no usable answer to the sign-in of {user.username} ({kind})."
        asked_password = wire.last_path.endswith("/token")
        unclear: PatrolError = Unclear(Code.SIGN_IN_UNAVAILABLE, cause, _TRY_LATER)
        if wire.last_status == requests.codes.too_many_requests or not asked_password or wire.last_status >= 500:
            return Later(unclear, retry_after(wire.retry_after, self._clock.now()))
        # The password may have been judged and the answer lost: a second try in the same run could count twice.
        raise unclear from None


class Wire:
    """The http_client msal wants: our session, timeouts, and one discovery document for all users."""

    def __init__(
        self,
        session: requests.Session,
        deadline: Deadline,
        discovered: dict[str, requests.Response],
        lock: threading.Lock,
    ) -> None:
        self._session = session
        self._deadline = deadline
        self._discovered = discovered
        self._lock = lock
        self.last_path = ""
        self.last_status = 0
        self.retry_after: str | None = None

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        if not url.endswith("/openid-configuration"):
            return self._send("GET", url, **kwargs)
        with self._lock:
            if url not in self._discovered:
                answer = self._send("GET", url, **kwargs)
                if answer.status_code != requests.codes.ok:
                    return answer
                self._discovered[url] = answer
            return self._discovered[url]

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        answer = self._send("POST", url, **kwargs)
        try:
            json.loads(answer.text)
        except ValueError:
            # msal would log the whole body as an error, and a truncated answer holds most of an access token.
            raise requests.exceptions.InvalidJSONError("the token endpoint's answer is not JSON") from None
        return answer

    def close(self) -> None:
        """The session outlives the app object."""

    def _send(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        self.last_path, self.last_status, self.retry_after = url.split("?", maxsplit=1)[0], 0, None
        kwargs.pop("timeout", None)
        answer = self._session.request(
            method, url, timeout=timeouts(self._deadline), allow_redirects=False, auth=_no_netrc, **kwargs
        )
        self.last_status, self.retry_after = answer.status_code, answer.headers.get("Retry-After")
        return answer


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Without an `auth` of its own requests takes one from ~/.netrc and overwrites the Authorization header.
    return request


def plain(error: str) -> str:
    return error if error.replace("_", "").isalnum() else "an unreadable error"
