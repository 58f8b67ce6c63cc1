"""What the tests tell at their end: each promise and rule, and the longest tests."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.lab.what_ran import LONGEST, PROCESSOR, WhatRan, covered, longest, promises_and_rules


def report(
    test: str, when: Literal["setup", "call", "teardown"], duration: float, processor: float
) -> pytest.TestReport:
    properties = [(PROCESSOR, processor), ("another", "property")]
    made: pytest.TestReport = pytest.TestReport(
        test, ("", None, ""), {}, "passed", None, when, duration=duration, user_properties=properties
    )
    return made


def test_each_promise_and_rule_has_a_line_and_what_failed_is_said() -> None:
    passed = ["x.py::test_rule_4_keeps", "x.py::test_promises_1_and_3_hold[rule_9_x]", "x.py::test_the_rest"]
    lines = list(covered(passed, ["x.py::test_rule_4_ends"]))
    told = dict(zip(promises_and_rules(), lines, strict=True))
    assert told["promise", 1].endswith("   1 passed")
    assert told["promise", 2].endswith("   0 passed")
    assert told["promise", 3].endswith("   1 passed")
    assert told["rule", 4].endswith("   1 passed, 1 failed")
    assert told["rule", 9].endswith("   0 passed")


def test_the_longest_come_first_with_set_up_and_end_and_then_all_together() -> None:
    reports = [report(f"test_{number}", "call", number, 0.5) for number in range(LONGEST + 2)]
    reports += [report("test_0", "setup", 90, 2.0), report("test_0", "teardown", 9, 0.25)]
    lines = list(longest(reports))
    assert len(lines) == LONGEST + 1
    assert lines[0].split() == ["99.0", "s", "2.8", "s", "of", "processor", "test_0"]
    assert lines[1].endswith("test_11")
    assert lines[-1].split()[:1] == ["165.0"]
    assert lines[-1].endswith(f"all {LONGEST + 2} tests together")


def test_pytest_can_keep_it_beside_the_fixtures_of_one_folder() -> None:
    """Where a folder has a conftest of its own, pytest puts its plugins into sets."""
    assert {WhatRan()}
