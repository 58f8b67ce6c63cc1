"""The dispatcher: who is queued, what a message says, and that nothing is lost between the two ends of the queue."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.large_estate import Size, user
from sandbox.cloud.seed import AGENTS, SONAR
from shared.fan_out.queue_message import DueWork, Message, read
from shared.fan_out.who_is_queued import WORTH_WHILE
from shared.functions.rotation_timer import RunFailed, rotate_due
from shared.model.errors import Code, Misconfigured, PatrolError, Unclear
from shared.model.ports import Events
from shared.report.report import Outcome
from shared.rotation.world import World
from shared.rules.full_look import look_is_due
from shared.settings import Settings
from tests.lab.lab import ENVIRONMENT, Lab, days, hours, item, outcomes
from tests.lab.queue_lab import QueueLab, many
from tests.lab.scenarios import SECRET, retirement, rotation
from tests.promises.test_evidence import estate as two_organizations
from tests.promises.test_evidence import two_users

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def looked_at(sign_ins: QueueLab) -> QueueLab:
    """Everybody had the full look just now."""
    for one in sign_ins.lab.inventory().users:
        sign_ins.runs.looked(one)
    return sign_ins


def the_run(sign_ins: QueueLab, run_id: str) -> Any:
    run = sign_ins.runs.read(run_id)
    assert run is not None
    return run


# --- who is queued ----------------------------------------------------------------------------------------------------


def test_nothing_due_nothing_queued_and_nobody_signed_in() -> None:
    sign_ins = looked_at(many(Size(users=30, each=5), quick=False))
    done = sign_ins.dispatch()
    assert done.messages == ()
    assert set(sign_ins.lab.operations()) <= {"vault.list"}
    run = the_run(sign_ins, done.run.run_id)
    assert (run.outcome, len(run.report.items), run.messages) == ("succeeded", 150, 0)
    assert [fields["queued"] for fields in sign_ins.lab.told("run.finished")] == [0]


def test_one_message_for_each_user_that_has_something_due() -> None:
    sign_ins = looked_at(many(Size(users=30, each=5, due=11)))
    done = sign_ins.dispatch()
    assert [order.username for order in done.orders] == [user(0), user(1), user(2)]
    assert [(message.part, message.of) for message in done.messages] == [(1, 3), (2, 3), (3, 3)]
    assert {(order.of, order.names) for order in done.orders} == {(3, None)}
    assert {order.deadline for order in done.orders} == {(done.run.report.started_at + WORTH_WHILE)}
    assert [message.due for message in done.messages] == [DueWork(one.username, one.deadline) for one in done.orders]
    run = the_run(sign_ins, done.run.run_id)
    assert (run.outcome, run.messages, run.messages_done) == ("running", 3, 0)
    waiting = [row for row in run.report.items if row.because == "queued"]
    assert (len(waiting), len(run.report.items)) == (15, 150), "a waiting user's healthy items are looked at again"
    for message in done.messages:
        sign_ins.deliver(message)
    run = the_run(sign_ins, done.run.run_id)
    assert (run.outcome, run.messages_done, len(run.report.items)) == ("succeeded", 3, 150)
    assert sum(row.outcome is Outcome.DONE for row in run.report.items) == 11


def test_the_dispatcher_changes_nothing() -> None:
    sign_ins = QueueLab(rotation())
    sign_ins.lab.quick = False
    before = sign_ins.changes()
    assert sign_ins.dispatch().messages
    assert sign_ins.changes() == before
    assert not [row for row in sign_ins.lab.cloud.calls() if row.operation.startswith(("pats.", "entra."))]


def test_an_overlap_that_is_over_is_queued() -> None:
    sign_ins = looked_at(QueueLab(retirement()))
    (message,) = sign_ins.dispatch().messages
    assert "build-pat retire done overlap-over" in outcomes(sign_ins.deliver(message).items)
    assert len(sign_ins.lab.live()) == 1


def test_every_user_gets_a_full_look_once_a_day_in_its_slot() -> None:
    sign_ins = many(Size(users=40, each=1))
    sign_ins.work_off()
    assert len(sign_ins.runs.looks()) == 40, "the first run looks at all"
    for _ in range(8):
        sign_ins.lab.wait(hours(6))
        now, before = sign_ins.lab.clock.now(), sign_ins.runs.looks()
        users = sign_ins.lab.inventory().users
        expected = {one.username for one in users if look_is_due(one.username, before[one.digest], now)}
        done = sign_ins.dispatch()
        assert {order.username for order in done.orders} == expected
        assert 0 < len(expected) < 25, "spread over the day"
        for message in done.messages:
            sign_ins.deliver(message)
    looks = sign_ins.runs.looks()
    assert all(sign_ins.lab.clock.now() - at < hours(24) for at in looks.values())


def revoked_by_a_person(lab: Lab) -> None:
    lab.cloud.pats.revoke_as_person(lab.live(SECRET)[0].authorization_id)


def orphaned(lab: Lab) -> None:
    name = lab.live(SECRET)[0].display_name
    at = lab.clock.now() - hours(3)
    lab.cloud.pats.seed(AGENTS, "contoso", name, "vso.code", valid_from=at, valid_to=at + days(20))


@pytest.mark.parametrize("happens", [revoked_by_a_person, orphaned])
def test_promise_2_what_the_listing_cannot_show_is_found_by_the_full_look_within_a_day(happens: Any) -> None:
    lab = Lab([item()], quick=True)
    sign_ins = QueueLab(lab)
    sign_ins.work_off()
    lab.wait(days(3))
    sign_ins.work_off()
    happens(lab)
    messages = 0
    for _ in range(4):
        lab.wait(hours(6))
        sign_ins.work_off()
        messages += lab.told("run.finished")[-1]["queued"] == 1
    assert messages == 1, "one look a day"
    assert lab.works(SECRET)
    assert len(lab.live(SECRET)) == 1


def test_a_look_that_failed_is_queued_again_by_the_next_run() -> None:
    sign_ins = QueueLab(Lab([item()]))
    sign_ins.lab.run()
    sign_ins.runs.seen.clear()
    sign_ins.lab.vault.denied |= {"get"}
    (message,) = sign_ins.dispatch().messages
    sign_ins.deliver(message)
    sign_ins.lab.vault.denied.clear()
    (again,) = sign_ins.dispatch().messages
    assert sign_ins.deliver(again).outcome == "succeeded"
    assert sign_ins.dispatch().messages == ()


def test_a_former_organization_goes_along_so_that_what_was_minted_there_still_ends() -> None:
    lab = Lab([item()], estate=None, quick=True)
    lab.cloud.pats.add_organization("fabrikam", "b0000000-0000-4000-8000-000000000002", {AGENTS})
    lab.run()
    lab.items = [item(organization="fabrikam")]
    sign_ins = QueueLab(lab)
    done = sign_ins.dispatch()
    assert [order.organizations for order in done.orders] == [("contoso",)]
    sign_ins.deliver(done.messages[0])
    for _ in range(6):
        lab.wait(hours(6))
        sign_ins.work_off()
    assert [pat.organization for pat in lab.live()] == [lab.cloud.pats.organization("fabrikam").guid]


def moved(change: str, others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if change == "user":
        return two_users([], [item(SECRET), *others])
    return two_users([item(SECRET, organization="fabrikam")], others)


@pytest.mark.parametrize("change", ["user", "organization"])
def test_rule_13_what_a_former_owner_minted_and_never_published_ends_over_the_queue_too(change: str) -> None:
    """No tag names it: only the daily full look of its minter finds it, wherever pats.yaml names an organization."""
    others = [item("other-pat", organization="fabrikam"), item("another-pat")]
    lab = Lab(users=two_users([item(SECRET)], others), estate=two_organizations(), quick=True)
    lab.trouble.before = lambda operation: (
        Unclear(Code.PUBLISH_UNCLEAR, "no answer", "-") if operation == "vault.set" and lab.live(SECRET) else None
    )
    lab.run()
    lab.end_trouble()
    (lost,) = lab.live(SECRET)
    lab.users = moved(change, others)
    sign_ins = QueueLab(lab)
    for _ in range(5):
        lab.wait(hours(6))
        sign_ins.work_off()
    assert lost.revoked
    assert lab.works(SECRET, "contoso" if change == "user" else "fabrikam")
    assert len(lab.live(SECRET)) == 1
    assert len(sign_ins.runs.looks()) == 2


def test_rule_13_a_former_owner_whose_predecessor_dropped_off_the_tags_is_looked_at_over_the_queue() -> None:
    lab = Lab(users=two_users([item(SECRET)], []), estate=two_organizations(), quick=True)
    lab.run()
    first = lab.live(SECRET)[0]
    lab.wait(days(2))
    lab.users = moved("user", [])
    sign_ins = QueueLab(lab)
    sign_ins.work_off()
    kept = {name: value for name, value in lab.current(SECRET).tags.items() if name != "predecessors"}
    lab.vault.update(SECRET, "", {"tags": kept})
    for _ in range(8):
        lab.wait(hours(6))
        sign_ins.work_off()
    assert first.revoked
    assert lab.works(SECRET)


def test_rule_13_a_message_for_what_is_due_alone_lists_no_other_organization_and_is_no_full_look() -> None:
    lab = Lab(users=two_users([item()], [item("other-pat", organization="fabrikam")]), estate=two_organizations())
    lab.run()
    lab.wait(days(24))
    sign_ins = looked_at(QueueLab(lab))
    before = sign_ins.runs.looks()
    lab.wait(timedelta(minutes=1))
    first, second = sign_ins.dispatch().orders
    assert (first.full_look, first.organizations) == (False, ())
    assert (second.full_look, second.organizations) == (False, ())
    sign_ins.work_off()
    assert sign_ins.runs.looks() == before


def test_a_former_user_that_could_not_sign_in_is_queued_again_by_the_next_run() -> None:
    lab = Lab(users=two_users([item()], []), estate=two_organizations(), quick=True)
    lab.run()
    sign_ins = QueueLab(lab)
    lab.trouble.before = lambda operation: (
        Unclear(Code.SIGN_IN_UNAVAILABLE, "no answer", "-") if operation == "entra.token" else None
    )
    done = sign_ins.dispatch()
    assert [order.username for order in done.orders] == [AGENTS, SONAR]
    sign_ins.deliver(done.messages[1])
    lab.end_trouble()
    again = sign_ins.dispatch()
    assert [order.username for order in again.orders] == [AGENTS, SONAR]
    sign_ins.deliver(again.messages[1])
    assert [order.username for order in sign_ins.dispatch().orders] == [AGENTS]


# --- what fails -------------------------------------------------------------------------------------------------------


def test_promise_5_what_needs_a_person_is_told_at_every_run_and_queues_nobody() -> None:
    lab = Lab([item(), item("edited-pat")], quick=True)
    lab.run()
    lab.vault.set_secret("edited-pat", "pasted by hand")
    sign_ins = looked_at(QueueLab(lab))
    for _ in range(2):
        done = sign_ins.dispatch()
        assert done.messages == ()
        assert [row.error.code for row in done.run.report.items if row.error] == [Code.EDITED]
    assert [fields["secret"] for fields in lab.told("item.failed")] == ["edited-pat"] * 2
    assert lab.told("run.finished")[-1]["failed"] == 1


def test_an_item_that_could_not_be_looked_at_is_left_to_the_message_of_its_user() -> None:
    lab = Lab([item(), item("odd-pat")], quick=True)
    lab.run()
    lab.wait(days(24))
    lab.vault.set_secret("odd-pat", "pasted by hand")

    def trouble(operation: str) -> PatrolError | None:
        return Unclear(Code.VAULT_UNCLEAR, "no answer", "-") if operation == "vault.versions" else None

    sign_ins = looked_at(QueueLab(lab))
    lab.trouble.before = trouble
    done = sign_ins.dispatch()
    lab.end_trouble()
    (message,) = done.messages
    assert done.run.report.items == ()
    assert [one[0] for one in done.run.waiting[0].items] == ["build-pat", "odd-pat"]
    assert sorted(row.outcome for row in sign_ins.deliver(message).items) == [Outcome.DONE, Outcome.FAILED]


def test_without_a_due_item_beside_it_the_dispatcher_tells_it_itself() -> None:
    lab = Lab([item("odd-pat")], quick=True)
    lab.vault.set_secret("odd-pat", "pasted by hand")

    def trouble(operation: str) -> PatrolError | None:
        return Unclear(Code.VAULT_UNCLEAR, "no answer", "-") if operation == "vault.versions" else None

    sign_ins = looked_at(QueueLab(lab))
    lab.trouble.before = trouble
    done = sign_ins.dispatch()
    assert done.messages == ()
    assert outcomes(done.run.report.items) == ["odd-pat hold failed not-seen"]


def test_a_vault_that_cannot_be_read_fails_the_run_and_the_heartbeat_says_so() -> None:
    sign_ins = QueueLab(Lab([item()], quick=True))
    sign_ins.lab.vault.denied |= {"list"}
    with pytest.raises(Misconfigured):
        sign_ins.dispatch()
    (told,) = sign_ins.lab.told("run.finished")
    assert (told["outcome"], told["code"]) == ("failed", Code.VAULT_FORBIDDEN)
    (brief,) = sign_ins.runs.latest(9)
    assert brief.outcome == "failed"


def test_rule_15_a_wrong_clock_queues_nothing() -> None:
    lab = rotation()
    lab.quick, lab.skew = False, hours(1)
    with pytest.raises(Misconfigured) as refused:
        QueueLab(lab).dispatch()
    assert refused.value.code is Code.CLOCK_SKEW


# --- what is asked for by name ----------------------------------------------------------------------------------------


def test_rule_8_a_forced_order_has_the_instant_of_the_request_and_its_message_nothing_of_it() -> None:
    sign_ins = many(Size(users=2, each=150))
    arrived = sign_ins.lab.clock.now() - timedelta(seconds=7)
    names = [f"pat-{number:06}" for number in range(300)]
    asked = sign_ins.dispatch(*names, force=True, arrived_at=arrived)
    assert [(message.part, message.of, message.due) for message in asked.messages] == [
        (number, 4, None) for number in (1, 2, 3, 4)
    ]
    assert [len(order.names or ()) for order in asked.orders] == [100, 50, 100, 50]
    assert {order.published_before for order in asked.orders} == {arrived}
    own = arrived - hours(1)
    (wished,) = sign_ins.dispatch("pat-000000", force=True, arrived_at=arrived, published_before=own).orders
    assert wished.published_before == own
    (without,) = sign_ins.dispatch("pat-000000", force=True).orders
    assert without.published_before is not None
    (not_forced,) = sign_ins.dispatch("pat-000000", arrived_at=arrived).orders
    assert not_forced.published_before is None


def test_an_unknown_name_queues_nothing_and_keeps_nothing() -> None:
    sign_ins = QueueLab(Lab([item()], quick=True))
    with pytest.raises(Misconfigured) as refused:
        sign_ins.dispatch("build-pat", "no-such-pat")
    assert refused.value.code is Code.SECRET_UNKNOWN
    assert sign_ins.runs.heads == {}


def test_a_dry_run_over_the_queue_changes_nothing_and_is_no_full_look() -> None:
    sign_ins = QueueLab(rotation())
    (message,) = sign_ins.dispatch(dry_run=True).messages
    before = sign_ins.changes()
    assert outcomes(sign_ins.deliver(message).items) == ["build-pat rotate planned near-expiry"]
    assert sign_ins.changes() == before
    assert sign_ins.runs.looks() == {}


# --- the timer's door -------------------------------------------------------------------------------------------------


def fire(sign_ins: QueueLab, tmp_path: Path, **environ: str) -> list[Message]:
    """The timer function; gives the messages that the host would send, none when it raised."""
    (tmp_path / "pats.yaml").write_text(sign_ins.lab.pats_yaml(), encoding="utf-8")
    sent: list[str] = []

    def make_world(_: Settings, budget: timedelta, tell: Events) -> World:
        return sign_ins.world(budget)

    environ = {**ENVIRONMENT, **STORAGE, "FAN_OUT_ABOVE": "0", **environ}
    rotate_due(environ=environ, root=tmp_path, make_world=make_world, send=sent.extend)
    return [read(one.encode()) for one in sent]


def test_the_dispatcher_returns_whatever_failed_because_the_host_sends_nothing_of_a_failed_invocation(
    tmp_path: Path,
) -> None:
    lab = Lab([item(), item("edited-pat"), item("invalid-pat", lifetime="soon")], quick=True)
    lab.run()
    lab.wait(days(24))
    lab.vault.set_secret("edited-pat", "pasted by hand")
    sign_ins = QueueLab(lab)
    (message,) = fire(sign_ins, tmp_path)
    assert lab.told("item.failed")
    sign_ins.deliver(message)
    assert lab.works(SECRET)


def test_without_anything_to_send_a_failure_is_an_event_as_well(tmp_path: Path) -> None:
    lab = Lab([item("edited-pat")], quick=True)
    lab.run()
    lab.vault.set_secret("edited-pat", "pasted by hand")
    assert fire(looked_at(QueueLab(lab)), tmp_path) == []
    assert lab.told("item.failed")


def test_where_nothing_could_be_planned_the_invocation_fails(tmp_path: Path) -> None:
    sign_ins = QueueLab(Lab([item()], quick=True))
    sign_ins.lab.vault.denied |= {"list"}
    with pytest.raises(RunFailed, match=Code.VAULT_FORBIDDEN):
        fire(sign_ins, tmp_path)


@pytest.mark.parametrize(
    "environ",
    [{"FAN_OUT_ABOVE": "1"}, {"FAN_OUT_ABOVE": "never"}, {"AzureWebJobsStorage": ""}],
    ids=["few users", "never", "no storage"],
)
def test_one_machine_does_it_all_below_the_limit(environ: dict[str, str], tmp_path: Path) -> None:
    sign_ins = QueueLab(rotation())
    assert fire(sign_ins, tmp_path, **environ) == []
    assert sign_ins.lab.works(SECRET)
    assert len(sign_ins.lab.live()) == 2, "it was rotated here"


def test_promise_5_while_a_file_cannot_be_read_nothing_is_called_unmanaged() -> None:
    sign_ins = looked_at(many(Size(users=30, each=5, due=11)))
    *others, last = sign_ins.lab.inventory().users
    gone = tuple(sorted(one.secret for one in last.items))
    known = replace(sign_ins.lab.inventory(), users=(*others, last.without({one.key for one in last.items})))
    for inventory, names in ((known, gone), (replace(known, unread=("web.yaml",)), ())):
        sign_ins.lab.large = inventory
        done = sign_ins.dispatch()
        assert (len(done.messages), done.run.report.unmanaged) == (3, names)
