"""The inventory as blobs (azure-storage-blob), read with patrol's own identity at each run.

A process keeps what it read by its ETag, so that an instance with many messages of one run asks whether something
changed and reads nothing again. What cannot be had is told: a copy of before is never worked on instead, because what
was taken out of the inventory since, or who may write it, would not be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import requests
from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobPrefix, ContainerClient, LinearRetry

from shared.model.errors import Code, Misconfigured, PatrolError
from shared.model.inventory_files import LARGEST, MOST_BYTES, MOST_FILES, InventoryFile, InventoryFiles
from shared.model.secret_text import printable
from shared.services import answers, blob_containers
from shared.services.blob_address import BlobAddress
from shared.services.identity import NoToken, OwnIdentity
from shared.services.way_out import lost

ENDING = ".yaml"
TIMEOUTS: dict[str, Any] = {"connection_timeout": 5.0, "read_timeout": 10.0}
"""Seconds, of one attempt."""
ATTEMPTS = 3
_ROLE = (
    "Give patrol's identity the role Storage Blob Data Reader on that container (a new grant takes some minutes); "
    "docs/deploy.md says how."
)
_NETWORK = "Let patrol's network in: the storage account's network rules keep it out."


@dataclass(frozen=True, slots=True)
class _Kept:
    etag: str
    file: InventoryFile


class InventoryBlobs:
    """What one address holds, for a whole process. `wait`: seconds between attempts."""

    def __init__(
        self, address: BlobAddress, credential: TokenCredential, session: requests.Session, *, wait: int = 1
    ) -> None:
        self._address = address
        self._credential = OwnIdentity(credential)
        self._session = session
        self._wait = wait
        self._kept: dict[str, _Kept] = {}
        self._lock = Lock()

    def read(self) -> InventoryFiles:
        """As it is now. Raises Misconfigured: not there, not allowed, no answer, more than an inventory holds."""
        with self._lock:
            container = self._container()
            if not self._address.is_folder:
                return InventoryFiles(str(self._address), (self._one(container),), several=False)
            return InventoryFiles(str(self._address), tuple(self._each(container)), several=True)

    def _container(self) -> ContainerClient:
        return ContainerClient(
            self._address.account,
            self._address.container,
            credential=self._credential,
            transport=RequestsTransport(session=self._session, session_owner=False),
            # Reading may be repeated, and a run that does not begin is the next run's, hours later.
            retry_policy=LinearRetry(backoff=self._wait, retry_total=ATTEMPTS - 1, random_jitter_range=0),
            permit_redirects=False,
            max_single_get_size=LARGEST + 1,
        )

    def _one(self, container: ContainerClient) -> InventoryFile:
        name = self._address.blob
        try:
            file = self._downloaded(container, name, printable(self._address.name))
        except Exception as failure:  # noqa: BLE001  # whatever the SDK makes of an odd answer
            raise self._failed(failure) from None
        if file.text is None:
            raise Misconfigured(Code.INVENTORY_UNREADABLE, f"{self._address} {file.broken}.", "Correct the blob.")
        return file

    def _each(self, container: ContainerClient) -> Iterator[InventoryFile]:
        listed = self._listed(container)
        self._kept = {name: kept for name, kept in self._kept.items() if name in listed}
        for name, etag in listed.items():
            shown = printable(name.removeprefix(self._address.blob))
            kept = self._kept.get(name)
            if kept is not None and kept.etag == etag:
                yield kept.file
                continue
            try:
                yield self._downloaded(container, name, shown)
            except Exception as failure:  # noqa: BLE001  # as above
                # The others are there: this one's items are left as they are.
                yield InventoryFile(shown, None, _why(failure))

    def _listed(self, container: ContainerClient) -> dict[str, str]:
        """By name, in order, the ETag of each blob that is a file of this folder and of none below it."""
        found: dict[str, str] = {}
        size = 0
        try:
            for blob in container.walk_blobs(name_starts_with=self._address.blob or None, **TIMEOUTS):
                name = str(blob.name)
                if isinstance(blob, BlobPrefix) or not name.endswith(ENDING) or name.endswith(f"/{ENDING}"):
                    continue
                found[name] = str(blob.etag)
                size += int(blob.size or 0)
                self._check(len(found), size)
        except Misconfigured:
            raise
        except Exception as failure:  # noqa: BLE001  # as above
            raise self._failed(failure) from None
        return dict(sorted(found.items()))

    def _check(self, files: int, size: int) -> None:
        if files > MOST_FILES or size > MOST_BYTES:
            cause = f"{self._address} holds more than {MOST_FILES} files, or more than {MOST_BYTES / 1e6:.0f} MB."
            raise Misconfigured(Code.INVENTORY_UNREADABLE, cause, "Name a folder that holds the inventory alone.")

    def _downloaded(self, container: ContainerClient, name: str, shown: str) -> InventoryFile:
        """Raises what the SDK raises."""
        kept = self._kept.get(name)
        only: dict[str, Any] = {}
        if kept is not None:
            only = {"etag": kept.etag, "match_condition": MatchConditions.IfModified}
        try:
            found = container.download_blob(name, **only, **TIMEOUTS)
            too_large = found.size > LARGEST
            file = InventoryFile.too_large(shown, found.size) if too_large else InventoryFile.of(shown, found.readall())
        except Exception as failure:
            if kept is not None and _is_unchanged(failure):
                return kept.file
            raise
        self._kept[name] = _Kept(str(found.properties.etag), file)
        return file

    def _failed(self, failure: Exception) -> PatrolError:
        """Why there is no inventory, and what to do about it."""
        if isinstance(failure, NoToken):
            cause = f"{self._address} cannot be asked for: {failure.known.cause}"
            return Misconfigured(Code.INVENTORY_UNREADABLE, cause, failure.known.remedy)
        cause = f"{self._address} {_why(failure)}."
        return Misconfigured(Code.INVENTORY_UNREADABLE, cause, _remedy(failure))


def _is_unchanged(failure: Exception) -> bool:
    """Whether the storage itself says so: a cache in between may answer for it long after."""
    answer = _answer(failure)
    return (
        answer is not None
        and answer.status == requests.codes.not_modified
        and answer.headers.get("x-ms-error-code") == "ConditionNotMet"
    )


def _why(failure: Exception) -> str:
    """Why a blob could not be read, a part of a sentence; codes alone, as texts and bodies carry addresses."""
    said, answer = blob_containers.refusal(failure), _answer(failure)
    if said is not None:
        return f"was not given out (HTTP {said.status} {said.word})"
    if answer is not None:
        return f"was not given out ({answers.in_between(answer, 'the storage')})"
    if isinstance(failure, AzureError | OSError):
        return f"could not be read: {lost(_inner(failure)).cause}"
    return "was not given out: the answer was not in the storage's own words"


def _remedy(failure: Exception) -> str:
    said, answer = blob_containers.refusal(failure), _answer(failure)
    if said is None:
        if answer is None and isinstance(failure, AzureError | OSError) and (known := lost(_inner(failure)).remedy):
            return known
        if answer is not None and answer.status >= requests.codes.internal_server_error:
            return "Nothing to do if the next run succeeds; otherwise look at the storage account's health."
        return answers.look_between("the inventory's storage")
    if said.status == requests.codes.not_found:
        return f"Write it there, or correct PATS_FILE ({said.word})."
    if said.word == "AuthorizationFailure":
        return _NETWORK
    if said.status in (requests.codes.unauthorized, requests.codes.forbidden):
        return _ROLE
    return "Nothing to do if the next run succeeds; otherwise look that word up in the documentation of Azure Storage."


def _answer(failure: Exception) -> answers.Answer | None:
    return answers.Answer.of_sdk(failure) if isinstance(failure, HttpResponseError) else None


def _inner(failure: Exception) -> BaseException:
    return getattr(failure, "inner_exception", None) or failure
