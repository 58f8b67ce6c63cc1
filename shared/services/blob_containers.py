"""The blob containers of the host's storage (azure-storage-blob), and what their failures mean."""

from __future__ import annotations

from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient

from shared.model.clock import Deadline
from shared.services.host_storage import ByConnectionString, Storage
from shared.services.transport import timeouts

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 10.0


def container(storage: Storage, name: str, credential: TokenCredential, session: requests.Session) -> ContainerClient:
    """One container, opened as the host opens its storage."""
    # The SDK's own retries are off: a run has no time for them, and goes on without.
    given: dict[str, Any] = {
        "transport": RequestsTransport(session=session, session_owner=False),
        "retry_total": 0,
    }
    if isinstance(storage, ByConnectionString):
        return ContainerClient.from_connection_string(storage.text.reveal(), name, **given)
    return ContainerClient(storage.blob_url, name, credential=credential, **given)


def limits(deadline: Deadline) -> dict[str, float]:
    """How long one call may take."""
    connect, read = timeouts(deadline)
    return {"connection_timeout": min(connect, CONNECT_TIMEOUT), "read_timeout": min(read, READ_TIMEOUT)}


def word(failure: Exception) -> str:
    """The service's own code; only if it looks like one."""
    code = getattr(failure, "error_code", None)
    text = getattr(code, "value", code)
    return text if isinstance(text, str) and text.isalnum() else ""


def cause(host: str | None, what: str, failure: Exception) -> str:
    """Why the storage did not do `what`. Only codes are shown: texts and bodies carry addresses with signatures."""
    status = getattr(failure, "status_code", None)
    if isinstance(status, int):
        return f"The host's storage {host} does not serve {what} (HTTP {f'{status} {word(failure)}'.strip()})."
    if isinstance(failure, ClientAuthenticationError):
        return f"The host's storage {host} cannot be asked for {what}: no token or signature could be made."
    inner = getattr(failure, "inner_exception", None) or failure
    return f"The host's storage {host} gave no answer to a request for {what} ({type(inner).__name__})."


def remedy(storage: Storage, failure: Exception) -> str:
    status = getattr(failure, "status_code", None)
    if status not in (401, 403) and not isinstance(failure, ClientAuthenticationError):
        return "Nothing to do if it passes; otherwise look at the storage account's health and network rules."
    if isinstance(storage, ByConnectionString):
        return "Correct the key or signature in AzureWebJobsStorage, or look at the account's network rules."
    return (
        "Give patrol's identity the role Storage Blob Data Owner on the storage account (a new grant takes some "
        "minutes), or look at the account's network rules."
    )
