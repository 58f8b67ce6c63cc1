"""Ids that people and tools write into tags: what a version says and what it holds are two things (rule 4)."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS, SONAR
from tests.lab.lab import Lab, days, hours, item, row
from tests.promises.test_evidence import SECRET, codes, current_pat, estate, tag, two_users

OTHER = "other-pat"


def generations(**keys: Any) -> tuple[Lab, Pat]:
    """A lab whose item was rotated twice, and the PAT that is in overlap."""
    lab = Lab([item(**keys), item(OTHER)])
    lab.run()
    lab.wait(hours(1))
    earlier = current_pat(lab)
    lab.run(SECRET, force=True)
    assert {pat.authorization_id for pat in lab.live(SECRET)} == {
        earlier.authorization_id,
        current_pat(lab).authorization_id,
    }
    return lab, earlier


def revoke(lab: Lab) -> None:
    """A person ends the published PAT in the portal."""
    lab.cloud.pats.revoke_as_person(current_pat(lab).authorization_id)


def days_pass(lab: Lab, many: int = 3) -> None:
    for _ in range(4 * many):
        lab.wait(hours(6))
        assert lab.run().exit_code() == 0


@pytest.mark.parametrize("wiped", [True, False], ids=["predecessors-wiped", "predecessors-kept"])
def test_rule_4_the_id_of_an_earlier_generation_makes_the_item_edited_and_ends_nothing(wiped: bool) -> None:
    lab, earlier = generations()
    tag(lab, authorization_id=earlier.authorization_id, **({"predecessors": None} if wiped else {}))
    lab.wait(days(2))
    report = lab.run()
    assert (row(report).outcome, row(report).because) == ("failed", "edited")
    assert len(lab.live(SECRET)) == 2
    assert lab.works(SECRET)


def test_promise_2_once_it_is_taken_back_nothing_is_left_over() -> None:
    """Before, the item counted as fresh, and what no version of it explained was spared for ever."""
    lab, earlier = generations()
    tag(lab, authorization_id=earlier.authorization_id, predecessors=None)
    lab.wait(hours(1))
    lab.run(SECRET, force=True, adopt=True)
    days_pass(lab)
    assert [pat.value for pat in lab.live(SECRET)] == [lab.current(SECRET).value]


@pytest.mark.parametrize("whose", ["another item's", "an earlier generation's"])
def test_promise_3_a_dead_value_is_replaced_whichever_live_pat_its_tags_name(whose: str) -> None:
    """Before, the live PAT of that id was taken for the published one: the dead value stayed until it was due."""
    lab, earlier = generations()
    other = next(pat for pat in lab.live(OTHER))
    named = other if whose == "another item's" else earlier
    revoke(lab)
    tag(lab, authorization_id=named.authorization_id)
    report = lab.run()
    assert (row(report).step, row(report).outcome, row(report).because) == ("rotate", "done", "misnamed")
    assert "because the value was not the PAT that its tags named" in row(report).says
    assert lab.works(SECRET)
    assert lab.works(OTHER)
    days_pass(lab)
    assert [pat.value for pat in lab.live(SECRET)] == [lab.current(SECRET).value]
    assert [pat.value for pat in lab.live(OTHER)] == [lab.current(OTHER).value]


def test_rule_9_a_renewal_that_was_killed_between_its_two_writes_is_no_wrong_id() -> None:
    lab = Lab([item()])
    lab.run()
    pat = current_pat(lab)
    pat.valid_to += days(3)
    lab.wait(hours(6))
    assert row(lab.run()).because == "fresh"


@pytest.mark.parametrize("signs_in", [True, False], ids=["former-owner-signs-in", "former-owner-is-blocked"])
def test_rule_8_a_version_without_tags_may_be_anybody_s_so_everybody_is_asked(signs_in: bool) -> None:
    """Before, a version whose tags were wiped named no owner, and the emergency said done while its PAT lived."""
    lab = Lab(estate=estate())
    lab.users = two_users([item()], [item(OTHER)])
    lab.run()
    leaked = current_pat(lab)
    tag(lab, **dict.fromkeys(lab.current(SECRET).tags))
    lab.users = two_users([], [item(OTHER), item(adopt=True)])
    lab.wait(hours(3))
    lab.run(SECRET, force=True, adopt=True)
    lab.wait(hours(1))
    if not signs_in:
        lab.cloud.directory.set_password(AGENTS, "changed-Pass-1!")
    report = lab.run(SECRET, emergency=True)
    if signs_in:
        assert report.exit_code() == 0, report.to_json()
        assert leaked.revoked
    else:
        assert report.exit_code() != 0
        assert "leaked-pat-lives" in codes(report)
        told = next(one for one in report.items if one.error is not None and one.error.code == "leaked-pat-lives")
        assert AGENTS in told.says
    assert lab.works(SECRET)
    assert current_pat(lab).owner == SONAR


def test_rule_8_another_item_s_id_on_an_older_version_is_no_renamed_pat() -> None:
    """Before, its emergency failed at every run: the other item's PAT was told as one that may have leaked."""
    lab = Lab([item(), item(OTHER)])
    lab.run()
    lab.wait(hours(1))
    lab.run(SECRET, force=True)
    tag(lab, authorization_id=lab.live(OTHER)[0].authorization_id)
    lab.wait(hours(1))
    lab.run(SECRET, force=True, adopt=True)
    lab.wait(hours(1))
    report = lab.run(SECRET, emergency=True)
    assert report.exit_code() == 0, report.to_json()
    assert [pat.value for pat in lab.live(SECRET)] == [lab.current(SECRET).value]
    assert lab.works(OTHER)
    days_pass(lab, 1)


def test_rule_4_a_foreign_pat_on_the_tag_is_no_witness_that_the_owner_was_renamed() -> None:
    """A user who is renamed in Entra ID keeps the PAT that the version holds; here the item went to another user."""
    lab = Lab(users=two_users([item(SECRET)], []), estate=estate(), quick=True)
    lab.run()
    foreign = lab.cloud.pats.seed(SONAR, "contoso", "mine", "vso.code", valid_from=lab.clock.now() - days(3))
    tag(lab, authorization_id=foreign.authorization_id)
    lab.users = two_users([], [item(SECRET)])
    report = lab.run()
    assert (row(report).step, row(report).outcome, row(report).because) == ("rotate", "done", "user-changed")
    assert current_pat(lab).owner == SONAR
    assert foreign.state(lab.clock.now()) == "active", "promise 4"
