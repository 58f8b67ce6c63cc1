"""The Functions host's queue extension on localhost: triggers and outputs, as host.json says (azure-storage-queue).

As the host does: base64 messages, and what is not base64 goes to `<queue>-poison` as it is; `batchSize` fetched at
once, the next when `newBatchThreshold` are left; a message in hand is invisible for `lock`, renewed at half of it (10
minutes in the real host); a function that raises leaves its message invisible for `visibilityTimeout`; after
`maxDequeueCount` deliveries it goes to `<queue>-poison`, also when the last of them never ended. Unlike the host, an
empty queue is asked every `IDLE` seconds, however long it has been empty.
Source: Azure Functions, "Azure Queue storage trigger", and the host's storage extension (QueueListener and
QueueProcessor).
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import azure.functions as func
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ManagedIdentityCredential
from azure.storage.queue import QueueClient, QueueServiceClient

LOGGER = logging.getLogger("host")
IDLE = 0.2
MOST_IN_AN_ANSWER = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """`extensions.queues` of host.json; the host's own defaults."""

    batch: int = 16
    threshold: int = 8
    hidden_after_failure: float = 0.0
    deliveries: int = 5
    lock: float = 600.0

    @classmethod
    def of(cls, host_json: Mapping[str, Any], lock: float = 600.0) -> Limits:
        found = host_json.get("extensions", {}).get("queues", {})
        batch = int(found.get("batchSize", 16))
        hidden = _seconds(found.get("visibilityTimeout", "00:00:00"))
        return cls(
            batch, int(found.get("newBatchThreshold", batch // 2)), hidden, found.get("maxDequeueCount", 5), lock
        )


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds)).total_seconds()


def service(environ: Mapping[str, str]) -> QueueServiceClient | None:
    """The host's storage by `AzureWebJobsStorage…`; None where there is none."""
    account = environ.get("AzureWebJobsStorage__accountName")
    if account:
        return QueueServiceClient(f"https://{account}.queue.core.windows.net", credential=ManagedIdentityCredential())
    text = environ.get("AzureWebJobsStorage")
    return QueueServiceClient.from_connection_string(text) if text else None


class Queues:
    """Queues by name, made when they are first used."""

    def __init__(self, storage: QueueServiceClient) -> None:
        self._storage = storage
        self._made: dict[str, QueueClient] = {}
        self._lock = threading.Lock()

    def named(self, name: str) -> QueueClient:
        with self._lock:
            if name not in self._made:
                client = self._storage.get_queue_client(name)
                with suppress(ResourceExistsError):
                    client.create_queue()
                self._made[name] = client
            return self._made[name]

    def send(self, name: str, messages: list[str]) -> None:
        for one in messages:
            self.send_one(name, one)

    def send_one(self, name: str, message: str) -> str:
        """Gives the message's id."""
        sent = self.named(name).send_message(base64.b64encode(message.encode()).decode())
        return str(sent.id)

    def text(self, message: Any) -> str:
        """What was sent. Raises ValueError for what is not base64."""
        return base64.b64decode(message.content, validate=True).decode()


class Trigger:
    """Works one queue off until it is stopped: `run` is the function, and raises when it fails."""

    def __init__(self, queues: Queues, name: str, limits: Limits, run: Callable[[func.QueueMessage], None]) -> None:
        self._queues = queues
        self._name = name
        self._limits = limits
        self._run = run
        self._stopped = threading.Event()
        self._in_hand = 0
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(limits.batch + limits.threshold, thread_name_prefix=name)

    def start(self) -> None:
        threading.Thread(target=self._fetch, name=f"{self._name}-fetch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _fetch(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._in_hand <= self._limits.threshold, timeout=1)
                if self._in_hand > self._limits.threshold:
                    continue
            found = self._receive()
            if not found:
                self._stopped.wait(IDLE)
                continue
            for queue, one in found:
                with self._changed:
                    self._in_hand += 1
                self._pool.submit(self._deliver, queue, one)

    def _receive(self) -> list[tuple[QueueClient, Any]]:
        most = min(self._limits.batch, MOST_IN_AN_ANSWER)
        try:
            queue = self._queues.named(self._name)
            # One answer, as the host asks for: the SDK would go on until it has `max_messages`.
            pages = queue.receive_messages(
                messages_per_page=most, max_messages=most, visibility_timeout=round(self._limits.lock)
            ).by_page()
            return [(queue, one) for one in next(pages, [])]
        except AzureError as problem:
            LOGGER.warning("%s: no answer from the queue (%s)", self._name, type(problem).__name__)
            return []

    def _deliver(self, queue: QueueClient, message: Any) -> None:
        renewing = _Renewed(queue, message, self._limits.lock)
        try:
            body = _decoded(message.content)
            if body is None or message.dequeue_count > self._limits.deliveries:
                renewing.end()
                self._set_aside(queue, message, renewing.receipt)
                return
            LOGGER.info("%s: message %s, delivery %s", self._name, message.id, message.dequeue_count)
            try:
                self._run(Delivered(message, body))
            except Exception as problem:  # noqa: BLE001  # whatever the function raises fails its invocation
                LOGGER.error("%s failed: %s: %s", self._name, type(problem).__name__, problem)
                renewing.end()
                self._failed(queue, message, renewing.receipt)
            else:
                renewing.end()
                queue.delete_message(message.id, renewing.receipt)
        except ResourceNotFoundError:
            LOGGER.warning("%s: a message was delivered again meanwhile", self._name)
        except AzureError as problem:
            LOGGER.warning("%s: no answer from the queue (%s)", self._name, type(problem).__name__)
        finally:
            renewing.end()
            with self._changed:
                self._in_hand -= 1
                self._changed.notify_all()

    def _failed(self, queue: QueueClient, message: Any, receipt: str) -> None:
        if message.dequeue_count >= self._limits.deliveries:
            self._set_aside(queue, message, receipt)
            return
        queue.update_message(message.id, receipt, visibility_timeout=round(self._limits.hidden_after_failure))

    def _set_aside(self, queue: QueueClient, message: Any, receipt: str) -> None:
        self._queues.named(f"{self._name}-poison").send_message(message.content)
        queue.delete_message(message.id, receipt)


def _decoded(content: str) -> bytes | None:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return None


class _Renewed:
    """Keeps a message that is in hand invisible to others."""

    def __init__(self, queue: QueueClient, message: Any, lock: float) -> None:
        self._queue = queue
        self._message = message
        self._lock = lock
        self.receipt = message.pop_receipt
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._over.wait(self._lock / 2):
            try:
                changed = self._queue.update_message(
                    self._message.id, self.receipt, visibility_timeout=round(self._lock)
                )
                self.receipt = changed.pop_receipt
            except AzureError:
                return


class Delivered(func.QueueMessage):
    """As the worker hands it over, with what the trigger's metadata tell."""

    def __init__(self, message: Any, body: bytes) -> None:
        super().__init__(id=message.id, body=body, pop_receipt=message.pop_receipt)
        self._count: int = message.dequeue_count

    @property
    def dequeue_count(self) -> int:
        return self._count


def wait_until_empty(queues: Queues, name: str, within: float) -> bool:
    """Whether nothing is left within so many seconds, by the service's own count (invisible messages included)."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if queues.named(name).get_queue_properties().approximate_message_count == 0:
            return True
        time.sleep(0.2)
    return False
