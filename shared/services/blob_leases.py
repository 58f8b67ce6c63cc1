"""Single flight across instances: a lease on one blob for each item, in the Functions host's storage.

The blob is empty. Its Last-Modified says when the item was last worked on, its metadata who works on it. A holder that
died frees the item when its lease expires. Nothing depends on the storage: without an answer a run goes on without
leases, because the engine converges without them. Source: REST reference, Lease Blob.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Lock, Thread
from typing import Any, TypeVar

import requests
from azure.core.credentials import TokenCredential
from azure.storage.blob import BlobClient, BlobLeaseClient

from shared.model.clock import Clock, Deadline
from shared.model.ports import Events
from shared.model.single_flight import Turn, Unwatched, ask_until, held_elsewhere
from shared.services import blob_containers
from shared.services.answers import Refusal
from shared.services.host_storage import Storage
from shared.services.transport import read_date

CONTAINER = "patrol-leases"
LEASE_SECONDS = 30
"""The service grants 15 to 60. A request waits this long for a holder that died, and has time left to work."""
TICK = 5.0

# The storage judged the request by the state of the blob or its lease: all else is a storage that does not serve us.
_STATE = frozenset({404, 409, 412})
_HELD = frozenset({"LeaseAlreadyPresent", "LeaseIsBreakingAndCannotBeAcquired"})
_LOOK_AGAIN = timedelta(0)
_WHOLE_SECOND = timedelta(seconds=1)

Answer = TypeVar("Answer")


class _Refused(Exception):
    """The storage judged the state of the blob or its lease, in its own words; `made_of` is the SDK's failure."""

    def __init__(self, refusal: Refusal, made_of: Exception) -> None:
        super().__init__(refusal.status, refusal.word)
        self.status_code = refusal.status
        self.error_code = refusal.word
        self.made_of = made_of


class _Unavailable(Exception):
    """Already told."""


class BlobLeases:
    """`ports.SingleFlight` of one run. Quick turns cost three calls: acquire, worked, release.

    `folder` and `holder`: under which names blobs are kept, and this runner is shown to others.
    """

    def __init__(
        self,
        storage: Storage,
        credential: TokenCredential,
        session: requests.Session,
        clock: Clock,
        deadline: Deadline,
        tell: Events,
        *,
        folder: str,
        holder: str,
        seconds: int = LEASE_SECONDS,
        tick: float = TICK,
    ) -> None:
        self._container = blob_containers.container(storage, CONTAINER, credential, session)
        self._storage = storage
        self._clock = clock
        self._deadline = deadline
        self._tell = tell
        self._folder = folder
        self._holder = holder
        self._seconds = seconds
        self._tick = tick
        self._lock = Lock()
        self._off = False
        self._held: list[_Held] = []
        self._keeper: Thread | None = None

    @contextmanager
    def take(self, secret: str, until: Deadline) -> Iterator[Turn]:
        blob = self._container.get_blob_client(f"{self._folder}/{secret.casefold()}")
        waited = False

        def ask() -> Turn | None:
            nonlocal waited
            try:
                held = self._acquire(secret, blob)
            except _Unavailable:
                return Unwatched(_LOOK_AGAIN)
            if held is not None and waited:
                # Whoever had it may have died before saying that it worked.
                held.idle_for = _LOOK_AGAIN
            waited = True
            return held

        turn = ask_until(self._clock, until, ask)
        if turn is None:
            raise held_elsewhere(*self._holder_of(blob))
        try:
            if isinstance(turn, _Held):
                self._keep(turn)
            yield turn
        finally:
            if isinstance(turn, _Held):
                self._leave(turn)

    # what a turn and its keeper ask for

    def call(self, ask: Callable[..., Answer], **given: Any) -> Answer:
        """Ask the storage once. Raises _Refused, or _Unavailable: then it is not asked again in this run."""
        if self._off:
            raise _Unavailable
        try:
            return ask(**given, **blob_containers.limits(self._deadline))
        except Exception as failure:  # noqa: BLE001  # whatever the SDK makes of an odd answer, rotation goes on
            refusal = blob_containers.refusal(failure)
            if refusal is not None and refusal.status in _STATE:
                raise _Refused(refusal, failure) from None
            raise self._given_up(failure) from None

    def lost(self, secret: str) -> None:
        says = (
            f"{secret}: the lease on it was lost while it was worked on, so another runner may have begun. Nothing to "
            "do: what both did is told apart by the next run."
        )
        self._tell("lease.lost", secret=secret, says=says)

    @property
    def name(self) -> str:
        return self._holder

    @property
    def renew_after(self) -> float:
        return self._seconds / 3

    @property
    def name_after(self) -> float:
        """Most turns are over sooner, and their holder need not be written."""
        return self._tick

    def _acquire(self, secret: str, blob: BlobClient) -> _Held | None:
        """None: another holds it."""
        headers: dict[str, str] = {}

        def look(response: Any) -> None:
            headers.update({name.lower(): value for name, value in response.http_response.headers.items()})

        lease = BlobLeaseClient(blob)
        began, made = time.monotonic(), None
        acquire = partial(self.call, lease.acquire, lease_duration=self._seconds, raw_response_hook=look)
        try:
            try:
                acquire()
            except _Refused as refused:
                if refused.status_code != 404:
                    raise
                made = self._make(blob)
                acquire()
        except _Refused as refused:
            if refused.error_code in _HELD:
                return None
            raise self._given_up(refused.made_of) from None
        date, modified = read_date(headers.get("date")), read_date(headers.get("last-modified"))
        idle = None if made is not None and lease.etag == made else _idle(date, modified)
        return _Held(self, secret, blob, lease, date or self._clock.now(), began, idle)

    def _make(self, blob: BlobClient) -> str | None:
        """Make the blob, and the container before it; gives the blob's ETag, None when another made it."""
        for _ in range(2):
            try:
                return str(self.call(blob.upload_blob, data=b"", length=0, overwrite=False)["etag"])
            except _Refused as refused:
                if refused.status_code != 404:
                    return None
            with suppress(_Refused):
                self.call(self._container.create_container)
        return None

    def _holder_of(self, blob: BlobClient) -> tuple[str | None, str | None]:
        try:
            metadata = self.call(blob.get_blob_properties).metadata or {}
        except (_Refused, _Unavailable):
            metadata = {}
        return _printable(metadata.get("holder")), _printable(metadata.get("since"))

    def _keep(self, held: _Held) -> None:
        with self._lock:
            self._held.append(held)
            if self._keeper is None:
                self._keeper = Thread(target=self._keep_all, name="leases", daemon=True)
                self._keeper.start()

    def _keep_all(self) -> None:
        while True:
            time.sleep(self._tick)
            with self._lock:
                # After the deadline nobody waits for what is under way any more: an abandoned request must not keep an
                # item from others.
                if self._off or self._deadline.left() <= timedelta(0):
                    self._held.clear()
                held = list(self._held)
                if not held:
                    self._keeper = None
                    return
            for one in held:
                one.keep()

    def _leave(self, held: _Held) -> None:
        with self._lock:
            if held in self._held:
                self._held.remove(held)
        held.release()

    def _given_up(self, failure: Exception) -> _Unavailable:
        with self._lock:
            first, self._off = not self._off, True
        if first:
            cause = blob_containers.cause(self._container.primary_hostname, "leases", failure)
            remedy = blob_containers.remedy(self._storage, failure)
            says = f"{cause} Items go on without leases in this run. {remedy}"
            self._tell("lease.unavailable", says=says)
        return _Unavailable()


