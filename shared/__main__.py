"""`python -m shared COMMAND`."""

from __future__ import annotations

import io
import os
import signal
import sys

from shared.cli import INTERRUPTED, STOPPED, main


def _stop(*_: object) -> None:
    """Ctrl-C ends at once: waiting for the threads would let users that were begun be worked through to their end."""
    sys.stderr.write(f"{STOPPED}\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _stop)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter of somebody's name is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
