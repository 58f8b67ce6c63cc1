"""Force and emergency: rules 7 and 8."""

from __future__ import annotations

from typing import Any

from shared.model.tags import BLOCKED_PREFIX
from shared.report.report import Outcome
from tests.lab.lab import Lab, days, hours, item, outcomes, row


def published(**more: Any) -> Lab:
    lab = Lab([item(**more)])
    lab.run()
    lab.wait(days(2))
    return lab


def test_rule_7_force_is_refused_while_a_predecessor_is_in_overlap() -> None:
    lab = published()
    assert row(lab.run("build-pat", force=True)).outcome is Outcome.DONE
    lab.wait(hours(1))
    report = lab.run("build-pat", force=True)
    assert row(report).outcome is Outcome.BUSY
    assert row(report).error is not None
    assert report.exit_code() == 1
    assert len(lab.cloud.pats.all()) == 2


def test_rule_8_a_repeated_request_changes_nothing_more() -> None:
    lab = published(overlap="0d")
    arrived = lab.clock.now()
    lab.wait(hours(0.01))
    lab.run("build-pat", force=True, published_before=arrived)
    lab.wait(hours(1))
    report = lab.run("build-pat", force=True, published_before=arrived)
    assert "build-pat hold held already-replaced" in outcomes(report.items)
    assert len(lab.cloud.pats.all()) == 2
    lab.run("build-pat", emergency=True, published_before=arrived)
    assert len(lab.cloud.pats.all()) == 2


def test_rule_8_an_emergency_replaces_and_ends_every_older_generation_at_once() -> None:
    lab = published()
    lab.run("build-pat", force=True)
    lab.wait(hours(1))
    report = lab.run("build-pat", emergency=True)
    assert row(report, step="rotate").outcome is Outcome.DONE
    current = lab.current("build-pat")
    assert [one.authorization_id for one in lab.live()] == [current.tags["authorization-id"]]
    versions = lab.vault.secret("build-pat").versions.values()
    assert [one.id for one in versions if one.enabled] == [current.id]
    assert lab.works("build-pat")


def test_rule_8_when_minting_is_refused_an_emergency_says_that_the_leaked_pat_lives() -> None:
    lab = published()
    lab.cloud.pats.organization("contoso").policies.creation_restricted = True
    report = lab.run("build-pat", emergency=True)
    assert row(report).outcome is Outcome.FAILED
    assert "still lives" in row(report).says
    assert "--revoke-first" in row(report).says
    assert lab.works("build-pat")


def test_rule_8_revoke_first_ends_the_leaked_pat_even_when_minting_is_refused() -> None:
    lab = published()
    lab.cloud.pats.organization("contoso").policies.creation_restricted = True
    report = lab.run("build-pat", emergency=True, revoke_first=True)
    assert row(report).outcome is Outcome.FAILED
    assert lab.live() == []


def test_a_paused_item_is_held_and_an_emergency_is_not_held_back_by_it() -> None:
    lab = published()
    lab.items = [item(paused=True)]
    lab.wait(days(30))
    assert outcomes(lab.run().items) == ["build-pat hold held paused"]
    assert row(lab.run("build-pat", force=True)).error is not None
    assert row(lab.run("build-pat", emergency=True), step="rotate").outcome is Outcome.DONE


def test_a_named_request_leaves_every_other_item_alone() -> None:
    lab = Lab([item("one-pat"), item("two-pat")])
    report = lab.run("one-pat")
    assert outcomes(report.items) == ["one-pat rotate done nothing-published"]
    assert [one.name for one in lab.vault.secrets() if not one.name.startswith(BLOCKED_PREFIX)] == ["one-pat"]
