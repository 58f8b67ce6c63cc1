"""Promise 3 and rule 16: the suites over tests/lab/scenarios.py stop a run between redeeming and keeping, too.

Here is what they rest on: which calls the run makes that they stop, and in which order.
"""

from __future__ import annotations

from sandbox.cloud.seed import AGENTS
from shared.model.items import User
from tests.lab.scenarios import BY_NAME, SECRET, Scenario

NAME = User(AGENTS, "", enrolled=True).credential_name


def effects(scenario: Scenario) -> list[tuple[str, str]]:
    """What a run that nothing disturbs calls."""
    lab, met = scenario.prepare(), list[tuple[str, str]]()
    lab.cloud.after_effect = lambda operation: met.append((operation.name, operation.subject))
    assert lab.run(*scenario.names, **scenario.asks).exit_code() == 0
    return met


def test_rule_16_the_rotation_that_is_stopped_redeems_then_keeps_then_uses() -> None:
    met = effects(BY_NAME["rotation, enrolled"])
    redeemed, kept = met.index(("entra.token", "")), met.index(("vault.set", NAME))
    assert redeemed < kept < [name for name, _ in met].index("pats.list")
    assert ("vault.set", SECRET) in met


def test_rule_16_the_first_mint_that_is_stopped_notes_the_attempt_before_it_redeems() -> None:
    met = [name for name, _ in effects(BY_NAME["first mint, enrolled"])]
    assert met.index("vault.set") < met.index("entra.token") < met.index("pats.create")
