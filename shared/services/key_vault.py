"""Key Vault: the published secrets with their tags, and the technical users' credentials (azure-keyvault-secrets)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.secrets import KeyVaultSecret, SecretClient, SecretProperties

from shared.model.clock import Clock, Deadline, VaultInstant
from shared.model.credentials import Credential
from shared.model.errors import Absent, Busy, Code, Denied, Misconfigured, NotDone, PatrolError, Refused, Unclear
from shared.model.secret_state import CONTENT_TYPE, Current, Look, SecretSeen, VaultListing, VersionListing, VersionSeen
from shared.model.secret_text import SecretText
from shared.model.tags import refuse_another_pat
from shared.services.rate_limits import Pace
from shared.services.transport import Later, never_sent, patiently, retry_after, timeouts

# Key Vault's `Date` has whole seconds: a smaller difference than this cannot be told from none.
SAME_TIME = timedelta(seconds=2)
RECOVERED_WITHIN = timedelta(seconds=60)

_LATER = "Nothing to do if the next run succeeds; otherwise look at the vault's health and the network."
_READ = "Give patrol's identity the role Key Vault Secrets User (credentials) or Key Vault Secrets Officer (PATs)."
_WRITE = "Give patrol's identity the role Key Vault Secrets Officer on the vault; a new grant takes some minutes."

Answer = TypeVar("Answer")


class SecretVault:
    """One vault as `ports.Vault` and `ports.Credentials`.

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
    ) -> None:
        self._pace = pace or Pace()
        self._host = urlsplit(url).hostname or url
        self._clock = clock
        self._deadline = deadline
        self._client = SecretClient(
            url, credential, transport=RequestsTransport(session=session, session_owner=False), retry_total=0
        )

    def listing(self) -> VaultListing:
        measured: list[timedelta] = []

        def look(response: Any) -> None:
            date = response.http_response.headers.get("Date")
            if date and not measured:
                measured.append(self._ahead(date))

        def attempt() -> VaultListing:
            pages = self._client.list_properties_of_secrets(raw_response_hook=look, **self._limits())
            rows = [_secret_seen(row) for row in pages]
            return VaultListing({row.key: row for row in rows}, *measured)

        try:
            return self._ask_again("list the secrets", attempt)
        except Denied as failure:
            raise Misconfigured(failure.code, failure.cause, failure.remedy) from None
        except PatrolError as failure:
            raise Misconfigured(
                Code.VAULT_UNREACHABLE,
                f"{failure.cause} Without the listing nothing is minted, revoked or called an orphan.",
                f"{failure.remedy} Check KEY_VAULT_URL.",
            ) from None

    def look(self, name: str) -> Look:
        measured: list[timedelta] = []

        def attempt() -> SecretSeen:
            # The value comes along, and is dropped here.
            return _secret_seen(self._client.get_secret(name, raw_response_hook=look, **self._limits()).properties)

        def look(response: Any) -> None:
            date = response.http_response.headers.get("Date")
            if date:
                measured[:] = [self._ahead(date)]

        try:
            seen = self._ask_again(f"read {name}", attempt)
        except Absent:
            return Look(None, *measured)
        except Denied as failure:
            if failure.code is not Code.DISABLED:
                raise
            newest = self.versions(name).newest()
            if newest is None:
                return Look(None, *measured)
            seen = SecretSeen(
                name,
                newest.enabled,
                newest.created,
                newest.expires_on,
                newest.content_type,
                newest.tags,
                newest.version,
            )
        return Look(seen, *measured)

    def current(self, name: str) -> Current:
        at: list[VaultInstant] = []

        def attempt() -> Current:
            secret = self._client.get_secret(name, raw_response_hook=self._dated(at), **self._limits())
            return Current(_version_seen(secret.properties), SecretText(secret.value or ""), self._at(at))

        return self._ask_again(f"read {name}", attempt)

    def versions(self, name: str) -> VersionListing:
        at: list[VaultInstant] = []

        def attempt() -> VersionListing:
            dated = self._dated(at)
            pages = self._client.list_properties_of_secret_versions(name, raw_response_hook=dated, **self._limits())
            return VersionListing(tuple(_version_seen(row) for row in pages), self._at(at))

        try:
            return self._ask_again(f"list the versions of {name}", attempt)
        except Absent:
            return VersionListing((), self._at(at))

    def _dated(self, at: list[VaultInstant]) -> Callable[[Any], None]:
        """Keeps the vault's time of the first answer: what is listed later may be newer, never older."""

        def look(response: Any) -> None:
            date = response.http_response.headers.get("Date")
            if date and not at:
                at.append(VaultInstant(self._clock.now() + self._ahead(date)))

        return look

    def _at(self, at: list[VaultInstant]) -> VaultInstant:
        return at[0] if at else VaultInstant(self._clock.now())

    def publish(
        self,
        name: str,
        value: SecretText,
        expires_on: datetime,
        tags: Mapping[str, str],
        content_type: str = CONTENT_TYPE,
    ) -> VersionSeen:
        self._pace.turn(self._clock, self._deadline)
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
        except AzureError as failure:
            raise _publish_failure(self._failure(f"write {name}", failure)) from None
        return _version_seen(secret.properties)

    def note(self, name: str, tags: Mapping[str, str]) -> VersionSeen:
        """Key Vault wants a value: it says where the facts are."""

        def attempt() -> KeyVaultSecret:
            told = dict(tags)
            return self._client.set_secret(name, "see the tags", content_type="text/plain", tags=told, **self._limits())

        return _version_seen(self._ask_again(f"write {name}", attempt).properties)

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

        def attempt() -> SecretProperties:
            return self._client.update_secret_properties(name, version.version, **facts, **self._limits())

        self._ask_again(f"change {name}", attempt)
        return replace(
            version,
            tags=version.tags if tags is None else dict(tags),
            expires_on=expires_on or version.expires_on,
        )

    def disable(self, name: str, version: str) -> None:
        def attempt() -> SecretProperties:
            return self._client.update_secret_properties(name, version, enabled=False, **self._limits())

        self._ask_again(f"change {name}", attempt)

    def is_deleted(self, name: str) -> bool | None:
        try:
            self._ask_again(
                f"look for {name} among the deleted", lambda: self._client.get_deleted_secret(name, **self._limits())
            )
        except Absent:
            return False
        except Denied:
            # Without the right to look, the write itself tells: it is refused with 409.
            return None
        return True

    def recover(self, name: str) -> None:
        def attempt() -> object:
            return self._client.begin_recover_deleted_secret(name, **self._limits())

        self._ask_again(f"recover {name}", attempt)
        # A recovered secret answers 404 for some seconds.
        give_up = self._clock.now() + RECOVERED_WITHIN
        while True:
            try:
                self.versions_or_raise(name)
            except Absent:
                if self._clock.now() >= give_up or self._deadline.passed():
                    raise
                self._clock.sleep(timedelta(seconds=2))
            else:
                return

    def versions_or_raise(self, name: str) -> None:
        self._ask_again(f"read {name}", lambda: self._client.get_secret(name, **self._limits()))

    def read(self, name: str) -> Credential:
        """A credential: see `ports.Credentials`."""
        secret = self._ask_again(f"read {name}", lambda: self._client.get_secret(name, **self._limits()))
        seen = secret.properties
        if not secret.value:
            raise Absent(Code.CREDENTIAL_UNREADABLE, f"The secret {name} in {self._host} is empty.", "Write its value.")
        return Credential(SecretText(secret.value), seen.version or "", seen.expires_on)

    def _ahead(self, date: str) -> timedelta:
        """The vault's clock minus ours; zero where its whole seconds cannot tell."""
        ahead = parsedate_to_datetime(date) - self._clock.now()
        return ahead if abs(ahead) > SAME_TIME else timedelta(0)

    def _limits(self) -> dict[str, Any]:
        connect, read = timeouts(self._deadline)
        return {"connection_timeout": connect, "read_timeout": read}

    def _ask_again(self, action: str, call: Callable[[], Answer]) -> Answer:
        def attempt() -> Answer | Later:
            try:
                return call()
            except AzureError as failure:
                known = self._failure(action, failure)
                if not isinstance(known, Busy | Unclear):
                    raise known from None
                headers = getattr(getattr(failure, "response", None), "headers", None) or {}
                return Later(known, retry_after(headers.get("Retry-After"), self._clock.now()))

        return patiently(self._clock, self._deadline, attempt)

    def _failure(self, action: str, failure: AzureError) -> PatrolError:
        """What a failed call means. Only codes are shown: the texts of 403 carry ids, a body may carry anything."""
        could_not = f"Key Vault {self._host}: could not {action}"
        status = getattr(failure, "status_code", None)
        if not isinstance(failure, HttpResponseError) or status is None:
            return _no_answer(could_not, failure)
        word = _word(failure)
        told = f"{could_not} (HTTP {status}{f' {word}' if word else ''})."
        if word == "SecretDisabled":
            return Denied(Code.DISABLED, told, "Enable the current version of the secret.")
        if status in (401, 403):
            return Denied(
                Code.VAULT_FORBIDDEN, told, _WRITE if action.startswith(("write", "change", "recover")) else _READ
            )
        # Anything else that answers 404 (a proxy, a wrong private endpoint) says nothing of the secret (rule 5).
        if status == 404 and word == "SecretNotFound":
            return Absent(Code.VAULT_REFUSED, told, "Create the secret, or correct its name in pats.yaml.")
        if status == 409:
            return Refused(Code.SECRET_DELETED, told, "Recover or purge the soft-deleted secret of that name.", word)
        if status == 429:
            return Busy(Code.VAULT_UNREACHABLE, told, "Nothing to do: the next run tries again.")
        if 400 <= status < 500 and status != 408:
            return Refused(
                Code.VAULT_REFUSED, told, "Check the secret's name and tags against Key Vault's limits.", word
            )
        return Unclear(Code.VAULT_UNCLEAR, told, _LATER)


