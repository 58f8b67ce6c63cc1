"""The words are read before what they need is loaded, and from the first moment nothing ends in a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.process.environment import kept_environment
from sandbox.process.running import ROOT
from tests.lab.lab import ENVIRONMENT

LIBRARIES = {"requests", "urllib3", "azure", "msal", "pydantic", "yaml", "cryptography", "shtab", "logging", "asyncio"}
WORDS = {"parser", "arguments", "columns", "command", "main", "stopping", "terminal"}


def loaded(*arguments: str) -> set[str]:
    """The modules of a process that did this one command."""
    code = (
        f"import sys, json; from shared.cli.main import main; main({list(arguments)!r}); "
        "print(); print(json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=kept_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("rotate", "--help"), ("rotatee",), ("rotate",), ("status", "--stat")],
    ids=" ".join,
)
def test_help_and_a_typing_error_load_nothing_of_what_commands_need(arguments: tuple[str, ...]) -> None:
    modules = loaded(*arguments)
    assert {name.split(".")[0] for name in modules} & LIBRARIES == set()
    ours = {name for name in modules if name.startswith("shared.")}
    assert ours == {
        "shared.cli",
        "shared.loading",
        "shared.model",
        "shared.model.secret_text",
        *(f"shared.cli.{name}" for name in WORDS),
    }


@pytest.mark.parametrize(("command", "needs"), [("completion", {"shtab", "logging"}), ("scopes", {"logging"})])
def test_a_command_without_services_loads_none(command: str, needs: set[str]) -> None:
    arguments = (command, "bash") if command == "completion" else (command, "wiki")
    assert {name.split(".")[0] for name in loaded(*arguments)} & LIBRARIES == needs


def test_a_typing_error_costs_a_few_bare_interpreters() -> None:
    """As a ratio, so that a slow machine does not matter: 36 times before the words were read first, 5 times now."""
    bare = min(cost(sys.executable, "-c", "pass") for _ in range(3))
    mine = min(cost(sys.executable, "-m", "shared", "rotatee") for _ in range(3))
    assert mine < 12 * bare, f"{mine:.3f} s of processor time, and {bare:.3f} s for nothing at all"


def cost(*command: str) -> float:
    """Processor seconds of one process."""
    before = os.times()
    subprocess.run(command, cwd=ROOT, env=kept_environment(), capture_output=True, check=False, timeout=60)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see when signals are caught")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_in_the_first_moment_is_no_traceback(number: signal.Signals, code: int) -> None:
    environ = {**kept_environment(), **ENVIRONMENT}
    with subprocess.Popen(
        [sys.executable, "-m", "shared", "status"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        wait_until_caught(child.pid, signal.SIGTERM)
        child.send_signal(number)
        out, errors = child.communicate(timeout=60)
    assert (child.returncode, out, errors) == (code, "", "patrol: stopped. Nothing was changed.\n")


def wait_until_caught(pid: int, number: int) -> None:
    """Until the process has a handler for this signal, which nobody but our own first lines installs."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        if found and int(found[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.001)
    raise AssertionError("the signal is never caught")
