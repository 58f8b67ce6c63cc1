"""Rule 8 of what no version names: a PAT that `adopt` names, one that a person revoked where the item was before."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS
from shared.model.errors import Code
from tests.lab.lab import Lab, days, hours, item, outcomes, row


def adopting(**keys: Any) -> tuple[Lab, Pat]:
    """A secret that was a person's, taken over an hour ago; the person's PAT is in its overlap."""
    lab = Lab(quick=True)
    old = lab.cloud.pats.seed(AGENTS, "contoso", "mine", "vso.code", valid_from=lab.clock.now() - days(3))
    lab.vault.set_secret("build-pat", old.value)
    lab.items = [item(adopt=old.authorization_id)]
    lab.later(hours(3))
    lab.items = [item(**{"adopt": old.authorization_id, **keys})]
    lab.wait(hours(1))
    return lab, old


def test_rule_8_an_emergency_ends_the_pat_that_adopt_names() -> None:
    lab, old = adopting()
    report = lab.run("build-pat", emergency=True)
    assert report.exit_code() == 0, report.to_json()
    assert old.state(lab.clock.now()) != "active"
    assert len(lab.live("build-pat")) == 1


def test_rule_8_an_emergency_tells_a_predecessor_that_it_may_not_end_and_promise_4_leaves_it_alone() -> None:
    lab, old = adopting(adopt=True)
    report = lab.run("build-pat", emergency=True)
    assert report.exit_code() == 1
    failure = row(report, step="retire").error
    assert failure is not None
    assert failure.code is Code.LEAKED_PAT_LIVES
    assert old.authorization_id in failure.remedy
    assert old.state(lab.clock.now()) == "active"


def test_promise_2_what_is_replaced_after_an_emergency_ends_also_while_that_one_is_not_confirmed() -> None:
    lab, old = adopting(adopt=True)
    lab.run("build-pat", emergency=True)
    lab.wait(days(2))
    lab.run("build-pat", force=True)
    assert len(lab.live("build-pat")) == 2
    report = lab.later(hours(25))
    assert "build-pat retire done overlap-over" in outcomes(report.items)
    assert len(lab.live("build-pat")) == 1
    assert old.state(lab.clock.now()) == "active"


def test_rule_8_what_an_emergency_had_to_end_and_is_dead_is_taken_off_the_tags() -> None:
    lab, old = adopting()
    lab.cloud.pats.revoke_as_person(old.authorization_id)
    report = lab.run("build-pat", emergency=True)
    assert report.exit_code() == 0, report.to_json()
    assert "predecessors" not in lab.current("build-pat").tags
