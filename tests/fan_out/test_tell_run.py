"""Rule 19 over the queue: the run's end is told once, whoever saw it, and a lost end is told by a later one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sandbox.cloud.recipients import Recipient
from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.fan_out.rotate_user import TryAgain
from shared.fan_out.tell_run import tell_run
from tests.lab.fakes import FakeTold
from tests.lab.lab import Lab, days, hours, item
from tests.lab.queue_lab import QueueLab


def two_users() -> tuple[QueueLab, Recipient]:
    """Each with a PAT that is due, and none that can be made."""
    users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item("one-pat")]},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": [item("two-pat")]},
    ]
    lab = Lab(users=users, estate=demo_estate(), quick=True, told_before=FakeTold())
    lab.run()
    queue = QueueLab(lab)
    hook = lab.recipient(on=["failed", "recovered", "done", "warning"])
    lab.wait(days(24))
    return queue, hook


def refuse(queue: QueueLab, *, refuse: bool = True) -> None:
    queue.lab.cloud.pats.organization("contoso").policies.creation_restricted = refuse


def types(hook: Recipient) -> list[str]:
    return [str(one["type"]) for one in hook.received]


def test_rule_19_the_end_of_a_run_over_the_queue_is_told_once_with_all_of_its_parts() -> None:
    queue, hook = two_users()
    refuse(queue)
    sent = queue.dispatch()
    assert types(hook) == []
    queue.deliver(sent.messages[0])
    assert types(hook) == []
    report = queue.deliver(sent.messages[1])
    assert types(hook) == ["patrol.failed"]
    assert {one["secret"] for one in hook.received[0]["data"]["items"]} == {"one-pat", "two-pat"}
    assert hook.received[0]["data"]["serious_at"] == hook.received[0]["data"]["items"][0]["expires_on"]
    assert [(row.recipient, row.told) for row in report.recipients] == [("webhook-0-url", 1)]
    refuse(queue, refuse=False)
    queue.lab.wait(hours(6))
    queue.work_off()
    assert types(hook)[1:] == ["patrol.recovered", "patrol.done"] or types(hook)[1:] == [
        "patrol.done",
        "patrol.recovered",
    ]


def test_rule_19_two_instances_that_both_see_the_end_tell_once() -> None:
    queue, hook = two_users()
    queue.work_off()
    (run_id,) = queue.runs.heads
    run = queue.runs.read(run_id)
    assert run is not None
    lab = queue.lab
    tell_run(run, True, lab.inventory(), queue.world(), lab.settings.mark)
    assert types(hook) == ["patrol.done"]


def test_rule_19_the_dispatcher_tells_nobody_before_its_messages_are_out() -> None:
    queue, hook = two_users()
    refuse(queue)
    queue.lab.cloud.log.clear()
    queue.dispatch()
    assert hook.received == []
    assert [row.operation for row in queue.lab.cloud.calls() if row.operation.startswith("notice.")] == []


def test_rule_19_an_end_that_nobody_saw_is_told_by_a_later_run() -> None:
    """Its last message was lost: what its other parts say is not."""
    queue, hook = two_users()
    refuse(queue)
    lost = queue.dispatch()
    queue.deliver(lost.messages[0])
    refuse(queue, refuse=False)
    queue.lab.wait(hours(6))
    queue.work_off()
    first = hook.received[0]
    assert (first["type"], first["data"]["run_id"]) == ("patrol.failed", lost.run.run_id)
    assert "patrol.recovered" in types(hook)


def test_rule_19_a_message_that_is_set_aside_ends_its_run_and_is_told() -> None:
    queue, hook = two_users()
    sent = queue.dispatch()
    queue.lab.cloud.add_fault("pats.*", "status", call=None, status=503)
    queue.lab.quick = False
    for message in sent.messages:
        for delivery in range(1, 6):
            with pytest.raises(TryAgain):
                queue.deliver(message, delivery)
    assert types(hook) == ["patrol.failed"]


def test_rule_19_a_named_request_over_the_queue_is_told_as_such() -> None:
    queue, hook = two_users()
    refuse(queue)
    for message in queue.dispatch("one-pat").messages:
        queue.deliver(message)
    assert types(hook) == ["patrol.failed"]
    assert [one["secret"] for one in hook.received[0]["data"]["items"]] == ["one-pat"]
    queue.lab.wait(timedelta(minutes=5))
    refuse(queue, refuse=False)
    for message in queue.dispatch("two-pat").messages:
        queue.deliver(message)
    assert types(hook)[1:] == ["patrol.done"]


def test_rule_19_a_run_that_queues_nobody_is_told_at_once() -> None:
    queue, hook = two_users()
    queue.work_off()

    def dispatch_a_little_later() -> None:
        queue.lab.wait(timedelta(minutes=10))
        for user in queue.lab.inventory().users:
            queue.runs.looked(user)
        assert queue.dispatch().messages == ()

    queue.lab.users[0]["pats"].append(item("wrong-pat", scopes=["no.such.scope"]))
    for _ in range(2):
        dispatch_a_little_later()
        assert types(hook) == ["patrol.done", "patrol.failed"]
    queue.lab.users[0]["pats"].pop()
    dispatch_a_little_later()
    assert types(hook)[2:] == ["patrol.recovered"]
