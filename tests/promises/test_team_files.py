"""An inventory of several files: what one of them cannot say costs the others nothing, and its own items nothing."""

from __future__ import annotations

import pytest
import yaml

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.model.errors import Code, Misconfigured
from shared.report.report import Outcome
from tests.lab.fakes import FakeTold
from tests.lab.lab import Lab, days, hours, item, outcomes, row

BROKEN = "users:\n  - ["


def team(*items: dict[str, object], username: str = AGENTS, password: str = "svc-agents-password") -> str:
    return str(yaml.safe_dump({"users": [{"username": username, "password_secret_name": password, "pats": [*items]}]}))


def published(*, overlap: str = "5d") -> Lab:
    """The platform's item and a team's, both of one technical user, with the team's just replaced."""
    lab = Lab([item("platform-pat")], teams={"web.yaml": team(item("web-pat", overlap=overlap))})
    lab.run()
    lab.wait(days(1))
    lab.run("web-pat", force=True)
    return lab


def test_promise_5_a_broken_file_is_a_row_of_its_own_and_the_others_go_on() -> None:
    lab = published()
    lab.wait(days(24))
    lab.teams["web.yaml"] = BROKEN
    report = lab.run()
    assert report.exit_code() == 1
    broken = row(report, "web.yaml")
    assert broken.error is not None
    assert broken.error.code is Code.INVENTORY_FILE_UNREADABLE
    assert "web.yaml:2 is not readable" in broken.error.message
    assert outcomes(report.items)[1:] == ["platform-pat rotate done near-expiry"]
    assert lab.works("web-pat")


def test_rule_13_what_a_broken_file_held_is_neither_unmanaged_nor_ended_before_its_time() -> None:
    """Whether it is to end, and when, is written where nobody can read it."""
    lab = published(overlap="5d")
    lab.teams["web.yaml"] = BROKEN
    for _ in range(14):
        report = lab.later(hours(12))
        assert report.unmanaged == ()
    assert len(lab.live("web-pat")) == 2
    lab.teams["web.yaml"] = team(item("web-pat", overlap="5d"))
    lab.later(hours(1))
    assert len(lab.live("web-pat")) == 1
    assert lab.works("web-pat")


def test_rule_4_a_predecessor_that_only_an_older_version_names_is_kept_while_its_item_is_unknown() -> None:
    """By the overlap of everybody it would have ended: the team's own is longer."""
    lab = published(overlap="5d")
    tags = {key: value for key, value in lab.current("web-pat").tags.items() if key != "predecessors"}
    lab.vault.update("web-pat", "", {"tags": tags})
    good, lab.teams["web.yaml"] = lab.teams["web.yaml"], BROKEN
    for _ in range(4):
        lab.later(hours(12))
    assert len(lab.live("web-pat")) == 2
    lab.teams["web.yaml"] = good
    lab.later(hours(12))
    assert len(lab.live("web-pat")) == 2, "three days of five"


def test_rule_13_without_a_broken_file_what_vanished_is_unmanaged_and_its_predecessor_ends() -> None:
    lab = published(overlap="5d")
    lab.teams["web.yaml"] = team()
    report = lab.later(days(6))
    assert report.unmanaged == ("web-pat",)
    assert len(lab.live("web-pat")) == 1


def test_a_name_that_may_stand_in_a_broken_file_is_refused_with_that_word() -> None:
    lab = published()
    lab.teams["web.yaml"] = BROKEN
    with pytest.raises(Misconfigured, match=r"secret web-pat; .*web.yaml cannot be read, and may"):
        lab.run("web-pat", force=True)


def test_a_user_of_two_files_signs_in_once_for_both() -> None:
    lab = published()
    lab.wait(days(24))
    before = lab.operations().count("entra.token")
    report = lab.run()
    assert {one.outcome for one in report.items} == {Outcome.DONE}
    assert lab.operations().count("entra.token") - before <= 1


def test_rule_19_a_broken_file_is_told_once_and_its_items_are_not_told_as_well_again() -> None:
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    lab = Lab([item("platform-pat")], estate=estate, told_before=FakeTold())
    lab.teams = {"web.yaml": team(item("web-pat"), username=SONAR, password="svc-sonar-password")}
    hook = lab.recipient()
    lab.run()
    lab.vault.seed("web-pat", "pasted")
    lab.later(hours(6))
    good, lab.teams["web.yaml"] = lab.teams["web.yaml"], BROKEN
    for _ in range(6):
        lab.later(hours(6))
    told = [(notice["type"], notice["data"]["code"]) for notice in hook.received]
    assert told.count(("patrol.failed", "inventory-file-unreadable")) == 2, "and once more after a day"
    assert not [type_ for type_, _ in told if type_ == "patrol.recovered"]
    lab.teams["web.yaml"] = good
    lab.later(hours(6))
    told = [(notice["type"], notice["data"]["code"]) for notice in hook.received]
    assert [code for type_, code in told if type_ == "patrol.recovered"] == ["inventory-file-unreadable"]
