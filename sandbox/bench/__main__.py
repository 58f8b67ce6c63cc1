"""`make bench`: how fast patrol is, against what the calls alone would take. One table, all rows in one run.

Everything runs as processes on this machine, against the sandbox with a fixed latency on every answer.
docs/performance.md says how to read it. What was measured is kept there (kept.py). Exit code 1 when a goal was missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from sandbox.bench import kept
from sandbox.bench.beside_rows import beside
from sandbox.bench.growth_rows import growth
from sandbox.bench.one_run import CONNECTIONS, Measured, bench
from sandbox.bench.queue_rows import queue
from sandbox.bench.rows import LATENCY, Row, limit, quiet_calls
from sandbox.bench.start_rows import start
from sandbox.bench.vault_rows import several
from sandbox.cloud.large_estate import Size

# What a run may take, as docs/performance.md explains it.
PROCESSOR, FLOOR, FASTER = 1.5, 2, 10
CHECK = ("-m", "shared", "check", "--online", "--json")
WINDOW = 10.5
"""Seconds, and a little: Key Vault's."""


def calls_per_pat() -> list[Row]:
    """Of users that patrol knows, and of users that it sees for the first time: their notes are written once."""
    with bench(Size(users=10, each=20, due=200)) as made:
        first = made.run()
    size = Size(users=10, each=20)
    with bench(size) as made:
        made.run()
        made.cloud.client.move_clock(timedelta(days=20))
        rotating = made.run()
        made.cloud.client.move_clock(timedelta(hours=25))
        retiring = made.run()
    notes = 2 * size.users / size.pats
    return [
        limit("calls per PAT, rotating run (mint, verify, publish are 3)", rotating.total / size.pats, 3.4),
        limit("  the very first run: two more for each user, who gets a note", first.total / size.pats, 3.4 + notes),
        limit("calls per PAT, retiring run (revoke, read again, tags are 3)", retiring.total / size.pats, 3.4),
    ]


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


def speed(runs: int) -> Iterator[Row]:
    """As many PATs as Key Vault takes in one burst, of users that patrol knows: what the engine itself costs, beside a
    plain loop of requests.
    """
    size = Size(users=15, each=20, due=300)
    ran, loops = [], []
    for _ in range(runs):
        with bench(size) as made:
            made.run(CHECK)
            ran.append(made.run())
        with bench(size) as made:
            loops.append(made.plain_loop())
    yield from _processor(size, ran, loops)
    yield from _floors(size, ran, loops)
    one = ran[0]
    hosts = max(one.connections.values())
    busy = statistics.median(one.sandbox_cpu / one.seconds for one in ran)
    yield Row("TLS handshakes to one host", str(hosts), f"≤ {CONNECTIONS}", hosts <= CONNECTIONS)
    yield Row("the sandbox's own share of one core in it", f"{busy:.0%}", "well below 100 %", busy < 0.7)


def _processor(size: Size, ran: list[Measured], loops: list[Measured]) -> Iterator[Row]:
    """Runs and loops took turns, so what else the machine did met both alike."""
    ours, loop = (statistics.median(one.processor for one in some) / size.pats * 1000 for some in (ran, loops))
    told = f"processor for each rotated PAT: {ours:.1f} ms, of a plain loop {loop:.1f} ms"
    yield limit(told, ours / loop, PROCESSOR)


def _floors(size: Size, ran: list[Measured], loops: list[Measured]) -> Iterator[Row]:
    one = ran[0]
    seconds, plain = (statistics.median(one.seconds for one in some) for some in (ran, loops))
    pages = one.calls["vault.list"] * LATENCY
    in_turn = pages + (one.total - one.calls["vault.list"]) / CONNECTIONS * LATENCY
    busy = statistics.median(one.processor / one.seconds for one in ran)
    told = f"{size.pats} PATs of {size.users} users: {seconds:.1f} s, {busy:.0%} of a core"
    floor = f"{told}, against pages and then the rest / {CONNECTIONS} ({in_turn:.1f} s)"
    by_hand = f"the same with a plain loop of requests: {plain:.0f} s"
    yield limit(floor, seconds / in_turn, FLOOR)
    yield Row(by_hand, f"x {plain / seconds:.1f} faster", f"≥ x {FASTER}", plain / seconds >= FASTER)


def vault_limit() -> list[Row]:
    """Of users that patrol knows: `check` signs them in, and what it wrote about them is out of the vault's window."""
    rows = []
    for size in (Size(users=50, each=20, due=1000), Size(users=100, each=30, due=3000)):
        with bench(size) as made:
            made.run(CHECK)
            time.sleep(WINDOW)
            made.cloud.client.switch(vault_creations_per_10s=300)
            ran = made.run()
        allowed = size.pats / 30
        throttled = ran.throttled / ran.calls["vault.set"]
        what = f"{size.pats:,} PATs at Key Vault's limit: {ran.seconds:.0f} s, against the {allowed:.0f} s it allows"
        numbers = {"pats": float(size.pats), "seconds": ran.seconds, "allowed": allowed}
        rows.append(replace(limit(what, ran.seconds / allowed, 1.05), numbers=numbers))
        rows.append(Row("  its writes that the vault throttled", f"{throttled:.1%}", "≤ 1 %", throttled <= 0.01))
    return rows


WIDTH = 96

GROUPS: dict[str, Callable[[int], Iterable[Row]]] = {
    "calls": lambda _: calls_per_pat(),
    "quiet": lambda _: quiet(),
    "speed": speed,
    "limit": lambda _: vault_limit(),
    "start": start,
    "beside": lambda _: beside(),
    "growth": lambda _: growth(),
    "queue": lambda _: queue(),
    "vaults": lambda _: several(),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("groups", nargs="*", default=list(GROUPS), help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--runs", type=int, default=3, help="medians are of so many")
    options = parser.parse_args(arguments)
    set_up = f"{LATENCY * 1000:.0f} ms on every call; PARALLEL_USERS={CONNECTIONS}; medians of {options.runs}"
    print(f"{kept.machine()}; {set_up}\n")
    print(f"{'':4} {'what':{WIDTH}} {'measured':>18}   to reach")
    missed = False
    for group in options.groups:
        rows, load = [], os.getloadavg()[0]
        for row in GROUPS[group](options.runs):
            rows.append(row)
            missed |= not row.holds
            mark = "ok" if row.holds else "MISS"
            print(f"{mark:4} {row.what:{WIDTH}} {row.measured:>18}   {row.to_reach}", flush=True)
        kept.keep(group, rows, GROUPS, load=load)
    kept.write_page(kept.read())
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
