"""What all rows of `make bench` have in common: their shape, the latency, and a sandbox with an estate of any size."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from sandbox.cloud.large_estate import Size, estate
from sandbox.cloud.seed import PATS_VAULT
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
    before = _of_children()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, timeout=60, stdout=subprocess.DEVNULL)
    return _of_children() - before


def _of_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@contextmanager
def seeded(size: Size, latency: float = LATENCY, routes: Mapping[str, int] | None = None) -> Iterator[Running]:
    """A sandbox with an estate of that size, and `latency` seconds on every answer."""
    whole = estate(size)
    pats, secrets = whole["pats"], whole["vaults"][0]["secrets"]
    first = {**whole, "pats": [], "vaults": [{"host": PATS_VAULT, "secrets": []}, whole["vaults"][1]]}
    with start(first, routes=routes) as cloud:
        for begin in range(0, len(pats), BATCH):
            part = slice(begin, begin + BATCH)
            cloud.client.seed({"pats": pats[part], "vaults": [{"host": PATS_VAULT, "secrets": secrets[part]}]})
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
