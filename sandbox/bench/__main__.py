"""`make bench`: how fast patrol is, against what the calls alone would take. One table, all rows in one run.

Everything runs as processes on this machine, against the sandbox with a fixed latency on every answer.
docs/performance.md says how to read it.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sandbox.bench.queue_rows import queue
from sandbox.bench.rows import LATENCY, Row, limit, seeded
from sandbox.cloud.large_estate import Size, inventory_text
from sandbox.process.running import ROOT, Running

CONNECTIONS = 32
RUN = ("-m", "shared", "run", "--json")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the product: calls by operation, seconds from the first call to the last answer, most memory in MB."""

    calls: Counter[str]
    seconds: float
    memory: float
    throttled: int
    sandbox_cpu: float
    connections: Counter[str]

    @property
    def total(self) -> int:
        return sum(self.calls.values())


class Bench:
    """A sandbox with an estate, and the product on it."""

    def __init__(self, cloud: Running, folder: Path, size: Size) -> None:
        self.cloud = cloud
        self._inventory = folder / "pats.yaml"
        self._inventory.write_text(inventory_text(size), encoding="utf-8")

    def run(self, program: tuple[str, ...] = RUN, **settings: str) -> Measured:
        """Run the product once, as a process of its own."""
        client = self.cloud.client
        client.clear_log()
        before = client.load()
        extra = {"PATS_FILE": str(self._inventory), "PARALLEL_USERS": str(CONNECTIONS), **settings}
        code = ("-m", "sandbox.bench.peak_memory", *program)
        ran = self.cloud.run_product(code, cwd=ROOT, extra=extra, timeout=1800)
        if ran.returncode not in (0, 1):
            raise RuntimeError(ran.stderr[-2000:])
        after, log = client.load(), client.log()
        at = [datetime.fromisoformat(row["at"]) for row in log]
        return Measured(
            Counter(row["operation"] for row in log),
            (max(at) - min(at)).total_seconds() + LATENCY,
            float(ran.stderr.rsplit("peak memory ", 1)[1]),
            sum(row["status"] == 429 for row in log),
            after["cpu"] - before["cpu"],
            Counter(after["connections"]) - Counter(before["connections"]),
        )


@contextmanager
def bench(size: Size, latency: float = LATENCY) -> Iterator[Bench]:
    with seeded(size, latency) as cloud, tempfile.TemporaryDirectory() as folder:
        yield Bench(cloud, Path(folder), size)


def calls_per_pat() -> list[Row]:
    size = Size(users=10, each=20, due=200)
    with bench(size) as made:
        rotating = made.run()
        made.cloud.client.move_clock(timedelta(hours=25))
        retiring = made.run()
    return [
        limit("calls per PAT, rotating run (mint, verify, publish are 3)", rotating.total / size.pats, 3.4),
        limit("calls per PAT, retiring run (revoke, read again, tags are 3)", retiring.total / size.pats, 3.4),
    ]


