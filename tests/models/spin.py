"""Spin, the model checker: builds a model with some of its switches set, tries every state, and tells what it found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parent

MOST_MEMORY = 1200
"""Megabytes of one verification; it ends with an error beyond, and never half-way with a success."""

PATIENCE = 850.0
"""Seconds: below the suite's own limit for a test that hangs. A slow core needs some 60 for the largest model."""

DEEPEST = 20_000

_MEMORY = re.compile(r"([\d.]+)\s+total actual memory usage")
_FAILED = re.compile(r"\.pml:(\d+), Error: assertion violated")
_PROMISE = re.compile(r"(?:promise|rule)_\d+|bounds", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker says of a model.

    `broken` is the first promise that some behaviour breaks, as `promise_1` or `rule_8`, None where all hold; `bounds`
    where the model is too small for a behaviour. `story` are the calls that lead there. `states` were tried, all there
    are where nothing is broken; they took so many `megabytes`.
    """

    states: int
    megabytes: float
    broken: str | None
    story: str


def why_not() -> str | None:
    """Why models cannot be checked on this machine, and how to change that; None when they can."""
    if shutil.which("spin") is None:
        return "Spin, the model checker, is not installed: `apt-get install spin` (Debian, Ubuntu), `brew install spin`"
    if _compiler() is None:
        return "Spin needs a C compiler: `apt-get install gcc`"
    return None


def check(model: str, switches: str, folder: Path) -> Verdict:
    """Try every state of `model` with `switches`, such as "FIRST=TIMER EDITS=1"; `folder` takes what is built.

    Raises RuntimeError when that did not come to an end: too deep, too large, too slow, or not a model.
    """
    source = MODELS / model
    given = [f"-D{switch}" for switch in switches.split()]
    _run(folder, "spin", *given, "-a", str(source))
    # COLLAPSE stores the states compressed, without loss: what is said of all states is true of all.
    limit = f"-DMEMLIM={MOST_MEMORY}"
    _run(folder, str(_compiler()), "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", limit, "-o", "pan", "pan.c")
    told = _run(folder, "./pan", f"-m{DEEPEST}")
    counted = re.search(r"errors: (\d+)\s+(\d+) states, stored", told)
    if counted is None:
        raise RuntimeError(f"{model} with {switches}: no verdict\n{told}")
    errors, states = int(counted[1]), int(counted[2])
    used = _MEMORY.search(told)
    megabytes = float(used[1]) if used else 0.0
    if errors:
        story = _run(folder, "spin", *given, "-k", f"{model}.trail", str(source))
        return Verdict(states, megabytes, _promise(story, source, told), story)
    if "Search not completed" in told or "max search depth too small" in told:
        raise RuntimeError(f"{model} with {switches}: not every state was tried\n{told}")
    return Verdict(states, megabytes, None, "")


def _promise(story: str, source: Path, told: str) -> str:
    """The promise that stands on the line of the assertion that failed."""
    failed = _FAILED.search(story)
    if failed is None:
        raise RuntimeError(f"{source.name}: an error that is no broken promise\n{told}\n{story}")
    line = source.read_text(encoding="utf-8").splitlines()[int(failed[1]) - 1]
    found = _PROMISE.search(line)
    if found is None:
        raise RuntimeError(f"{source.name}:{failed[1]}: an assertion without the promise that it holds")
    return found[0].lower()


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    # The checker itself ends with 0 whatever it found; spin ends a story of a failed assertion with 1.
    if done.returncode and "assertion violated" not in done.stdout:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _compiler() -> str | None:
    named = os.environ.get("CC", "")
    return shutil.which(named) if named else shutil.which("gcc") or shutil.which("cc")
