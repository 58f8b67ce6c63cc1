"""What recipients were told, as one blob in the Functions host's storage, in the container `patrol-notices`.

<mark>/told.json    changed only by a write that names the version it was read as (ETag): of two runs that write
                    at one moment one is refused, and reads again
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import requests
from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.storage.blob import BlobClient, ContentSettings

from shared.model.clock import Deadline
from shared.model.errors import Code, NotDone, PatrolError
from shared.report.told import Memory, memory_json, read_memory
from shared.services import blob_containers
from shared.services.blob_containers import refused_with
from shared.services.host_storage import Storage

CONTAINER = "patrol-notices"
# Somebody wrote before: for a blob that is there the one, for one that was not the other.
_BEFORE = (requests.codes.conflict, requests.codes.precondition_failed)
_JSON = ContentSettings(content_type="application/json")

Answer = TypeVar("Answer")


class BlobTold:
    """See `told.ToldBefore`."""

    def __init__(
        self,
        storage: Storage,
        credential: TokenCredential,
        session: requests.Session,
        deadline: Deadline,
        *,
        folder: str,
    ) -> None:
        self._container = blob_containers.container(storage, CONTAINER, credential, session)
        self._storage = storage
        self._deadline = deadline
        self._name = f"{folder}/told.json"

    def read(self) -> tuple[Memory, str]:
        try:
            found: Any = self._ask(self._blob().download_blob)
            body = found.readall()
        except Exception as failure:  # noqa: BLE001  # judged by its status
            if refused_with(failure, requests.codes.not_found):
                return Memory(), ""
            raise self._failure(failure) from None
        try:
            return read_memory(json.loads(body)), found.properties.etag
        except (AttributeError, KeyError, TypeError, ValueError):
            says = f"What was told to recipients ({CONTAINER}/{self._name}) is not readable."
            remedy = "Delete that blob: what is open is told once more, and remembered from then on."
            raise NotDone(Code.NOTICES_UNKEPT, says, remedy) from None

    def write(self, memory: Memory, read_as: str) -> bool:
        body = json.dumps(memory_json(memory)).encode()
        only = (
            {"etag": read_as, "match_condition": MatchConditions.IfNotModified}
            if read_as
            else {"match_condition": MatchConditions.IfMissing}
        )

        def write() -> None:
            self._ask(self._blob().upload_blob, data=body, overwrite=bool(read_as), content_settings=_JSON, **only)

        try:
            blob_containers.write(self._container, self._deadline, write)
        except Exception as failure:  # noqa: BLE001  # whatever the SDK makes of an odd answer
            if refused_with(failure, *_BEFORE):
                return False
            raise self._failure(failure) from None
        return True

    def _blob(self) -> BlobClient:
        return self._container.get_blob_client(self._name)

    def _ask(self, call: Callable[..., Answer], **given: Any) -> Answer:
        return call(**given, **blob_containers.limits(self._deadline))

    def _failure(self, failure: Exception) -> PatrolError:
        what, code = "what recipients were told", Code.NOTICES_UNKEPT
        return blob_containers.failed(self._container, self._storage, what, code, failure)
