"""The rows of `make bench` about growth: what a quiet run takes of 10 to 10,000 items, the status and the page of 10 to
100,000, and what runs take of many users, vaults, PATs of one user, versions of one secret, and causes that are told.

No latency: what is measured is patrol's own. An exponent says by what power of the size a quantity grows over the last
tenfold; a start that costs the same at any size makes it less than one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.bench.one_run import RUN, Measured, bench
from sandbox.bench.rows import Row
from sandbox.cloud.large_estate import Size, secret

LINEAR = 1.1
SIZES = (10, 100, 1_000, 10_000)
MOST = 100_000
"""No one machine runs so many: the queue does (queue_rows.py). Its status and its page are still read in one piece."""
VERSIONS = (5, 50, 500)
STATUS = ("-m", "shared", "status", "--json")
PER_USER = 20
TOGETHER, TOLD = 10, (30, 300, 3_000)
"""Items of one user, and how many are told of: no more users than sign in within the first minute."""
Curve = dict[int, Measured]


def growth() -> Iterator[Row]:
    estates = {items: Size(max(1, items // PER_USER), min(items, PER_USER)) for items in (*SIZES, MOST)}
    runs: Curve = {}
    statuses: Curve = {}
    pages: Curve = {}
    for items, size in estates.items():
        with bench(size, latency=0.0) as made, TemporaryDirectory() as folder:
            if items != MOST:
                made.run()  # the first sign-in of a user writes the note about it
                runs[items] = made.run(RUN)
            statuses[items] = made.run(STATUS)
            pages[items] = made.run((*STATUS[:3], "--html", str(Path(folder) / "page.html")))
    for name, curve in (("a quiet run", runs), ("status", statuses), ("the page", pages)):
        yield from _curves(f"{name}, {min(curve)} to {max(curve):,} items", curve)
    one_user = _quiet({each: Size(1, each) for each in (10, 100, 1_000)})
    yield from _curves("a quiet run, 10 to 1,000 PATs of one user", one_user)
    # From 400 users on patrol waits for its turn (rate_limits.py).
    users = _quiet({users: Size(users, 1) for users in (3, 30, 300)})
    yield from _curves("a quiet run, 3 to 300 users of one PAT", users)
    vaults = _quiet({vaults: Size(10, 100, vaults=vaults) for vaults in (1, 2, 20)})
    yield from _curves("a quiet run, 1,000 items in 1 to 20 vaults", vaults)
    # Each of them is a cause of its own, and a notice.
    refused = {items: _refused(Size(items // TOGETHER, TOGETHER, refused=True)) for items in TOLD}
    yield from _curves(f"a run that tells of every user, {TOLD[0]} to {TOLD[-1]:,} items", refused)
    # It looks at every version, and disables all but the newest.
    emergencies = {count: _emergency(Size(1, 10, versions=count)) for count in VERSIONS}
    yield from _curves(f"an emergency, {VERSIONS[0]} to {VERSIONS[-1]} versions of one secret", emergencies)


def _quiet(sizes: dict[int, Size]) -> Curve:
    return {count: _second_run(size) for count, size in sizes.items()}


def _second_run(size: Size) -> Measured:
    with bench(size, latency=0.0) as made:
        made.run()
        return made.run()


def _refused(size: Size) -> Measured:
    with bench(size, latency=0.0) as made:
        return made.run()


def _emergency(size: Size) -> Measured:
    with bench(size, latency=0.0) as made:
        made.run()
        return made.run(("-m", "shared", "emergency", "--json", secret(0)))


def _curves(what: str, curve: Curve) -> Iterator[Row]:
    quantities: tuple[tuple[str, str, Callable[[Measured], float]], ...] = (
        ("time", " s", lambda ran: ran.seconds),
        ("calls", "", lambda ran: float(ran.total)),
        ("processor", " s", lambda ran: ran.processor),
        ("memory", " MB", lambda ran: ran.memory),
    )
    for quantity, unit, of in quantities:
        points = {count: of(ran) for count, ran in curve.items()}
        power = exponent(points)
        told = " → ".join(f"{point:,.1f}" if unit == " s" else f"{point:,.0f}" for point in points.values())
        numbers: dict[str, float | str] = {
            "curve": what,
            "quantity": quantity,
            **{str(count): point for count, point in points.items()},
        }
        yield Row(f"{what}: {quantity} {told}{unit}", f"{power:.2f}", f"≤ {LINEAR}", power <= LINEAR, numbers)


def exponent(points: dict[int, float]) -> float:
    """By what power it grows from the second largest count to the largest."""
    before, last = sorted(points)[-2:]
    return math.log(points[last] / points[before]) / math.log(last / before)
