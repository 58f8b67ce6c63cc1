"""What the engine needs from the world. The adapters and the fakes of the tests both satisfy these.

Every method makes one logical request and either did what it says, or raises an `errors.PatrolError` whose class tells
what may be assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from shared.model.clock import Deadline
from shared.model.consumers import Consumer, Given, Keys
from shared.model.credentials import ClientCredential, ClientProof, Credential, SignIn
from shared.model.enrollment import Link, Redeemed, SignInPage
from shared.model.items import TokenItem, User
from shared.model.notices import Notice, Recipient
from shared.model.pats import Claim, Minted, Pat, PatId, ServiceToken
from shared.model.readers import Use, VaultLogSeen
from shared.model.secret_state import CONTENT_TYPE, Current, Look, VaultListing, VersionListing, VersionSeen
from shared.model.secret_text import SecretText


class Vault(Protocol):
    """The vault of the published PATs."""

    def listing(self) -> VaultListing:
        """Every secret, all pages. Raises Misconfigured when the vault cannot be read: then nothing may be done."""
        ...

    def look(self, name: str) -> Look:
        """One secret as the listing would show it, a disabled one included. Raises Denied when it is forbidden."""
        ...

    def current(self, name: str) -> Current:
        """The current version with its value. Raises Absent, or Denied when it is disabled or forbidden."""
        ...

    def versions(self, name: str) -> VersionListing:
        """All versions; none when there is no such secret (a soft-deleted one included)."""
        ...

    def publish(
        self,
        name: str,
        value: SecretText,
        expires_on: datetime,
        tags: Mapping[str, str],
        content_type: str = CONTENT_TYPE,
    ) -> VersionSeen:
        """Write one new version: value, expiry, content type and tags in one call that is sent once.

        Raises NotDone only for a refusal in Key Vault's own words or what never left; anything else is Unclear.
        """
        ...

    def change(
        self,
        name: str,
        version: VersionSeen,
        *,
        tags: Mapping[str, str] | None = None,
        expires_on: datetime | None = None,
    ) -> VersionSeen:
        """Change facts of exactly this version, as it was read; gives it as it is then.

        `tags` replaces all of them; None leaves a fact as it is. Raises ValueError for tags that would give it another
        authorization id: a value never changes within a version, so neither does the PAT that it is (rule 7).
        """
        ...

    def disable(self, name: str, version: str) -> None:
        """No reader gets the value of this version any more. Called by `rotation/gate.py` alone."""
        ...

    def note(self, name: str, tags: Mapping[str, str]) -> VersionSeen:
        """Write a secret of our own whose facts are its tags and whose value says nothing. Raises as other writes."""
        ...

    def is_deleted(self, name: str) -> bool | None:
        """Whether the name is held by a soft-deleted secret; None when patrol may not look."""
        ...

    def recover(self, name: str) -> None:
        """Bring a soft-deleted secret back; returns when it can be read again."""
        ...


class Credentials(Protocol):
    """The vault of the technical users' credentials."""

    def read(self, name: str) -> Credential:
        """What is sent as text: a password, a client secret, a token.

        Raises Absent, Denied or Unclear, and NotDone (`Code.CREDENTIAL_UNREADABLE`) for what is no such text: one that
        holds a line break, a certificate with its private key.
        """
        ...

    def read_certificate(self, name: str) -> Credential:
        """A certificate with its private key, which is never sent. Raises Absent, Denied or Unclear."""
        ...


class ClientProofs(Protocol):
    """What app registrations prove themselves with, fetched when it is needed."""

    def of(self, credential: ClientCredential, now: datetime) -> ClientProof:
        """What `credential` comes to at `now`.

        Raises Misconfigured for a secret or certificate that is missing, forbidden or unusable, and Unclear.
        """
        ...


class OwnedPats(Protocol):
    """One user's PATs, as whoever may list and end them sees them: the user, or an administrator."""

    def active(self, organization: str) -> tuple[Pat, ...]:
        """The user's live PATs in the organization, all pages; an administrator may see no display names ("")."""
        ...

    def revoked(self, organization: str) -> frozenset[PatId]:
        """The ids of the user's revoked PATs in the organization, all pages."""
        ...

    def get(self, organization: str, pat: PatId) -> Pat:
        """Raises Absent only when the service itself says that the user has no such PAT, or not any more."""
        ...

    def revoke(self, organization: str, pat: PatId) -> None:
        """End a PAT. Returns when it is confirmed: 200, 204 or SessionTokenNotFoundException.

        What an administrator ends may work for up to an hour more.
        """
        ...


class PatApi(OwnedPats, Protocol):
    """The PAT lifecycle API as one signed-in technical user."""

    def by_state(self, organization: str, state: str) -> tuple[Pat, ...]:
        """The user's PATs by the API's own filter, all pages: active, revoked, expired or all."""
        ...

    def administering(self, username: str) -> OwnedPats:
        """Another user's PATs, with the right of an administrator to see and end them (Token Administration)."""
        ...

    def mint(self, organization: str, display_name: str, scopes: tuple[str, ...], ends: datetime) -> Minted:
        """Make a PAT; never sent again once it may have arrived. Raises NotDone or Unclear."""
        ...

    def extend(self, organization: str, pat: PatId, display_name: str, scopes: tuple[str, ...], ends: datetime) -> Pat:
        """Give a PAT a later expiry; the value stays. Gives the PAT with its granted expiry."""
        ...


