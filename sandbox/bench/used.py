"""`python -m sandbox.bench.used -m MODULE …`: run it, then say on standard error what it used, as JSON.

Memory: the most, in MB. Processor: seconds of it in all threads, from the module's first import to its end; the
interpreter's own start and the sandbox's launcher are not in it.
"""

from __future__ import annotations

import json
import resource
import runpy
import sys
import time
from pathlib import Path

WORD = "used "


def main(program: list[str]) -> None:
    sys.argv = program[1:]
    began = time.process_time()
    try:
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    finally:
        used = {"memory": _peak(), "processor": time.process_time() - began}
        sys.stderr.write(f"\n{WORD}{json.dumps(used)}")


def _peak() -> float:
    """MB. Linux counts in `ru_maxrss` what the parent had when it forked, so there the process's own file is read."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [one for one in status.read_text().splitlines() if one.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def read(stderr: str) -> dict[str, float]:
    """What `main` said, of all that a program wrote."""
    said: dict[str, float] = json.loads(stderr.rsplit(f"\n{WORD}", 1)[1])
    return said


if __name__ == "__main__":
    main(sys.argv[1:])
