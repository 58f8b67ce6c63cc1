"""Signing in at Entra ID with username and password (msal), as one technical user at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import requests

from shared.model.credentials import ClientProof, SignIn
from shared.model.errors import (
    FEDERATED,
    Again,
    Busy,
    ClientRefused,
    Code,
    Misconfigured,
    PatrolError,
    SignInUnclear,
    UserRefused,
)
from shared.model.items import User
from shared.model.ports import PatApi
from shared.model.secret_text import SecretText
from shared.services import answers, kept_text
from shared.services.answers import EntraRefusal
from shared.services.entra_authority import Authority
from shared.services.entra_errors import TOO_MANY, Concerns, refusal, trusts_nobody
from shared.services.entra_wire import SERVICE, AnotherHost, Federated, Wire
from shared.services.managed_identity import shows
from shared.services.transport import Later, patiently
from shared.services.way_out import lost

# Azure DevOps, in every tenant. `/.default`: what the app registration was consented to.
SCOPES = ["499b84ac-1321-427f-aa17-267ca6975798/.default"]
WRONG_PASSWORD = 50126
LOOP_IS_OVER_AFTER = timedelta(minutes=5)
"""After "too many identical requests"; public reports name some minutes."""

_TRY_LATER = "Nothing to do if the next run succeeds; otherwise look at Entra's service health and the network."
_AUTHORITY = "Correct AZURE_AUTHORITY_HOST: login.microsoftonline.com, or the host of the cloud that the tenant is in."


class Entra:
    """Entra ID. Signed-in users get the PAT API that `api_for` makes of their access token."""

    def __init__(self, authority: Authority, api_for: Callable[[User, SecretText], PatApi]) -> None:
        self._authority = authority
        self._api_for = api_for

    def sign_in(self, sign_in: SignIn, user: User, password: SecretText, proof: ClientProof) -> PatApi:
        """See `ports.Directory`. Asked again only while the password has not left this machine."""

        def attempt() -> PatApi | Later:
            self._authority.turn()
            return self._attempt(sign_in, user, password, proof)

        return patiently(self._authority.clock, self._authority.deadline, attempt)

    def _attempt(self, sign_in: SignIn, user: User, password: SecretText, proof: ClientProof) -> PatApi | Later:
        wire = self._authority.wire()
        try:
            app = self._authority.app(sign_in.tenant, sign_in.client_id, proof, wire)
            result: Mapping[str, Any] = app.acquire_token_by_username_password(
                user.username, password.reveal(), scopes=SCOPES
            )
        except PatrolError:
            raise  # of the assertion, or of the way out: nothing was sent
        except Federated:
            raise _federated(user) from None
        except AnotherHost:
            raise another_host(self._authority.host) from None
        except Exception as failure:  # noqa: BLE001  # msal raises what it meets: ValueError, JSON, requests, its own
            return self._no_answer(sign_in, user, wire, failure)
        token = result.get("access_token")
        if isinstance(token, str) and token:
            return self._api_for(user, SecretText(token))
        said = wire.refusal() if wire.sent else None
        if said is None:
            raise _unclear(user, wire, None)
        raise self._refusal(user, password, proof, said, self._authority.wait(wire))

    def _refusal(
        self, user: User, password: SecretText, proof: ClientProof, said: EntraRefusal, wait: timedelta | None
    ) -> PatrolError:
        why = refusal(said.error, said.numbers)
        cause = f"Entra ID refused to sign {user.username} in ({said.word}). {why.cause}"
        match why.concerns:
            case Concerns.USER:
                around = kept_text.around(password) if WRONG_PASSWORD in said.numbers else ""
                remedy = why.remedy_of(user.credential_name)
                return UserRefused(cause, f"{remedy} {around}".rstrip(), said.word, why.again)
            case Concerns.CLIENT:
                return ClientRefused(
                    Code.CLIENT_REFUSED,
                    f"Entra ID refused the app ({said.word}). {why.cause}",
                    f"{why.remedy} {what_it_shows(proof, said)}".rstrip(),
                )
            case Concerns.TENANT:
                return ClientRefused(Code.TENANT_UNKNOWN, f"Entra ID ({said.word}): {why.cause}", why.remedy)
            case Concerns.NOBODY:
                wait = LOOP_IS_OVER_AFTER if TOO_MANY in said.numbers else wait
                return Busy(Code.SIGN_IN_UNAVAILABLE, cause, why.remedy, wait)

    def _no_answer(self, sign_in: SignIn, user: User, wire: Wire, failure: Exception) -> Later:
        if not wire.sent:
            raise_at_discovery(wire, sign_in.tenant, self._authority.host)
        unclear = _unclear(user, wire, failure)
        if wire.sent or not lost(failure).passes:
            # The password may have been judged and the answer lost: a second try could count twice.
            raise unclear from None
        return Later(unclear, self._authority.wait(wire))


def raise_at_discovery(wire: Wire, tenant: str, authority_host: str) -> None:
    """Raise what Entra ID itself said before anybody signed in: no such tenant, or no such cloud."""
    said = wire.refusal()
    if said is None:
        return
    if wire.at_instance_discovery():
        cause = f"Entra ID knows no cloud whose authority is {authority_host} ({said.word}); no password was sent."
        raise Misconfigured(Code.SETTINGS_INVALID, cause, _AUTHORITY) from None
    if wire.at_discovery() and refusal(said.error, said.numbers).concerns is Concerns.TENANT:
        cause = f"Entra ID does not know the tenant {tenant} ({said.word})."
        raise ClientRefused(Code.TENANT_UNKNOWN, cause, "Correct `sign_in.tenant` in pats.yaml.") from None


def another_host(authority_host: str) -> Misconfigured:
    """That something in between would send the sign-in elsewhere."""
    cause = f"What answers as {authority_host} names another host to sign in at; nothing was sent there."
    return Misconfigured(Code.SETTINGS_INVALID, cause, _AUTHORITY)


def what_it_shows(proof: ClientProof, said: EntraRefusal) -> str:
    """What the managed identity showed, where nobody trusts it; "" else. Cached: it was presented a moment ago."""
    return shows(proof.means()) if callable(proof.means) and any(map(trusts_nobody, said.numbers)) else ""


def without_answer(wire: Wire, failure: Exception | None) -> tuple[str, str]:
    """How Entra ID gave no usable answer, and the remedy: somebody in between, or the way there."""
    if wire.answer is not None:
        passing = wire.answer.status in (408, 425, 429) or wire.answer.status >= 500
        how = answers.in_between(wire.answer, SERVICE)
        return how, _TRY_LATER if passing else answers.look_between(SERVICE)
    if not isinstance(failure, requests.RequestException):
        return f"what answered is not {SERVICE}'s own", answers.look_between(SERVICE)
    known = lost(failure)
    return known.cause, known.remedy or _TRY_LATER


def _unclear(user: User, wire: Wire, failure: Exception | None) -> SignInUnclear:
    how, remedy = without_answer(wire, failure)
    cause = f"Entra ID gave no usable answer to the sign-in of {user.username} ({how})."
    if wire.sent:
        cause += " The password went out and may have been judged, so it was not sent again."
    return SignInUnclear(cause, remedy, sent=wire.sent)


def _federated(user: User) -> UserRefused:
    return UserRefused(
        f"The domain of {user.username} is federated: a server of its own judges passwords, and patrol sends none to "
        "any other host than Entra ID's.",
        "Use a technical user whose password Entra ID keeps, such as one under the tenant's onmicrosoft.com domain; "
        "or have a person enroll it (`enrolled: true`).",
        FEDERATED,
        Again.DAILY,
    )