class Verifier(Protocol):
    """Azure DevOps, asked with a value whether it works."""

    def verify(self, claim: Claim, value: SecretText) -> None:
        """One harmless read with the PAT: it is whose `claim` says. Raises Denied or Unclear."""
        ...

    def verify_token(self, item: TokenItem, token: ServiceToken) -> None:
        """One harmless read with the token in the item's organization, as nobody else. Raises Denied or Unclear."""
        ...


class ConsumerServices(Protocol):
    """What keeps a copy of a published value, or is told of it. `keys` open it; the PAT works in `organization`."""

    def check(self, to: Consumer, keys: Keys, organization: str) -> str:
        """Whether a push could be done, as far as that shows without a change; gives what a person should know of it
        besides, "" for nothing. Raises as `push` does.
        """
        ...

    def works(self, to: Consumer, keys: Keys, organization: str, since: datetime) -> bool:
        """Whether nothing is known against the copy that it has, of a value that was published at `since` (vault time).
        Raises as `push` does.

        A hint and no more: nobody gives the copy back, and a check may take a dead one.
        """
        ...

    def push(self, to: Consumer, keys: Keys, given: Given) -> str:
        """Replace the copy, and have it checked; gives what a person should know of it besides, "" for nothing. The
        same push twice changes nothing more.

        Raises Denied (the keys), Refused (the setting, the address or the check), Busy or Unclear.
        """
        ...


class Recipients(Protocol):
    """Where notices go (rule 19)."""

    def check(self, to: Recipient, url: SecretText, signing: SecretText | None) -> None:
        """Whether notices could be sent there, as far as that shows without sending one. Raises NotDone as `tell`."""
        ...

    def tell(
        self, to: Recipient, url: SecretText, signing: SecretText | None, notice: Notice, deadline: Deadline
    ) -> str:
        """Send one notice, again where that may help and the deadline lets it; gives its answer, in words.

        Raises NotDone (`Code.RECIPIENT_UNREADABLE`, nothing was sent; `Code.RECIPIENT_REFUSED`), Busy or Unclear: then
        it may have been taken.
        """
        ...


class VaultLogs(Protocol):
    """Logs that tell who read what of a vault (rule 18)."""

    def seen(self, vault_host: str, since: datetime) -> VaultLogSeen:
        """What the vault's log has since then, minutes late.

        Raises NotDone or Unclear (`Code.LOGS_UNREADABLE`): then nobody knows who reads.
        """
        ...


class AuditLogs(Protocol):
    """Azure DevOps' audit log, of what PATs were used for."""

    def uses(self, organization: str, pats: frozenset[PatId], since: datetime) -> tuple[tuple[Use, ...], bool]:
        """What these PATs did of what is audited, and whether the log was read to its end.

        Raises NotDone or Unclear (`Code.AUDIT_UNREADABLE`).
        """
        ...


class ServiceTokens(Protocol):
    """Entra ID, for service principals."""

    def issue(self, tenant: str, client_id: str, proof: ClientProof) -> ServiceToken:
        """A new access token for Azure DevOps, never one that was given before.

        Raises Refused (`Code.PRINCIPAL_REFUSED`), Misconfigured (tenant), Busy or Unclear, and what the proof's own
        assertion raises.
        """
        ...


class Directory(Protocol):
    """Entra ID."""

    def sign_in(self, sign_in: SignIn, user: User, password: SecretText, proof: ClientProof) -> PatApi:
        """Raises UserRefused, ClientRefused, Busy or Unclear, and what the proof's own assertion raises.

        One attempt judges the password at most once.
        """
        ...


class EnrolledDirectory(Protocol):
    """Entra ID, for users whom a person enrolled (rule 16)."""

    def redeem(self, sign_in: SignIn, user: User, refresh_token: SecretText, proof: ClientProof) -> Redeemed:
        """An access token for a refresh token, once. Raises UserRefused (`Code.ENROLLMENT_ENDED`), and as `sign_in`."""
        ...

    def page(self, sign_in: SignIn, user: User, redirect_uri: str, proof: ClientProof) -> SignInPage:
        """Where a browser goes for a person to sign in as `user`. Raises Misconfigured or Unclear."""
        ...

    def finish(
        self, sign_in: SignIn, user: User, page: SignInPage, answer: Mapping[str, str], proof: ClientProof
    ) -> Redeemed:
        """Redeem what the browser brought back from `page`. Raises UserRefused, and as `redeem`."""
        ...


class RefreshTokens(Protocol):
    """The credentials' vault, where refresh tokens of enrolled users are kept."""

    def versions(self, name: str) -> VersionListing: ...

    def read_version(self, name: str, version: str) -> Credential:
        """One version's value. Raises as `Credentials.read`."""
        ...

    def publish(
        self, name: str, value: SecretText, expires_on: datetime, tags: Mapping[str, str], content_type: str
    ) -> VersionSeen: ...

    def change(
        self,
        name: str,
        version: VersionSeen,
        *,
        tags: Mapping[str, str] | None = None,
        expires_on: datetime | None = None,
    ) -> VersionSeen: ...


class Links(Protocol):
    """Where links to enroll by wait for their one use. Raises Denied or Unclear (`Code.LINK_UNKEPT`)."""

    def keep(self, link: Link) -> None: ...

    def look(self, ticket: str) -> Link | None:
        """None: there is none, or it was used."""
        ...

    def take(self, ticket: str) -> Link | None:
        """The same, and gone afterwards: of several that ask at one moment, one gets it."""
        ...


class Events(Protocol):
    """Where steps are told: the log in production, a list in tests."""

    def __call__(self, name: str, /, **fields: object) -> None: ...