def quiet_calls(size: Size) -> int:
    """The formula: pages of the vault's listing, which has a note about each user; for each user its password, the note
    read again, realm, token and one page of PATs per 100; and once discovery, the client secret, the identity's token
    and one challenge for each of the two vaults."""
    pages = -(-(size.pats + size.users) // 25)
    each = 4 + max(1, -(-size.each // 100))
    return pages + size.users * each + 5


def quiet() -> list[Row]:
    rows, memory = [], {}
    for size in (Size(1, 10), Size(50, 20), Size(100, 100)):
        with bench(size, latency=0.0) as made:
            made.run()  # the first sign-in of a user writes the note about it
            ran = made.run()
        memory[size.pats] = ran.memory
        formula = quiet_calls(size)
        rows.append(
            Row(
                f"quiet run, {size.pats:,} items of {size.users} users",
                f"{ran.total} calls",
                f"{formula} by the formula",
                ran.total <= formula,
            )
        )
    least, middle, most = (memory[one] for one in sorted(memory))
    growth = (most - least) / max(1.0, middle - least)
    rows.append(Row("memory, 10,000 items", f"{most:.0f} MB at most", "≤ 200 MB", most <= 200))
    rows.append(Row("memory, growth from 10 to 1,000 to 10,000", f"x {growth:.1f}", "about x 10", growth <= 12))
    return rows


def speed(runs: int) -> list[Row]:
    """As many PATs as Key Vault takes in one burst: what the engine itself costs."""
    size = Size(users=15, each=20, due=300)
    ran = []
    for _ in range(runs):
        with bench(size) as made:
            ran.append(made.run())
    seconds = statistics.median(one.seconds for one in ran)
    one = ran[0]
    pages = one.calls["vault.list"] * LATENCY
    floor = max(pages, one.total / CONNECTIONS * LATENCY)
    in_turn = pages + (one.total - one.calls["vault.list"]) / CONNECTIONS * LATENCY
    plain = _sequential(size)
    hosts = max(one.connections.values())
    busy = statistics.median(one.sandbox_cpu / one.seconds for one in ran)
    all_at_once = f"300 PATs of 15 users: {seconds:.1f} s, against all calls / {CONNECTIONS} ({floor:.1f} s)"
    pages_first = f"the same, against the vault's pages, then the rest / {CONNECTIONS} ({in_turn:.1f} s)"
    by_hand, faster = f"the same with a plain loop of requests: {plain:.0f} s", plain / seconds
    return [
        limit(all_at_once, seconds / floor, 1.15),
        limit(pages_first, seconds / in_turn, 1.15),
        Row(by_hand, f"x {faster:.1f} faster", "≥ x 20", faster >= 20),
        Row("TLS handshakes to one host", str(hosts), f"≤ {CONNECTIONS}", hosts <= CONNECTIONS),
        Row("the sandbox's own share of one core in it", f"{busy:.0%}", "well below 100 %", busy < 0.7),
    ]


def _sequential(size: Size) -> float:
    with bench(size) as made:
        return made.run(("-m", "sandbox.bench.plain_loop", str(size.users), str(size.each))).seconds


def vault_limit() -> list[Row]:
    rows = []
    for size in (Size(users=50, each=20, due=1000), Size(users=100, each=30, due=3000)):
        with bench(size) as made:
            made.cloud.client.switch(vault_creations_per_10s=300)
            ran = made.run()
        allowed = size.pats / 30
        throttled = ran.throttled / ran.calls["vault.set"]
        what = f"{size.pats:,} PATs at Key Vault's limit: {ran.seconds:.0f} s, against the {allowed:.0f} s it allows"
        rows.append(limit(what, ran.seconds / allowed, 1.05))
        rows.append(Row("  its writes that the vault throttled", f"{throttled:.1%}", "≤ 1 %", throttled <= 0.01))
    return rows


def cold_start(runs: int) -> list[Row]:
    app = "import function_app; function_app.app.get_functions()"
    alone = statistics.median(_seconds("import azure.functions") for _ in range(runs * 3))
    indexed = statistics.median(_seconds(app) for _ in range(runs * 3))
    with bench(Size(1, 1)) as made:
        first = statistics.median(_first_call(made) for _ in range(runs))
    return [
        limit("cold start: indexing function_app, against importing azure.functions", indexed / alone, 1.3),
        Row("first invocation: import to first outgoing request", f"{first * 1000:.0f} ms", "low", first < 2),
    ]


def _first_call(made: Bench) -> float:
    made.cloud.client.clear_log()
    began = time.time()
    made.run(("-m", "sandbox.functions_host.fire_timer"))
    at = min(datetime.fromisoformat(row["at"]) for row in made.cloud.client.log())
    return at.timestamp() - began - _seconds("import sandbox.process.launcher, azure.functions")


def _seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    return time.perf_counter() - began


GROUPS: dict[str, Callable[[int], Iterable[Row]]] = {
    "calls": lambda _: calls_per_pat(),
    "quiet": lambda _: quiet(),
    "speed": speed,
    "limit": lambda _: vault_limit(),
    "start": cold_start,
    "queue": lambda _: queue(),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("groups", nargs="*", default=list(GROUPS), help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--runs", type=int, default=3, help="medians are of so many")
    options = parser.parse_args(arguments)
    set_up = f"{LATENCY * 1000:.0f} ms on every call; PARALLEL_USERS={CONNECTIONS}; medians of {options.runs}"
    print(f"{_machine()}; {set_up}\n")
    print(f"{'':4} {'what':78} {'measured':>18}   to reach")
    for group in options.groups:
        for row in GROUPS[group](options.runs):
            print(f"{'ok' if row.holds else 'MISS':4} {row.what:78} {row.measured:>18}   {row.to_reach}", flush=True)
    return 0


def _machine() -> str:
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
