"""A report in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shared.model.steps import Because
from shared.report.report import Outcome, Report, Row, Verb
from shared.views.sums import dead, summed
from tests.lab.lab import START, Lab, days, item
from tests.lab.shell import Shell


def report(*rows: tuple[str, Verb, Outcome]) -> Report:
    made = (Row(name, "svc", "contoso", verb, outcome, Because.FRESH, "") for name, verb, outcome in rows)
    return Report("r", START, START, tuple(made))


PLANNED, DONE, HELD, FAILED = Outcome.PLANNED, Outcome.DONE, Outcome.HELD, Outcome.FAILED


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [
                ("a", Verb.ROTATE, PLANNED),
                ("b", Verb.ROTATE, PLANNED),
                ("b", Verb.RETIRE, PLANNED),
                ("c", Verb.RENEW, PLANNED),
                ("d", Verb.HOLD, HELD),
            ],
            "Plan: 2 to replace, 1 to renew, 1 old PAT to end, 1 untouched.",
        ),
        (
            [("a", Verb.ROTATE, DONE), ("b", Verb.RETIRE, DONE), ("c", Verb.RETIRE, DONE), ("d", Verb.HOLD, FAILED)],
            "Partial: 1 replaced, 2 old PATs ended, 1 not done.",
        ),
        ([("a", Verb.HOLD, HELD), ("b", Verb.HOLD, HELD)], "Succeeded: 2 untouched."),
        ([("a", Verb.DECOMMISSION, DONE)], "Succeeded: 1 decommissioned."),
        ([("a", Verb.HOLD, FAILED)], "Failed: 1 not done."),
    ],
)
def test_a_report_is_summed_up_by_what_becomes_of_its_items(rows: list[tuple[str, Verb, Outcome]], says: str) -> None:
    assert summed(report(*rows)) == says


def test_an_emergency_ends_with_who_must_read_again(tmp_path: Path) -> None:
    shell = Shell(Lab([item(), item("other-pat")]), tmp_path)
    shell("run")
    shell.lab.wait(days(1))
    code, out, _ = shell("emergency", "other-pat", "build-pat")
    assert code == 0
    says = "The old values are dead; whoever reads these secrets must read them again now: build-pat, other-pat."
    assert out.splitlines()[-1] == says
    one = dead(report(("a", Verb.ROTATE, DONE)))
    assert one == "The old value is dead; whoever reads this secret must read it again now: a."


def test_a_consumer_is_counted_apart_and_told_to_have_the_new_value() -> None:
    rotated = Row("a", "svc", "contoso", Verb.ROTATE, DONE, Because.EMERGENCY, "")
    given = replace(rotated, because=Because.NOT_PUSHED)
    told = Report("r", START, START, (rotated, given))
    assert summed(told) == "Succeeded: 1 replaced, 1 given to a consumer."
    assert dead(told).endswith("again now: a. The consumer of a was given the new value.")


def test_what_patrol_signs_in_with_is_no_item_of_a_sum() -> None:
    ending = Row("svc-password", "svc", "", Verb.HOLD, HELD, Because.CREDENTIAL_NEAR_EXPIRY, "")
    rotated = Row("a", "svc", "contoso", Verb.ROTATE, DONE, Because.EMERGENCY, "")
    told = Report("r", START, START, (ending, rotated))
    assert summed(told) == "Succeeded: 1 replaced."
    assert dead(told).endswith("again now: a.")


def test_an_emergency_that_did_not_end_it_says_nothing_is_dead(tmp_path: Path) -> None:
    shell = Shell(Lab([item()]), tmp_path)
    shell("run")
    shell.lab.wait(days(1))
    shell.lab.cloud.add_fault("pats.revoke", "status", call=None, status=503)
    code, out, _ = shell("emergency", "build-pat")
    assert code == 1
    assert "dead" not in out
