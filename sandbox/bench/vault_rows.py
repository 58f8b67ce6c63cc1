"""The rows of `make bench` about several vaults: what a run costs over 20 of them, and what is in its way there.

docs/performance.md says how to read them.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.bench.one_run import bench
from sandbox.bench.queue_rows import MOST, dispatcher
from sandbox.bench.rows import Row, quiet_calls
from sandbox.cloud.large_estate import Size

VAULTS = 20
SECONDS = 10


def several() -> Iterator[Row]:
    """All rows, each as soon as it is measured."""
    yield from quiet(Size(users=100, each=100, vaults=VAULTS))
    yield from due(Size(users=100, each=100, due=10_000, vaults=VAULTS))
    yield from dispatcher(Size(users=5000, each=20, vaults=VAULTS))


def quiet(size: Size) -> Iterator[Row]:
    with bench(size, latency=0.0) as made:
        made.run()  # the first sign-in of a user writes the note about it
        ran = made.run()
    formula = quiet_calls(size)
    what = f"quiet run, {size.pats:,} items of {size.users} users in {size.vaults} vaults"
    yield Row(what, f"{ran.total} calls", f"{formula} by the formula", ran.total <= formula)
    yield Row("  its memory", f"{ran.memory:.0f} MB at most", "≤ 200 MB", ran.memory <= 200)


def due(size: Size) -> Iterator[Row]:
    """Many times what one vault takes in ten seconds."""
    with bench(size) as made:
        made.cloud.client.switch(vault_creations_per_10s=MOST)
        ran = made.run()
    versions, together = ran.calls["vault.set"], MOST * size.vaults
    rate, alone = size.pats / ran.seconds * SECONDS, size.pats / ran.processor * SECONDS
    what = f"{size.pats:,} due PATs in {size.vaults} vaults: {ran.seconds:.0f} s; of that in {SECONDS} s"
    why = f"  what patrol's processor allows, {ran.processor / size.pats * 1000:.1f} ms for each: the bottleneck"
    yield Row(what, f"{rate:.0f} PATs", f"> {MOST}, what one vault takes", rate > MOST)
    yield Row(why, f"{alone:.0f} PATs in {SECONDS} s", f"< {together:,}, what the vaults take", alone < together)
    throttled = ran.throttled / versions
    yield Row("  its writes that a vault throttled", f"{throttled:.1%}", "≤ 1 %", throttled <= 0.01)
