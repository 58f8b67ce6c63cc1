"""The blob containers of the host's storage (azure-storage-blob), and what their failures mean."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient

from shared.model.clock import Deadline
from shared.model.errors import Code, Denied, PatrolError, Unclear
from shared.services import answers
from shared.services.host_storage import ByConnectionString, ByIdentity, Storage
from shared.services.identity import NoToken, OwnIdentity
from shared.services.transport import timeouts
from shared.services.way_out import lost

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 10.0

_KEY = "Correct the key or signature in AzureWebJobsStorage, or look at the account's network rules."
_ROLE = (
    "Give patrol's identity the role Storage Blob Data Owner on the storage account (a new grant takes some minutes), "
    "or look at the account's network rules."
)


def container(storage: Storage, name: str, credential: TokenCredential, session: requests.Session) -> ContainerClient:
    """One container, opened as the host opens its storage."""
    # The SDK's own retries are off: a run has no time for them, and goes on without.
    given: dict[str, Any] = {
        "transport": RequestsTransport(session=session, session_owner=False),
        "retry_total": 0,
        "permit_redirects": False,
    }
    if isinstance(storage, ByConnectionString):
        return ContainerClient.from_connection_string(storage.text.reveal(), name, **given)
    return ContainerClient(storage.blob_url, name, credential=OwnIdentity(credential), **given)


def write(container: ContainerClient, deadline: Deadline, call: Callable[[], object]) -> None:
    """Do `call`, and make the container first where it is not there. Raises what the SDK raises."""
    try:
        call()
    except Exception as failure:
        if not refused_with(failure, requests.codes.not_found):
            raise
    else:
        return
    with suppress(Exception):  # another made it, or the next call says why not
        container.create_container(**limits(deadline))
    call()


def limits(deadline: Deadline) -> dict[str, Any]:
    """How long one call may take."""
    connect, read = timeouts(deadline)
    return {"connection_timeout": min(connect, CONNECT_TIMEOUT), "read_timeout": min(read, READ_TIMEOUT)}


def refusal(failure: Exception) -> answers.Refusal | None:
    """A refusal in the storage's own words; None for anything else, whatever its status."""
    answer = _answer(failure)
    return None if answer is None else answers.storage(answer)


def refused_with(failure: Exception, *statuses: int) -> bool:
    """Whether the storage itself refused with one of `statuses`."""
    said = refusal(failure)
    return said is not None and said.status in statuses


def cause(host: str | None, what: str, failure: Exception) -> str:
    """Why the storage did not do `what`. Only codes are shown: texts and bodies carry addresses with signatures."""
    if isinstance(failure, NoToken | PatrolError):
        known = failure.known if isinstance(failure, NoToken) else failure
        return f"The host's storage {host} cannot be asked for {what}: {known.cause}"
    answer = _answer(failure)
    if answer is not None:
        said = answers.storage(answer)
        how = f"HTTP {said.status} {said.word}" if said is not None else answers.in_between(answer, "the storage")
        return f"The host's storage {host} does not serve {what} ({how})."
    if isinstance(failure, ClientAuthenticationError):
        return f"The host's storage {host} cannot be asked for {what}: no signature could be made."
    inner = getattr(failure, "inner_exception", None) or failure
    return f"The host's storage {host} could not be asked for {what}: {lost(inner).cause}."


def failed(container: ContainerClient, storage: Storage, what: str, code: Code, failure: Exception) -> PatrolError:
    """Denied for a refusal, Unclear for anything else."""
    refused = isinstance(failure, NoToken) or refusal(failure) is not None
    kind = Denied if refused else Unclear
    return kind(code, cause(container.primary_hostname, what, failure), remedy(storage, failure))


def remedy(storage: Storage, failure: Exception) -> str:
    """What an operator can do about `failure`, of the storage or on the way to it."""
    if isinstance(failure, NoToken | PatrolError):
        return (failure.known if isinstance(failure, NoToken) else failure).remedy
    answer = _answer(failure)
    said = None if answer is None else answers.storage(answer)
    if said is not None and said.word == "AuthorizationFailure" and isinstance(storage, ByIdentity):
        return "Let patrol's network in: the storage account's network rules keep it out."
    if (said is not None and said.status in (401, 403)) or (
        answer is None and isinstance(failure, ClientAuthenticationError)
    ):
        return _KEY if isinstance(storage, ByConnectionString) else _ROLE
    if answer is not None and said is None and answer.status < 500:
        return answers.look_between("the host's storage")
    inner = getattr(failure, "inner_exception", None) or failure
    known = "" if answer is not None else lost(inner).remedy
    return known or "Nothing to do if it passes; otherwise look at the storage account's health and network rules."


def _answer(failure: Exception) -> answers.Answer | None:
    return answers.Answer.of_sdk(failure) if isinstance(failure, HttpResponseError) else None
