"""Rule 18 over whole runs: a lagging reader holds a predecessor for days, an unreadable log too, an emergency none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox.cloud.seed import PATS_VAULT
from shared.model.clock import instant
from shared.report.report import Report
from tests.lab.fakes import FakeTold
from tests.lab.lab import Lab, days, hours, outcomes, row
from tests.lab.queue_lab import QueueLab
from tests.lab.readers import AGENT, SONAR_APP, logged, reads

TABLES = ("AZKVAuditLogs", "AzureDiagnostics")
HELD = "build-pat retire held held-for-readers"
ENDED = "build-pat retire done overlap-over"


def rotated(lab: Lab) -> Report:
    """Published, read by the agent, and rotated: the overlap of a day begins."""
    lab.run()
    reads(lab)
    lab.wait(days(1))
    reads(lab)
    return lab.run("build-pat", force=True)


def every_six_hours(lab: Lab, until: timedelta) -> list[str]:
    """What each run said of the predecessor."""
    found = []
    for _ in range(until // hours(6)):
        lab.wait(hours(6))
        found += [text for text in outcomes(lab.run().items) if " retire " in text]
    return found


@pytest.mark.parametrize("table", TABLES)
def test_rule_18_a_lagging_reader_holds_the_old_pat_for_two_days_and_then_it_ends(table: str) -> None:
    lab = logged(table, hold_for_readers="7d")
    old = lab.live("build-pat")
    assert not old
    rotated(lab)
    published_at = lab.clock.now()
    assert every_six_hours(lab, hours(18)) == []  # in overlap
    assert every_six_hours(lab, days(2)) == [HELD] * 8
    assert len(lab.live("build-pat")) == 2
    says = row(lab.reports[-1], step="retire").says
    assert AGENT in says, "who holds it"
    assert str(instant(published_at + days(8))) in says, "and until when at most"
    reads(lab)
    assert every_six_hours(lab, hours(6)) == [ENDED]
    assert len(lab.live("build-pat")) == 1
    assert lab.works("build-pat")
    assert all(report.exit_code() == 0 for report in lab.reports)


@pytest.mark.parametrize("trouble", ["denied", "partial", "nothing", "hang", "foreign"])
def test_rule_18_a_log_that_cannot_be_read_holds_and_says_so_and_no_longer_than_asked_for(trouble: str) -> None:
    lab = logged(hold_for_readers="2d")
    rotated(lab)
    log = lab.cloud.vault_logs[PATS_VAULT]
    match trouble:
        case "denied":
            log.denied = True
        case "partial":
            log.partial = True
        case "nothing":
            log.rows.clear()
            lab.cloud.switches.vault_log_table = "none"
        case "hang":
            lab.cloud.add_fault("logs.query", "hang", call=None, seconds=300)
        case "foreign":
            lab.cloud.add_fault("logs.query", "foreign", call=None, status=403)
    assert every_six_hours(lab, days(3)) == [*[HELD] * 8, ENDED]
    held = [row(report, step="retire").says for report in lab.reports if HELD in outcomes(report.items)]
    wanted = {"nothing": "the vault's log shows nothing yet"}.get(trouble, "nobody knows who reads it")
    assert all(wanted in says for says in held)
    assert all(report.exit_code() == 0 for report in lab.reports), "promise 5: no log fails a run"


def test_rule_18_readers_that_have_the_new_one_hold_nothing_once_the_log_shows_it() -> None:
    lab = logged(hold_for_readers="7d")
    rotated(lab)
    lab.wait(hours(1))
    reads(lab)
    lab.wait(hours(23))
    assert HELD in outcomes(lab.run().items), (
        "the log ends before the overlap did: this run's own look is not in it yet"
    )
    assert "shows nothing after" in row(lab.reports[-1], step="retire").says
    lab.wait(timedelta(minutes=29))
    assert HELD in outcomes(lab.run().items)
    lab.wait(timedelta(minutes=1))
    assert ENDED in outcomes(lab.run().items)


def test_rule_18_whoever_stays_with_a_version_by_its_id_holds_it_to_the_end_and_others_do_not() -> None:
    lab = logged(hold_for_readers="3d")
    lab.run()
    old = lab.current("build-pat").id
    reads(lab, version=old)
    reads(lab, SONAR_APP)
    lab.wait(hours(1))
    lab.run("build-pat", force=True)
    for _ in range(4):
        lab.wait(hours(23))
        reads(lab, version=old)
        reads(lab, SONAR_APP)
        lab.run()
    held = [row(report, step="retire").says for report in lab.reports if HELD in outcomes(report.items)]
    assert AGENT in held[-1]
    assert not any(SONAR_APP in says for says in held)
    lab.wait(hours(6))
    assert ENDED in outcomes(lab.run().items)


def test_rule_18_nothing_is_kept_past_its_own_expiry() -> None:
    lab = logged(hold_for_readers="25d", lifetime="30d", rotate_before="2d", overlap="1d")
    lab.run()
    reads(lab)
    ends = lab.live("build-pat")[0].valid_to
    lab.wait(days(28))
    lab.run()
    lab.wait(days(1) + hours(1))
    assert str(instant(ends)) in row(lab.run(), step="retire").says
    lab.wait(days(1))
    assert not [text for text in outcomes(lab.run().items) if "retire held" in text]
    assert len(lab.live("build-pat")) == 1


def test_rule_18_an_emergency_is_never_held() -> None:
    lab = logged(hold_for_readers="7d")
    rotated(lab)
    lab.cloud.vault_logs[PATS_VAULT].denied = True
    lab.wait(hours(30))
    report = lab.run("build-pat", emergency=True)
    assert report.exit_code() == 0
    assert len(lab.live("build-pat")) == 1
    assert not [text for text in outcomes(report.items) if "held-for-readers" in text]


def test_rule_18_without_the_key_no_log_is_asked() -> None:
    lab = logged()
    rotated(lab)
    assert every_six_hours(lab, days(1)) == [ENDED]


def test_rule_18_a_dry_run_shows_who_holds_it_and_status_changes_nothing() -> None:
    lab = logged(hold_for_readers="7d")
    rotated(lab)
    lab.wait(hours(24))
    lab.run()
    lab.wait(hours(6))
    report = lab.run(dry_run=True)
    assert HELD in outcomes(report.items)
    assert AGENT in row(report, step="retire").says


def test_rule_18_without_the_setting_it_is_held_and_said_what_is_missing() -> None:
    lab = Lab([{"secret": "build-pat", "scopes": ["vso.code"], "hold_for_readers": "1d"}])
    rotated(lab)
    lab.wait(hours(25))
    says = row(lab.run(), step="retire").says
    assert "VAULT_LOGS" in says
    lab.wait(hours(24))
    assert ENDED in outcomes(lab.run().items)


# What a run warns of


def warnings(report: Report) -> list[str]:
    return [one.says for one in report.items if one.because == "still-read"]


def test_rule_18_a_reader_that_lags_is_told_before_the_old_pat_ends_and_not_after() -> None:
    lab = logged()
    rotated(lab)
    lab.wait(hours(11))
    assert warnings(lab.run()) == []
    lab.wait(hours(1))
    report = lab.run()
    (says,) = warnings(report)
    assert AGENT in says
    assert "let them read it again before that" in says
    assert report.exit_code() == 0
    reads(lab)
    lab.wait(hours(6))
    assert warnings(lab.run()) == []


def test_rule_18_whoever_asks_for_a_retired_generation_is_told_for_a_day() -> None:
    lab = logged()
    rotated(lab)
    old = min(lab.vault.secret("build-pat").versions.values(), key=lambda version: version.created)
    lab.wait(hours(25))
    lab.run()
    retired = old.tags["authorization-id"]
    reads(lab, version=old.id)
    lab.wait(hours(6))
    (says,) = warnings(lab.run())
    assert AGENT in says
    assert retired in says
    lab.wait(hours(20))
    assert warnings(lab.run()) == []


def test_a_reader_that_is_not_known_is_warned_of_for_a_day_whatever_it_read() -> None:
    lab = logged()
    lab.settings = replace(lab.settings, known_readers=frozenset({AGENT}))
    lab.run()
    reads(lab, AGENT)
    lab.wait(hours(1))
    assert warnings(lab.run()) == []
    reads(lab, SONAR_APP)
    lab.wait(hours(1))
    report = lab.run()
    (says,) = warnings(report)
    assert (report.exit_code(), SONAR_APP in says, AGENT in says) == (0, True, False)
    assert "KNOWN_READERS" in says
    lab.wait(days(1))
    assert warnings(lab.run()) == []


def test_promise_5_a_log_that_cannot_be_read_warns_of_nobody_and_fails_nothing() -> None:
    lab = logged()
    rotated(lab)
    lab.cloud.vault_logs[PATS_VAULT].denied = True
    lab.wait(hours(12))
    report = lab.run()
    assert (report.exit_code(), warnings(report)) == (0, [])
    assert [one["code"] for one in lab.told("readers.unknown")] == ["logs-unreadable"]


def test_rule_19_a_recipient_is_warned_once_of_a_reader_that_holds_a_predecessor() -> None:
    lab = logged(hold_for_readers="7d")
    lab.told_before = FakeTold()
    to = lab.recipient("webhook", on=["warning"])
    rotated(lab)
    every_six_hours(lab, hours(42))
    told = [one["data"]["code"] for one in to.received]
    assert sorted(told) == ["held-for-readers", "still-read"]


def test_rule_18_over_the_queue_the_dispatcher_warns_and_the_message_holds() -> None:
    lab = logged(hold_for_readers="7d")
    rotated(lab)
    queue = QueueLab(lab)
    lab.wait(hours(12))
    queue.dispatch()
    lab.wait(hours(12))
    queue.dispatch()
    (run,) = [kept for run_id in queue.runs.heads if (kept := queue.runs.read(run_id)) and warnings(kept.report)]
    assert AGENT in warnings(run.report)[0]
    lab.wait(hours(6))
    done = queue.dispatch()
    for message in done.messages:
        queue.deliver(message)
    kept = queue.runs.read(done.run.run_id)
    assert kept is not None
    assert HELD in outcomes(kept.report.items)
