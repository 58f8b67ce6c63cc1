"""The deployed app, asked from elsewhere for a link to enroll a user by: `POST /api/enroll` (rule 16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import requests

from shared.model.errors import Code, NotDone, PatrolError, Unclear
from shared.model.secret_text import SecretText
from shared.services.way_out import no_answer

_TIMEOUTS: Final = (10.0, 60.0)
_LOOK: Final = "Look at the address, and at the app's log."


@dataclass(frozen=True, slots=True)
class AskedLink:
    """For one sign-in; `expires_at` as the app tells it."""

    link: str
    expires_at: str


def ask_for_link(session: requests.Session, app: str, key: SecretText, username: str) -> AskedLink:
    """`app`: its address, without a slash at its end; `key`: of the function `enroll`. Raises NotDone or Unclear."""
    try:
        response = session.post(
            f"{app}/api/enroll",
            json={"username": username},
            headers={"Accept": "application/json", "x-functions-key": key.reveal()},
            timeout=_TIMEOUTS,
            allow_redirects=False,
        )
    except requests.RequestException as failure:
        could_not = f"The app {app} could not be asked for a link"
        raise no_answer(failure, could_not, Code.ENROLLMENT_REFUSED, Code.ENROLLMENT_REFUSED, _LOOK) from None
    if response.status_code != requests.codes.created:
        raise _refused(app, username, response.status_code)
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


def _refused(app: str, username: str, status: int) -> PatrolError:
    """By its status alone: what somebody in between wrote goes no further."""
    remedy = {
        400: f"Write {username} with `enrolled: true` into the pats.yaml that is deployed with it, and deploy.",
        401: "Give the key of the function `enroll` in PATROL_ENROLL_KEY; where HTTP_AUTH is entra, ask as "
        "docs/deploy.md says.",
        403: "Give the key of the function `enroll` in PATROL_ENROLL_KEY; where HTTP_AUTH is entra, ask as "
        "docs/deploy.md says.",
        404: "Look at the address: no patrol that enrolls answers there.",
    }.get(status, _LOOK)
    return NotDone(Code.ENROLLMENT_REFUSED, f"The app {app} gave no link for {username} (HTTP {status}).", remedy)
