"""Sign-ins by a person at a browser, as pure state: authorization codes and device codes.

Source: the public documentation of the authorization code grant with PKCE, and of the device authorization grant.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

from sandbox.cloud.chance import Chance
from sandbox.cloud.entra import Directory, Proof, Token
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.entra_refusals import EntraRefused

CODE_LIFE = timedelta(minutes=10)
DEVICE_LIFE = timedelta(minutes=15)
USER_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
LOOPBACK = ("localhost", "127.0.0.1")
PENDING, DECLINED = 70016, 65004


@dataclass(frozen=True, slots=True)
class _Code:
    upn: str
    asked: Mapping[str, str]
    expires: datetime
    strong: bool = True
    used: bool = False


@dataclass(frozen=True, slots=True)
class AtPage:
    """What a person does at a page: signs in as `upn`, `strong` with a second factor; or `declines`."""

    upn: str
    strong: bool = True
    declines: bool = False


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """One device authorization. `upn` is "" until somebody entered the user code; `declined`: they said no."""

    device_code: str
    user_code: str
    client_id: str
    scope: str
    expires: datetime
    upn: str = ""
    declined: bool = False


class InPerson:
    """`at_browser` is the user who signs in at every page of this tenant, whatever it asks of them; None: nobody yet.

    `declines`: they refuse to consent instead.
    """

    def __init__(self, now: Callable[[], datetime], chance: Chance, directory: Directory) -> None:
        self._now = now
        self._chance = chance
        self._directory = directory
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, DeviceCode] = {}
        self.at_browser: str | None = None
        self.declines = False

    # authorization codes

    def authorize(self, tenant: str, asked: Mapping[str, str], person: AtPage | None = None) -> str | None:
        """A code for whoever is at the browser, None while nobody is. `asked` are the request's parameters.

        `person` fills in the page that is shown while nobody is. Raises EntraRefused.
        """
        self._directory.home(tenant)
        app = self._directory.app(asked.get("client_id", ""))
        if _without_port(asked.get("redirect_uri", "")) not in map(_without_port, app.redirect_uris):
            raise EntraRefused(50011)
        if person is None and (self.at_browser is not None or self.declines):
            person = AtPage(self.at_browser or "", declines=self.declines)
        if person is None:
            return None
        if person.declines:
            raise EntraRefused(DECLINED)
        self._directory.judge_in_person(person.upn)
        if not person.strong and self._directory.user(person.upn).state is UserState.MFA_REQUIRED:
            raise EntraRefused(50076)
        code = self._chance.remember(f"1.{self._chance.text(100)}")
        self._codes[code] = _Code(person.upn, dict(asked), self._now() + CODE_LIFE, person.strong)
        return code

    def redeem_code(self, tenant: str, proof: Proof, form: Mapping[str, str]) -> Token:
        """The authorization code grant. Raises EntraRefused."""
        code = form.get("code", "")
        known = self._codes.get(code)
        if known is None or known.asked.get("client_id", "").lower() != proof.client_id.lower():
            raise EntraRefused(70000)
        if known.used:
            raise EntraRefused(54005)
        if known.expires <= self._now():
            raise EntraRefused(70008)
        if form.get("redirect_uri") != known.asked.get("redirect_uri"):
            raise EntraRefused(500112)
        challenge = known.asked.get("code_challenge", "")
        if challenge and challenge != _challenge(form.get("code_verifier", "")):
            raise EntraRefused(501481)
        scope = form.get("scope") or known.asked.get("scope", "")
        nonce = known.asked.get("nonce", "")
        token = self._directory.grant_in_person(tenant, proof, known.upn, scope, nonce, strong=known.strong)
        self._codes[code] = replace(known, used=True)
        return token

    # device codes

    def start(self, tenant: str, client_id: str, scope: str) -> DeviceCode:
        """Raises EntraRefused."""
        self._directory.home(tenant)
        app = self._directory.app(client_id)
        made = DeviceCode(
            self._chance.remember(self._chance.text(60)),
            self._chance.text(9, USER_CODE_LETTERS),
            app.client_id,
            scope,
            self._now() + DEVICE_LIFE,
        )
        self._devices[made.device_code] = made
        return made

    def enter(self, user_code: str, upn: str, *, declines: bool = False) -> None:
        """Somebody types the code at the verification page. Raises KeyError when there is no such code."""
        for device_code, known in self._devices.items():
            if known.user_code == user_code.strip().upper():
                self._devices[device_code] = replace(known, upn=upn, declined=declines)
                return
        raise KeyError(user_code)

    def poll(self, tenant: str, proof: Proof, device_code: str) -> Token:
        """The device code grant. Raises EntraRefused, 70016 while nobody has entered the code."""
        known = self._devices.get(device_code)
        if known is None or known.client_id.lower() != proof.client_id.lower():
            raise EntraRefused(70018)
        if known.expires <= self._now():
            raise EntraRefused(70019)
        if known.declined:
            raise EntraRefused(DECLINED, error="authorization_declined")
        if not known.upn:
            self._directory.judge_client(tenant, proof)
            raise EntraRefused(PENDING)
        token = self._directory.grant_in_person(tenant, proof, known.upn, known.scope)
        del self._devices[device_code]
        return token


def _without_port(uri: str) -> str:
    """The port of a loopback address does not count (RFC 8252)."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.hostname)) if parts.hostname in LOOPBACK else uri


def _challenge(verifier: str) -> str:
    """S256 of PKCE (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
