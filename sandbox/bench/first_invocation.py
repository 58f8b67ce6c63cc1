"""Index `function_app.py` and invoke its timer once, as a fresh instance does.

`python -m sandbox.bench.first_invocation`, under the sandbox's launcher. Says how much processor the invocation took
until it opened its first connection.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from sandbox.functions_host.host import Timer, index, no_queue

WORD = "first request after "
CLOCK = "sandbox-clock"
"""The launcher's thread has connections of its own."""


def main() -> None:
    function = index(Path.cwd())["rotate_due"]
    began, connected = time.process_time(), list[float]()

    def watch(event: str, _: Any) -> None:
        if event == "socket.connect" and not connected and threading.current_thread().name != CLOCK:
            connected.append(time.process_time() - began)

    sys.addaudithook(watch)
    function.invoke(no_queue, timer=Timer())
    sys.stderr.write(f"\n{WORD}{connected[0]}\n")


def read(stderr: str) -> float:
    """The seconds that `main` said."""
    return float(stderr.split(WORD, 1)[1].split(maxsplit=1)[0])


if __name__ == "__main__":
    main()
