"""Promise 3: killed before the first outgoing call or after the effect of any, the next run converges.

Before the effect of a later call is after that of the one before it: nothing outside the process happened in between.
"""

from __future__ import annotations

import pytest

from sandbox.cloud.cloud import Operation
from shared.report.report import WELL
from tests.lab.copies import copies
from tests.lab.lab import Lab, hours
from tests.lab.scenarios import SECRET, Scenario, by_password, either_sign_in


class Killed(BaseException):
    """Not an Exception: nothing in the product may catch it, as nothing catches SIGKILL."""


def kill_at(lab: Lab, call: int, moment: str) -> None:
    def hook(operation: Operation) -> None:
        if operation.number == call:
            raise Killed

    setattr(lab.cloud, f"{moment}_effect", hook)


def calls_of(scenario: Scenario) -> range:
    """The numbers of the calls that the undisturbed run makes."""
    lab = scenario.prepare()
    first = len(lab.cloud.calls())
    lab.run(*scenario.names, **scenario.asks)
    return range(first + 1, len(lab.cloud.calls()) + 1)


def moments_of(calls: range) -> list[tuple[int, str]]:
    """Where a process can be killed, so that something else is left each time: the number of a call, and the side."""
    return [(calls.start, "before"), *((call, "after") for call in calls)]


def consumer_works(lab: Lab) -> bool:
    try:
        return lab.works(SECRET)
    except KeyError:
        return False


def copies_work(lab: Lab) -> bool:
    """Whether everything that a consumer uses is a live PAT."""
    return all(lab.cloud.pats.authenticate("contoso", copy) is not None for copy in copies(lab.cloud) if copy)


KEPT_TWICE = 4
"""Versions of an enrollment: its first, a renewal, the same once more, and one of the days that follow."""


def assert_converges(lab: Lab, scenario: Scenario) -> None:
    """The next runs succeed, and after the overlap only what is current lives.

    The overlap passes twice: what replaced something, and what replaced that. What takes more runs has not converged.
    """
    lab.quick = True
    report = lab.later(hours(6))
    assert {one.outcome for one in report.items} <= WELL, report.to_json()
    for pause in (6, 30, 30):
        lab.later(hours(pause))
    assert not scenario.enrolled or len(lab.kept()) <= KEPT_TWICE, "little is kept twice (rule 16)"
    live = [pat.authorization_id for pat in lab.live()]
    if scenario.ends:
        assert live == []
        assert not lab.current(SECRET).enabled
        return
    assert lab.works(SECRET)
    assert live == [lab.current(SECRET).tags["authorization-id"]]
    assert "predecessors" not in lab.current(SECRET).tags
    assert set(copies(lab.cloud)) <= {lab.current(SECRET).value}


@pytest.mark.parametrize("scenario", either_sign_in(quick=by_password("first mint", "rotation", "emergency")))
def test_promise_3_killed_at_any_call_nothing_is_lost(scenario: Scenario) -> None:
    for call, moment in moments_of(calls_of(scenario)):
        lab = scenario.prepare()
        worked = consumer_works(lab) and not scenario.ends and not scenario.asks.get("revoke_first")
        copied = copies_work(lab) and not scenario.asks.get("emergency")
        kill_at(lab, call, moment)
        with pytest.raises(Killed):
            lab.run(*scenario.names, **scenario.asks)
        lab.cloud.before_effect = lab.cloud.after_effect = None
        assert not worked or consumer_works(lab), f"the value died when killed {moment} call {call}"
        assert not copied or copies_work(lab), f"a consumer's copy died when killed {moment} call {call}"
        assert_converges(lab, scenario)
