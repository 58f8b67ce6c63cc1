"""One message of the queue: delivered twice, late, out of order or after its work was done, it does nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sandbox.cloud.large_estate import Size
from sandbox.cloud.seed import AGENTS
from shared.fan_out import queue_message
from shared.fan_out.queue_message import MOST_DELIVERIES, Message
from shared.fan_out.rotate_user import TryAgain
from shared.functions.rotation_timer import MOST_SHOWN, rotate_user, sharers
from shared.model import run_ids
from shared.model.errors import Code
from shared.model.steps import Because
from shared.report.report import Outcome, Report
from shared.services.rate_limits import VERSIONS
from tests.lab.lab import Lab, days, hours, item, outcomes
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
    for delivery in (1, 2, 3):
        again = sign_ins.deliver(message, delivery)
        assert {row.outcome for row in again.items} <= {Outcome.DONE, Outcome.HELD}
    assert sign_ins.changes() == before
    assert sign_ins.lab.vault.secret("build-pat").versions.keys() == versions


@pytest.mark.parametrize("scenario", QUEUED, ids=str)
def test_rule_8_a_message_that_comes_after_another_door_did_its_work_changes_nothing(scenario: Scenario) -> None:
    sign_ins, message = queued(scenario)
    sign_ins.lab.run(*scenario.names, **scenario.asks, published_before=message.published_before)
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
    sign_ins.deliver(replace(message, username="gone@contoso.com"))
    assert [one["username"] for one in sign_ins.lab.told("message.dropped")] == ["gone@contoso.com"]
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


def test_names_of_a_message_that_pats_yaml_gave_to_another_user_are_left_out() -> None:
    sign_ins = many(Size(users=2, each=2, due=4))
    (message,) = sign_ins.dispatch("pat-000000", "pat-000001").messages
    report = sign_ins.deliver(replace(message, names=("pat-000000", "pat-000002", "no-such-pat")))
    assert [row.secret for row in report.items if row.outcome is Outcome.DONE] == ["pat-000000"]


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
        (fault("vault.set", status=429), Code.VAULT_UNREACHABLE),
        (fault("vault.set", status=500), Code.PUBLISH_UNCLEAR),
        (unreachable, Code.VAULT_UNREACHABLE),
        (fault("vault.get", status=503), Code.VAULT_UNREACHABLE),
        (fault("vault.get", status=503, where="build-pat"), Code.VAULT_UNCLEAR),
        (fault("entra.token", status=503), Code.SIGN_IN_UNAVAILABLE),
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
        (fault("vault.set", status=413), Code.PUBLISH_REFUSED),
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
    for delivery in range(1, MOST_DELIVERIES):
        with pytest.raises(TryAgain):
            sign_ins.deliver(message, delivery)
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
    one = Message(run_ids.new(lab.start), 1, of, AGENTS, lab.start)
    assert VERSIONS.share(sharers(lab.settings, one)).most == share
