"""Key Vault: the published secrets with their tags, and the technical users' credentials (azure-keyvault-secrets)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import requests
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.secrets import KeyVaultSecret, SecretClient, SecretProperties

from shared.model.clock import Clock, Deadline, VaultInstant
from shared.model.credentials import Credential
from shared.model.errors import Absent, Busy, Code, Denied, Misconfigured, NotDone, PatrolError, Unclear
from shared.model.secret_state import CONTENT_TYPE, Current, Look, SecretSeen, VaultListing, VersionListing, VersionSeen
from shared.model.secret_text import SecretText
from shared.model.tags import refuse_another_pat
from shared.services import kept_text
from shared.services.identity import OwnIdentity
from shared.services.key_vault_failures import (
    ODD,
    Action,
    Settling,
    check_page,
    failure_of,
    publish_failure,
    unreadable,
    wait_asked,
)
from shared.services.rate_limits import Pace
from shared.services.transport import Later, later, patiently, read_date, timeouts

# Key Vault's `Date` has whole seconds: a smaller difference than this cannot be told from none.
SAME_TIME = timedelta(seconds=2)
SETTLED_WITHIN = timedelta(seconds=60)
"""How long a name is waited for that is being recovered or deleted; recordings show up to four seconds."""
_LOOK_AGAIN_AFTER = timedelta(seconds=2)

Answer = TypeVar("Answer")


class SecretVault:
    """One vault as `ports.Vault` and `ports.Credentials`. `named_by`: what to check where it cannot be reached.

    The SDK's own retries are off: it would send a write again after a 500, and sleep for whatever Retry-After says.
    """

    def __init__(
        self,
        url: str,
        credential: TokenCredential,
        session: requests.Session,
        clock: Clock,
        deadline: Deadline,
        pace: Pace | None = None,
        *,
        named_by: str = "KEY_VAULT_URL",
    ) -> None:
        self._pace = pace or Pace()
        self._named_by = named_by
        self._host = urlsplit(url).hostname or url
        self._clock = clock
        self._deadline = deadline
        transport = RequestsTransport(session=session, session_owner=False)
        self._client = SecretClient(
            url, OwnIdentity(credential), transport=transport, retry_total=0, permit_redirects=False
        )

    def listing(self) -> VaultListing:
        dates = _Dates(self._clock)

        def look(response: Any) -> None:
            dates.keep(response)
            check_page(response)

        def attempt() -> VaultListing:
            dates.forget()
            pages = self._client.list_properties_of_secrets(raw_response_hook=look, **self._limits())
            rows = [_secret_seen(row) for row in pages]
            return VaultListing({row.key: row for row in rows}, dates.ahead())

        try:
            return self._ask_again(Action.LIST, "the secrets", attempt)
        except Misconfigured:
            raise
        except Denied as failure:
            raise Misconfigured(failure.code, failure.cause, failure.remedy) from None
        except PatrolError as failure:
            raise Misconfigured(
                Code.VAULT_UNREACHABLE,
                f"{failure.cause} Without the listing nothing is minted, revoked or called an orphan.",
                f"{failure.remedy} Check {self._named_by}." if isinstance(failure, Busy | Unclear) else failure.remedy,
            ) from None

    def look(self, name: str) -> Look:
        dates = _Dates(self._clock)
        try:
            # The value comes along, and is dropped here.
            secret = self._get(name, dates)
        except Absent:
            return Look(None, dates.ahead())
        except Denied as failure:
            if failure.code is not Code.DISABLED:
                raise
            # It may have gone since: then there is no version.
            newest = self.versions(name).newest()
            return Look(None if newest is None else _as_listed(name, newest), dates.ahead())
        return Look(_secret_seen(secret.properties), dates.ahead())

    def current(self, name: str) -> Current:
        dates = _Dates(self._clock)
        secret = self._get(name, dates)
        return Current(_version_seen(secret.properties), SecretText(_value_of(secret)), dates.last())

    def versions(self, name: str) -> VersionListing:
        dates = _Dates(self._clock)

        def look(response: Any) -> None:
            dates.keep(response)
            check_page(response)

        def attempt() -> VersionListing:
            dates.forget()
            pages = self._client.list_properties_of_secret_versions(name, raw_response_hook=look, **self._limits())
            return VersionListing(tuple(_version_seen(row) for row in pages), dates.first_page())

        try:
            return self._ask_again(Action.LIST, f"the versions of {name}", attempt)
        except Absent:
            return VersionListing((), dates.last())

    def publish(
        self,
        name: str,
        value: SecretText,
        expires_on: datetime,
        tags: Mapping[str, str],
        content_type: str = CONTENT_TYPE,
    ) -> VersionSeen:
        self._pace.turn(self._clock, self._deadline)
        settled = self._deadline.within(SETTLED_WITHIN)
        while True:
            try:
                return self._publish(name, value, expires_on, tags, content_type)
            except Settling:  # Key Vault itself said that it wrote nothing
                if settled.passed():
                    raise
                self._clock.sleep(_LOOK_AGAIN_AFTER)

    def _publish(
        self, name: str, value: SecretText, expires_on: datetime, tags: Mapping[str, str], content_type: str
    ) -> VersionSeen:
        try:
            secret = self._client.set_secret(
                name,
                value.reveal(),
                content_type=content_type,
                expires_on=expires_on,
                tags=dict(tags),
                retry_total=0,
                **self._limits(),
            )
            return _version_seen(secret.properties)
        except Unclear as failure:
            raise publish_failure(failure) from None
        except ODD as failure:
            raise publish_failure(self._failure(Action.WRITE, name, failure)) from None

    def note(self, name: str, tags: Mapping[str, str]) -> VersionSeen:
        """Key Vault wants a value: it says where the facts are. It counts a note as any other version."""
        self._pace.turn(self._clock, self._deadline)

        def attempt() -> VersionSeen:
            told, kind = dict(tags), "text/plain"
            written = self._client.set_secret(name, "see the tags", content_type=kind, tags=told, **self._limits())
            return _version_seen(written.properties)

        return self._ask_again(Action.WRITE, name, attempt)

    def change(
        self,
        name: str,
        version: VersionSeen,
        *,
        tags: Mapping[str, str] | None = None,
        expires_on: datetime | None = None,
    ) -> VersionSeen:
        given: dict[str, Any] = {"tags": None if tags is None else dict(tags), "expires_on": expires_on}
        facts = {key: value for key, value in given.items() if value is not None}
        if tags is not None:
            refuse_another_pat(version.tags, tags)
        self._change(name, version.version, facts)
        return replace(
            version,
            tags=version.tags if tags is None else dict(tags),
            expires_on=expires_on or version.expires_on,
        )

    def disable(self, name: str, version: str) -> None:
        self._change(name, version, {"enabled": False})

    def _change(self, name: str, version: str, facts: Mapping[str, Any]) -> None:
        def attempt() -> VersionSeen:
            return _version_seen(self._client.update_secret_properties(name, version, **facts, **self._limits()))

        self._ask_again(Action.CHANGE, name, attempt)

    def is_deleted(self, name: str) -> bool | None:
        try:
            found = self._ask_again(
                Action.FIND_DELETED, name, lambda: self._client.get_deleted_secret(name, **self._limits())
            )
        except Absent:
            return False
        except Denied:
            # Without the right to look, the write itself tells: it is refused with 409.
            return None
        if not found.name:
            raise unreadable("id")
        return True

    def recover(self, name: str) -> None:
        def attempt() -> object:
            return self._client.begin_recover_deleted_secret(name, **self._limits())

        self._ask_again(Action.RECOVER, name, attempt)
        # A recovered secret answers 404 for some seconds.
        settled = self._deadline.within(SETTLED_WITHIN)
        while True:
            try:
                self._get(name)
            except Denied as failure:
                if failure.code is not Code.DISABLED:
                    raise
                return  # what is disabled is back
            except Absent:
                if settled.passed():
                    raise
                self._clock.sleep(_LOOK_AGAIN_AFTER)
            else:
                return

    def read(self, name: str) -> Credential:
        """See `ports.Credentials`."""
        return self._checked(name, self.read_certificate(name))

    def read_version(self, name: str, version: str) -> Credential:
        """See `ports.RefreshTokens`."""
        return self._checked(name, self._credential(name, self._get(name, version=version)))

    def read_certificate(self, name: str) -> Credential:
        """See `ports.Credentials`."""
        return self._credential(name, self._get(name))

    def _checked(self, name: str, held: Credential) -> Credential:
        if problem := kept_text.why_not_text(held.value, held.content_type):
            raise NotDone(
                Code.CREDENTIAL_UNREADABLE, f"The secret {name} in {self._host} {problem.what}.", problem.remedy
            )
        return held

    def _credential(self, name: str, secret: KeyVaultSecret) -> Credential:
        seen, value = secret.properties, _value_of(secret)
        if not value:
            raise Absent(Code.CREDENTIAL_UNREADABLE, f"The secret {name} in {self._host} is empty.", "Write its value.")
        return Credential(
            SecretText(value), seen.version or _unreadable("id"), seen.expires_on, seen.content_type or ""
        )

    def _get(self, name: str, dates: _Dates | None = None, version: str | None = None) -> KeyVaultSecret:
        kept = dates or _Dates(self._clock)

        def attempt() -> KeyVaultSecret:
            kept.forget()
            return self._client.get_secret(name, version, raw_response_hook=kept.keep, **self._limits())

        return self._ask_again(Action.READ, name, attempt)

    def _limits(self) -> dict[str, Any]:
        connect, read = timeouts(self._deadline)
        return {"connection_timeout": connect, "read_timeout": read}

    def _ask_again(self, action: Action, name: str, call: Callable[[], Answer]) -> Answer:
        def attempt() -> Answer | Later:
            try:
                return call()
            except ODD as failure:
                return later(self._failure(action, name, failure), wait_asked(failure, self._clock.now()))

        return patiently(self._clock, self._deadline, attempt)

    def _failure(self, action: Action, name: str, failure: Exception) -> PatrolError:
        return failure_of(action, f"Key Vault {self._host}: could not {action.verb} {name}", failure)


@dataclass(frozen=True, slots=True)
class _Dated:
    status: int
    ahead: timedelta
    at: VaultInstant


class _Dates:
    """The `Date` of each answer to one attempt: the vault's clock, where the answer proves to be the vault's.

    Another's clock is never read: what is asked again begins anew, and who reads knows whose the answer was.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: list[_Dated] = []

    def forget(self) -> None:
        self._kept.clear()

    def keep(self, response: Any) -> None:
        date, now = read_date(response.http_response.headers.get("Date")), self._clock.now()
        if date is not None:
            # Zero where the vault's whole seconds cannot tell.
            ahead = date - now if abs(date - now) > SAME_TIME else timedelta(0)
            self._kept.append(_Dated(response.http_response.status_code, ahead, VaultInstant(now + ahead)))

    def ahead(self) -> timedelta:
        """The vault's clock minus ours."""
        return self._kept[-1].ahead if self._kept else timedelta(0)

    def last(self) -> VaultInstant:
        return self._kept[-1].at if self._kept else VaultInstant(self._clock.now())

    def first_page(self) -> VaultInstant:
        """Of a listing: what is listed later may be newer, never older."""
        return next((one.at for one in self._kept if one.status == requests.codes.ok), self.last())


def _secret_seen(row: SecretProperties) -> SecretSeen:
    return SecretSeen(
        name=row.name or _unreadable("id"),
        enabled=row.enabled is not False,
        created=row.created_on or _unreadable("created"),
        expires_on=row.expires_on,
        content_type=row.content_type,
        tags=dict(row.tags or {}),
        version=row.version or "",
    )


def _value_of(secret: KeyVaultSecret) -> str:
    return secret.value if isinstance(secret.value, str) else _unreadable("value")


def _as_listed(name: str, one: VersionSeen) -> SecretSeen:
    return SecretSeen(name, one.enabled, one.created, one.expires_on, one.content_type, one.tags, one.version)


def _version_seen(row: SecretProperties) -> VersionSeen:
    return VersionSeen(
        version=row.version or _unreadable("version"),
        enabled=row.enabled is not False,
        created=(row.created_on or _unreadable("created")).astimezone(UTC),
        expires_on=row.expires_on,
        tags=dict(row.tags or {}),
        content_type=row.content_type,
    )


def _unreadable(what: str) -> NoReturn:
    raise unreadable(what)
