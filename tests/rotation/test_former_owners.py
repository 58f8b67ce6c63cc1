"""Rule 13: owners whom only older versions of secrets name, found by the daily full look where looks are remembered."""

from __future__ import annotations

import pytest

from sandbox.cloud.pats import Pat
from shared.model.errors import Code, PatrolError, Unclear
from tests.lab.fakes import FakeHistory
from tests.lab.lab import START, Lab, days, hours, item, outcomes
from tests.lab.queue_lab import QueueLab
from tests.promises.test_evidence import SECRET, current_pat, estate, tag, two_users


def remembering(lab: Lab) -> None:
    lab.runs = FakeHistory(lab.clock)


def moved_and_forgotten(*, other_user: bool = False) -> tuple[Lab, Pat]:
    """An item went to another organization, and a person took `predecessors` off: nothing current names the former."""
    lab = Lab(users=two_users([item(SECRET)], []), estate=estate(), quick=True)
    lab.run()
    former = current_pat(lab)
    moved = [item(SECRET, organization="fabrikam")]
    lab.users = two_users([], moved) if other_user else two_users(moved, [])
    lab.later(hours(1))
    tag(lab, predecessors=None)
    return lab, former


@pytest.mark.parametrize("other_user", [False, True], ids=["another organization", "another user in another one"])
def test_rule_13_what_only_an_older_version_names_ends_by_a_daily_look_once_its_overlap_is_over(
    other_user: bool,
) -> None:
    lab, former = moved_and_forgotten(other_user=other_user)
    remembering(lab)
    for _ in range(10):
        lab.later(hours(6))
        assert not former.revoked or lab.clock.now() >= START + hours(25)
    assert former.revoked
    assert [pat.value for pat in lab.live(SECRET)] == [lab.current(SECRET).value]


def test_rule_13_over_the_queue_too() -> None:
    lab, former = moved_and_forgotten()
    queue = QueueLab(lab)
    for _ in range(10):
        lab.wait(hours(6))
        queue.work_off()
    assert former.revoked
    assert lab.works(SECRET, "fabrikam")


def test_rule_13_older_versions_cost_one_call_for_each_secret_a_day_and_none_where_nobody_remembers_looks() -> None:
    def listings(*, remembered: bool) -> int:
        lab = Lab([item(f"pat-{number}") for number in range(3)], quick=True)
        if remembered:
            remembering(lab)
        lab.run()
        asked: list[str] = []
        lab.trouble.after = asked.append
        for _ in range(4):
            lab.later(hours(6))
        return asked.count("vault.versions")

    notes = 4  # each sign-in looks at the versions of the note about its user
    assert listings(remembered=False) == notes
    assert listings(remembered=True) == notes + 3


def test_promise_5_neither_a_secret_nor_an_organization_that_fails_stops_the_others() -> None:
    lab, former = moved_and_forgotten()
    remembering(lab)
    lab.run()
    for operation in ("vault.versions", "pats.list"):
        asked = 0

        def fails(name: str, operation: str = operation) -> PatrolError | None:
            nonlocal asked
            asked += name == operation
            # Two users sign in and list; the third is the item's, and the former organization's.
            broken = name == operation and asked == 3
            return Unclear(Code.ORGANIZATION_UNKNOWN, "HTTP 404", "-") if broken else None

        lab.trouble.before = fails
        report = lab.later(days(1))
        assert report.outcome == "succeeded", outcomes(report.items)
        assert asked == 3
    lab.end_trouble()
    assert not former.revoked
    assert {str(fields["code"]) for _, fields in lab.events if fields.get("code")} == {"organization-unknown"}


def test_rule_13_whose_user_left_pats_yaml_is_not_asked_for() -> None:
    lab, former = moved_and_forgotten(other_user=True)
    remembering(lab)
    lab.users = lab.users[1:]
    for _ in range(8):
        assert lab.later(hours(6)).outcome == "succeeded"
    assert not former.revoked, "nobody can sign in as its owner, and the tag that named it is gone"
