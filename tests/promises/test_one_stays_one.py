"""One that is stuck holds back nobody else: an organization without an answer, a lease that is never given back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.large_estate import Size
from shared.model.errors import Code, NotDone, PatrolError, Unclear
from shared.model.pats import Pat, PatId
from shared.report.report import Outcome
from shared.rotation.run_context import Organizations
from tests.lab.fakes import FakeFlight, Storage
from tests.lab.lab import Lab, days, item, outcomes, row
from tests.lab.queue_lab import many


def test_promise_5_an_organization_without_an_answer_is_not_asked_again_after_two_users() -> None:
    lab = many(Size(users=12, each=1, due=12)).lab
    asked = 0

    def silent(operation: str) -> PatrolError | None:
        nonlocal asked
        if operation != "pats.list":
            return None
        asked += 1
        lab.wait(timedelta(minutes=2))
        return Unclear(Code.DEVOPS_UNAVAILABLE, "no answer", "-")

    lab.trouble.before = silent
    began = lab.clock.now()
    report = lab.run()
    assert asked == 2
    assert lab.clock.now() - began < timedelta(minutes=5)
    assert {one.outcome for one in report.items} == {Outcome.FAILED}, "told, and not left for lack of time"
    assert len(report.items) == 12


@dataclass
class OneOrganization:
    """`answers`: whether it gives one; None: it answers another user while this one waits in vain."""

    organizations: Organizations
    answers: bool | None = True

    def active(self, organization: str) -> list[Pat]:
        if self.answers is None:
            self.organizations.active(self.__class__(self.organizations), organization)  # type: ignore[arg-type]
        if not self.answers:
            raise Unclear(Code.DEVOPS_UNAVAILABLE, "no answer", "-")
        return []


def test_promise_5_a_silent_organization_says_nothing_of_another_and_one_answer_makes_it_heard_again() -> None:
    organizations = Organizations()

    def ask(name: str, answers: bool | None) -> dict[PatId, Pat]:
        return organizations.active(OneOrganization(organizations, answers), name)  # type: ignore[arg-type]

    for name in ("Contoso", "contoso", "adatum", "Adatum"):
        with pytest.raises(Unclear):
            ask(name, answers=None if name == "Adatum" else False)
    assert ask("fabrikam", answers=True) == ask("fabrikam", answers=True) == {}
    with pytest.raises(NotDone, match="Contoso gave no answer to 2 users"):
        ask("Contoso", answers=True)
    assert ask("adatum", answers=True) == {}, "another user's answer came in between"


def held_for_ever(lab: Lab) -> FakeFlight:
    """Somebody else has the item's turn, and never gives it back."""
    storage = Storage()
    lab.flight = FakeFlight(storage, lab.clock, "here")
    return FakeFlight(storage, lab.clock, "there")


@pytest.mark.parametrize(
    ("age", "asks", "expected"),
    [
        (24, {}, "build-pat rotate busy rotated-elsewhere"),
        (27, {}, "build-pat rotate done near-expiry"),
        (2, {"emergency": True}, "build-pat rotate done emergency"),
    ],
    ids=["due", "little of the margin is left", "emergency"],
)
def test_rule_8_a_lease_that_is_never_given_back_is_advice_where_time_presses(
    age: int, asks: dict[str, Any], expected: str
) -> None:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(age))
    began = lab.clock.now()
    with held_for_ever(lab).held("build-pat"):
        report = lab.run(*(("build-pat",) if asks else ()), **asks)
    assert expected in outcomes(report.items)
    assert lab.clock.now() - began < timedelta(seconds=10 if asks else 120)
    assert row(report).says
