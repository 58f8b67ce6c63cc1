"""`python -m shared COMMAND`."""

from __future__ import annotations

import io
import os
import signal
import sys

from shared.cli.main import STOPPED, main


def _stop(number: int, *_: object) -> None:
    """End at once: waiting for the threads would let users that were begun be worked through to their end.

    The codes are those of a shell: 130 for Ctrl-C, 143 for the SIGTERM of a cluster, which the kernel keeps from a
    container's first process unless it is asked for.
    """
    sys.stderr.write(f"{STOPPED}\n")
    sys.stderr.flush()
    os._exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter of somebody's name is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
