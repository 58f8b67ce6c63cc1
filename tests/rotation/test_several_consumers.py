"""`then` as a list: each consumer has its own mark and fails alone, and all have the value before anything ends."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloud.sonarqube import AzureSetting
from shared.model.consumers import takers
from shared.model.errors import Code
from shared.rotation.observe import secret_seen
from shared.rotation.status import item_status
from tests.lab.lab import THEN, Lab, days, hours, item, outcomes

OTHER = {**THEN, "alm_setting": "other"}
THIRD = {**THEN, "alm_setting": "third"}


class Two:
    """An item that two settings of one server have a copy of; each may be taken away and put back."""

    def __init__(self, **keys: Any) -> None:
        self.lab = Lab([item(**{"then": [THEN, OTHER], **keys})], quick=True)
        self.server = self.lab.sonarqube()
        self.settings = self.server.azure
        for key in ("other", "third"):
            self.settings[key] = AzureSetting(key, "https://dev.azure.com/contoso", "")
        self.away: dict[str, AzureSetting] = {}

    def due(self) -> Two:
        self.lab.run()
        self.lab.wait(days(24))
        return self

    def take_away(self, key: str) -> None:
        self.away[key] = self.settings.pop(key)

    def put_back(self, key: str) -> None:
        self.settings[key] = self.away.pop(key)

    def has(self, key: str) -> bool:
        return self.settings[key].pat == self.lab.current("build-pat").value

    def works(self, key: str) -> bool:
        return self.lab.cloud.pats.authenticate("contoso", (self.settings | self.away)[key].pat) is not None

    @property
    def tag(self) -> str:
        return self.lab.current("build-pat").tags.get("pushed-to", "")


def test_each_of_a_list_is_given_the_value_and_has_its_own_mark() -> None:
    two = Two()
    report = two.lab.run()
    assert outcomes(report.items) == [
        "build-pat rotate done nothing-published",
        "build-pat rotate done not-pushed",
        "build-pat rotate done not-pushed",
    ]
    assert two.has("contoso-azure")
    assert two.has("other")
    assert len(takers(two.tag)) == 2
    assert outcomes(two.lab.later(hours(6)).items) == ["build-pat hold held fresh"]


def test_promise_1_of_two_consumers_the_one_that_fails_holds_the_revoke_and_the_other_one_has_the_value() -> None:
    two = Two().due()
    two.take_away("contoso-azure")
    report = two.lab.run()
    assert sorted(outcomes(report.items)) == [
        "build-pat rotate done near-expiry",
        "build-pat rotate done not-pushed",
        "build-pat rotate failed not-pushed",
    ]
    assert two.has("other"), "the first of the list failed, and the second is not kept waiting"
    assert len(takers(two.tag)) == 1
    held = two.lab.later(days(2))
    assert outcomes(held.items)[:2] == ["build-pat rotate failed not-pushed", "build-pat retire failed not-pushed"]
    assert two.works("contoso-azure")
    assert len(two.lab.live()) == 2
    two.put_back("contoso-azure")
    two.lab.later(hours(6))
    assert two.has("contoso-azure")
    assert len(takers(two.tag)) == 2
    assert len(two.lab.live()) == 1


def test_promise_5_what_holds_one_item_holds_no_other() -> None:
    two = Two()
    two.lab.items = [item(then=THEN), item("other-pat", then=OTHER)]
    two.lab.run()
    two.lab.wait(days(24))
    two.take_away("contoso-azure")
    two.lab.run()
    two.lab.later(days(2))
    assert len(two.lab.live("build-pat")) == 2
    assert len(two.lab.live("other-pat")) == 1


def test_rule_8_an_emergency_waits_for_none_of_them() -> None:
    two = Two().due()
    two.take_away("contoso-azure")
    report = two.lab.run("build-pat", emergency=True)
    assert len(two.lab.live()) == 1
    assert "build-pat retire done emergency" in outcomes(report.items)
    assert two.has("other")


@pytest.mark.parametrize("left", [THEN, [THEN], [THEN, THIRD]], ids=["one", "a list of one", "another instead"])
def test_promise_1_one_that_is_taken_off_the_list_keeps_what_it_was_given_last(left: Any) -> None:
    """Until it was given something newer: putting it back does that."""
    two = Two().due()
    two.lab.items = [item(then=left)]
    two.lab.run()
    report = two.lab.later(days(2))
    assert [("nothing newer" in one.says) for one in report.leftovers] == [True]
    assert two.works("other")
    assert two.has("contoso-azure")
    assert len(two.lab.live()) == 2
    two.lab.items = [item(then=[THEN, OTHER])]
    two.lab.later(hours(6))
    assert two.has("other")
    assert len(two.lab.live()) == 1


def test_promise_2_one_that_was_taken_off_and_given_something_newer_holds_nothing() -> None:
    two = Two()
    two.lab.run()
    two.lab.later(hours(6))
    two.lab.run("build-pat", force=True)
    two.lab.items = [item(then=THEN)]
    report = two.lab.later(days(2))
    assert report.leftovers == ()
    assert len(two.lab.live()) == 1


def test_a_version_of_before_there_were_lists_has_been_given_to_the_one_it_names() -> None:
    lab = Lab([item(then=THEN)], quick=True)
    server = lab.sonarqube()
    server.azure["other"] = AzureSetting("other", "https://dev.azure.com/contoso", "")
    lab.run()
    assert lab.current("build-pat").tags["pushed-to"] == "sonarqube https://sonarqube.contoso.com contoso-azure"
    lab.items = [item(then=[THEN, OTHER])]
    report = lab.run(dry_run=True)
    assert [one.says for one in report.items if one.because == "not-pushed"] == [
        "build-pat: SonarQube https://sonarqube.contoso.com (other) would be given the published value."
    ]
    before = len(lab.events)
    lab.run()
    pushed = [fields["consumer"] for name, fields in lab.events[before:] if name == "pat.pushed"]
    assert "SonarQube https://sonarqube.contoso.com (other)" in pushed
    assert server.azure["other"].pat == lab.current("build-pat").value


def test_status_tells_of_each_whether_it_has_the_value() -> None:
    two = Two()
    two.take_away("other")
    two.lab.run()
    world = two.lab.quick_world()
    (mine,) = two.lab.inventory().items()
    secret = secret_seen("build-pat", world.vault.listing(), world.vault, two.lab.settings.mark)
    told = item_status(mine, secret, None, two.lab.clock.now()).consumers
    assert [has for _, has in told] == [True, False]


def test_rule_11_there_must_be_room_for_the_tag_of_all_of_them() -> None:
    many = [{**THEN, "alm_setting": f"setting-{number}"} for number in range(6)]
    lab = Lab([item(then=many)])
    lab.sonarqube()
    lab.run()
    own = {f"own-{number}": "x" for number in range(8)}
    lab.vault.update("build-pat", "", {"tags": {**lab.current("build-pat").tags, **own}})
    report = lab.later(days(24))
    assert Code.PUBLISH_WOULD_FAIL in [one.error.code for one in report.items if one.error]
