"""The stand-in for the host's queue extension, held to what the real one does, over Azurite."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import azure.functions as func
import pytest
from azure.storage.queue import QueueServiceClient

from sandbox.functions_host.azurite import azurite
from sandbox.functions_host.host import Function, Host, Keys
from sandbox.functions_host.queue_trigger import Limits, Queues, Trigger, wait_until_empty
from sandbox.process.running import ROOT

WITHIN = 30.0
QUICK = Limits(batch=4, threshold=2, hidden_after_failure=1, deliveries=5, lock=60)


@pytest.fixture(scope="module")
def storage(npm: None) -> Iterator[QueueServiceClient]:
    with azurite() as running:
        yield QueueServiceClient.from_connection_string(running.connection_string)


@dataclass
class Desk:
    """One queue of its own, and what its function was given."""

    queues: Queues
    name: str = field(default_factory=lambda: f"q-{uuid.uuid4().hex}")
    seen: list[tuple[str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, message: func.QueueMessage) -> None:
        body = message.get_body().decode()
        with self.lock:
            self.seen.append((body, message.dequeue_count or 0))

    @contextmanager
    def working(self, run: Callable[[func.QueueMessage], None], limits: Limits = QUICK) -> Iterator[Trigger]:
        trigger = Trigger(self.queues, self.name, limits, run)
        trigger.start()
        try:
            yield trigger
        finally:
            trigger.stop()

    def poison(self) -> list[str]:
        return [one.content for one in self.queues.named(f"{self.name}-poison").peek_messages(max_messages=32)]

    def left(self) -> int:
        """Messages in the queue, invisible ones too."""
        return int(self.queues.named(self.name).get_queue_properties().approximate_message_count or 0)


@pytest.fixture
def desk(storage: QueueServiceClient) -> Desk:
    return Desk(Queues(storage))


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_what_succeeds_is_delivered_once_and_deleted(desk: Desk) -> None:
    desk.queues.send(desk.name, ["a", "b", "ä"])
    with desk.working(desk.note):
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    assert sorted(desk.seen) == [("a", 1), ("b", 1), ("ä", 1)]
    assert desk.poison() == []


def test_messages_are_base64_as_the_host_expects(desk: Desk) -> None:
    desk.queues.send(desk.name, ['{"a": "ä"}'])
    (raw,) = desk.queues.named(desk.name).peek_messages()
    assert raw.content == encoded('{"a": "ä"}')


def test_what_fails_is_hidden_for_the_visibility_timeout_and_then_comes_again(desk: Desk) -> None:
    at: list[float] = []

    def fails_once(message: func.QueueMessage) -> None:
        at.append(time.monotonic())
        desk.note(message)
        if len(at) == 1:
            raise ValueError("not yet")

    desk.queues.send(desk.name, ["a"])
    with desk.working(fails_once, Limits(4, 2, hidden_after_failure=2, lock=60)):
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    assert desk.seen == [("a", 1), ("a", 2)]
    assert at[1] - at[0] >= 1, "the service counts whole seconds"


def test_after_five_failures_a_message_goes_to_the_poison_queue_as_it_was(desk: Desk) -> None:
    def fails(message: func.QueueMessage) -> None:
        desk.note(message)
        raise ValueError("never")

    desk.queues.send(desk.name, ["a"])
    with desk.working(fails, Limits(4, 2, hidden_after_failure=0, deliveries=5, lock=60)):
        eventually(lambda: bool(desk.poison()))
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    assert desk.seen == [("a", delivery) for delivery in range(1, 6)]
    assert desk.poison() == [encoded("a")]


def test_a_message_whose_last_delivery_never_ended_is_set_aside_without_a_sixth(desk: Desk) -> None:
    desk.queues.send(desk.name, ["a"])
    queue = desk.queues.named(desk.name)
    for _ in range(5):
        (taken,) = queue.receive_messages(visibility_timeout=60)
        queue.update_message(taken.id, taken.pop_receipt, visibility_timeout=0)
    with desk.working(desk.note):
        eventually(lambda: desk.left() == 0)
    assert desk.seen == []
    assert desk.poison() == [encoded("a")]


def test_what_is_not_base64_is_set_aside_as_it_is_and_holds_back_nothing(desk: Desk) -> None:
    queue = desk.queues.named(desk.name)
    queue.send_message("no base64 <at> all!")
    desk.queues.send(desk.name, ["a"])
    with desk.working(desk.note):
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    assert desk.seen == [("a", 1)]
    assert desk.poison() == ["no base64 <at> all!"]


def test_no_more_are_in_hand_than_batch_and_threshold_together(desk: Desk) -> None:
    running, most, gate = [0], [0], threading.Event()

    def slow(message: func.QueueMessage) -> None:
        desk.note(message)
        with desk.lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(WITHIN)
        with desk.lock:
            running[0] -= 1

    desk.queues.send(desk.name, [str(number) for number in range(20)])
    with desk.working(slow, Limits(batch=4, threshold=2, lock=60)):
        # The first four are more than two: no second batch before two of them have ended.
        eventually(lambda: running[0] == 4)
        time.sleep(0.5)
        assert running[0] == 4
        gate.set()
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    assert most[0] <= 6
    assert len(desk.seen) == 20


def test_a_message_in_hand_stays_invisible_for_as_long_as_its_function_runs(desk: Desk) -> None:
    gate = threading.Event()

    def slow(message: func.QueueMessage) -> None:
        desk.note(message)
        gate.wait(WITHIN)

    desk.queues.send(desk.name, ["a"])
    with desk.working(slow, Limits(4, 2, lock=2)):
        eventually(lambda: bool(desk.seen))
        time.sleep(4)
        assert list(desk.queues.named(desk.name).receive_messages()) == []
        gate.set()
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    assert desk.seen == [("a", 1)]


def test_a_message_of_an_instance_that_died_comes_again_after_its_lock(desk: Desk) -> None:
    desk.queues.send(desk.name, ["a"])
    (_,) = desk.queues.named(desk.name).receive_messages(visibility_timeout=1)
    with desk.working(desk.note):
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    assert desk.seen == [("a", 2)]


# --- outputs ----------------------------------------------------------------------------------------------------------


def passing_on(message: func.QueueMessage, more: func.Out[Any]) -> None:
    body = message.get_body().decode()
    more.set([f"{body}-1", f"{body}-2"])
    if body == "bad" and message.dequeue_count == 1:
        raise ValueError("after it had set its output")


def test_outputs_are_sent_when_the_function_returns_and_never_when_it_raises(desk: Desk) -> None:
    trigger = {"type": "queueTrigger", "queueName": desk.name, "name": "message"}
    function = Function("passing_on", trigger, passing_on, {"more": f"{desk.name}-out"})
    host = Host({"passing_on": function}, Keys({}, "", ""), send=desk.queues.send)
    (made,) = host.triggers(desk.queues, QUICK)
    desk.queues.send(desk.name, ["good", "bad"])
    made.start()
    try:
        assert wait_until_empty(desk.queues, desk.name, WITHIN)
    finally:
        made.stop()
    sent = desk.queues.named(f"{desk.name}-out").receive_messages(max_messages=10)
    texts = sorted(base64.b64decode(one.content).decode() for one in sent)
    assert texts == ["bad-1", "bad-2", "good-1", "good-2"], "the failed delivery sent nothing"


def test_the_limits_are_those_of_host_json() -> None:
    limits = Limits.of(json.loads((ROOT / "host.json").read_text(encoding="utf-8")))
    assert limits == Limits(batch=1, threshold=1, hidden_after_failure=120, deliveries=5, lock=600)
    assert Limits.of({}) == Limits(), "the host's own"
