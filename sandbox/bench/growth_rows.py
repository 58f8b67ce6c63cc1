"""The rows of `make bench` about growth: what a quiet run, the status, the page and a run that tells of every user take
of 10 to 100,000 items, and what runs take of many users, vaults, PATs of one user and versions of one secret.

No latency: what is measured is patrol's own. An exponent says by what power of the size a quantity grows over the last
tenfold; a start that costs the same at any size makes it less than one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.bench.one_run import RUN, Measured, bench
from sandbox.bench.rows import Row
from sandbox.cloud.large_estate import Size, secret

LINEAR = 1.1
MOST = 500
"""PATs of a user in the largest estates: 100,000 are of no more users than sign in within the first minute. From 400 on
they wait for their turn (rate_limits.py).
"""
SIZES = (10, 100, 1_000, 10_000, 100_000)
VERSIONS = (5, 50, 500)
STATUS = ("-m", "shared", "status", "--json")
Curve = dict[int, Measured]


def growth() -> Iterator[Row]:
    estates = {items: Size(max(1, items // MOST), min(items, MOST)) for items in SIZES}
    runs: Curve = {}
    statuses: Curve = {}
    pages: Curve = {}
    for items, size in estates.items():
        with bench(size, latency=0.0) as made, TemporaryDirectory() as folder:
            made.run()  # the first sign-in of a user writes the note about it
            runs[items] = made.run(RUN)
            statuses[items] = made.run(STATUS)
            pages[items] = made.run((*STATUS[:3], "--html", str(Path(folder) / "page.html")))
    told = {items: _refused(replace(size, refused=True)) for items, size in estates.items()}
    of_items = {"a quiet run": runs, "status": statuses, "the page": pages, "a run that tells of every user": told}
    for name, curve in of_items.items():
        yield from _curves(f"{name}, {min(curve)} to {max(curve):,} items", curve)
    one_user = _quiet({each: Size(1, each) for each in (10, 100, 1_000)})
    yield from _curves("a quiet run, 10 to 1,000 PATs of one user", one_user)
    users = _quiet({users: Size(users, 1) for users in (3, 30, 300)})
    yield from _curves("a quiet run, 3 to 300 users of one PAT", users)
    vaults = _quiet({vaults: Size(10, 100, vaults=vaults) for vaults in (1, 2, 20)})
    yield from _curves("a quiet run, 1,000 items in 1 to 20 vaults", vaults)
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
    """Each of them is a cause of its own, and a notice."""
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
