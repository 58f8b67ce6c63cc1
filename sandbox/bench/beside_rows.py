"""The rows of `make bench` beside what people use: the same estate, the same sandbox, one program after the other.

Each program replaces every PAT once. Dead minutes are a consumer's that reads its secret once an hour, on average for
each PAT: a value that was replaced and ended at once is dead until the next reading, half an hour later on average.
Leftovers are live PATs that no secret holds and that nobody will end, a day after a run in which one answer to a
creation was lost; patrol's timer ran in that day, the loops are started again when PATs are due again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sandbox.bench.one_run import PLAIN_LOOP, RUN, Bench, Measured, bench
from sandbox.bench.rows import Row
from sandbox.cloud.large_estate import Size
from sandbox.process.running import Running

SIZE = Size(users=10, each=10, due=100)
READ_EVERY = timedelta(hours=1)
LOST = SIZE.pats // 2
PROGRAMS = {
    "patrol": RUN,
    "the plain loop": (*PLAIN_LOOP, str(SIZE.users), str(SIZE.each)),
    "as blogs show it": ("-m", "sandbox.bench.as_blogs_show", str(SIZE.users), str(SIZE.each)),
}


@dataclass(frozen=True, slots=True)
class Beside:
    """`dead`: of the values that were published before the run, how many are dead right after it."""

    ran: Measured
    dead: int
    leftovers: int

    @property
    def dead_minutes(self) -> float:
        return self.dead / SIZE.pats * READ_EVERY / timedelta(minutes=2)


def beside() -> Iterator[Row]:
    for name, program in PROGRAMS.items():
        with bench(SIZE) as made:
            ran = made.run(program)
            dead = _dead(made.cloud)
        found = Beside(ran, dead, _leftovers(name, program))
        numbers: dict[str, float | str] = {
            "program": name,
            "calls": ran.total / SIZE.pats,
            "seconds": ran.seconds,
            "processor": ran.processor / SIZE.pats * 1000,
            "dead": found.dead_minutes,
            "leftovers": float(found.leftovers),
        }
        what = (
            f"{name}: {SIZE.pats} PATs in {ran.seconds:.1f} s, {numbers['calls']:.1f} calls and "
            f"{numbers['processor']:.0f} ms of processor each"
        )
        measured = f"{found.dead_minutes:.0f} min, {found.leftovers} left"
        ours = name == "patrol"
        holds = not ours or (found.dead == 0 and found.leftovers == 0)
        yield Row(what, measured, "0 min, 0 left" if ours else "what it does", holds, numbers)


def _dead(cloud: Running) -> int:
    """Those that were seeded and are no longer alive."""
    return sum(pat["state"] != "active" and not _made_in_the_run(pat) for pat in cloud.client.estate()["pats"])


def _made_in_the_run(pat: dict[str, Any]) -> bool:
    return not pat["authorization_id"].startswith("a0000000-")


def _leftovers(name: str, program: tuple[str, ...]) -> int:
    with bench(SIZE) as made:
        client = made.cloud.client
        client.add_fault("pats.create", "cut_after_effect", call=LOST)
        _run_that_may_break(made, program)
        if name == "patrol":
            client.move_clock(timedelta(hours=6))
            made.run()
        client.move_clock(timedelta(days=1))
        if name == "patrol":
            made.run()
        estate = client.estate(reveal=True)
    held = {
        version["value"]
        for vault in estate["vaults"]
        for secret in vault["secrets"]
        for version in list(secret["versions"])[-1:]
    }
    alive = [pat for pat in estate["pats"] if pat["state"] == "active"]
    return sum(pat["value"] not in held for pat in alive)


def _run_that_may_break(made: Bench, program: tuple[str, ...]) -> None:
    try:
        made.run(program)
    except (RuntimeError, KeyError, ValueError):
        return
