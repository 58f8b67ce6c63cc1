"""`python -m sandbox.bench.used -m MODULE …`: run it, then say on standard error its most memory, in MB."""

from __future__ import annotations

import resource
import runpy
import sys
from pathlib import Path

WORD = "most memory "


def main(program: list[str]) -> None:
    sys.argv = program[1:]
    try:
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    finally:
        sys.stderr.write(f"\n{WORD}{_peak()}")


def _peak() -> float:
    """MB. Linux counts in `ru_maxrss` what the parent had when it forked, so there the process's own file is read."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [one for one in status.read_text().splitlines() if one.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def read(stderr: str) -> float:
    """What `main` said, of all that a program wrote."""
    return float(stderr.rsplit(f"\n{WORD}", 1)[1].split(maxsplit=1)[0])


if __name__ == "__main__":
    main(sys.argv[1:])
