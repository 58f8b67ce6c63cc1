"""Access tokens that Entra ID issues to service principals for Azure DevOps (msal, client credentials grant)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.model.credentials import ClientProof
from shared.model.errors import Busy, Code, Misconfigured, NotDone, PatrolError, Refused, Unclear
from shared.model.pats import ServiceToken
from shared.model.secret_text import SecretText
from shared.services.answers import EntraRefusal
from shared.services.entra_authority import Authority
from shared.services.entra_errors import Concerns, refusal
from shared.services.entra_sign_in import SCOPES, another_host, raise_at_discovery, what_it_shows, without_answer
from shared.services.entra_wire import AnotherHost, Wire
from shared.services.transport import Later, patiently
from shared.services.way_out import lost

_SECONDS = re.compile(r"[0-9]{1,8}")
_TRY_LATER = "Nothing to do if the next refresh succeeds; otherwise look at Entra's service health and the network."
_LOOK_UP = "Look the code up in Microsoft's list of AADSTS codes and in Entra's sign-in log (service principals)."
_CREDENTIAL = "Write a valid credential of the service principal as a new version of the secret that holds it."
_REMEDIES: Mapping[int, str] = {
    700016: "Correct `client_id` of the service principal in pats.yaml, or `sign_in.tenant`.",
    700021: "Correct `client_id` of the service principal in pats.yaml.",
    700023: "Correct `sign_in.tenant` in pats.yaml, and AZURE_AUTHORITY_HOST.",
    7000112: "Enable the app registration.",
    7000215: f"{_CREDENTIAL} A client secret's value is needed, not its id.",
    7000218: _CREDENTIAL,
    7000222: _CREDENTIAL,
    500011: "Connect an organization to the tenant first: Azure DevOps is not known in it.",
    53003: "Exclude the service principal from that Conditional Access policy for workload identities.",
}


class EntraTokens:
    """See `ports.ServiceTokens`."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def issue(self, tenant: str, client_id: str, proof: ClientProof) -> ServiceToken:
        return patiently(
            self._authority.clock, self._authority.deadline, lambda: self._attempt(tenant, client_id, proof)
        )

    def _attempt(self, tenant: str, client_id: str, proof: ClientProof) -> ServiceToken | Later:
        wire = self._authority.wire()
        try:
            app = self._authority.app(tenant, client_id, proof, wire, instance_discovery=False)
            result: Mapping[str, Any] = app.acquire_token_for_client(scopes=SCOPES)
        except PatrolError as failure:
            raise _without_identity(client_id, failure) from None
        except AnotherHost:
            raise another_host(self._authority.host) from None
        except Exception as failure:  # noqa: BLE001  # msal raises what it meets: ValueError, JSON, requests, its own
            raise_at_discovery(wire, tenant, self._authority.host)
            return self._no_answer(client_id, wire, failure)
        value, seconds = result.get("access_token"), str(result.get("expires_in"))
        if isinstance(value, str) and value and _SECONDS.fullmatch(seconds):
            return ServiceToken(SecretText(value), timedelta(seconds=int(seconds)), _object_id(value))
        said = wire.refusal()
        if said is None:
            return self._no_answer(client_id, wire, None)
        return self._refused(client_id, proof, wire, said)

    def _refused(self, client_id: str, proof: ClientProof, wire: Wire, said: EntraRefusal) -> Later:
        why = refusal(said.error, said.numbers)
        cause = f"Entra ID gave the service principal {client_id} no token ({said.word}). {why.cause}"
        if why.concerns is Concerns.NOBODY:
            return Later(Busy(Code.SIGN_IN_UNAVAILABLE, cause, _TRY_LATER), self._authority.wait(wire))
        if why.concerns is Concerns.TENANT:
            raise Misconfigured(Code.TENANT_UNKNOWN, f"Entra ID ({said.word}): {why.cause}", why.remedy)
        known = why.remedy if why.concerns is Concerns.CLIENT else _LOOK_UP
        remedy = next((_REMEDIES[number] for number in said.numbers if number in _REMEDIES), known)
        raise Refused(Code.PRINCIPAL_REFUSED, cause, f"{remedy} {what_it_shows(proof, said)}".rstrip(), said.word)

    def _no_answer(self, client_id: str, wire: Wire, failure: Exception | None) -> Later:
        # Asking again costs nothing: no password is judged, and no lock-out counts service principals.
        how, remedy = without_answer(wire, failure)
        cause = f"Entra ID gave no usable answer for {client_id} ({how})."
        unclear = Unclear(Code.SIGN_IN_UNAVAILABLE, cause, remedy)
        if wire.answer is None and failure is not None and not lost(failure).passes:
            raise unclear from None
        return Later(unclear, self._authority.wait(wire))


def _without_identity(client_id: str, failure: PatrolError) -> PatrolError:
    """What the assertion says of `sign_in`, said of the service principal."""
    if failure.code is not Code.IDENTITY_UNAVAILABLE:
        return failure
    return NotDone(
        failure.code,
        f"The service principal {client_id} has neither client_secret_name nor client_certificate_name in pats.yaml, "
        "and there is no managed identity here that it could trust.",
        "In Azure: assign the app its user-assigned identity and set AZURE_CLIENT_ID to its client id. Elsewhere (a "
        "laptop, a pipeline): name a client secret or a certificate of the service principal.",
    )


def _object_id(token: str) -> str | None:
    """The claim `oid`, unverified: it is compared, never trusted. None for a token of another form."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    object_id = claims.get("oid") if isinstance(claims, dict) else None
    return object_id.lower() if isinstance(object_id, str) else None
