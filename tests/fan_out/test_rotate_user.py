"""One message of the queue: delivered twice, late, out of order or after its work was done, it does nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.large_estate import Size
from sandbox.cloud.seed import AGENTS
from shared.fan_out import queue_message
from shared.fan_out.queue_message import MOST_DELIVERIES, DueWork, Message, NotAMessage
from shared.fan_out.rotate_user import TryAgain, do_message
from shared.functions.queue_trigger import MOST_SHOWN, rotate_user
from shared.model import run_ids
from shared.model.errors import Code
from shared.model.steps import Because
from shared.report.order import Order, order_json, read_order
from shared.report.report import Outcome, Report
from shared.rotation.threads import Threads
from shared.services.rate_limits import VERSIONS
from shared.wiring import sharers
from tests.lab.lab import ENVIRONMENT, Lab, days, hours, item, outcomes
from tests.lab.queue_lab import QueueLab, many
from tests.lab.scenarios import SCENARIOS, Scenario, rotation

QUEUED = [one for one in SCENARIOS if "emergency" not in one.asks]


def due() -> QueueLab:
    lab = rotation()
    lab.quick = False
    return QueueLab(lab)


def queued(scenario: Scenario) -> tuple[QueueLab, Message]:
    sign_ins = QueueLab(scenario.prepare())
    (message,) = sign_ins.dispatch(*scenario.names, **scenario.asks).messages
    return sign_ins, message


def codes(report: Report) -> list[Code | None]:
    return [row.error.code if row.error else None for row in report.items]


@pytest.mark.parametrize("scenario", QUEUED, ids=str)
def test_rule_8_a_message_does_what_a_run_does_and_delivered_again_nothing_more(scenario: Scenario) -> None:
    alone = scenario.prepare()
    expected = outcomes(alone.run(*scenario.names, **scenario.asks).items)
    sign_ins, message = queued(scenario)
    assert outcomes(sign_ins.deliver(message).items) == expected
    before, versions = sign_ins.changes(), sign_ins.lab.vault.secret("build-pat").versions.keys()
    for number in (1, 2, 3):
        again = sign_ins.deliver(message, number)
        assert {row.outcome for row in again.items} <= {Outcome.DONE, Outcome.HELD}
    assert sign_ins.changes() == before
    assert sign_ins.lab.vault.secret("build-pat").versions.keys() == versions


@pytest.mark.parametrize("scenario", QUEUED, ids=str)
def test_rule_8_a_message_that_comes_after_another_door_did_its_work_changes_nothing(scenario: Scenario) -> None:
    sign_ins, message = queued(scenario)
    order = sign_ins.runs.order(message.run_id, message.part)
    assert order is not None
    sign_ins.lab.run(*scenario.names, **scenario.asks, published_before=order.published_before)
    before = sign_ins.changes()
    sign_ins.deliver(message)
    assert sign_ins.changes() == before


def test_rule_8_messages_of_two_runs_out_of_order_rotate_once() -> None:
    sign_ins = due()
    (older,) = sign_ins.dispatch().messages
    sign_ins.lab.wait(hours(1))
    (newer,) = sign_ins.dispatch().messages
    assert outcomes(sign_ins.deliver(newer).items) == ["build-pat rotate done near-expiry"]
    before = sign_ins.changes()
    assert outcomes(sign_ins.deliver(older).items) == ["build-pat hold held fresh"]
    assert sign_ins.changes() == before


def test_rule_8_a_forced_message_that_comes_again_hours_later_does_not_rotate_again() -> None:
    lab = Lab([item()])
    lab.run()
    lab.wait(days(2))
    sign_ins = QueueLab(lab)
    (message,) = sign_ins.dispatch("build-pat", force=True, arrived_at=lab.clock.now()).messages
    assert outcomes(sign_ins.deliver(message).items) == ["build-pat rotate done forced"]
    lab.wait(hours(3))
    before = sign_ins.changes()
    sign_ins.deliver(message, 2)
    assert sign_ins.changes() == before


def test_a_message_past_its_deadline_is_left_to_the_next_run() -> None:
    sign_ins = due()
    (message,) = sign_ins.dispatch().messages
    sign_ins.lab.wait(hours(4))
    calls = len(sign_ins.lab.operations())
    report = sign_ins.deliver(message)
    assert outcomes(report.items) == ["build-pat hold left out-of-time"]
    assert len(sign_ins.lab.operations()) == calls, "nothing was asked of anybody"
    assert sign_ins.lab.told("message.late")
    assert sign_ins.runs.looks() == {}


def test_a_user_that_pats_yaml_no_longer_has_is_logged_and_dropped() -> None:
    sign_ins = due()
    (message,) = sign_ins.dispatch().messages
    calls = len(sign_ins.lab.operations())
    sign_ins.lab.users = [{"username": "other@contoso.com", "password_secret_name": "svc-agents-password", "pats": []}]
    sign_ins.deliver(message)
    assert [told["username"] for told in sign_ins.lab.told("message.dropped")] == [AGENTS]
    assert len(sign_ins.lab.operations()) == calls
    run = sign_ins.runs.read(message.run_id)
    assert run is not None
    assert run.finished_at is not None


def test_only_the_users_own_secrets_are_looked_at_and_the_vault_is_not_listed() -> None:
    sign_ins = many(Size(users=3, each=2, due=6), quick=False)
    lab = sign_ins.lab
    first = sign_ins.dispatch().messages[0]
    seen = len(lab.cloud.calls())
    sign_ins.deliver(first)
    calls = lab.cloud.calls()[seen:]
    assert "vault.list" not in {row.operation for row in calls}
    secrets = {row.subject for row in calls if row.operation == "vault.get" and "pats" in row.host}
    assert {name for name in secrets if not name.startswith("patrol-blocked-")} == {"pat-000000", "pat-000001"}
    assert len([row for row in calls if row.operation == "entra.token"]) == 1


def test_names_that_pats_yaml_gave_to_another_user_since_are_left_out() -> None:
    sign_ins = many(Size(users=2, each=2, due=4))
    done = sign_ins.dispatch("pat-000000", "pat-000001")
    ordered(sign_ins, done.messages[0], names=("pat-000000", "pat-000002", "no-such-pat"))
    report = sign_ins.deliver(done.messages[0])
    assert [row.secret for row in report.items if row.outcome is Outcome.DONE] == ["pat-000000"]


# --- a message alone is not believed ----------------------------------------------------------------------------------


def ordered(sign_ins: QueueLab, message: Message, **changes: Any) -> Order:
    """The order of a message with other values."""
    lines = sign_ins.runs.orders[message.run_id]
    order = replace(read_order(json.loads(lines[message.part - 1])), **changes)
    lines[message.part - 1] = json.dumps(order_json(order))
    return order


def forged(message: Message, username: str = AGENTS, **more: Any) -> Message:
    """What somebody who may write to the queue makes of a message that waits there."""
    return replace(message, due=DueWork(username, message_deadline(message)), **more)


def message_deadline(message: Message) -> datetime:
    return message.due.deadline if message.due else datetime(2026, 3, 2, tzinfo=UTC)


def asked_for(**asks: Any) -> tuple[QueueLab, Message]:
    """A request by name that waits in the queue, of a PAT that is not due."""
    lab = Lab([item(), item("other-pat")])
    lab.run()
    lab.wait(days(2))
    sign_ins = QueueLab(lab)
    (message,) = sign_ins.dispatch("build-pat", **{"force": True, "arrived_at": lab.clock.now(), **asks}).messages
    return sign_ins, message


def test_promise_7_a_message_that_waits_says_nothing_of_what_was_asked_for() -> None:
    _, message = asked_for()
    assert (message.due, set(json.loads(queue_message.write(message)))) == (None, {"kind", "run_id", "part", "of"})


def test_what_a_message_does_is_what_its_order_says_whatever_somebody_wrote_into_it() -> None:
    sign_ins, message = asked_for()
    report = sign_ins.deliver(forged(message, "gone@contoso.com"))
    assert outcomes(report.items) == ["build-pat rotate done forced"]
    assert sign_ins.lab.told("message.dropped") == [], "nobody ends a part for a user that it is not about"


def test_a_dry_run_cannot_be_made_of_a_forced_request_that_waits() -> None:
    """As a message of an older version could: its caller was shown status 200 with nothing rotated."""
    sign_ins, message = asked_for()
    body = json.loads(queue_message.write(forged(message))) | {"kind": queue_message.OLD_KIND, "dry_run": True}
    with pytest.raises(NotAMessage):
        queue_message.read(json.dumps(body).encode())
    run = sign_ins.runs.read(message.run_id)
    assert run is not None
    assert run.outcome == "running"
    assert outcomes(sign_ins.deliver(message).items) == ["build-pat rotate done forced"]


def test_a_message_for_a_part_that_its_run_does_not_have_ends_no_part_of_it() -> None:
    sign_ins, message = asked_for()
    with pytest.raises(NotAMessage, match="not kept"):
        sign_ins.deliver(replace(message, part=2, of=2))
    sign_ins.deliver(forged(message, part=2, of=2))
    run = sign_ins.runs.read(message.run_id)
    assert run is not None
    assert (run.outcome, run.messages_done) == ("running", 0)


@pytest.mark.parametrize(
    "asks", [{}, {"force": False}, {"force": False, "dry_run": True}], ids=["forced", "by name", "dry"]
)
def test_rule_8_without_its_order_nothing_is_done_that_was_asked_for_by_name(asks: dict[str, Any]) -> None:
    sign_ins, message = asked_for(**asks)
    sign_ins.runs.orders.clear()
    before = sign_ins.changes()
    with pytest.raises(NotAMessage, match="asked for again"):
        sign_ins.deliver(message)
    assert sign_ins.changes() == before


def test_a_message_that_somebody_made_does_no_more_than_the_next_run_would() -> None:
    lab = Lab([item(), item("due-pat", lifetime="3d", rotate_before="1d")])
    lab.run()
    lab.wait(days(2.5))
    sign_ins = QueueLab(lab)
    made = Message(run_ids.new(lab.clock.now()), 1, 1, DueWork(AGENTS, lab.clock.now() + days(3650)))
    before = sign_ins.lab.vault.secret("build-pat").versions.keys()
    do_message(made, 1, lab.inventory(), sign_ins.world(), lab.settings.mark, Threads(1))
    assert lab.vault.secret("build-pat").versions.keys() == before, "not due"
    assert len(lab.vault.secret("due-pat").versions) == 2
    assert sign_ins.runs.looks() == {}, "it knows no other organization, so it was no full look"


def test_work_that_is_due_is_done_though_its_report_and_order_could_not_be_kept() -> None:
    sign_ins = due()
    sign_ins.runs.down = True
    (message,) = sign_ins.dispatch().messages
    assert message.due is not None
    sign_ins.runs.down = False
    assert sign_ins.runs.order(message.run_id, 1) is None
    do_message(message, 1, sign_ins.lab.inventory(), sign_ins.world(), sign_ins.lab.settings.mark, Threads(1))
    assert len(sign_ins.lab.live()) == 2
    assert sign_ins.runs.looks() == {}


def test_where_the_order_cannot_be_read_what_is_due_is_done_and_the_rest_waits() -> None:
    sign_ins = due()
    (message,) = sign_ins.dispatch().messages
    (named,) = sign_ins.dispatch("build-pat", dry_run=True).messages
    lab, before = sign_ins.lab, sign_ins.changes()
    sign_ins.runs.down = True
    for number in range(1, MOST_DELIVERIES + 1):
        with pytest.raises(TryAgain, match="report-unreadable"):
            do_message(named, number, lab.inventory(), sign_ins.world(), lab.settings.mark, Threads(1))
    told = [fields["outcome"] for fields in lab.told("user.finished")]
    assert told == ["again"] * (MOST_DELIVERIES - 1) + ["set-aside"]
    assert sign_ins.changes() == before
    do_message(message, 1, lab.inventory(), sign_ins.world(), lab.settings.mark, Threads(1))
    assert len(lab.live()) == 2
    assert lab.told("report.failed")
    sign_ins.runs.down = False
    run = sign_ins.runs.read(message.run_id)
    assert run is not None
    assert run.messages_done == 0, "who cannot read the order tells nothing in its run's name"


def test_rule_8_an_order_that_acts_on_what_is_published_in_the_future_is_refused() -> None:
    sign_ins, message = asked_for()
    ordered(sign_ins, message, published_before=sign_ins.lab.clock.now() + hours(1))
    with pytest.raises(NotAMessage, match="future"):
        sign_ins.deliver(message)


def test_an_order_that_would_list_without_end_is_none() -> None:
    with pytest.raises(ValueError, match="at most"):
        Order(AGENTS, datetime(2026, 3, 2, tzinfo=UTC), organizations=tuple(f"o{number}" for number in range(101)))


def test_what_is_forced_has_names_and_an_instant() -> None:
    for more in ({}, {"names": ("build-pat",)}, {"published_before": datetime(2026, 3, 1, tzinfo=UTC)}):
        with pytest.raises(ValueError, match="twice"):
            Order(AGENTS, datetime(2026, 3, 2, tzinfo=UTC), force=True, **more)


def test_rule_14_nothing_is_begun_after_the_deadline_of_the_order() -> None:
    lab = Lab([item(f"pat-{number}") for number in range(6)], quick=True)
    lab.run()
    lab.wait(days(24))
    sign_ins = QueueLab(lab)
    (message,) = sign_ins.dispatch().messages
    lab.wait(hours(4) - timedelta(minutes=2))
    lab.trouble.before = lambda _: lab.wait(timedelta(seconds=20))
    report = sign_ins.deliver(message)
    lab.end_trouble()
    assert Outcome.LEFT in {row.outcome for row in report.items}


# --- a message set aside at the door ----------------------------------------------------------------------------------


def test_the_door_sets_a_message_aside_whose_order_is_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sign_ins, message = asked_for()
    sign_ins.runs.orders.clear()
    (tmp_path / "pats.yaml").write_text(sign_ins.lab.pats_yaml(), encoding="utf-8")
    aside: list[str] = []
    body = queue_message.write(message)
    rotate_user(
        body.encode(), 1, aside.append, environ=ENVIRONMENT, root=tmp_path, make_world=lambda *_: sign_ins.world()
    )
    assert aside == [body]
    (told,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith("message.refused ")]
    assert "asked for again" in told


# --- whether it is worth another delivery -----------------------------------------------------------------------------


def fault(operation: str, kind: str = "status", **more: Any) -> Callable[[Lab], None]:
    def make(lab: Lab) -> None:
        lab.cloud.add_fault(operation, kind, call=None, **more)

    return make


def unreachable(lab: Lab) -> None:
    lab.unreachable_for = "vault.set"


def wrong_password(lab: Lab) -> None:
    lab.cloud.directory.set_password(AGENTS, "another")


def forbidden(*operations: str) -> Callable[[Lab], None]:
    def make(lab: Lab) -> None:
        lab.vault.denied |= set(operations)

    return make


def edited(lab: Lab) -> None:
    lab.vault.set_secret("build-pat", "pasted by hand")


def wrong_clock(lab: Lab) -> None:
    lab.skew = hours(1)


@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (fault("vault.set", status=429, body='{"error": {"code": "Throttled"}}'), Code.VAULT_UNREACHABLE),
        (fault("vault.set", "foreign", status=403), Code.PUBLISH_UNCLEAR),
        (fault("vault.set", status=500), Code.PUBLISH_UNCLEAR),
        (unreachable, Code.VAULT_UNREACHABLE),
        (fault("vault.get", status=503), Code.VAULT_UNREACHABLE),
        (fault("vault.get", status=503, where="build-pat"), Code.VAULT_UNCLEAR),
        (fault("entra.discovery", status=503), Code.SIGN_IN_UNAVAILABLE),
        (fault("entra.token", status=503), Code.SIGN_IN_UNCLEAR),
        (fault("pats.list", status=503), Code.DEVOPS_UNAVAILABLE),
        (fault("pats.create", status=500), Code.MINT_UNCLEAR),
        (fault("devops.connection_data", status=500), Code.VERIFY_UNCLEAR),
        (wrong_clock, Code.CLOCK_SKEW),
    ],
    ids=lambda one: one.value if isinstance(one, Code) else "",
)
def test_a_failure_that_may_pass_is_worth_another_delivery_which_does_the_work(
    happens: Callable[[Lab], None], code: Code
) -> None:
    sign_ins = due()
    lab = sign_ins.lab
    (message,) = sign_ins.dispatch().messages
    happens(lab)
    with pytest.raises(TryAgain, match=f"{code.value}.*delivery 1 of {MOST_DELIVERIES}"):
        sign_ins.deliver(message)
    run = sign_ins.runs.read(message.run_id)
    assert run is not None
    assert run.outcome == "running"
    assert sign_ins.runs.looks() == {}
    assert lab.works("build-pat")
    lab.cloud.faults.clear()
    lab.unreachable_for, lab.skew = "", hours(0)
    lab.wait(hours(2.1))
    report = sign_ins.deliver(message, 2)
    assert [row.because for row in report.items if row.step == "rotate"] == [Because.NEAR_EXPIRY]
    assert report.outcome == "succeeded"
    assert len(sign_ins.runs.looks()) == 1
    for _ in range(6):
        lab.wait(hours(6))
        sign_ins.work_off()
    assert len(lab.live()) == 1, "nothing of the failed delivery is left over"


@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (wrong_password, Code.SIGN_IN_REFUSED),
        (forbidden("set"), Code.PUBLISH_FORBIDDEN),
        (forbidden("get"), Code.VAULT_FORBIDDEN),
        (edited, Code.EDITED),
        (fault("vault.set", status=400, body='{"error": {"code": "BadParameter"}}'), Code.PUBLISH_REFUSED),
        (fault("pats.create", "pat_error", error="invalidScope"), Code.MINT_REFUSED),
        (fault("pats.list", status=404, content_type="text/html"), Code.ORGANIZATION_UNKNOWN),
    ],
    ids=lambda one: one.value if isinstance(one, Code) else "",
)
def test_a_failure_that_needs_a_person_is_told_once_and_not_tried_again(
    happens: Callable[[Lab], None], code: Code
) -> None:
    sign_ins = due()
    (message,) = sign_ins.dispatch().messages
    happens(sign_ins.lab)
    report = sign_ins.deliver(message)
    told = codes(report) + ([report.misconfigured.code] if report.misconfigured else [])
    assert code in told
    run = sign_ins.runs.read(message.run_id)
    assert run is not None
    assert run.finished_at is not None
    assert [one["outcome"] for one in sign_ins.lab.told("user.finished")] == ["failed"]


def test_promise_6_a_refused_password_is_not_tried_by_the_next_delivery() -> None:
    sign_ins = due()
    first, second = sign_ins.dispatch().messages[0], sign_ins.dispatch().messages[0]
    wrong_password(sign_ins.lab)
    for message in (first, first, second):
        sign_ins.deliver(message)
    user = sign_ins.lab.cloud.directory.user(AGENTS)
    assert user.wrong_passwords == 1


def test_what_the_time_did_not_suffice_for_is_done_by_the_next_delivery() -> None:
    lab = Lab([item(f"pat-{number}") for number in range(6)], quick=True)
    lab.run()
    lab.wait(days(24))
    sign_ins = QueueLab(lab)
    (message,) = sign_ins.dispatch().messages

    def takes_time(_: str) -> None:
        lab.wait(hours(1 / 180))

    lab.trouble.before = takes_time
    with pytest.raises(TryAgain, match="out-of-time"):
        sign_ins.deliver(message, budget=hours(0.1))
    lab.end_trouble()
    report = sign_ins.deliver(message, 2)
    assert [row.outcome for row in report.items] == [Outcome.DONE] * 6, "each once, whichever delivery did it"


def test_after_the_last_delivery_the_report_no_longer_waits_and_says_who_sets_it_aside() -> None:
    sign_ins = due()
    (message,) = sign_ins.dispatch().messages
    sign_ins.lab.cloud.add_fault("pats.list", "status", call=None, status=503)
    for number in range(1, MOST_DELIVERIES):
        with pytest.raises(TryAgain):
            sign_ins.deliver(message, number)
        assert sign_ins.runs.read(message.run_id).finished_at is None  # type: ignore[union-attr]
    with pytest.raises(TryAgain, match="sets the message aside"):
        sign_ins.deliver(message, MOST_DELIVERIES)
    report = sign_ins.report(message.run_id)
    assert report.outcome == "failed"
    assert sign_ins.runs.read(message.run_id).finished_at is not None  # type: ignore[union-attr]


def test_promise_8_a_defect_ends_the_message_and_stands_in_the_report() -> None:
    sign_ins = due()
    (message,) = sign_ins.dispatch().messages

    def broken(_: str) -> None:
        raise ValueError("with a secret in it")

    sign_ins.lab.quick, sign_ins.lab.trouble.before = True, broken
    report = sign_ins.deliver(message)
    assert report.misconfigured is not None
    assert report.misconfigured.code is Code.UNEXPECTED
    assert "ValueError" in report.misconfigured.message
    assert "with a secret" not in str(sign_ins.runs.parts)
    assert sign_ins.runs.looks() == {}, "nothing was looked at"


def test_a_full_look_is_remembered_and_one_by_name_is_none() -> None:
    sign_ins = due()
    (named,) = sign_ins.dispatch("build-pat").messages
    sign_ins.deliver(named)
    assert sign_ins.runs.looks() == {}
    (whole,) = sign_ins.dispatch().messages
    sign_ins.deliver(whole)
    assert list(sign_ins.runs.looks()) == [sign_ins.lab.inventory().users[0].digest]


# --- the function's door ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kept"),
    [(b"", ""), (b"{", "{"), (b'{"kind": "other"}', '{"kind": "other"}'), (b"\xff" * 40_000, "\ufffd" * MOST_SHOWN)],
    ids=["nothing", "broken", "foreign", "no text"],
)
def test_what_is_no_message_is_set_aside_at_its_first_delivery(
    body: bytes, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    aside: list[str] = []
    rotate_user(body, 1, aside.append, environ={})
    assert aside == [kept]
    assert len(kept.encode()) <= 48 * 1024, "it fits into a message again"
    (told,) = [record.getMessage() for record in caplog.records if "message.refused" in record.getMessage()]
    assert "set aside" in told


def test_a_deployment_that_is_wrong_is_told_and_the_message_is_not_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sign_ins = due()
    (message,) = sign_ins.dispatch().messages
    rotate_user(queue_message.write(message).encode(), 1, pytest.fail, environ={})
    (told,) = [record.getMessage() for record in caplog.records if "user.finished" in record.getMessage()]
    assert Code.SETTINGS_INVALID in told
    assert message.run_id in told


@pytest.mark.parametrize(
    ("instances", "of", "share"),
    [("40", 400, 7), ("40", 1, 300), ("40", 4, 75), ("1", 400, 300), ("1000", 400, 1)],
    ids=str,
)
def test_an_instance_takes_its_share_of_what_the_vault_takes(instances: str, of: int, share: int) -> None:
    lab = Lab(environment={"QUEUE_INSTANCES": instances})
    assert VERSIONS.share(sharers(lab.settings, of)).most == share
