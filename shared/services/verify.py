"""The proof that a PAT or a token works, and for whom: one harmless read (Azure DevOps REST, connectionData)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests
from requests.auth import HTTPBasicAuth

from shared.model.clock import Clock, Deadline
from shared.model.errors import Busy, Code, Denied, Unclear
from shared.model.items import TokenItem
from shared.model.pats import CONNECTION_DATA, Claim, ServiceToken
from shared.model.secret_text import SecretText
from shared.services import kept_text
from shared.services.accounts import ANONYMOUS, CONNECTION_DATA_PATH, DEVOPS, Accounts
from shared.services.devops_answers import ACCESS, HEADERS, ORGANIZATION, Bearer, is_own, judge, lost, unreadable
from shared.services.transport import Later, later, patiently, retry_after, timeouts

_MEMBER = (
    "Add the service principal to the organization (Organization settings, Users), with an access level and the "
    "permissions its consumers need, and check that the organization belongs to the tenant."
)
_NO_PAT = "Rotate the item: `patrol rotate SECRET --force`."
_PRINCIPAL = "Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;"
_PERSON = "Microsoft.IdentityModel.Claims.ClaimsIdentity;"


class Prover:
    """See `ports.Verifier`. `alone` carries PATs and has never carried a bearer token, so that none can speak for one.

    `accounts` knows the ids of users who signed in.
    """

    def __init__(
        self, alone: requests.Session, session: requests.Session, clock: Clock, deadline: Deadline, accounts: Accounts
    ) -> None:
        self._alone = alone
        self._session = session
        self._clock = clock
        self._deadline = deadline
        self._accounts = accounts

    def verify(self, claim: Claim, value: SecretText) -> None:
        if kept_text.why_not_header(value) is not None:
            raise Denied(Code.VERIFY_FAILED, "The value is no PAT: it holds what no PAT has.", _NO_PAT)
        by_identity = claim.path == CONNECTION_DATA
        path = CONNECTION_DATA_PATH if by_identity else claim.path
        url = DEVOPS.format(organization=quote(claim.organization, safe="")) + path.lstrip("/")
        try:
            response = self._alone.get(
                url,
                headers=HEADERS,
                auth=HTTPBasicAuth("", value.reveal()),
                timeout=timeouts(self._deadline),
                allow_redirects=False,
            )
        except requests.RequestException as failure:
            raise lost(failure, claim.organization) from None
        body = judge("GET", claim.organization, response, what="the PAT")
        if by_identity:
            self._check_identity(body, claim)
        elif not is_own(response):
            raise unreadable("its own: it has no activity id")

    def _check_identity(self, body: Mapping[str, Any], claim: Claim) -> None:
        """A 200 is not proof: anonymous callers get one too, and a PAT of somebody else works as well."""
        user = _caller(body)
        account = (user.get("properties") or {}).get("Account") if isinstance(user.get("properties"), dict) else None
        name = account.get("$value") if isinstance(account, dict) else None
        identity = str(user.get("id") or "").lower()
        if not identity or identity == ANONYMOUS:
            raise Denied(Code.VERIFY_FAILED, "Azure DevOps answered as to an anonymous caller.", ACCESS)
        same_name = isinstance(name, str) and name.casefold() == claim.username.casefold()
        if not same_name and identity != self._accounts.id_of(claim.organization, claim.username):
            raise Denied(Code.VERIFY_FAILED, "The PAT signs in as somebody else than the technical user.", ACCESS)
        instance = body.get("instanceId")
        if claim.organization_id and isinstance(instance, str) and instance.lower() != claim.organization_id:
            raise Denied(Code.VERIFY_FAILED, "The PAT signs in to another organization.", ORGANIZATION)

    def verify_token(self, item: TokenItem, token: ServiceToken) -> None:
        """See `ports.Verifier`; repeated where nobody could say."""
        url = DEVOPS.format(organization=quote(item.organization, safe="")) + CONNECTION_DATA_PATH

        def attempt() -> Mapping[str, Any] | Later:
            try:
                response = self._session.get(
                    url,
                    headers=HEADERS,
                    auth=Bearer(token.value),
                    timeout=timeouts(self._deadline),
                    allow_redirects=False,
                )
            except requests.RequestException as failure:
                return later(lost(failure, item.organization))
            try:
                return judge("GET", item.organization, response, what="the token", remedy=_MEMBER)
            except (Busy, Unclear) as failure:
                return Later(failure, retry_after(response.headers.get("Retry-After"), self._clock.now()))

        _check_principal(patiently(self._clock, self._deadline, attempt), token)


def _caller(body: Mapping[str, Any]) -> Mapping[str, Any]:
    user = body.get("authenticatedUser")
    if not isinstance(user, dict):
        raise unreadable("connectionData")
    return user


def _check_principal(body: Mapping[str, Any], token: ServiceToken) -> None:
    """That Azure DevOps took the token as somebody, and as nobody else.

    How connectionData names a service principal is not documented. Microsoft's own tools write its descriptor as
    `<kind>;<tenant>\\<object id>`, so a descriptor of that form must carry the token's object id, and a person's is
    wrong. One of a form nobody knows is let pass: the token came from Entra ID for this very client.
    """
    user = _caller(body)
    if not user.get("id") or str(user["id"]).lower() == ANONYMOUS:
        raise Denied(Code.VERIFY_FAILED, "Azure DevOps answered as to an anonymous caller.", _MEMBER)
    descriptor = str(user.get("descriptor") or "")
    named = descriptor.rpartition("\\")[2].lower() if descriptor.startswith(_PRINCIPAL) else None
    other = named is not None and token.object_id is not None and named != token.object_id
    if other or descriptor.startswith(_PERSON):
        raise Denied(Code.VERIFY_FAILED, "The token signs in as somebody else than the service principal.", _MEMBER)
