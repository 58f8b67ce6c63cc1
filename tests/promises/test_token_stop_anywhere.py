"""Promise 3 for tokens: killed before or after any single outgoing call, the next refresh converges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.key_vault import Version
from shared.report.report import WELL
from shared.rules.token_plan import LEAST_LEFT
from tests.lab.lab import Lab
from tests.lab.token_estates import SECRET, lab, left, minutes, principal, published, versions
from tests.promises.test_promise_3_stop_anywhere import Killed, kill_at, moments_of


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    make: Callable[[], Lab]
    asks: dict[str, Any] = field(default_factory=dict)
    readable: int = 2
    """Versions of ours that can be read in the end; below a pasted value none names them any more."""

    def __str__(self) -> str:
        return self.name

    def names(self) -> tuple[str, ...]:
        return (SECRET,) if self.asks else ()

    def prepare(self) -> Lab:
        made = self.make()
        made.quick = False
        return made


def due(refreshes: int) -> Lab:
    made = published()
    for _ in range(refreshes):
        made.wait(minutes(30))
        made.refresh()
    made.wait(minutes(30))
    return made


def edited() -> Lab:
    made = due(1)
    made.vault.set_secret(SECRET, "pasted by a person")
    return made


def deleted() -> Lab:
    made = due(1)
    made.vault.delete(SECRET)
    made.vault.settle()
    made.principals = [principal(recover_deleted=True)]
    return made


SCENARIOS = (
    Scenario("first token", lab),
    Scenario("refresh", lambda: due(0)),
    Scenario("refresh that disables", lambda: due(2)),
    Scenario("forced", lambda: due(1), {"force": True}),
    Scenario("taken back", edited, {"force": True, "adopt": True}, readable=4),
    Scenario("recovered", deleted),
)


def calls_of(scenario: Scenario) -> range:
    made = scenario.prepare()
    first = len(made.cloud.calls())
    made.refresh(*scenario.names(), **scenario.asks)
    return range(first + 1, len(made.cloud.calls()) + 1)


def enabled(made: Lab) -> list[Version]:
    return [version for version in versions(made) if version.enabled]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_promise_3_killed_at_any_call_the_token_stays_good_and_the_next_refresh_converges(scenario: Scenario) -> None:
    calls = calls_of(scenario)
    assert len(calls) >= 7
    for call, moment in moments_of(calls):
        made = scenario.prepare()
        worked = left(made) >= LEAST_LEFT
        kill_at(made, call, moment)
        with pytest.raises(Killed):
            made.refresh(*scenario.names(), **scenario.asks)
        made.cloud.before_effect = made.cloud.after_effect = None
        made.quick = True
        assert not worked or left(made) >= LEAST_LEFT, f"killed {moment} call {call}, and consumers have too little"
        # As the timer, or as whoever asked for it and got no answer.
        made.wait(minutes(10))
        report = made.refresh(*scenario.names(), **scenario.asks)
        assert {row.outcome for row in report.items} <= WELL, report.to_json()
        for _ in range(12):
            assert left(made) >= LEAST_LEFT
            made.wait(minutes(10))
            made.refresh()
        assert left(made) >= timedelta(minutes=25)
        ours = [version for version in enabled(made) if version.tags]
        assert len(ours) == scenario.readable, f"killed {moment} call {call}, and {len(ours)} versions can be read"
