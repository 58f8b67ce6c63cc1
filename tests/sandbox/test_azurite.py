"""Azurite as the sandbox starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.process.running import ROOT

pytestmark = pytest.mark.exhaustive

STARTS = """
import time
from sandbox.functions_host.azurite import azurite
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


def test_ctrl_c_of_a_terminal_ends_it_without_a_word(tmp_path: Path) -> None:
    """A terminal tells every process of the group."""
    with (tmp_path / "errors").open("w+") as errors:
        command = [sys.executable, "-c", STARTS]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, start_new_session=True
        ) as parent:
            assert parent.stdout is not None
            port = int(parent.stdout.readline())
            os.killpg(parent.pid, signal.SIGINT)
        errors.seek(0)
        told = errors.read()
    assert not _answers(port)
    assert "KeyboardInterrupt" in told
    assert "azurite" not in told.partition("KeyboardInterrupt")[2]
    assert "Cannot close server" not in told


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
