"""The rows of `make bench` about what a person or an instance waits for before anything happens.

In processor seconds, which a busy machine does not stretch as it does waiting; each goal is a ratio to a start of
Python, or to importing azure.functions, in the same run. They stand for 0.2 s, 0.5 s and 0.25 s on a machine with
nothing else to do, where Python starts in 25 ms and imports azure.functions in 140 ms.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from sandbox.bench import first_invocation
from sandbox.bench.one_run import Bench, bench
from sandbox.bench.rows import Row, processor
from sandbox.cloud.large_estate import Size

STATUS = ("-m", "shared", "status", "--json")
INDEX = "import function_app; function_app.app.get_functions()"
FIRST = ("-m", "sandbox.bench.first_invocation")


def start(runs: int) -> list[Row]:
    """Measured in turn, so that what else the machine does meets all of them alike."""
    programs: dict[str, Callable[[], float]] = {
        "python": lambda: processor("-c", "pass"),
        "azure.functions": lambda: processor("-c", "import azure.functions"),
        "help": lambda: processor("-m", "shared", "--help"),
        "indexed": lambda: processor("-c", INDEX),
    }
    with bench(Size(1, 10), latency=0.0) as made:
        made.run()  # the note about the user, and every file read once
        programs["status"] = lambda: made.run(STATUS).processor
        programs["first call"] = lambda: _first_call(made)
        taken: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(runs * 3):
            for name, program in programs.items():
                taken[name].append(program())
    took = {name: statistics.median(times) for name, times in taken.items()}
    return [
        _ratio("`patrol --help`", took["help"], "a start of Python", took["python"], 8),
        _ratio("`patrol status` of 10 items", took["status"], "a start of Python", took["python"], 20),
        _ratio("indexing function_app", took["indexed"], "importing azure.functions", took["azure.functions"], 1.1),
        _ratio(
            "first invocation to its first request",
            took["first call"],
            "importing azure.functions",
            took["azure.functions"],
            1.8,
        ),
    ]


def _ratio(what: str, took: float, beside: str, other: float, most: float) -> Row:
    told = f"{what}: {took * 1000:.0f} ms, against {beside} ({other * 1000:.0f} ms)"
    return Row(told, f"{took / other:.2f}", f"≤ {most}", took / other <= most)


def _first_call(made: Bench) -> float:
    return first_invocation.read(made.run(FIRST).stderr)
