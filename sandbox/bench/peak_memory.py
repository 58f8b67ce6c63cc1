"""`python -m sandbox.peak_memory -m MODULE …`: run it, then say on standard error its most memory, in MB."""

from __future__ import annotations

import resource
import runpy
import sys


def main(program: list[str]) -> None:
    sys.argv = program[1:]
    try:
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sys.stderr.write(f"\npeak memory {peak / (1024 * 1024 if sys.platform == 'darwin' else 1024):.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
