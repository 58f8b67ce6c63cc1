"""Invoke the timer function `rotate_due` of `function_app.py` in the current folder once, as the host would.

For the launcher: `python -m sandbox.launcher --control URL -- -m sandbox.fire_timer`. Exit code 1 if it raised.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TIMER = "rotate_due"


class FakeTimer:
    """What a timer function may ask of its request."""

    past_due = False
    schedule_status: dict[str, str] | None = None
    schedule: dict[str, Any] | None = None


def main(name: str = TIMER) -> int:
    # As in the host, the app's own lines are shown from INFO on.
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module = importlib.import_module("function_app")
    indexed = {function.get_function_name(): function for function in module.app.get_functions()}
    if name not in indexed:
        sys.stderr.write(f"function_app has no function {name}\n")
        return 2
    function = indexed[name].get_user_function()
    context = SimpleNamespace(
        function_name=name,
        invocation_id="00000000-0000-4000-8000-000000000001",
        thread_local_storage=threading.local(),
    )
    arguments = {
        parameter: context if parameter == "context" else FakeTimer()
        for parameter in inspect.signature(function).parameters
    }
    try:
        function(**arguments)
    except Exception as problem:  # noqa: BLE001  # whatever the function raises fails its invocation
        sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
