"""A year of production in seconds: 400 days, 200 items, scripted faults (promises 1, 2, 3 and 5)."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.model.errors import Busy, Code, Denied, Misconfigured, PatrolError, Unclear
from tests.lab.lab import Lab, days, hours, item

EVERY = hours(24)
OUTAGES: tuple[tuple[str, str, type[PatrolError]], ...] = (
    ("vault.list", "before", Misconfigured),
    ("vault.set", "after", Unclear),
    ("vault.set", "before", Unclear),
    ("vault.set", "before", Denied),
    ("vault.get", "before", Unclear),
    ("vault.update", "after", Unclear),
    ("vault.update", "before", Denied),
    ("pats.create", "after", Unclear),
    ("pats.create", "before", Busy),
    ("pats.update", "after", Unclear),
    ("pats.list", "before", Unclear),
    ("pats.get", "before", Unclear),
    ("pats.revoke", "before", Unclear),
    ("pats.revoke", "after", Unclear),
    ("devops.connection_data", "before", Denied),
    ("devops.connection_data", "before", Unclear),
    ("entra.token", "before", Busy),
    ("entra.token", "after", Unclear),
    ("vault.versions", "before", Unclear),
)


class Outage:
    """Some or all calls of one operation fail, until `ends`; drawn from `chance`, so a seed tells the whole story."""

    def __init__(self, lab: Lab, chance: random.Random) -> None:
        self.operation, moment, self.kind = chance.choice(OUTAGES)
        self.share = chance.choice((0.1, 0.5, 1.0))
        self.ends = lab.clock.now() + chance.choice((hours(24), hours(48), hours(72)))
        self._chance = chance
        lab.trouble.before = self.strike if moment == "before" else lambda _: None
        lab.trouble.after = self.strike if moment == "after" else lambda _: None

    def strike(self, operation: str) -> PatrolError | None:
        if operation != self.operation or self._chance.random() >= self.share:
            return None
        return self.kind(Code.UNEXPECTED, f"{operation}: an outage.", "Wait.")


def large_estate(items: int, *, enrolled: bool) -> Lab:
    half = items // 2
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    strategies = ("rotate", "rotate", "renew")
    pats = [item(f"pat-{number}", strategy=strategies[number % 3], overlap="2d") for number in range(items)]
    users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": pats[:half]},
        {
            "username": SONAR,
            "password_secret_name": "svc-sonar-password",
            "pats": [{**one, "organization": "fabrikam"} for one in pats[half:]],
        },
    ]
    return Lab(users=users, estate=estate, quick=True, enrolled=enrolled)


def everything_works(lab: Lab, items: int) -> bool:
    half = items // 2
    return all(lab.works(f"pat-{number}", "contoso" if number < half else "fabrikam") for number in range(items))


@pytest.mark.exhaustive
@pytest.mark.parametrize("enrolled", [False, True], ids=["passwords", "enrolled"])
def test_promises_1_and_2_a_year_with_outages_has_no_minute_without_a_working_value(enrolled: bool) -> None:
    items, chance = 200, random.Random(20260301)
    lab = large_estate(items, enrolled=enrolled)
    lab.run()
    assert everything_works(lab, items)
    outage: Outage | None = None
    for _ in range(400):
        lab.wait(EVERY)
        assert everything_works(lab, items), f"a value was dead at {lab.clock.now()}"
        if outage is not None and lab.clock.now() >= outage.ends:
            lab.end_trouble()
            outage = None
        elif outage is None and chance.random() < 0.3:
            outage = Outage(lab, chance)
        try:
            lab.run()
        except Misconfigured:
            continue
    lab.end_trouble()
    for _ in range(6):
        lab.later(EVERY)
    assert everything_works(lab, items)
    current = {lab.current(f"pat-{number}").tags["authorization-id"] for number in range(items)}
    in_overlap = {
        one.split("@")[0]
        for number in range(items)
        for one in lab.current(f"pat-{number}").tags.get("predecessors", "").split()
    }
    assert {pat.authorization_id for pat in lab.live()} <= current | in_overlap
    for upn in (AGENTS, SONAR) if enrolled else ():
        assert len(lab.kept(upn)) <= 60 * 406 / 365, "versions of a refresh token (rule 16)"


QUICK = {("rotate", 30, "clamp", True, False), ("renew", 7, "refuse", True, True)}
"""The lifetime that most organizations allow, and one so short that a missed timer matters."""


def when(case: tuple[str, int, str, bool, bool]) -> Any:
    """Each policy, form and strategy with misses; nobody missing a run is easier, so one form of each has it.

    How a user signs in knows no policy: the enrolled ones have the shortest and the usual life. `make chaos` has all.
    """
    _, policy, form, misses, enrolled = case
    if case in QUICK:
        return ()
    wanted = (misses or form == "clamp") and (not enrolled or (misses and policy in (30, 1)))
    return pytest.mark.exhaustive if wanted else pytest.mark.chaos


@pytest.mark.parametrize(
    ("strategy", "policy", "form", "misses", "enrolled"),
    [
        pytest.param(*case, marks=when(case))
        for case in itertools.product(
            ("rotate", "renew"), (90, 30, 7, 1), ("clamp", "refuse"), (False, True), (False, True)
        )
    ],
)
def test_promise_1_under_a_lifetime_policy_for_400_days(
    strategy: str, policy: int, form: str, misses: bool, enrolled: bool
) -> None:
    lifetime = f"{policy}d" if form == "refuse" else "90d"
    rotate_before = "7d" if policy > 7 else f"{policy * 12}h"
    pat = item(strategy=strategy, lifetime=lifetime, rotate_before=rotate_before, overlap="4h")
    lab = Lab([pat], quick=True, enrolled=enrolled)
    policies = lab.cloud.pats.organization("contoso").policies
    policies.max_lifetime, policies.lifetime_form = days(policy), form
    lab.run()
    every = hours(6)
    steps = 400 * 4
    for number in range(1, steps + 1):
        lab.wait(every)
        assert lab.works("build-pat"), f"dead at {lab.clock.now()}"
        if not (misses and number % 3 == 0):
            lab.run()
    minted = len(lab.cloud.pats.all())
    renewed = len(lab.cloud.calls("pats.update"))
    shortest = min(days(policy), days(90))
    # Twice as often as the life allows would be an endless rotation.
    assert minted <= 2 * days(400) / shortest + 2, f"{minted} PATs were minted in 400 days"
    assert renewed <= 4 * days(400) / shortest + 4
    assert len(lab.live()) <= 2
    assert not enrolled or 400 / 8 <= len(lab.kept()) <= 60 * 400 / 365, "versions of a refresh token (rule 16)"
