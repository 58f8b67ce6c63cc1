"""What the alerts on the queue read: how each delivery of a message is told, until the message came to its end."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, CLIENT
from shared.fan_out import queue_message
from shared.fan_out.dispatch import dispatch, dispatch_named
from shared.fan_out.queue_message import MOST_DELIVERIES, DueWork, Message
from shared.fan_out.rotate_user import TryAgain, do_message
from shared.functions import queue_trigger
from shared.model import run_ids
from shared.model.request import Request
from shared.rotation.threads import Threads
from tests.lab.bicep import INFRA
from tests.lab.fakes import FakeHistory
from tests.lab.lab import ENVIRONMENT, START, Lab, hours, item

WAITING = (INFRA / "queries/message-waiting.kql").read_text()
FAILED = (INFRA / "queries/run-failed.kql").read_text()
# In the query: what is delivered again has not ended.
OPEN = re.findall(r'outcome\) != "(\w+)"', WAITING)


def a_message(username: str = AGENTS) -> Message:
    return Message(run_ids.new(), 3, 8, DueWork(username, START + hours(4)))


def deliver(lab: Lab, message: Message, delivery: int = 1) -> bool:
    """Whether the host delivers it again, or sets it aside."""
    lab.events.clear()
    try:
        do_message(message, delivery, lab.inventory(), lab.world(), lab.settings.mark, Threads(1))
    except TryAgain:
        return True
    return False


def ended(lab: Lab) -> list[object]:
    """The parts that the query counts as done."""
    read = set(re.findall(r'message startswith "([\w.]+) "', WAITING))
    told = [fields for name, fields in lab.events if name in read]
    return [fields.get("part") for fields in told if fields.get("outcome") not in OPEN]


def codes(lab: Lab) -> list[object]:
    """What the alert on failed runs reads of it."""
    read = set(re.findall(r'message startswith "([\w.]+) "', FAILED))
    told = [fields for name, fields in lab.events if name in read]
    return [fields["code"] for fields in told if fields.get("code") and fields.get("outcome") not in OPEN]


def nothing(_: Lab) -> None: ...


def too_late(lab: Lab) -> None:
    lab.wait(hours(5))


def no_client(lab: Lab) -> None:
    lab.cloud.directory.apps[CLIENT].secrets.clear()


def blocked(lab: Lab) -> None:
    lab.cloud.directory.user(AGENTS).state = UserState.MFA_REQUIRED


@pytest.mark.parametrize(
    ("prepare", "message", "name"),
    [
        (nothing, a_message(), "user.finished"),
        (blocked, a_message(), "user.finished"),
        (no_client, a_message(), "user.finished"),
        (too_late, a_message(), "message.late"),
        (nothing, a_message(username="gone@contoso.com"), "message.dropped"),
    ],
    ids=["done", "failed for good", "nothing could be attempted", "late", "user gone"],
)
def test_every_end_of_a_message_is_told_once_with_its_part(
    prepare: Callable[[Lab], None], message: Message, name: str
) -> None:
    lab = Lab([item()])
    prepare(lab)
    assert deliver(lab, message) is False
    assert ended(lab) == [3]
    assert lab.told(name)[0]["run_id"] == message.run_id


def test_what_is_delivered_again_is_open_until_the_host_sets_it_aside() -> None:
    lab = Lab([item()])
    lab.cloud.add_fault("pats.list", "status", call=None, status=503)
    message = a_message()
    for delivery in range(1, MOST_DELIVERIES):
        assert deliver(lab, message, delivery) is True
        assert ended(lab) == []
        assert codes(lab) == []
    assert deliver(lab, message, MOST_DELIVERIES) is True
    assert ended(lab) == [3]
    assert [fields["outcome"] for fields in lab.told("user.finished")] == ["set-aside"]


def test_a_refusal_that_concerns_the_whole_deployment_is_read_by_the_alert_on_failed_runs() -> None:
    lab = Lab([item()])
    no_client(lab)
    deliver(lab, a_message())
    assert codes(lab) == ["client-refused"]


@pytest.mark.parametrize("environ", [{}, {"KEY_VAULT_URL": "https://x.vault.azure.net"}], ids=["settings", "pats.yaml"])
def test_a_message_that_could_not_be_begun_ended_too(
    environ: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    message = a_message()
    with caplog.at_level(logging.INFO):
        body = queue_message.write(message).encode()
        queue_trigger.rotate_user(body, 2, lambda _: None, environ=environ, root=tmp_path)
    (line,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith("user.finished ")]
    told = json.loads(line.partition(" ")[2])
    assert (told["run_id"], told["username"], told["part"], told["delivery"]) == (message.run_id, AGENTS, 3, 2)
    assert told["outcome"] == "failed"
    assert told["code"] in ("settings-invalid", "inventory-unreadable")


def test_a_run_whose_pats_yaml_broke_meanwhile_ends_and_says_why(tmp_path: Path) -> None:
    lab = Lab([item()])
    lab.runs = FakeHistory(lab.clock)
    done = dispatch_named(
        lab.inventory(), lab.world(), lab.settings.mark, Request(names=("build-pat",), arrived_at=START), ("build-pat",)
    )
    (tmp_path / "pats.yaml").write_text("users: [", encoding="utf-8")
    body = queue_message.write(done.messages[0]).encode()
    world = lab.world()
    queue_trigger.rotate_user(body, 1, pytest.fail, environ=ENVIRONMENT, root=tmp_path, make_world=lambda *_: world)
    kept = lab.runs.read(done.run.run_id)
    assert kept is not None
    assert kept.finished_at is not None
    assert kept.report.misconfigured is not None
    assert (kept.report.misconfigured.code, kept.outcome) == ("inventory-unreadable", "failed")
    assert [row.outcome for row in kept.report.items] == ["failed"]


def test_the_dispatcher_tells_how_many_messages_a_run_sent() -> None:
    """Both of its events, by what the query reads of them."""
    lab = Lab([item()])
    lab.runs = FakeHistory(lab.clock)
    dispatch(lab.inventory(), lab.world(), lab.settings.mark, Request(door="timer"))
    dispatch_named(
        lab.inventory(), lab.world(), lab.settings.mark, Request(names=("build-pat",), arrived_at=START), ("build-pat",)
    )
    for name in ("run.finished", "run.queued"):
        assert f'message startswith "{name} "' in WAITING
        (fields,) = lab.told(name)
        assert fields["queued"] == 1
        assert "part" not in fields
        assert fields["run_id"]


def test_promise_8_the_heartbeat_of_a_run_over_the_queue_is_the_timer_s() -> None:
    lab = Lab([item()])
    dispatch(lab.inventory(), lab.world(), lab.settings.mark, Request(door="timer"))
    assert [fields["door"] for fields in lab.told("run.finished")] == ["timer"]


def test_an_hour_is_more_than_all_deliveries_of_a_message_that_fails_at_once() -> None:
    host = json.loads((INFRA.parent / "host.json").read_text())["extensions"]["queues"]
    _, minutes, _ = host["visibilityTimeout"].split(":")
    assert "since < ago(1h)" in WAITING
    assert MOST_DELIVERIES * int(minutes) < 60 / 2
