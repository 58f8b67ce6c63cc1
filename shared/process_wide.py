"""What a process has once: sessions, whose connections outlive a run, and identities, which keep their tokens."""

from __future__ import annotations

from functools import cache
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential

from shared.services.identity import OwnIdentity, own_identity
from shared.services.transport import READ_TIMEOUT, session

CONNECTIONS = 64
"""To each host. Requests to the HTTP API run side by side and share them: a pool that is too small throws some away."""


@cache
def shared_session(of: str) -> requests.Session:  # noqa: ARG001  # `of` is a part of the cache's key
    """One for each purpose."""
    return session(CONNECTIONS)


@cache
def app_identity(http: requests.Session, by_environment: bool, client_has_secret: bool) -> OwnIdentity:
    """Who opens the vaults; a message of the queue need not ask for its tokens again. Raises Misconfigured."""
    patience = _patience(http)
    return OwnIdentity(own_identity(by_environment=by_environment, client_has_secret=client_has_secret, **patience))


@cache
def managed_identity(http: requests.Session, client_id: str | None) -> TokenCredential:
    """The same of an identity that opens the host's storage, or signs in for the app registration."""
    # Its endpoint is on this machine. Where there is none (a laptop), azure-core would wait for 300 seconds.
    near = _patience(http, connection_timeout=2, read_timeout=READ_TIMEOUT)
    return ManagedIdentityCredential(client_id=client_id, **near)


def _patience(http: requests.Session, **timeouts: float) -> dict[str, Any]:
    """How azure-identity asks for tokens."""
    transport = RequestsTransport(session=http, session_owner=False, **timeouts)
    return {"transport": transport, "retry_total": 2, "retry_backoff_max": 5}
