"""What all rows of `make bench` have in common: their shape, the latency, and a sandbox with an estate of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.cloud.large_estate import Size, estate
from sandbox.cloud.seed import PATS_VAULT
from sandbox.process.running import Running, start

LATENCY = 0.05
BATCH = 1000
"""Items seeded at once: the control port's bodies have a limit."""


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    measured: str
    to_reach: str
    holds: bool


def limit(what: str, measured: float, most: float) -> Row:
    return Row(what, f"{measured:.2f}", f"≤ {most}", measured <= most)


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
