"""Enrolled users at Entra ID (msal): a person's sign-in at a browser, and the refresh token that comes of it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msal

from shared.model.credentials import ClientProof, SignIn
from shared.model.enrollment import Person, Redeemed, SignInPage
from shared.model.errors import (
    Again,
    Busy,
    ClientRefused,
    Code,
    Misconfigured,
    PatrolError,
    SignInUnclear,
    Unclear,
    UserRefused,
)
from shared.model.items import User
from shared.model.ports import PatApi
from shared.model.secret_text import SecretText
from shared.services import enrollment_errors
from shared.services.answers import EntraRefusal
from shared.services.entra_authority import Authority
from shared.services.entra_errors import TOO_MANY, Concerns, Refusal, refusal
from shared.services.entra_sign_in import (
    LOOP_IS_OVER_AFTER,
    SCOPES,
    another_host,
    raise_at_discovery,
    what_it_shows,
    without_answer,
)
from shared.services.entra_wire import AnotherHost, Wire
from shared.services.transport import Later, patiently
from shared.services.way_out import lost

_AADSTS: Final = re.compile(r"AADSTS(\d{4,8})(?!\d)")
_DECLINED: Final = "access_denied"

Ask = Callable[[msal.ConfidentialClientApplication], Mapping[str, Any]]
Refused = Callable[[EntraRefusal, Refusal], UserRefused]
"""What a refusal that concerns the user means."""


class _KeepsNothing(msal.TokenCache):  # type: ignore[misc]  # msal has no type hints
    """msal would write what it caches into its debug log, with the code and the verifier of a sign-in (1.39)."""

    def add(self, event: object, now: object = None) -> None:
        """One app object redeems once: nothing is looked up again."""


class EnrolledUsers:
    """See `ports.EnrolledDirectory`. Signed-in users get the PAT API that `api_for` makes of their access token."""

    def __init__(self, authority: Authority, api_for: Callable[[User, SecretText], PatApi]) -> None:
        self._authority = authority
        self._api_for = api_for

    def redeem(self, sign_in: SignIn, user: User, refresh_token: SecretText, proof: ClientProof) -> Redeemed:
        def attempt() -> Redeemed | Later:
            self._authority.turn()

            def ask(app: msal.ConfidentialClientApplication) -> Mapping[str, Any]:
                return dict(app.acquire_token_by_refresh_token(refresh_token.reveal(), scopes=SCOPES))

            return self._attempt(sign_in, user, proof, ask, partial(enrollment_errors.ended, user))

        return patiently(self._authority.clock, self._authority.deadline, attempt)

    def page(self, sign_in: SignIn, user: User, redirect_uri: str, proof: ClientProof) -> SignInPage:
        wire = self._authority.wire()
        try:
            flow = self._app(sign_in, proof, wire).initiate_auth_code_flow(
                SCOPES,
                redirect_uri=redirect_uri,
                state=secrets.token_hex(32),  # it opens the link to enroll by; msal's own is no secret
                login_hint=user.username,
                prompt="login",
                response_mode="form_post",
            )
        except PatrolError:
            raise
        except AnotherHost:
            raise another_host(self._authority.host) from None
        except Exception as failure:  # noqa: BLE001  # msal raises what it meets: ValueError, JSON, requests, its own
            raise_at_discovery(wire, sign_in.tenant, self._authority.host)
            raise _unclear(user, wire, failure) from None
        return SignInPage(flow["auth_uri"], flow["state"], SecretText(json.dumps(flow)))

    def finish(
        self, sign_in: SignIn, user: User, page: SignInPage, answer: Mapping[str, str], proof: ClientProof
    ) -> Redeemed:
        if not answer.get("code"):
            raise _not_signed_in(user, answer)

        def ask(app: msal.ConfidentialClientApplication) -> Mapping[str, Any]:
            flow = json.loads(page.kept.reveal())
            return dict(app.acquire_token_by_auth_code_flow(flow, dict(answer)))

        done = self._attempt(sign_in, user, proof, ask, partial(_code_refused, user))
        if isinstance(done, Later):
            raise done.failure  # a code is good once: the person signs in again
        return done

    def _attempt(self, sign_in: SignIn, user: User, proof: ClientProof, ask: Ask, refused: Refused) -> Redeemed | Later:
        wire = self._authority.wire()
        try:
            result = ask(self._app(sign_in, proof, wire))
        except PatrolError:
            raise  # of the assertion, or of the way out: nothing was sent
        except AnotherHost:
            raise another_host(self._authority.host) from None
        except Exception as failure:  # noqa: BLE001  # msal raises what it meets: ValueError, JSON, requests, its own
            return self._no_answer(sign_in, user, wire, failure)
        token = result.get("access_token")
        if isinstance(token, str) and token:
            return self._redeemed(user, token, result)
        said = wire.refusal() if wire.sent else None
        if said is None:
            raise _unclear(user, wire, None)
        raise self._refusal(user, proof, said, wire, refused)

    def _redeemed(self, user: User, token: str, result: Mapping[str, Any]) -> Redeemed:
        kept = result.get("refresh_token")
        granted = frozenset(word.rpartition("/")[2] for word in str(result.get("scope", "")).split())
        return Redeemed(
            self._api_for(user, SecretText(token)),
            SecretText(kept) if isinstance(kept, str) and kept else None,
            _person(result.get("id_token_claims")),
            granted,
        )

    def _refusal(self, user: User, proof: ClientProof, said: EntraRefusal, wire: Wire, refused: Refused) -> PatrolError:
        why = refusal(said.error, said.numbers)
        match why.concerns:
            case Concerns.USER:
                return refused(said, why)
            case Concerns.NOBODY:
                cause = f"Entra ID did not sign {user.username} in ({said.word}). {why.cause}"
                wait = LOOP_IS_OVER_AFTER if TOO_MANY in said.numbers else self._authority.wait(wire)
                return Busy(Code.SIGN_IN_UNAVAILABLE, cause, why.remedy, wait)
            case _:
                return _of_everybody(proof, said, why)

    def _no_answer(self, sign_in: SignIn, user: User, wire: Wire, failure: Exception) -> Later:
        if not wire.sent:
            raise_at_discovery(wire, sign_in.tenant, self._authority.host)
        unclear = _unclear(user, wire, failure)
        if wire.sent or not lost(failure).passes:
            raise unclear from None
        return Later(unclear, self._authority.wait(wire))

    def _app(self, sign_in: SignIn, proof: ClientProof, wire: Wire) -> msal.ConfidentialClientApplication:
        return self._authority.app(sign_in.tenant, sign_in.client_id, proof, wire, token_cache=_KeepsNothing())


def _of_everybody(proof: ClientProof, said: EntraRefusal, why: Refusal) -> Misconfigured:
    if why.concerns is Concerns.TENANT:
        return ClientRefused(Code.TENANT_UNKNOWN, f"Entra ID ({said.word}): {why.cause}", why.remedy)
    cause = f"Entra ID refused the app ({said.word}). {why.cause}"
    return ClientRefused(Code.CLIENT_REFUSED, cause, f"{why.remedy} {what_it_shows(proof, said)}".rstrip())


def _person(claims: object) -> Person:
    """By the id token's claims, which came from Entra ID itself over TLS."""
    known = claims if isinstance(claims, dict) else {}
    proved_by, issuer = known.get("idp"), known.get("iss")
    return Person(
        str(known.get("preferred_username") or known.get("upn") or ""),
        str(known.get("oid") or "").lower(),
        is_guest=isinstance(proved_by, str) and bool(proved_by) and proved_by != issuer,
    )


