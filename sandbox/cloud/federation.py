"""The server that users of a federated domain sign in at, as pure state: who sent it a password, and what it issued.

Whoever asks Entra ID for such a user's realm is sent here; a password that arrives here has left Entra ID's hands.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from sandbox.cloud.chance import Chance


@dataclass(slots=True)
class FederationServer:
    """`accounts` (user name in lower case → password) is the domain's own directory; nobody else is let in."""

    host: str
    domain: str
    chance: Chance
    accounts: dict[str, str] = field(default_factory=dict)
    cloud_passwords: bool = False
    """Whether Entra ID has the passwords as well, and a policy lets it judge them."""
    received: list[str] = field(default_factory=list)
    """The user name of every password that arrived, right or wrong."""
    _issued: dict[str, str] = field(default_factory=dict)

    def sign_in(self, username: str, password: str) -> str | None:
        """A SAML 1.1 assertion as XML; None for a wrong name or password."""
        self.received.append(username)
        self.chance.remember(password)
        name = username.lower()
        if name not in self.accounts or self.accounts[name] != password:
            return None
        assertion = (
            '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion" MajorVersion="1" MinorVersion="1" '
            f'AssertionID="_{self.chance.guid()}" Issuer="http://{self.host}/adfs/services/trust">'
            f"<saml:Signature>{self.chance.text(40)}</saml:Signature></saml:Assertion>"
        )
        encoded = base64.urlsafe_b64encode(assertion.encode()).decode()
        self._issued[encoded.rstrip("=")] = name
        self.chance.remember(encoded)
        return assertion

    def subject_of(self, encoded: str) -> str | None:
        """Whom an assertion (base64, in either alphabet) was issued to; None for one that was not issued here."""
        return self._issued.get(encoded.replace("+", "-").replace("/", "_").rstrip("="))
