"""The dispatcher: who is queued, what a message says, and that nothing is lost between the two ends of the queue."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.large_estate import Size, user
from sandbox.cloud.seed import AGENTS
from shared.fan_out.queue_message import Message, read
from shared.fan_out.who_is_queued import WORTH_WHILE, look_is_due
from shared.functions.rotation_timer import RunFailed, rotate_due
from shared.model.errors import Code, Misconfigured, PatrolError, Unclear
from shared.report.report import Outcome
from shared.rotation.run import World
from shared.settings import Settings
from tests.lab.lab import ENVIRONMENT, Lab, days, hours, item, outcomes
from tests.lab.queue_lab import QueueLab, many
from tests.lab.scenarios import SECRET, retirement, rotation

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def looked_at(desk: QueueLab) -> QueueLab:
    """Everybody had the full look just now."""
    for one in desk.lab.inventory().users:
        desk.runs.looked(one)
    return desk


def the_run(desk: QueueLab, run_id: str) -> Any:
    run = desk.runs.read(run_id)
    assert run is not None
    return run


# --- who is queued ----------------------------------------------------------------------------------------------------


def test_nothing_due_nothing_queued_and_nobody_signed_in() -> None:
    desk = looked_at(many(Size(users=30, each=5), quick=False))
    done = desk.dispatch()
    assert done.messages == ()
    assert set(desk.lab.operations()) <= {"vault.list"}
    run = the_run(desk, done.run.run_id)
    assert (run.outcome, len(run.items), run.messages) == ("succeeded", 150, 0)
    assert [fields["queued"] for fields in desk.lab.told("run.finished")] == [0]


def test_one_message_for_each_user_that_has_something_due() -> None:
    desk = looked_at(many(Size(users=30, each=5, due=11)))
    done = desk.dispatch()
    assert [one.username for one in done.messages] == [user(0), user(1), user(2)]
    assert [(one.part, one.of, one.names) for one in done.messages] == [(1, 3, None), (2, 3, None), (3, 3, None)]
    assert {one.deadline for one in done.messages} == {(done.run.started_at + WORTH_WHILE)}
    run = the_run(desk, done.run.run_id)
    assert (run.outcome, run.messages, run.messages_done) == ("running", 3, 0)
    waiting = [row for row in run.items if row.because == "queued"]
    assert (len(waiting), len(run.items)) == (15, 150), "a waiting user's healthy items are looked at again"
    for message in done.messages:
        desk.deliver(message)
    run = the_run(desk, done.run.run_id)
    assert (run.outcome, run.messages_done, len(run.items)) == ("succeeded", 3, 150)
    assert sum(row.outcome is Outcome.DONE for row in run.items) == 11


def test_the_dispatcher_changes_nothing() -> None:
    desk = QueueLab(rotation())
    desk.lab.quick = False
    before = desk.changes()
    assert desk.dispatch().messages
    assert desk.changes() == before
    assert not [row for row in desk.lab.cloud.calls() if row.operation.startswith(("pats.", "entra."))]


def test_an_overlap_that_is_over_is_queued() -> None:
    desk = looked_at(QueueLab(retirement()))
    (message,) = desk.dispatch().messages
    assert "build-pat retire done overlap-over" in outcomes(desk.deliver(message).items)
    assert len(desk.lab.live()) == 1


def test_every_user_gets_a_full_look_once_a_day_in_its_slot() -> None:
    desk = many(Size(users=40, each=1))
    desk.work_off()
    assert len(desk.runs.looks()) == 40, "the first run looks at all"
    for _ in range(8):
        desk.lab.wait(hours(6))
        now, before = desk.lab.clock.now(), desk.runs.looks()
        users = desk.lab.inventory().users
        expected = {one.username for one in users if look_is_due(one.username, before[one.digest], now)}
        done = desk.dispatch()
        assert {one.username for one in done.messages} == expected
        assert 0 < len(expected) < 25, "spread over the day"
        for message in done.messages:
            desk.deliver(message)
    looks = desk.runs.looks()
    assert all(desk.lab.clock.now() - at < hours(24) for at in looks.values())


def revoked_by_a_person(lab: Lab) -> None:
    lab.cloud.pats.revoke_as_person(lab.live(SECRET)[0].authorization_id)


def orphaned(lab: Lab) -> None:
    name = lab.live(SECRET)[0].display_name
    at = lab.clock.now() - hours(3)
    lab.cloud.pats.seed(AGENTS, "contoso", name, "vso.code", valid_from=at, valid_to=at + days(20))


@pytest.mark.parametrize("happens", [revoked_by_a_person, orphaned])
def test_promise_2_what_the_listing_cannot_show_is_found_by_the_full_look_within_a_day(happens: Any) -> None:
    lab = Lab([item()], quick=True)
    desk = QueueLab(lab)
    desk.work_off()
    lab.wait(days(3))
    desk.work_off()
    happens(lab)
    messages = 0
    for _ in range(4):
        lab.wait(hours(6))
        desk.work_off()
        messages += lab.told("run.finished")[-1]["queued"] == 1
    assert messages == 1, "one look a day"
    assert lab.works(SECRET)
    assert len(lab.live(SECRET)) == 1


def test_a_look_that_failed_is_queued_again_by_the_next_run() -> None:
    desk = QueueLab(Lab([item()]))
    desk.lab.run()
    desk.lab.vault.denied |= {"get"}
    (message,) = desk.dispatch().messages
    desk.deliver(message)
    desk.lab.vault.denied.clear()
    (again,) = desk.dispatch().messages
    assert desk.deliver(again).outcome == "succeeded"
    assert desk.dispatch().messages == ()


def test_a_former_organization_goes_along_so_that_what_was_minted_there_still_ends() -> None:
    lab = Lab([item()], estate=None, quick=True)
    lab.cloud.pats.add_organization("fabrikam", "b0000000-0000-4000-8000-000000000002", {AGENTS})
    lab.run()
    lab.items = [item(organization="fabrikam")]
    desk = QueueLab(lab)
    (message,) = desk.dispatch().messages
    assert message.organizations == ("contoso",)
    desk.deliver(message)
    for _ in range(6):
        lab.wait(hours(6))
        desk.work_off()
    assert [pat.organization for pat in lab.live()] == [lab.cloud.pats.organization("fabrikam").guid]


# --- what fails -------------------------------------------------------------------------------------------------------


def test_promise_5_what_needs_a_person_is_told_at_every_run_and_queues_nobody() -> None:
    lab = Lab([item(), item("edited-pat")], quick=True)
    lab.run()
    lab.vault.set_secret("edited-pat", "pasted by hand")
    desk = looked_at(QueueLab(lab))
    for _ in range(2):
        done = desk.dispatch()
        assert done.messages == ()
        assert [row.error.code for row in done.run.items if row.error] == [Code.EDITED]
    assert [fields["secret"] for fields in lab.told("item.failed")] == ["edited-pat"] * 2
    assert lab.told("run.finished")[-1]["failed"] == 1


def test_an_item_that_could_not_be_looked_at_is_left_to_the_message_of_its_user() -> None:
    lab = Lab([item(), item("odd-pat")], quick=True)
    lab.run()
    lab.wait(days(24))
    lab.vault.set_secret("odd-pat", "pasted by hand")

    def trouble(operation: str) -> PatrolError | None:
        return Unclear(Code.VAULT_UNCLEAR, "no answer", "-") if operation == "vault.versions" else None

    desk = looked_at(QueueLab(lab))
    lab.trouble.before = trouble
    done = desk.dispatch()
    lab.end_trouble()
    (message,) = done.messages
    assert done.run.items == ()
    assert [one[0] for one in done.run.waiting[0].items] == ["build-pat", "odd-pat"]
    assert sorted(row.outcome for row in desk.deliver(message).items) == [Outcome.DONE, Outcome.FAILED]


def test_without_a_due_item_beside_it_the_dispatcher_tells_it_itself() -> None:
    lab = Lab([item("odd-pat")], quick=True)
    lab.vault.set_secret("odd-pat", "pasted by hand")

    def trouble(operation: str) -> PatrolError | None:
        return Unclear(Code.VAULT_UNCLEAR, "no answer", "-") if operation == "vault.versions" else None

    desk = looked_at(QueueLab(lab))
    lab.trouble.before = trouble
    done = desk.dispatch()
    assert done.messages == ()
    assert outcomes(done.run.items) == ["odd-pat hold failed not-seen"]


def test_a_vault_that_cannot_be_read_fails_the_run_and_the_heartbeat_says_so() -> None:
    desk = QueueLab(Lab([item()], quick=True))
    desk.lab.vault.denied |= {"list"}
    with pytest.raises(Misconfigured):
        desk.dispatch()
    (told,) = desk.lab.told("run.finished")
    assert (told["outcome"], told["code"]) == ("failed", Code.VAULT_FORBIDDEN)
    (brief,) = desk.runs.latest(9)
    assert brief.outcome == "failed"


def test_rule_15_a_wrong_clock_queues_nothing() -> None:
    lab = rotation()
    lab.quick, lab.skew = False, hours(1)
    with pytest.raises(Misconfigured) as refused:
        QueueLab(lab).dispatch()
    assert refused.value.code is Code.CLOCK_SKEW


# --- what is asked for by name ----------------------------------------------------------------------------------------


def test_rule_8_a_forced_message_carries_the_instant_of_the_request() -> None:
    desk = many(Size(users=2, each=150))
    arrived = desk.lab.clock.now() - timedelta(seconds=7)
    names = [f"pat-{number:06}" for number in range(300)]
    asked = desk.dispatch(*names, force=True, arrived_at=arrived).messages
    assert [(one.part, one.of, len(one.names or ())) for one in asked] == [
        (1, 4, 100),
        (2, 4, 50),
        (3, 4, 100),
        (4, 4, 50),
    ]
    assert {one.published_before for one in asked} == {arrived}
    own = arrived - hours(1)
    (wished,) = desk.dispatch("pat-000000", force=True, arrived_at=arrived, published_before=own).messages
    assert wished.published_before == own
    (without,) = desk.dispatch("pat-000000", force=True).messages
    assert without.published_before is not None
    (not_forced,) = desk.dispatch("pat-000000", arrived_at=arrived).messages
    assert not_forced.published_before is None


def test_an_unknown_name_queues_nothing_and_keeps_nothing() -> None:
    desk = QueueLab(Lab([item()], quick=True))
    with pytest.raises(Misconfigured) as refused:
        desk.dispatch("build-pat", "no-such-pat")
    assert refused.value.code is Code.SECRET_UNKNOWN
    assert desk.runs.heads == {}


def test_a_dry_run_over_the_queue_changes_nothing_and_is_no_full_look() -> None:
    desk = QueueLab(rotation())
    (message,) = desk.dispatch(dry_run=True).messages
    before = desk.changes()
    assert outcomes(desk.deliver(message).items) == ["build-pat rotate planned near-expiry"]
    assert desk.changes() == before
    assert desk.runs.looks() == {}


# --- the timer's door -------------------------------------------------------------------------------------------------


def fire(desk: QueueLab, tmp_path: Path, **environ: str) -> list[Message]:
    """The timer function; gives the messages that the host would send, none when it raised."""
    (tmp_path / "pats.yaml").write_text(desk.lab.pats_yaml(), encoding="utf-8")
    sent: list[str] = []

    def make_world(_: Settings, budget: timedelta) -> World:
        return desk.world(budget)

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
    desk = QueueLab(lab)
    (message,) = fire(desk, tmp_path)
    assert lab.told("item.failed")
    desk.deliver(message)
    assert lab.works(SECRET)


def test_without_anything_to_send_a_failure_is_an_event_as_well(tmp_path: Path) -> None:
    lab = Lab([item("edited-pat")], quick=True)
    lab.run()
    lab.vault.set_secret("edited-pat", "pasted by hand")
    assert fire(looked_at(QueueLab(lab)), tmp_path) == []
    assert lab.told("item.failed")


def test_where_nothing_could_be_planned_the_invocation_fails(tmp_path: Path) -> None:
    desk = QueueLab(Lab([item()], quick=True))
    desk.lab.vault.denied |= {"list"}
    with pytest.raises(RunFailed, match=Code.VAULT_FORBIDDEN):
        fire(desk, tmp_path)


@pytest.mark.parametrize(
    "environ",
    [{"FAN_OUT_ABOVE": "1"}, {"FAN_OUT_ABOVE": "never"}, {"AzureWebJobsStorage": ""}],
    ids=["few users", "never", "no storage"],
)
def test_one_machine_does_it_all_below_the_limit(environ: dict[str, str], tmp_path: Path) -> None:
    desk = QueueLab(rotation())
    assert fire(desk, tmp_path, **environ) == []
    assert desk.lab.works(SECRET)
    assert len(desk.lab.live()) == 2, "it was rotated here"
