"""`patrol COMMAND`, or `python -m shared COMMAND`.

What is loaded before the signals are caught is little: Ctrl-C comes early, too.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.cli.stopping import Stopping

_COMMAND: list[Stopping] = []
"""What the command says when it is stopped, as soon as there is one."""


def _stop(number: int, *_: object) -> None:
    """End at once: waiting for the threads would let users that were begun be worked through to their end.

    The codes are those of a shell: 130 for Ctrl-C, 143 for the SIGTERM of a cluster, which the kernel keeps from a
    container's first process unless it is asked for.
    """
    quiet = bool(_COMMAND) and _COMMAND[0].quiet and number == signal.SIGINT
    try:
        says = "" if quiet else _COMMAND[0].sentence() if _COMMAND else "patrol: stopped. Nothing was changed."
        # Not through the stream, whose buffer may be half written.
        os.write(2, f"{says}\n".encode("ascii", "backslashreplace"))
    finally:  # whatever is wrong with telling, the process ends
        os._exit(0 if quiet else 128 + number)


def _occupy_closed() -> None:
    """Put nothing where a standard stream was closed (`>&-`): the next connection would be opened in its place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def main() -> int:
    """Gives the exit code."""
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    _occupy_closed()
    from shared.cli import main as command_line
    from shared.cli.stopping import Stopping

    _COMMAND.append(Stopping())
    try:
        return command_line.main(stopping=_COMMAND[0])
    finally:
        gc.freeze()  # all of it ends with the process: a search for cycles would take a sixth of a short command


if __name__ == "__main__":
    sys.exit(main())
