"""Azurite as the sandbox starts it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

from sandbox.process import ROOT

STARTS = """
import time
from sandbox.azurite import azurite
with azurite() as running:
    print(running.queues, flush=True)
    time.sleep(600)
"""


def test_it_ends_when_who_started_it_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert _answers(port)
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30
    while _answers(port):
        assert time.monotonic() < end, "it goes on, and nobody is there to end it"
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
