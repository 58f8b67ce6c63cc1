"""What all rows of `make bench` have in common: their shape, the latency, and a sandbox with an estate of any size."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from sandbox.cloud.large_estate import Size, estate
from sandbox.process.running import ROOT, Running, start

LATENCY = 0.05
BATCH = 1000
"""Items seeded at once: the control port's bodies have a limit."""


@dataclass(frozen=True, slots=True)
class Row:
    """`numbers`: what a plot takes of it, by name."""

    what: str
    measured: str
    to_reach: str
    holds: bool
    numbers: Mapping[str, float | str] = field(default_factory=dict)


def limit(what: str, measured: float, most: float) -> Row:
    return Row(what, f"{measured:.2f}", f"≤ {most}", measured <= most)


def processor(*arguments: str) -> float:
    """The processor seconds of a Python program from its start to its end."""
    before = spent_by_children()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, timeout=60, stdout=subprocess.DEVNULL)
    return spent_by_children() - before


def spent_by_children() -> float:
    """The processor seconds of all processes that this one started and waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def batched(rows: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(rows), most):
        yield rows[begin : begin + most]


def quiet_calls(size: Size) -> int:
    """The formula: pages of each vault's listing, of which the first has a note about each user; for each user its
    password, the note read again, realm, token and one page of PATs per 100; and once discovery, the client secret,
    the identity's token and one challenge for each vault and for that of the credentials."""
    here, elsewhere = -(-size.pats // size.vaults) + size.users, size.pats // size.vaults
    pages = -(-here // 25) + (size.vaults - 1) * -(-elsewhere // 25)
    each = 4 + max(1, -(-size.each // 100))
    return pages + size.users * each + 4 + size.vaults


@contextmanager
def seeded(size: Size, latency: float = LATENCY, routes: Mapping[str, int] | None = None) -> Iterator[Running]:
    """A sandbox with an estate of that size, and `latency` seconds on every answer."""
    whole = estate(size)
    pats, (home, credentials, *others) = whole["pats"], whole["vaults"]
    empty = [{**vault, "secrets": []} for vault in (home, *others)]
    with start({**whole, "pats": [], "vaults": [empty[0], credentials, *empty[1:]]}, routes=routes) as cloud:
        for part in batched(pats, BATCH):
            cloud.client.seed({"pats": part})
        for vault in (home, *others):
            for part in batched(vault["secrets"], BATCH):
                cloud.client.seed({"vaults": [{**vault, "secrets": part}]})
        cloud.client.switch(latency=latency, irregular_vault_pages=False)
        yield cloud


def usual_roots(cloud: Running, folder: Path) -> dict[str, str]:
    """What a process trusts: the sandbox's authority among as many as everybody has: reading takes time."""
    bundle = folder / "roots.pem"
    own = Path(cloud.environment()["REQUESTS_CA_BUNDLE"])
    bundle.write_text(
        own.read_text(encoding="utf-8") + Path(DEFAULT_CA_BUNDLE_PATH).read_text(encoding="utf-8"), encoding="utf-8"
    )
    return {"REQUESTS_CA_BUNDLE": str(bundle)}
