"""Invoke a timer function of `function_app.py` in the current folder once, as the host would: `rotate_due`, or the
named one.

For the launcher: `python -m sandbox.process.launcher --control URL -- -m sandbox.functions_host.fire_timer`.
Exit code 1 if it raised.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from sandbox.functions_host.host import Timer, index
from sandbox.functions_host.queue_trigger import Queues, service

TIMER = "rotate_due"


def _send(name: str, messages: list[str]) -> None:
    storage = service(os.environ)
    if storage is None:
        raise RuntimeError(f"no storage is configured for the {len(messages)} messages to {name}")
    Queues(storage).send(name, messages)


def main(name: str = TIMER) -> int:
    # As in the host, the app's own lines are shown from INFO on.
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    functions = index(Path.cwd())
    if name not in functions:
        sys.stderr.write(f"function_app has no function {name}\n")
        return 2
    try:
        functions[name].invoke(_send, timer=Timer())
    except Exception as problem:  # noqa: BLE001  # whatever the function raises fails its invocation
        sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
