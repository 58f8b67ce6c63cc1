"""Rule 19, told once: whole runs in the lab, and what recipients see of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.recipients import Recipient
from sandbox.cloud.seed import AGENTS
from shared.model.clock import Deadline
from shared.model.errors import Code, PatrolError
from shared.report.met import Happened
from shared.report.report import Failure, Outcome, Report
from shared.rotation import notices
from tests.lab.fakes import FakeHistory, FakeTold
from tests.lab.lab import Lab, days, hours, item, outcomes
from tests.lab.token_estates import lab as with_tokens

FAILURE = Failure(Code.VAULT_FORBIDDEN, "The vault refused.", "Grant the role.")
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def watched(*items: dict[str, Any], **more: Any) -> tuple[Lab, Recipient]:
    """A lab that remembers what it told, with one webhook, after a run that made every PAT."""
    lab = Lab(list(items) or [item()], quick=True, told_before=FakeTold(), **more)
    lab.run()
    return lab, lab.recipient(key=KEY)


def types(recipient: Recipient) -> list[str]:
    """What it was told, in order; reminders as such."""
    return [f"{'reminder of ' if one['data']['reminder'] else ''}{one['type']}" for one in recipient.received]


def refuse_mints(lab: Lab, *, refuse: bool = True) -> None:
    lab.cloud.pats.organization("contoso").policies.creation_restricted = refuse


def test_rule_19_an_outage_of_three_days_is_one_notice_daily_reminders_and_one_recovery() -> None:
    lab, hook = watched(item("one-pat"), item("two-pat"), item("three-pat"))
    lab.wait(days(23))
    lab.trouble.before = lambda operation: (
        PatrolError(Code.DEVOPS_UNAVAILABLE, "Azure DevOps gave no answer.", "Nothing to do if the next run succeeds.")
        if operation.startswith("pats.")
        else None
    )
    for _ in range(12):
        lab.run()
        lab.wait(hours(6))
    assert types(hook) == ["patrol.failed", "reminder of patrol.failed", "reminder of patrol.failed"]
    first = hook.received[0]
    assert (first["subject"], first["data"]["code"], first["data"]["items_in_all"]) == (
        "contoso",
        "devops-unavailable",
        3,
    )
    assert {one["data"]["since"] for one in hook.received} == {first["data"]["since"]}
    assert first["data"]["serious_at"] == first["data"]["items"][0]["expires_on"]
    lab.end_trouble()
    lab.run()
    lab.later(hours(6))
    assert types(hook)[3:] == ["patrol.recovered"]
    recovered = hook.received[3]["data"]
    assert [one["secret"] for one in recovered["items"]] == ["one-pat", "three-pat", "two-pat"]
    assert [one["version"] for one in recovered["items"]] == [
        lab.current(one["secret"]).id for one in recovered["items"]
    ]
    lab.later(days(2))
    assert len(hook.received) == 4


def test_rule_19_what_joins_a_cause_later_is_no_notice_of_its_own() -> None:
    lab, hook = watched(item("one-pat"), item("two-pat", lifetime="31d"))
    lab.wait(days(23))
    refuse_mints(lab)
    lab.run()
    lab.later(hours(6))
    assert types(hook) == ["patrol.failed"]
    assert hook.received[0]["subject"] == "one-pat"
    lab.later(hours(18))
    assert types(hook)[1:] == ["reminder of patrol.failed"]
    assert {one["secret"] for one in hook.received[1]["data"]["items"]} == {"one-pat", "two-pat"}


def test_rule_19_a_blocked_user_is_one_cause_however_its_later_runs_say_it() -> None:
    lab, hook = watched(item("one-pat"), item("two-pat"))
    lab.wait(days(25))
    lab.cloud.directory.set_password(AGENTS, "sandbox-another-password")
    for _ in range(4):
        lab.run()
        lab.wait(hours(6))
    assert types(hook) == ["patrol.blocked"]
    assert (hook.received[0]["subject"], hook.received[0]["data"]["items_in_all"]) == (AGENTS, 2)
    assert "password is wrong" in hook.received[0]["data"]["cause"]


def test_rule_19_a_refusal_at_the_daily_look_alone_is_not_well_again_by_the_runs_in_between() -> None:
    """Nothing is due: only the daily look meets it, and the runs between say that all is held."""
    lab, hook = watched()
    lab.runs = FakeHistory(lab.clock)
    lab.run()
    lab.cloud.directory.user(AGENTS).state = UserState.DISABLED
    for _ in range(9):
        lab.later(hours(6))
    assert "patrol.recovered" not in types(hook)
    assert types(hook)[0] == "patrol.blocked"
    lab.cloud.directory.user(AGENTS).state = UserState.NORMAL
    for _ in range(9):
        lab.later(hours(6))
    assert types(hook).count("patrol.recovered") == 1


def test_rule_19_two_runs_at_one_moment_tell_once() -> None:
    lab, hook = watched()
    lab.wait(days(25))
    refuse_mints(lab)
    told = lab.told_before
    assert isinstance(told, FakeTold)
    told.between = lambda: lab.reports.append(lab.run())  # another run, from its beginning to its end
    lab.run()
    assert types(hook) == ["patrol.failed"]
    assert len(lab.told("notice.told")) == 1


def test_rule_19_killed_between_telling_and_remembering_it_tells_twice_with_one_id_and_never_not_at_all() -> None:
    """Twice, because a notice that nobody got is worse; with one id, which tells a webhook."""

    class Killed(BaseException):
        pass

    lab, hook = watched()
    lab.wait(days(25))
    refuse_mints(lab)
    told = lab.told_before
    assert isinstance(told, FakeTold)

    def kill() -> None:
        raise Killed

    def claims() -> None:
        told.between = kill  # at the next write, which would remember it

    told.between = claims
    with pytest.raises(Killed):
        lab.run()
    assert (told.writes, types(hook)) == (1, ["patrol.failed"])
    lab.later(timedelta(minutes=1))
    assert types(hook) == ["patrol.failed"]  # still the claim of the one that died
    lab.later(hours(6))
    assert types(hook) == ["patrol.failed", "patrol.failed"]
    assert len(set(hook.ids)) == 1
    assert len(hook.shown) == 1
    lab.later(hours(6))
    assert len(hook.received) == 2


def test_rule_19_without_a_storage_every_run_tells_and_nothing_recovers() -> None:
    lab = Lab([item()], quick=True)
    lab.run()
    hook = lab.recipient()
    lab.wait(days(25))
    refuse_mints(lab)
    lab.run()
    lab.later(hours(6))
    refuse_mints(lab, refuse=False)
    lab.later(hours(6))
    assert types(hook) == ["patrol.failed", "patrol.failed"]


def test_rule_19_a_storage_that_does_not_answer_tells_all_the_same_and_says_so() -> None:
    lab, hook = watched()
    assert isinstance(lab.told_before, FakeTold)
    lab.told_before.down = True
    lab.wait(days(25))
    refuse_mints(lab)
    lab.run()
    assert types(hook) == ["patrol.failed"]
    assert [fields["code"] for fields in lab.told("notice.unremembered")] == [Code.NOTICES_UNKEPT]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "status", "status": 400}, Code.RECIPIENT_REFUSED),
        ({"kind": "status", "status": 401}, Code.RECIPIENT_REFUSED),
        ({"kind": "status", "status": 410}, Code.RECIPIENT_REFUSED),
        ({"kind": "redirect"}, Code.RECIPIENT_REFUSED),
        ({"kind": "status", "status": 500}, Code.RECIPIENT_UNREACHABLE),
        ({"kind": "hang", "seconds": 60.0}, Code.RECIPIENT_UNREACHABLE),
        ({"kind": "cut_after_effect"}, Code.RECIPIENT_UNREACHABLE),
    ],
    ids=["400", "401", "410", "redirect", "500", "hang", "cut"],
)
def test_promise_5_and_rule_19_a_failing_recipient_is_a_row_and_an_event_and_is_told_later(
    fault: dict[str, Any], code: Code
) -> None:
    lab, broken = watched(item("one-pat"), item("two-pat", lifetime="90d"))
    well = lab.recipient()
    lab.wait(days(25))
    refuse_mints(lab)
    lab.cloud.add_fault("notice.webhook", call=None, where="webhook-0", **fault)
    report = lab.run()
    assert [(row.recipient, row.told, row.waiting) for row in report.recipients] == [
        ("webhook-0-url", 0, 1),
        ("webhook-1-url", 1, 0),
    ]
    assert report.recipients[0].error is not None
    assert report.recipients[0].error.code is code
    assert [fields["code"] for fields in lab.told("notice.failed")] == [code]
    assert outcomes(report.items)[0].startswith("one-pat rotate failed")
    assert types(well) == ["patrol.failed"]
    took = len(broken.received)
    lab.cloud.faults.clear()
    lab.later(hours(6))
    assert types(broken)[took:] == ["patrol.failed"]
    assert types(well) == ["patrol.failed"]


def test_rule_19_a_busy_recipient_is_asked_again_when_it_says_so_within_the_budget() -> None:
    lab, hook = watched()
    lab.wait(days(25))
    refuse_mints(lab)
    lab.cloud.add_fault("notice.webhook", "status", status=429, headers={"Retry-After": "7"})
    before = lab.clock.now()
    report = lab.run()
    assert types(hook) == ["patrol.failed"]
    assert report.recipients[0].error is None
    assert lab.clock.now() - before >= timedelta(seconds=7)


def test_rule_19_a_recipient_never_changes_what_a_run_comes_to() -> None:
    lab, _ = watched()
    lab.wait(days(25))
    before = lab.run()
    lab.notify[0]["url_secret_name"] = "not-there"
    lab.wait(days(25))
    report = lab.run()
    assert (report.outcome, report.exit_code()) == (before.outcome, 0)
    refuse_mints(lab)
    lab.wait(days(25))
    report = lab.run()
    (row,) = report.recipients
    assert row.error is not None
    assert (row.error.code, report.exit_code()) == (Code.RECIPIENT_UNREADABLE, 1)
    assert "not-there" in row.error.message


def test_rule_19_an_emergency_is_told_with_what_must_be_read_again_and_the_new_version() -> None:
    lab, hook = watched()
    lab.wait(hours(1))
    lab.run("build-pat", emergency=True)
    (told,) = hook.received
    assert told["type"] == "patrol.emergency"
    assert "build-pat" in told["data"]["cause"]
    assert "read it again" in told["data"]["cause"]
    assert told["data"]["items"][0]["version"] == lab.current("build-pat").id
    lab.later(hours(6))
    assert len(hook.received) == 1


def test_rule_19_an_emergency_that_nobody_could_be_told_of_is_told_by_the_next_run() -> None:
    lab, hook = watched()
    lab.wait(hours(1))
    lab.cloud.add_fault("notice.webhook", "status", call=None, status=503)
    lab.run("build-pat", emergency=True)
    assert types(hook) == []
    lab.cloud.faults.clear()
    lab.later(hours(6))
    assert types(hook) == ["patrol.emergency"]


def test_rule_19_done_is_told_to_those_who_wish() -> None:
    lab = Lab([item()], quick=True, told_before=FakeTold())
    silent, told = lab.recipient(), lab.recipient(on=["done"])
    lab.run()
    assert types(silent) == []
    assert types(told) == ["patrol.done"]
    assert told.received[0]["data"]["items"][0]["version"] == lab.current("build-pat").id


def test_rule_19_a_pat_that_ends_while_patrol_cannot_help_is_a_warning() -> None:
    """Failing for days is told as failed; that half of the time is gone, once more, as a warning."""
    lab, hook = watched()
    lab.wait(days(27))
    refuse_mints(lab)
    lab.run()
    assert sorted(types(hook)) == ["patrol.failed", "patrol.warning"]
    warning = next(one for one in hook.received if one["type"] == "patrol.warning")
    assert warning["data"]["serious_at"] == warning["data"]["items"][0]["expires_on"]
    refuse_mints(lab, refuse=False)
    lab.later(hours(1))
    assert types(hook).count("patrol.recovered") == 2


def test_rule_19_a_credential_that_ends_soon_is_a_warning() -> None:
    lab, hook = watched()
    ends = int((lab.clock.now() + days(30)).timestamp())
    lab.cloud.vaults["patrol-demo-creds.vault.azure.net"].seed(
        "svc-agents-password", "sandbox-password-agents", created=lab.clock.now(), expires=ends
    )
    lab.later(days(24))
    assert "patrol.warning" in types(hook)
    warning = next(one for one in hook.received if one["type"] == "patrol.warning")
    assert (warning["subject"], warning["data"]["code"]) == ("svc-agents-password", "credential-near-expiry")


def test_rule_19_a_run_that_nothing_came_of_is_told_and_well_again_with_the_next_whole_one() -> None:
    lab, hook = watched()
    lab.vault.denied.add("list")
    with pytest.raises(PatrolError):
        lab.run()
    with pytest.raises(PatrolError):
        lab.later(hours(6))
    lab.vault.denied.clear()
    lab.later(hours(6))
    assert types(hook) == ["patrol.failed", "patrol.recovered"]
    assert hook.received[0]["subject"] == lab.settings.vault_host


def test_rule_19_a_dry_run_and_a_wrong_name_tell_nobody() -> None:
    lab, hook = watched()
    lab.wait(days(25))
    refuse_mints(lab)
    lab.run(dry_run=True)
    with pytest.raises(PatrolError):
        lab.run("no-such-pat")
    assert hook.received == []


def test_rule_19_what_another_thing_is_in_the_way_of_now_is_not_called_well() -> None:
    lab, hook = watched()
    lab.wait(days(25))
    refuse_mints(lab)
    lab.run()
    lab.cloud.directory.set_password(AGENTS, "sandbox-another-password")
    lab.later(hours(6))
    assert types(hook) == ["patrol.failed", "patrol.blocked"]


def test_rule_19_a_recipient_that_pats_yaml_spoils_is_a_row_and_the_others_are_told() -> None:
    lab, hook = watched()
    lab.notify.append({"kind": "team", "url_secret_name": "other-url"})
    lab.wait(days(25))
    refuse_mints(lab)
    report = lab.run()
    assert types(hook) == ["patrol.failed"]
    assert [(row.recipient, row.error.code if row.error else None) for row in report.recipients] == [
        ("webhook-0-url", None),
        ("other-url", Code.RECIPIENT_INVALID),
    ]
    assert all(row.outcome is not Outcome.DONE for row in report.items)


def test_rule_19_tokens_are_told_too() -> None:
    lab = with_tokens()
    lab.told_before = FakeTold()
    hook = lab.recipient()
    lab.refresh()
    assert types(hook) == []
    lab.trouble.before = lambda operation: (
        PatrolError(Code.SIGN_IN_UNAVAILABLE, "Entra ID gave no answer.", "Nothing to do.")
        if operation.startswith("entra.")
        else None
    )
    for _ in range(6):
        lab.wait(timedelta(minutes=10))
        lab.refresh()
    assert types(hook) == ["patrol.failed"]
    lab.end_trouble()
    lab.wait(timedelta(minutes=10))
    lab.refresh()
    assert types(hook) == ["patrol.failed", "patrol.recovered"]


def test_promise_5_and_rule_19_a_recipient_that_never_ends_is_left_behind_when_the_time_is_over() -> None:
    """No timeout of a socket helps against an answer that comes byte by byte."""

    class NeverEnding:
        def __init__(self) -> None:
            self.over = Event()

        def check(self, *_: Any) -> None:
            raise AssertionError("only told")

        def tell(self, *_: Any) -> str:
            self.over.wait(600)
            return "too late"

    lab, _ = watched()
    stuck = NeverEnding()
    report = Report("a" * 32, lab.clock.now(), lab.clock.now(), (), misconfigured=FAILURE)
    soon = Deadline.after(lab.clock, timedelta(0), timedelta(milliseconds=50))
    world = replace(lab.quick_world(), recipients=stuck, deadline=soon)
    to = notices.audience(lab.inventory(), lab.settings.mark, world)
    (row,) = notices.tell_end(world, to, Happened(report, "run", whole=True), waits=True)
    stuck.over.set()
    assert row.error is not None
    assert (row.told, row.waiting, row.error.code) == (0, 1, Code.RECIPIENT_UNREACHABLE)


def test_rule_19_a_caller_whose_time_is_over_gets_the_answer_and_the_next_run_tells() -> None:
    lab, hook = watched()
    world = lab.quick_world()
    world = replace(world, deadline=Deadline.after(lab.clock, -hours(1), timedelta(0)))
    to = notices.audience(lab.inventory(), lab.settings.mark, world)
    rows = (replace(lab.reports[0].items[0], version="v" * 32),)
    report = Report("b" * 32, lab.clock.now(), lab.clock.now(), rows)
    happened = Happened(report, "run", whole=False, emergency=True)
    assert notices.tell_end(world, to, happened, waits=True) == ()
    assert types(hook) == []
    lab.later(hours(1))
    assert types(hook) == ["patrol.emergency"]
