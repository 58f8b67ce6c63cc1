"""The deployed app, asked from elsewhere for a link to enroll a user by: `POST /api/enroll` (rule 16).

It lets in whoever has the key of its function, or with HTTP_AUTH=entra a token for its API with the app role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from azure.core.credentials import TokenCredential
from requests.auth import AuthBase

from shared.model.errors import Code, Denied, Misconfigured, NotDone, PatrolError, Unclear
from shared.model.secret_text import SecretText
from shared.services.devops_answers import Bearer
from shared.services.identity import NoToken, OwnIdentity
from shared.services.way_out import no_answer

_TIMEOUTS: Final = (10.0, 60.0)
_LOOK: Final = "Look at the address, and at the app's log."
_KEY: Final = (
    "Give the key of the function `enroll` in PATROL_ENROLL_KEY; where HTTP_AUTH is entra no key opens it: name its "
    "API with `--app-id CLIENT_ID` (authClientId of the deployment)."
)
_ADDRESS: Final = "If it was given, look whether the app lets this machine's address in (allowedAddresses)."
_SIGN_IN: Final = (
    "Sign in as an application that has the app role Pats.Enroll: a managed identity, a service connection, or "
    "`az login --service-principal`. A person's `az login` gets a token only where that API exposes a scope to the "
    "Azure CLI (AADSTS65001 says that it does not)."
)


@dataclass(frozen=True, slots=True)
class AskedLink:
    """For one sign-in; `expires_at` as the app tells it."""

    link: str
    expires_at: str


class _FunctionKey(AuthBase):
    def __init__(self, key: SecretText) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["x-functions-key"] = self._key.reveal()
        return request


@dataclass(frozen=True, slots=True)
class Proof:
    """What a caller shows at the app's door; `remedies`: by the status of a door that stays shut."""

    shown: AuthBase
    remedies: Mapping[int, str]


def by_key(key: SecretText) -> Proof:
    """The key of the function `enroll`."""
    return Proof(_FunctionKey(key), {401: _KEY, 403: f"{_KEY} {_ADDRESS}"})


def by_token(identity: TokenCredential, client_id: str) -> Proof:
    """A token of Entra ID for the API whose application this is. Raises Misconfigured where `identity` gets none."""
    try:
        token = SecretText(OwnIdentity(identity).get_token(f"api://{client_id}/.default").token)
    except NoToken as failure:
        known = failure.known
        if not isinstance(known, Denied):
            raise known from None
        number = f" ({known.word})" if known.word else ""
        raise Misconfigured(Code.IDENTITY_UNAVAILABLE, f"No token for api://{client_id}{number}.", _SIGN_IN) from None
    remedies = {
        401: f"Look whether {client_id} is the authClientId of that app, and whether its tenant is yours.",
        403: "Give the caller the app role, by its object id: "
        f"`python3 -m infra.entra.api assign OBJECT_ID Pats.Enroll --app-id {client_id}`. {_ADDRESS}",
    }
    return Proof(Bearer(token), remedies)


def ask_for_link(session: requests.Session, app: str, proof: Proof, username: str) -> AskedLink:
    """`app`: its address, without a slash at its end. Raises NotDone or Unclear."""
    try:
        response = session.post(
            f"{app}/api/enroll",
            json={"username": username},
            headers={"Accept": "application/json"},
            auth=proof.shown,
            timeout=_TIMEOUTS,
            allow_redirects=False,
        )
    except requests.RequestException as failure:
        could_not = f"The app {app} could not be asked for a link"
        raise no_answer(failure, could_not, Code.ENROLLMENT_REFUSED, Code.ENROLLMENT_REFUSED, _LOOK) from None
    if response.status_code != requests.codes.created:
        raise _refused(app, proof, username, response.status_code)
    try:
        found: Any = response.json()
        return AskedLink(_https(found["link"], app), str(found["expires_at"]))
    except (ValueError, KeyError, TypeError):
        raise Unclear(Code.ENROLLMENT_REFUSED, f"{app} answered with something that is no link.", _LOOK) from None


def _https(link: object, app: str) -> str:
    """Raises ValueError: a person is to sign in there."""
    if not isinstance(link, str) or not link.startswith(("https://", f"{app}/")):
        raise ValueError("not a link")
    return link


def _refused(app: str, proof: Proof, username: str, status: int) -> PatrolError:
    """By its status alone: what somebody in between wrote goes no further."""
    remedy = {
        400: f"Write {username} with `enrolled: true` into the pats.yaml that is deployed with it, and deploy.",
        404: "Look at the address: no patrol that enrolls answers there.",
        **proof.remedies,
    }.get(status, _LOOK)
    return NotDone(Code.ENROLLMENT_REFUSED, f"The app {app} gave no link for {username} (HTTP {status}).", remedy)