@dataclass(slots=True, eq=False)
class _Held:
    """A turn: one lease that is held. The keeper's calls and the runner's own never cross."""

    leases: BlobLeases
    secret: str
    blob: BlobClient
    lease: BlobLeaseClient
    since: datetime
    renewed: float
    idle_for: timedelta | None
    taken: float = field(init=False)
    lock: Lock = field(default_factory=Lock)
    over: bool = False
    done: bool = False
    named: bool = False

    def __post_init__(self) -> None:
        self.taken = self.renewed

    def idle(self) -> timedelta | None:
        return self.idle_for

    def worked(self) -> None:
        with self.lock:
            self.done = True
            self._write({})

    def keep(self) -> None:
        """Renew the lease when it is time, and write who holds it once it was held for a while."""
        with self.lock:
            now = time.monotonic()
            if not self.over and now - self.renewed >= self.leases.renew_after:
                self._do(self.lease.renew)
                self.renewed = now
            if not self.over and not self.done and not self.named and now - self.taken >= self.leases.name_after:
                self._write({"holder": self.leases.name, "since": self.since.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def release(self) -> None:
        with self.lock:
            if self.named:
                self._write({})
            self._do(self.lease.release)
            self.over = True

    def _write(self, metadata: dict[str, str]) -> None:
        self._do(self.blob.set_blob_metadata, metadata=metadata, lease=self.lease)
        self.named = bool(metadata)

    def _do(self, ask: Callable[..., object], **given: Any) -> None:
        if self.over:
            return
        try:
            self.leases.call(ask, **given)
        except _Unavailable:
            self.over = True
        except _Refused:
            self.over = True
            self.leases.lost(self.secret)


def _idle(date: datetime | None, modified: datetime | None) -> timedelta:
    """Both by the storage's clock, in whole seconds: a second is taken off so that it is never too long."""
    if date is None or modified is None:
        return _LOOK_AGAIN
    return max(_LOOK_AGAIN, date - modified - _WHOLE_SECOND)


def _printable(text: str | None) -> str | None:
    return text[:100] if text and text.isprintable() else None