def _not_signed_in(user: User, answer: Mapping[str, str]) -> PatrolError:
    """What the page itself gave in place of a code: by its word and number, never its text."""
    found = _AADSTS.search(answer.get("error_description", ""))
    word, number = (f"AADSTS{found[1]}", int(found[1])) if found else ("no code", 0)
    if answer.get("error") == _DECLINED:
        cause = f"Whoever sat at the page did not sign {user.username} in, or declined what the app asks for ({word})."
        remedy = "Start again, sign in as that user and accept; or give the app's permissions admin consent."
        return UserRefused(cause, remedy, word, Again.DAILY, Code.ENROLLMENT_REFUSED)
    why = refusal(answer.get("error", ""), [number] if number else [])
    cause = f"Entra ID did not sign {user.username} in ({word}). {why.cause}"
    return UserRefused(cause, why.remedy_of(None), word, Again.DAILY, Code.ENROLLMENT_REFUSED)


def _code_refused(user: User, said: EntraRefusal, why: Refusal) -> UserRefused:
    cause = f"Entra ID did not sign {user.username} in ({said.word}). {why.cause}"
    remedy = f"{why.remedy_of(None)} Then start again."
    return UserRefused(cause, remedy, said.word, why.again, Code.ENROLLMENT_REFUSED)


def _unclear(user: User, wire: Wire, failure: Exception | None) -> Unclear:
    how, remedy = without_answer(wire, failure)
    return SignInUnclear(
        f"Entra ID gave no usable answer about the enrollment of {user.username} ({how}).", remedy, sent=wire.sent
    )