def _entra_code(failure: ClientAuthenticationError) -> str:
    """Entra ID's number of a refusal; nothing else of the text, which quotes what was sent."""
    found = re.search(r"AADSTS\d{5,7}", str(failure))
    return f" ({found[0]})" if found else ""


def _no_answer(could_not: str, failure: AzureError) -> PatrolError:
    if isinstance(failure, ClientAuthenticationError):
        return Denied(
            Code.IDENTITY_UNAVAILABLE,
            f"{could_not}: no token for patrol's own identity{_entra_code(failure)}.",
            "Give the app its managed identity (AZURE_CLIENT_ID for a user-assigned one) or, on Kubernetes, a workload "
            "identity with a federated credential that fits; on a laptop sign in with `az login`.",
        )
    inner = getattr(failure, "inner_exception", None)
    cause = f"{could_not}: no answer ({type(inner or failure).__name__})."
    if inner is not None and never_sent(inner):
        return Busy(Code.VAULT_UNREACHABLE, cause, _LATER)
    return Unclear(Code.VAULT_UNCLEAR, cause, _LATER)


def _publish_failure(failure: PatrolError) -> PatrolError:
    if isinstance(failure, Denied):
        return Denied(Code.PUBLISH_FORBIDDEN, failure.cause, failure.remedy)
    if isinstance(failure, Refused) and failure.code is Code.SECRET_DELETED:
        return failure
    if isinstance(failure, Busy):
        return failure
    if isinstance(failure, NotDone):
        return Refused(Code.PUBLISH_REFUSED, failure.cause, failure.remedy)
    return Unclear(Code.PUBLISH_UNCLEAR, failure.cause, failure.remedy)


def _word(failure: HttpResponseError) -> str:
    """The service's own code, the inner one where there is one; only if it looks like a code."""
    error = failure.error
    inner = getattr(error, "innererror", None)
    word = (inner.get("code") if isinstance(inner, dict) else None) or getattr(error, "code", None) or ""
    return word if isinstance(word, str) and word.isalnum() else ""


def _secret_seen(row: SecretProperties) -> SecretSeen:
    return SecretSeen(
        name=row.name or "",
        enabled=row.enabled is not False,
        created=row.created_on or _unreadable("created"),
        expires_on=row.expires_on,
        content_type=row.content_type,
        tags=dict(row.tags or {}),
        version=row.version or "",
    )


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
    raise Unclear(Code.VAULT_UNCLEAR, f"Key Vault answered without `{what}`.", _LATER)
