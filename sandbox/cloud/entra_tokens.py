"""Every token that Entra ID issued: for users, for applications and for managed identities, and what ends them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sandbox.cloud import assertions
from sandbox.cloud.chance import Chance
from sandbox.cloud.entra_estate import App, Tenant, User, UserState
from sandbox.cloud.entra_refusals import EntraRefused
from sandbox.cloud.entra_scopes import AZURE_DEVOPS, GrantedScope
from sandbox.cloud.switches import Switches

STORAGE = "https://storage.azure.com"
STORAGE_SPREAD = timedelta(days=3650)
HOME_OF_GUESTS = "https://sts.windows.net/9e000000-0000-4000-8000-000000000009/"
"""The directory that proves who a guest is, as the id token names it."""
REFRESH_LIFE = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Bearer:
    """What an access token stands for; `scopes` are bare names, empty for an application's own token.

    `subject`: a user's name, an app's client id, or the managed identity.
    """

    audience: str
    subject: str
    scopes: frozenset[str]
    expires: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A granted sign-in. `scope` names every granted scope and the `.default` that was asked for, as Entra does.

    `refresh_token` is "" unless `offline_access` was asked for, `id_token` unless `openid` was.
    """

    access_token: str
    refresh_token: str
    id_token: str
    scope: str
    expires: datetime
    user_id: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class RefreshToken:
    app: App
    tenant_id: str
    upn: str
    issued: datetime
    expires: datetime
    strong: bool = False
    """Whether a person proved more than a password when it was granted: that lasts."""
    revoked: datetime | None = None
    signed_in: datetime | None = None
    """When somebody last signed in: redeeming it does not put that off."""


