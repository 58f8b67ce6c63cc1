"""What a run of the tests covered and what took longest, told at its end where `--what-ran` asks for it."""

from __future__ import annotations

import re
import resource
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 10
TRIED = "tried: "
"""What begins so among the properties of a test is counted: how much of a product or of a model was tried."""

PROCESSOR = "processor seconds"

ROW = re.compile(r"^\| (\d+) ([^|]+?) \|", re.MULTILINE)
NAMED = re.compile(r"test_(?:(promise|rule)_(\d+)|(promise|rule)s_((?:\d+_)+and_\d+))_")


def promises_and_rules() -> dict[tuple[str, int], str]:
    """Each promise and rule of docs/rules.md by kind and number, with its name there."""
    promises, rules = (ROOT / "docs/rules.md").read_text(encoding="utf-8").split("| Rule | In short |", 1)
    rules = rules.split("\n\n")[0]
    parts = {"promise": promises, "rule": rules}
    return {(kind, int(number)): name for kind, text in parts.items() for number, name in ROW.findall(text)}


def held_by(test: str) -> list[tuple[str, int]]:
    """The promises and rules whose numbers the name of a test carries: `test_rule_4_…`, `test_promises_1_2_and_4_…`."""
    found = NAMED.search(test)
    if found is None:
        return []
    return [(found[1] or found[3], int(number)) for number in re.findall(r"\d+", found[2] or found[4])]


def processor_seconds() -> float:
    """Of this process and of the children that it has waited for: the same on a busy machine as on an idle one."""
    used = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass(slots=True)
class Spent:
    seconds: float = 0.0
    processor: float = 0.0


@dataclass(eq=False)  # pytest keeps its plugins in sets
class WhatRan:
    """Measures in every process of the tests; tells in the one that prints."""

    _since: float = field(default_factory=processor_seconds)

    def pytest_runtest_logstart(self) -> None:
        self._since = processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = processor_seconds()
        report.user_properties.append((PROCESSOR, now - self._since))
        self._since = now
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        stats = terminalreporter.stats
        reports = [one for some in stats.values() for one in some if isinstance(one, pytest.TestReport)]
        passed = {one.nodeid for one in stats.get("passed", ())}
        failed = {one.nodeid for some in ("failed", "error") for one in stats.get(some, ())}
        terminalreporter.section("what was covered")
        for line in covered(passed, failed):
            terminalreporter.line(line)
        if counted := tried(reports):
            terminalreporter.section("what was tried in every order")
            for name, many in counted.items():
                terminalreporter.line(f"{many:>14,}  {name}")
        terminalreporter.section("what took longest")
        for line in longest(reports):
            terminalreporter.line(line)


def covered(passed: Iterable[str], failed: Iterable[str]) -> Iterator[str]:
    """One line for each promise and rule: how many tests carry its number, and that they passed."""
    well, ill = (Counter(one for test in tests for one in held_by(test)) for tests in (passed, failed))
    for one, name in promises_and_rules().items():
        failures = f", {ill[one]} failed" if ill[one] else ""
        yield f"{one[0]:>7} {one[1]:>2}  {name:<30} {well[one]:>4} passed{failures}"


def tried(reports: Iterable[pytest.TestReport]) -> Counter[str]:
    """How many schedules, states and the like all tests together have tried."""
    counted: Counter[str] = Counter()
    for report in reports:
        for name, value in report.user_properties:
            if report.when == "call" and name.startswith(TRIED) and isinstance(value, int):
                counted[name.removeprefix(TRIED)] += value
    return counted


def longest(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """The longest tests, set-up and end included, and what all of them took."""
    spent: defaultdict[str, Spent] = defaultdict(Spent)
    for report in reports:
        spent[report.nodeid].seconds += report.duration
        used = [value for name, value in report.user_properties if name == PROCESSOR]
        spent[report.nodeid].processor += sum(value for value in used if isinstance(value, float))
    for test, one in sorted(spent.items(), key=lambda row: row[1].seconds, reverse=True)[:LONGEST]:
        yield f"{one.seconds:7.1f} s {one.processor:7.1f} s of processor  {test}"
    seconds, processor = sum(one.seconds for one in spent.values()), sum(one.processor for one in spent.values())
    yield f"{seconds:7.1f} s {processor:7.1f} s of processor  all {len(spent)} tests together"
