"""One run of a program over a sandbox with an estate, measured."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sandbox.bench import used
from sandbox.bench.rows import LATENCY, seeded, spent_by_children, usual_roots
from sandbox.cloud.large_estate import Size, inventory_text
from sandbox.process.running import ROOT, Running

CONNECTIONS = 32
RUN = ("-m", "shared", "run", "--json")
DONE = (0, 1, 3)
"""Exit codes of a run that came to its end: well, an item failed, a user is blocked."""
PLAIN_LOOP = ("-m", "sandbox.bench.plain_loop")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a program: calls by operation, seconds from the first call to the last answer, most memory in MB,
    processor seconds from the process's start to its end, and what it wrote on standard error.
    """

    calls: Counter[str]
    seconds: float
    memory: float
    processor: float
    throttled: int
    sandbox_cpu: float
    connections: Counter[str]
    stderr: str

    @property
    def total(self) -> int:
        return sum(self.calls.values())


class Bench:
    """A sandbox with an estate, and the product on it."""

    def __init__(self, cloud: Running, folder: Path, size: Size) -> None:
        self.cloud = cloud
        self.size = size
        self._inventory = folder / "pats.yaml"
        self._inventory.write_text(inventory_text(size), encoding="utf-8")
        self._roots = usual_roots(cloud, folder)

    def run(self, program: tuple[str, ...] = RUN, **settings: str) -> Measured:
        """Run it once, as a process of its own. Raises RuntimeError when it broke."""
        client = self.cloud.client
        client.clear_log()
        before = client.load()
        own = {"PATS_FILE": str(self._inventory), "PARALLEL_USERS": str(CONNECTIONS)}
        extra = {**own, **self._roots, **settings}
        code = ("-m", "sandbox.bench.used", *program)
        # What follows the sandbox's clock would be measured with it, so only where somebody moved it.
        real_time = client.clock()["offset"] == 0
        spent = spent_by_children()
        ran = self.cloud.run_product(code, cwd=ROOT, extra=extra, timeout=1800, real_time=real_time)
        spent = spent_by_children() - spent
        if ran.returncode not in DONE:
            raise RuntimeError(ran.stderr[-2000:])
        after, log = client.load(), client.log()
        at = [datetime.fromisoformat(row["at"]) for row in log]
        return Measured(
            Counter(row["operation"] for row in log),
            (max(at) - min(at)).total_seconds() + LATENCY,
            used.read(ran.stderr),
            spent,
            sum(row["status"] == 429 for row in log),
            after["cpu"] - before["cpu"],
            Counter(after["connections"]) - Counter(before["connections"]),
            ran.stderr,
        )

    def plain_loop(self) -> Measured:
        return self.run((*PLAIN_LOOP, str(self.size.users), str(self.size.each)))


@contextmanager
def bench(size: Size, latency: float = LATENCY) -> Iterator[Bench]:
    with seeded(size, latency) as cloud, tempfile.TemporaryDirectory() as folder:
        yield Bench(cloud, Path(folder), size)
