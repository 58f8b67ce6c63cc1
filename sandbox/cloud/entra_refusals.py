"""What Entra ID refuses, with the numbers and words of its token endpoint.

Source: the public documentation of AADSTS codes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    error: str
    suberror: str
    text: str


REFUSALS: dict[int, Refusal] = {
    28000: Refusal(400, "invalid_request", "", "The scope names more than one resource."),
    50011: Refusal(400, "invalid_request", "", "The redirect URI of the request is not one of the application's."),
    50013: Refusal(401, "invalid_client", "", "The signature of the assertion is not valid."),
    50027: Refusal(401, "invalid_client", "", "The assertion is malformed."),
    50020: Refusal(400, "invalid_grant", "", "The user account of another identity provider does not exist here."),
    50034: Refusal(400, "invalid_grant", "bad_token", "No such user account in this directory."),
    50053: Refusal(400, "invalid_grant", "", "The account is locked after too many wrong passwords."),
    50055: Refusal(400, "invalid_grant", "user_password_expired", "The password is expired."),
    50057: Refusal(400, "invalid_grant", "", "The user account is disabled."),
    50059: Refusal(400, "invalid_request", "", "No tenant-identifying information in the request."),
    50072: Refusal(400, "invalid_grant", "", "Multi-factor authentication has to be set up first."),
    50074: Refusal(400, "invalid_grant", "", "Strong authentication is demanded."),
    50078: Refusal(400, "invalid_grant", "", "The multi-factor authentication has expired and must be done again."),
    50079: Refusal(400, "invalid_grant", "", "Multi-factor authentication has to be set up, as a policy demands it."),
    50132: Refusal(400, "invalid_grant", "", "The session is not valid any more since a password event."),
    50076: Refusal(400, "invalid_grant", "basic_action", "Multi-factor authentication is demanded."),
    50105: Refusal(400, "invalid_grant", "", "The user is not assigned to a role of the application."),
    50126: Refusal(400, "invalid_grant", "", "Wrong user name or password."),
    50173: Refusal(400, "invalid_grant", "bad_token", "The grant was revoked; a new sign-in is needed."),
    53003: Refusal(400, "invalid_grant", "message_only", "Conditional Access policies block this token."),
    53000: Refusal(400, "invalid_grant", "", "The device has to be compliant."),
    530032: Refusal(400, "invalid_grant", "", "A security policy of the tenant blocks it."),
    54005: Refusal(400, "invalid_grant", "", "The authorization code was redeemed already."),
    65001: Refusal(400, "invalid_grant", "consent_required", "Nobody consented to the application's permissions."),
    65004: Refusal(400, "access_denied", "", "The user declined to consent to access the app."),
    70000: Refusal(400, "invalid_grant", "", "The grant is malformed or not valid here."),
    70003: Refusal(400, "unsupported_grant_type", "", "The app requested an unsupported grant type."),
    70008: Refusal(400, "invalid_grant", "bad_token", "The authorization code or refresh token expired."),
    70043: Refusal(400, "invalid_grant", "token_expired", "A sign-in frequency policy ended the refresh token."),
    90072: Refusal(400, "invalid_grant", "", "The user of another identity provider has to be a guest here first."),
    700084: Refusal(
        400, "invalid_grant", "", "The refresh token was issued to a single page app, and ended after a day."
    ),
    70011: Refusal(400, "invalid_scope", "", "The scope is not valid."),
    70016: Refusal(
        400, "authorization_pending", "", "OAuth 2.0 device flow error. Authorization is pending. Continue polling."
    ),
    70018: Refusal(400, "bad_verification_code", "", "The verification code is not valid."),
    70019: Refusal(400, "expired_token", "", "The verification code expired."),
    90002: Refusal(400, "invalid_request", "", "No such tenant."),
    500011: Refusal(400, "invalid_resource", "", "The resource principal was not found in the tenant."),
    500112: Refusal(400, "invalid_grant", "", "The reply address is not the one of the authorization code's request."),
    501481: Refusal(400, "invalid_grant", "", "The code_verifier does not match the code_challenge."),
    700016: Refusal(400, "unauthorized_client", "", "No such application in the directory."),
    700021: Refusal(401, "invalid_client", "", "The assertion is not the client's own."),
    700023: Refusal(401, "invalid_client", "", "The audience of the assertion is not this endpoint."),
    700024: Refusal(401, "invalid_client", "", "The assertion is not within its valid time range."),
    700025: Refusal(401, "invalid_client", "", "The client is public, so it may present no credential."),
    700027: Refusal(401, "invalid_client", "", "The key that signed the assertion is not registered, or has expired."),
    700082: Refusal(400, "invalid_grant", "bad_token", "The refresh token expired through inactivity."),
    700211: Refusal(401, "invalid_client", "", "No federated identity record has the issuer of the assertion."),
    700212: Refusal(401, "invalid_client", "", "No federated identity record has the audience of the assertion."),
    700213: Refusal(401, "invalid_client", "", "No federated identity record has the subject of the assertion."),
    7000112: Refusal(400, "unauthorized_client", "", "The application is disabled."),
    7000215: Refusal(401, "invalid_client", "", "The client secret is wrong."),
    7000222: Refusal(401, "invalid_client", "", "The client secret has expired."),
    7000218: Refusal(401, "invalid_client", "", "The request carries neither client_assertion nor client_secret."),
    1002012: Refusal(400, "invalid_scope", "", "Client credential flows take a scope that ends in /.default."),
    9001023: Refusal(400, "invalid_request", "", "This grant is not supported over common or consumers endpoints."),
}


class EntraRefused(Exception):
    """The token endpoint's refusal: HTTP `status`, OAuth `error`, AADSTS `code`, `suberror` (may be empty)."""

    def __init__(self, code: int, *, text: str = "", error: str = "", claims: str = "") -> None:
        """`text` and `error` take the place of the usual ones; `claims` is what another request must bring along."""
        refusal = REFUSALS[code]
        super().__init__(f"AADSTS{code}: {text or refusal.text}")
        self.status = refusal.status
        self.error = error or refusal.error
        self.code = code
        self.suberror = refusal.suberror
        self.text = text or refusal.text
        self.claims = claims
