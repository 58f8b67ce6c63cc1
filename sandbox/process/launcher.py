"""Run a Python program under the sandbox's clock: `python -m sandbox.process.launcher --control URL -- -m module …`.

time-machine moves this process's wall clock; monotonic time and sleep stay real. A thread follows the sandbox's clock.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import ModuleType

from sandbox.process.client import ControlRefused, SandboxClient

UNUSED = ("pytest", "dateutil")
"""time-machine loads them where they are installed, and needs neither here: a fifth of what a small program takes."""


class Follower:
    """Keeps this process's clock at the sandbox's offset, and acknowledges every move."""

    def __init__(self, control: str) -> None:
        self._client = SandboxClient(control)
        self._name = uuid.uuid4().hex
        self._applied = 0.0
        self._seen = -1
        self._shift: Callable[[timedelta], None] | None = None
        self._ended = False

    def start(self) -> None:
        """Travel now; follow from here on. Raises OSError when the sandbox does not answer."""
        state = self._client.clock()
        self._applied = float(state["offset"])
        self._seen = int(state["version"])
        # A number, not a datetime: an aware one would change the process's time zone as well.
        self._shift = _time_machine().travel(time.time() + self._applied, tick=True).start().shift
        threading.Thread(target=self._follow, name="sandbox-clock", daemon=True).start()

    def stop(self) -> None:
        self._ended = True
        with suppress(OSError, ControlRefused):
            self._client.leave(self._name)

    def _follow(self) -> None:
        while not self._ended:
            try:
                state = self._client.follow(self._name, self._seen)
            except (OSError, ControlRefused):
                return  # the sandbox is gone: the program goes on at the offset it has
            offset = float(state["offset"])
            if offset != self._applied and self._shift is not None:
                self._shift(timedelta(seconds=offset - self._applied))
                self._applied = offset
            self._seen = int(state["version"])


def _time_machine() -> ModuleType:
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None: importing it fails
    import time_machine

    for name in UNUSED:
        if sys.modules[name] is None:
            del sys.modules[name]  # the program may want it
    return time_machine


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.process.launcher")
    parser.add_argument("--control", required=True, help="the control port's URL")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="-- -m module … or -- script.py …")
    options = parser.parse_args(arguments)
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program or program == ["-m"]:
        parser.error("say what to run after --")
    follower = Follower(options.control)
    follower.start()
    try:
        _run(program)
    finally:
        follower.stop()


def _run(program: list[str]) -> None:
    if program[0] == "-m":
        sys.argv = program[1:]
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = program
    sys.path.insert(0, str(Path(program[0]).resolve().parent))
    runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main()
