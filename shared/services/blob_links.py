"""Links by which people enroll users, as blobs in the Functions host's storage, in the container `patrol-enroll`.

    <mark>/<SHA-256 of the ticket>    what redeeming the sign-in takes; gone when it was used, or, after its time, when
                                      the next link is made

A blob's name does not open what its ticket does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import requests
from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.storage.blob import BlobClient, ContentSettings

from shared.model.clock import Clock, Deadline, instant, read_instant
from shared.model.enrollment import Link, SignInPage
from shared.model.errors import Code, PatrolError
from shared.model.secret_text import SecretText
from shared.services import blob_containers
from shared.services.blob_containers import refused_with
from shared.services.host_storage import Storage

CONTAINER = "patrol-enroll"
KEPT = timedelta(hours=1)
"""Longer than any link is good: what is older is nobody's any more."""
_JSON = ContentSettings(content_type="application/json")

Answer = TypeVar("Answer")


class BlobLinks:
    """See `ports.Links`."""

    def __init__(
        self,
        storage: Storage,
        credential: TokenCredential,
        session: requests.Session,
        clock: Clock,
        deadline: Deadline,
        *,
        folder: str,
    ) -> None:
        self._container = blob_containers.container(storage, CONTAINER, credential, session)
        self._storage = storage
        self._clock = clock
        self._deadline = deadline
        self._folder = folder

    def keep(self, link: Link) -> None:
        body = json.dumps(_written(link)).encode()

        def write() -> None:
            self._ask(self._blob(link.page.state).upload_blob, data=body, overwrite=True, content_settings=_JSON)

        try:
            blob_containers.write(self._container, self._deadline, write)
        except Exception as failure:  # noqa: BLE001  # whatever the SDK makes of an odd answer
            raise self._failure(failure) from None
        with suppress(Exception):  # the next link's maker sweeps as well
            self._sweep()

    def look(self, ticket: str) -> Link | None:
        found = self._read(ticket)
        return None if found is None else found[0]

    def take(self, ticket: str) -> Link | None:
        found = self._read(ticket)
        if found is None:
            return None
        link, etag = found
        try:
            # Of two that come at one moment, one deletes it.
            self._ask(self._blob(ticket).delete_blob, etag=etag, match_condition=MatchConditions.IfNotModified)
        except Exception as failure:  # noqa: BLE001  # judged by its status
            if refused_with(failure, requests.codes.not_found, requests.codes.precondition_failed):
                return None
            raise self._failure(failure) from None
        return link

    def _read(self, ticket: str) -> tuple[Link, str] | None:
        try:
            found: Any = self._ask(self._blob(ticket).download_blob)
            link = _read(json.loads(found.readall()))
        except Exception as failure:  # noqa: BLE001  # judged by its status
            if refused_with(failure, requests.codes.not_found):
                return None
            raise self._failure(failure) from None
        return link, found.properties.etag

    def _sweep(self) -> None:
        over = self._clock.now() - KEPT
        for blob in self._ask(self._container.list_blobs, name_starts_with=f"{self._folder}/"):
            if blob.last_modified < over:
                self._ask(self._container.get_blob_client(blob.name).delete_blob)

    def _blob(self, ticket: str) -> BlobClient:
        name = hashlib.sha256(ticket.encode()).hexdigest()
        return self._container.get_blob_client(f"{self._folder}/{name}")

    def _ask(self, call: Callable[..., Answer], **given: Any) -> Answer:
        return call(**given, **blob_containers.limits(self._deadline))

    def _failure(self, failure: Exception) -> PatrolError:
        what, code = "links to enroll by", Code.LINK_UNKEPT
        return blob_containers.failed(self._container, self._storage, what, code, failure)


def _written(link: Link) -> dict[str, str]:
    page = link.page
    return {
        "username": link.username,
        "expires_at": f"{instant(link.expires_at)}",
        "redirect_uri": link.redirect_uri,
        "url": page.url,
        "state": page.state,
        "kept": page.kept.reveal(),
    }


def _read(raw: dict[str, str]) -> Link:
    page = SignInPage(raw["url"], raw["state"], SecretText(raw["kept"]))
    expires = read_instant(raw["expires_at"])
    if expires is None:
        raise ValueError("no instant")
    return Link(raw["username"], page, raw["redirect_uri"], expires)
