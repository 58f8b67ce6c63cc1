"""Entra ID as pure state: whom it knows, and who may have a token.

Source: the public documentation of the password, refresh token and client credentials grants.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.cloud import assertions
from sandbox.cloud.chance import Chance
from sandbox.cloud.entra_estate import App, Tenant, User, UserState
from sandbox.cloud.entra_refusals import EntraRefused
from sandbox.cloud.entra_scopes import AZURE_DEVOPS, AZURE_DEVOPS_NAMES, granted_scope
from sandbox.cloud.entra_tokens import Bearer, IssuedTokens, RefreshToken, Token, revoked_text, too_old_text
from sandbox.cloud.federation import FederationServer
from sandbox.cloud.switches import Switches

__all__ = ["AZURE_DEVOPS", "Directory", "Proof", "Token"]

SERVICE_RESOURCES = frozenset(
    {"https://vault.azure.net", "https://management.azure.com", "https://management.core.windows.net"}
)
"""What a service principal is granted a token for besides Azure DevOps; nothing but vaults is played."""
ANY_TENANT = ("common", "organizations", "consumers")


POLICY_CLAIMS = json.dumps(
    {"access_token": {"capolids": {"essential": True, "values": ["ca000000-0000-4000-8000-000000000001"]}}}
)
"""What a refusal by Conditional Access names: the policy."""
STATE_CODES = {
    UserState.MFA_REQUIRED: 50076,
    UserState.PASSWORD_EXPIRED: 50055,
    UserState.CONSENT_MISSING: 65001,
    UserState.NOT_ASSIGNED: 50105,
    UserState.CONDITIONAL_ACCESS: 53003,
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client says of itself at the token endpoint."""

    client_id: str
    secret: str | None = None
    assertion: str | None = None