class IssuedTokens:
    """Access and refresh tokens by their values; an access token is looked up and never read."""

    def __init__(self, now: Callable[[], datetime], chance: Chance, switches: Switches) -> None:
        self._now = now
        self._chance = chance
        self._switches = switches
        self._bearers: dict[str, Bearer] = {}
        self._refreshes: dict[str, RefreshToken] = {}

    def grant(
        self,
        tenant: Tenant,
        app: App,
        user: User,
        wanted: GrantedScope,
        *,
        strong: bool = False,
        nonce: str = "",
        signed_in: datetime | None = None,
    ) -> Token:
        """Tokens for `user`; `strong`: a person proved more than a password, which redeeming it keeps.

        `signed_in`: when, where it is not now.
        """
        now = self._now()
        expires = now + timedelta(seconds=self._switches.user_token_seconds)
        stamp, end = int(now.timestamp()), int(expires.timestamp())
        person = {"oid": user.object_id, "tid": tenant.guid, "iat": stamp, "nbf": stamp, "exp": end}
        access = self._chance.jwt(
            {
                **person,
                "aud": wanted.audience,
                "iss": f"https://sts.windows.net/{tenant.guid}/",
                "appid": app.client_id,
                "upn": user.upn,
                "scp": " ".join(sorted(wanted.scopes)),
            }
        )
        self._bearers[access] = Bearer(wanted.audience, user.upn.lower(), wanted.scopes, expires)
        refresh = identity = ""
        if "offline_access" in wanted.openid:
            refresh = self._chance.remember(f"0.{self._chance.text(120)}")
            upn, ends, began = user.upn.lower(), now + REFRESH_LIFE, signed_in or now
            self._refreshes[refresh] = RefreshToken(app, tenant.guid, upn, now, ends, strong, signed_in=began)
        if "openid" in wanted.openid:
            issuer = f"https://login.microsoftonline.com/{tenant.guid}/v2.0"
            who = _who(user, nonce)
            identity = self._chance.jwt({**person, "aud": app.client_id, "iss": issuer, **who, "ver": "2.0"})
        return Token(access, refresh, identity, wanted.echo, expires, user.object_id, tenant.guid)

    def grant_app(self, tenant: Tenant, app: App) -> tuple[str, datetime]:
        """A new token of the app's own service principal for Azure DevOps, and its end."""
        now = self._now()
        expires = now + timedelta(minutes=self._switches.service_token_minutes)
        stamp, end = int(now.timestamp()), int(expires.timestamp())
        token = self._chance.jwt(
            {
                "aud": AZURE_DEVOPS,
                "iss": f"https://sts.windows.net/{tenant.guid}/",
                "iat": stamp,
                "nbf": stamp,
                "exp": end,
                "appid": app.client_id,
                "idtyp": "app",
                "oid": app.object_id,
                "sub": app.object_id,
                "tid": tenant.guid,
                "ver": "1.0",
            }
        )
        self._bearers[token] = Bearer(AZURE_DEVOPS, app.client_id.lower(), frozenset(), expires)
        return token, expires

    def grant_identity(self, audience: str, subject: str, guid: str) -> tuple[str, datetime]:
        """A token for the managed identity `subject` of tenant `guid`, and its end. A JWT with what storage asks for.

        For the exchange at the token endpoint it is one that this directory signs and can check.
        """
        now = self._now()
        expires = now + timedelta(seconds=self._switches.app_token_seconds)
        if audience.lower().startswith(assertions.EXCHANGE):
            return self._exchange_token(audience, subject, guid), expires
        # A storage emulator keeps the real time however far this clock was moved.
        spread = STORAGE_SPREAD if audience.rstrip("/") == STORAGE else timedelta(minutes=5)
        begins = int((now - spread).timestamp())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{guid}/",
            "iat": begins,
            "nbf": begins,
            "exp": int((expires + spread).timestamp()),
            "oid": subject,
            "sub": subject,
            "tid": guid,
            "ver": "1.0",
        }
        token = self._chance.jwt(claims)
        self._bearers[token] = Bearer(audience, subject, frozenset(), expires)
        return token, expires

    def _exchange_token(self, audience: str, subject: str, tenant: str) -> str:
        stamp = int(self._now().timestamp())
        claims = {
            "aud": audience,
            "iss": assertions.issuer_of(tenant),
            "iat": stamp,
            "nbf": stamp,
            "exp": stamp + self._switches.exchange_token_seconds,
            "oid": subject,
            "sub": subject,
            "tid": tenant,
            "jti": self._chance.guid(),
            "ver": "2.0",
        }
        return self._chance.remember(assertions.sign(claims))

    def bearer(self, access_token: str, audience: str) -> Bearer | None:
        """What the token stands for; None when unknown, expired or made for another audience."""
        bearer = self._bearers.get(access_token)
        if bearer is None or bearer.audience != audience or bearer.expires <= self._now():
            return None
        return bearer

    def refresh_token(self, value: str, app: App, tenant: Tenant) -> RefreshToken:
        """What `app` was granted in `tenant`, revoked or not. Raises EntraRefused: never granted, or expired."""
        refresh = self._refreshes.get(value)
        if refresh is None or refresh.app is not app or refresh.tenant_id != tenant.guid:
            raise EntraRefused(70000)
        if refresh.expires <= self._now():
            raise EntraRefused(700082)
        return refresh

    def revoke(self, upn: str) -> None:
        """End every refresh and access token of the user, as "revoke sessions" does."""
        self.revoke_refresh_tokens(upn)
        self._bearers = {value: bearer for value, bearer in self._bearers.items() if bearer.subject != upn.lower()}

    def revoke_refresh_tokens(self, upn: str, *, public_only: bool = False) -> None:
        """`public_only`: those of public clients, which alone end with a new password."""
        now = self._now()
        for value, refresh in self._refreshes.items():
            if refresh.upn == upn.lower() and (refresh.app.public or not public_only):
                self._refreshes[value] = replace(refresh, revoked=now)


def too_old_text(issued: datetime, life: timedelta) -> str:
    """What Entra ID says of a refresh token that a sign-in frequency policy ended."""
    return (
        "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. The token "
        f"was issued on {_stamp(issued)} and the maximum allowed lifetime for this request is "
        f"{int(life.total_seconds())}."
    )


def _who(user: User, nonce: str) -> dict[str, str]:
    """What an id token says of whom it is for; `nonce` "" where none was asked for."""
    claims = {"sub": user.object_id, "preferred_username": user.upn, "name": user.upn}
    if user.state is UserState.GUEST:
        claims["idp"] = HOME_OF_GUESTS
    return {**claims, "nonce": nonce} if nonce else claims


def revoked_text(issued: datetime, revoked: datetime) -> str:
    """What Entra ID says of a refresh token that was granted at `issued` and revoked at `revoked`."""
    return (
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have "
        f"changed or reset their password. The grant was issued on '{_stamp(issued)}' and the TokensValidFrom date "
        f"(before which tokens are not valid) for this user is '{_stamp(revoked)}'."
    )


def _stamp(instant: datetime) -> str:
    """Seven fractional digits, as the service writes instants into its texts."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