class Directory:
    """Every tenant, application and user the sandbox knows, and every token it issued."""

    def __init__(self, now: Callable[[], datetime], chance: Chance, switches: Switches | None = None) -> None:
        self._now = now
        self._switches = switches or Switches()
        self._chance = chance
        self._tenants: dict[str, Tenant] = {}
        self.apps: dict[str, App] = {}
        self._users: dict[str, User] = {}
        self._issued = IssuedTokens(now, chance, self._switches)
        self.federations: dict[str, FederationServer] = {}  # by domain
        self.lock_out_after = 10
        self.lock_out_for = timedelta(minutes=30)

    # estate

    def add_tenant(self, domain: str, guid: str | None = None) -> Tenant:
        tenant = Tenant(guid or self._chance.guid(), (domain.lower(),))
        for name in (tenant.guid.lower(), *tenant.domains):
            self._tenants[name] = tenant
        return tenant

    def add_app(self, client_id: str, *secrets: str, consented: set[str] | None = None) -> App:
        app = App(client_id, {self._chance.remember(secret) for secret in secrets})
        if consented is not None:
            app.consented = consented
        self.apps[client_id.lower()] = app
        return app

    def add_user(self, upn: str, password: str, state: UserState | str = UserState.NORMAL) -> User:
        user = User(upn, self._chance.remember(password), self._chance.guid(), UserState(state))
        self._users[upn.lower()] = user
        return user

    def federate(self, domain: str, host: str) -> FederationServer:
        """From now on users of `domain` sign in at their own server, `host`."""
        server = self.federations[domain.lower()] = FederationServer(host.lower(), domain.lower(), self._chance)
        return server

    def realm_of(self, upn: str) -> str:
        """`Managed`, `Federated` or `Unknown`: what Entra knows of the domain of a user's name."""
        domain = upn.rpartition("@")[2].lower()
        if domain in self.federations:
            return "Federated"
        known = domain in self._tenants or any(name.endswith(f"@{domain}") for name in self._users)
        return "Managed" if known else "Unknown"

    def set_password(self, upn: str, password: str) -> None:
        """A new password releases a smart lock-out, and ends the refresh tokens of public clients.

        Those of a confidential client live on until sessions are revoked.
        """
        user = self.user(upn)
        user.password = self._chance.remember(password)
        user.wrong_passwords, user.locked_until = 0, None
        self._issued.revoke_refresh_tokens(user.upn, public_only=True)

    def user(self, upn: str) -> User:
        """Raises KeyError when unknown; user names are case-insensitive."""
        return self._users[upn.lower()]

    def user_of(self, object_id: str) -> User:
        """Raises StopIteration when unknown."""
        return next(user for user in self._users.values() if user.object_id == object_id)

    def users(self) -> list[User]:
        return list(self._users.values())

    def tenant(self, name: str) -> Tenant:
        """By domain or guid. Raises EntraRefused 90002 when unknown."""
        try:
            return self._tenants[name.lower()]
        except KeyError:
            raise EntraRefused(90002) from None

    def tenants(self) -> list[Tenant]:
        return list({tenant.guid: tenant for tenant in self._tenants.values()}.values())

    def is_enabled(self, upn: str) -> bool:
        user = self._users.get(upn.lower())
        return user is not None and user.state is not UserState.DISABLED

    # tokens

    def sign_in(
        self,
        tenant: str,
        client_id: str,
        client_secret: str | None,
        username: str,
        password: str,
        scope: str,
        *,
        assertion: str | None = None,
    ) -> Token:
        """The password grant. Raises EntraRefused; judges the client first, then the user, then the password."""
        self._chance.remember(password)
        user = self._users.get(username.lower())
        if user is not None:
            user.token_requests += 1
        if tenant.lower() in ("common", "consumers"):
            raise EntraRefused(9001023)
        home = self.home(tenant)
        app = self._judge_client(home, client_id, client_secret, assertion)
        wanted = granted_scope(app, scope)
        if user is None:
            raise EntraRefused(50034)
        if user.state is UserState.GUEST:
            raise EntraRefused(self._switches.guest_code)
        server = self.federations.get(user.upn.rpartition("@")[2].lower())
        if server is not None and not server.cloud_passwords:
            raise EntraRefused(50126)
        self._judge_user(user, password)
        return self._issued.grant(home, app, user, wanted)

    def sign_in_with_saml(
        self,
        tenant: str,
        client_id: str,
        client_secret: str | None,
        saml: str,
        scope: str,
        *,
        assertion: str | None = None,
    ) -> Token:
        """The grant of a token that a federated domain's own server issued (base64). Raises EntraRefused."""
        home = self.home(tenant)
        app = self._judge_client(home, client_id, client_secret, assertion)
        wanted = granted_scope(app, scope)
        upn = next((known for server in self.federations.values() if (known := server.subject_of(saml))), None)
        if upn is None:
            raise EntraRefused(50013)
        user = self._users.get(upn)
        if user is None:
            raise EntraRefused(50034)
        user.token_requests += 1
        self._judge_state(user)
        return self._issued.grant(home, app, user, wanted)

    def refresh(
        self,
        tenant: str,
        client_id: str,
        client_secret: str | None,
        refresh_token: str,
        scope: str,
        *,
        assertion: str | None = None,
    ) -> Token:
        """Redeem a refresh token, which stays good after use. Raises EntraRefused."""
        home = self.home(tenant)
        app = self._judge_client(home, client_id, client_secret, assertion)
        wanted = granted_scope(app, scope)
        known = self._issued.refresh_token(refresh_token, app, home)
        user = self.user(known.upn)
        user.token_requests += 1
        self._judge_age(known, user)
        if known.revoked is not None:
            raise EntraRefused(50173, text=revoked_text(known.issued, known.revoked))
        if user.state is UserState.DISABLED:
            raise EntraRefused(50057)
        if user.state is not UserState.PASSWORD_EXPIRED and not (known.strong and user.state is UserState.MFA_REQUIRED):
            self._judge_state(user)
        return self._issued.grant(home, app, user, wanted, strong=known.strong, signed_in=known.signed_in)

    def enroll(self, upn: str, client_id: str) -> Token:
        """As if a person had signed in as `upn` at a page of the app, passing all that was asked for."""
        app, user = self.app(client_id), self.user(upn)
        wanted = granted_scope(app, f"{AZURE_DEVOPS}/.default offline_access openid profile")
        return self._issued.grant(self.tenants()[0], app, user, wanted, strong=True)

    def _judge_age(self, known: RefreshToken, user: User) -> None:
        """Sign-in frequency binds public clients, and others where the switch says so. Raises EntraRefused."""
        hours, switches = self._switches.sign_in_frequency_hours, self._switches
        if hours is not None and (known.app.public or switches.sign_in_frequency_for == "all"):
            life = timedelta(hours=hours)
            if known.signed_in is not None and self._now() - known.signed_in >= life:
                raise EntraRefused(70043, text=too_old_text(known.issued, life))
        if user.refresh_refusal:
            claims = POLICY_CLAIMS if str(user.refresh_refusal).startswith("53") else ""
            raise EntraRefused(user.refresh_refusal, claims=claims)

    def judge_in_person(self, upn: str) -> None:
        """Whether a person who does whatever a page asks for may sign in as `upn`. Raises EntraRefused."""
        user = self._users.get(upn.lower())
        if user is None:
            raise EntraRefused(50034)
        if user.state is UserState.DISABLED:
            raise EntraRefused(50057)
        if user.state not in (UserState.MFA_REQUIRED, UserState.PASSWORD_EXPIRED):
            self._judge_state(user)

    def grant_in_person(
        self, tenant: str, proof: Proof, upn: str, scope: str, nonce: str = "", *, strong: bool = True
    ) -> Token:
        """Tokens for a person who signed in at a page. Raises EntraRefused."""
        app = self.judge_client(tenant, proof)
        wanted = granted_scope(app, scope)
        self.judge_in_person(upn)
        user = self.user(upn)
        user.token_requests += 1
        return self._issued.grant(self.home(tenant), app, user, wanted, strong=strong, nonce=nonce)

    def judge_client(self, tenant: str, proof: Proof) -> App:
        """The app that `proof` proves. Raises EntraRefused."""
        return self._judge_client(self.home(tenant), proof.client_id, proof.secret, proof.assertion)

    def app(self, client_id: str) -> App:
        """Raises EntraRefused 700016 when unknown."""
        try:
            return self.apps[client_id.lower()]
        except KeyError:
            raise EntraRefused(700016) from None

    def client_token(
        self, tenant: str, client_id: str, client_secret: str | None, scope: str, *, assertion: str | None = None
    ) -> tuple[str, datetime]:
        """The client credentials grant: a token of the app's own service principal, and its end. Raises EntraRefused.

        Every request gets a new one.
        """
        if tenant.lower() in ANY_TENANT:
            raise EntraRefused(50059)
        home = self.home(tenant)
        app = self._judge_client(home, client_id, client_secret, assertion)
        if not scope.endswith("/.default"):
            raise EntraRefused(1002012)
        resource = scope.removesuffix("/.default").lower()
        if resource.rstrip("/") in SERVICE_RESOURCES:
            return self.application_token(resource.rstrip("/"), app.object_id)
        if resource not in AZURE_DEVOPS_NAMES:
            raise EntraRefused(500011)
        return self._issued.grant_app(home, app)

    def application_token(self, audience: str, subject: str) -> tuple[str, datetime]:
        """A token for the managed identity `subject`, and its end."""
        tenants = self.tenants()
        guid = tenants[0].guid if tenants else "00000000-0000-0000-0000-000000000000"
        return self._issued.grant_identity(audience, subject, guid)

    def bearer(self, access_token: str, audience: str) -> Bearer | None:
        """What the token stands for; None when unknown, expired or made for another audience."""
        return self._issued.bearer(access_token, audience)

    def revoke_tokens(self, upn: str) -> None:
        """End every refresh and access token of the user, as "revoke sessions" does."""
        self._issued.revoke(upn)

    # judgement

    def home(self, tenant: str) -> Tenant:
        """Where whoever asks is at home: there is one directory for all users. Raises EntraRefused 90002."""
        if tenant.lower() in ANY_TENANT and self._tenants:
            return self.tenants()[0]
        return self.tenant(tenant)

    def _judge_client(self, home: Tenant, client_id: str, client_secret: str | None, assertion: str | None) -> App:
        app = self.app(client_id)
        for proof in (client_secret, assertion):
            self._chance.remember(proof or "")
        if app.public and (client_secret or assertion):
            raise EntraRefused(700025)
        if assertion:
            refused = self._judge_assertion(home, app, assertion)
            if refused is not None:
                raise EntraRefused(refused)
        elif app.public:
            pass
        elif not client_secret:
            raise EntraRefused(7000218)
        elif client_secret in app.expired_secrets:
            raise EntraRefused(7000222)
        elif client_secret not in app.secrets:
            raise EntraRefused(7000215)
        if app.disabled:
            raise EntraRefused(7000112)
        return app

    def _judge_assertion(self, home: Tenant, app: App, assertion: str) -> int | None:
        names = (home.guid, *home.domains)
        endpoints = {f"https://login.microsoftonline.com/{name}/oauth2/v2.0/token" for name in names}
        endpoints.add(assertions.issuer_of(home.guid))
        # An identity of another directory cannot be trusted: a federated credential takes those of its own alone.
        return assertions.judge(
            app.trusted, app.client_id, assertion, frozenset({home.guid}), frozenset(endpoints), self._now()
        )

    def _judge_user(self, user: User, password: str) -> None:
        now = self._now()
        if user.state is UserState.DISABLED:  # told without a look at the password
            raise EntraRefused(50057)
        if user.locked_until is not None and user.locked_until <= now:
            user.locked_until, user.wrong_passwords = None, 0
        if user.state is UserState.LOCKED or user.locked_until is not None:
            raise EntraRefused(50053)
        user.password_attempts += 1
        if password != user.password:
            user.wrong_passwords += 1
            if user.wrong_passwords >= self.lock_out_after:
                user.locked_until = now + self.lock_out_for
                raise EntraRefused(50053)
            raise EntraRefused(50126)
        user.wrong_passwords = 0
        self._judge_state(user)

    def _judge_state(self, user: User) -> None:
        """Raises EntraRefused for what is demanded of a user whose password is right."""
        code = STATE_CODES.get(user.state)
        if code == 53003:
            raise EntraRefused(code, error=self._switches.conditional_access_error, claims=POLICY_CLAIMS)
        if code is not None:
            raise EntraRefused(code)
