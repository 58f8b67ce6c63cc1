"""Promise 3 with real processes: `patrol run` killed or suspended while a call is under way, over TLS.

`make test` takes one call, the write that publishes, `make test-all` some of every command, `make chaos` every call.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.large_estate import OURS
from sandbox.cloud.seed import PATS_VAULT, PERSON, WEB_SECRET, WEB_VAULT, demo_estate, demo_pats_yaml
from sandbox.process.running import Running, start

ITEMS = (
    "agents-linux-pat",
    "agents-windows-pat",
    "build-feed-pat",
    "new-pipeline-pat",
    "release-notes-pat",
    "wiki-export-pat",
    "legacy-tool-pat",
    WEB_SECRET,
    "sonarqube-pat",
)
CALLS = 60
"""More calls than a run on the demo estate makes; the ones beyond its end kill nothing and must do no harm."""

RUN = ("-m", "shared", "run")
HEALTHY = "agents-linux-pat"


def every_call(*sample: int, until: int = CALLS, quick: tuple[int, bool] | None = None) -> list[Any]:
    """All calls, before and after their effect; those beside the sample only in `make chaos`."""

    def mark(call: int, after_effect: bool) -> Any:
        if (call, after_effect) == quick:
            return ()
        return pytest.mark.exhaustive if call in sample else pytest.mark.chaos

    return [
        pytest.param(call, late, id=f"{call}-{'after' if late else 'before'} the effect", marks=mark(call, late))
        for call in range(1, until + 1)
        for late in (False, True)
    ]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    return {"PATS_FILE": str(inventory), "PARALLEL_USERS": "1"}


def published(estate: Mapping[str, Any]) -> list[Any]:
    """The secrets of both vaults, that of the web team too."""
    return [one for vault in estate["vaults"] if vault["host"] in (PATS_VAULT, WEB_VAULT) for one in vault["secrets"]]


def working(estate: Mapping[str, Any]) -> set[str]:
    """The secrets whose current value works now."""
    alive = {pat["value"] for pat in estate["pats"] if pat["state"] == "active"}
    return {secret["name"] for secret in published(estate) if secret["versions"][-1]["value"] in alive} & set(ITEMS)


def wait_until_met(cloud: Running, child: subprocess.Popen[str]) -> bool:
    """Until the scripted call is under way; False when the run ended without making it."""
    while cloud.client.pending_faults():
        if child.poll() is not None:
            return False
        time.sleep(0.01)
    return True


def assert_converges(cloud: Running, settings: Mapping[str, str], ended: frozenset[str] = frozenset()) -> None:
    for hours in (6, 30, 3):
        cloud.client.move_clock(timedelta(hours=hours))
        ran = cloud.run_product(RUN, extra=settings)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    estate = cloud.client.estate(reveal=True)
    kept = set(ITEMS) - ended
    assert working(estate) == kept
    current = {
        secret["versions"][-1]["tags"]["authorization-id"] for secret in published(estate) if secret["name"] in kept
    }
    live = {
        pat["authorization_id"]
        for pat in estate["pats"]
        if pat["display_name"].startswith(OURS) and pat["state"] == "active" and pat["owner"] != PERSON
    }
    assert live == current


def kill(cloud: Running, command: tuple[str, ...], settings: Mapping[str, str], call: int, after_effect: bool) -> None:
    """Run the command and kill its process while the given call is under way."""
    cloud.client.add_fault("*", "hang", call=call, seconds=60, after_effect=after_effect)
    child = cloud.start_product(command, extra=settings)
    try:
        wait_until_met(cloud, child)
    finally:
        child.kill()
        child.communicate()
    cloud.client.clear_faults()


@pytest.mark.parametrize(("call", "after_effect"), every_call(15, 24, quick=(24, True)))
def test_promise_3_a_killed_process_costs_nothing(call: int, after_effect: bool, settings: dict[str, str]) -> None:
    with start(demo_estate()) as cloud:
        before = working(cloud.client.estate(reveal=True))
        kill(cloud, RUN, settings, call, after_effect)
        assert before <= working(cloud.client.estate(reveal=True))
        assert_converges(cloud, settings)


@pytest.mark.parametrize(("call", "after_effect"), every_call(14, until=26))
def test_promise_3_a_killed_emergency_costs_nothing(call: int, after_effect: bool, settings: dict[str, str]) -> None:
    with start(demo_estate()) as cloud:
        kill(cloud, ("-m", "shared", "emergency", HEALTHY), settings, call, after_effect)
        assert HEALTHY in working(cloud.client.estate(reveal=True))
        assert_converges(cloud, settings)


@pytest.mark.parametrize(("call", "after_effect"), every_call(12))
def test_promise_3_a_killed_decommission_costs_nothing(call: int, after_effect: bool, settings: dict[str, str]) -> None:
    inventory = Path(settings["PATS_FILE"])
    line = f"secret: {HEALTHY}"
    inventory.write_text(inventory.read_text().replace(line, f"decommission: true\n        {line}"))
    with start(demo_estate()) as cloud:
        kill(cloud, RUN, settings, call, after_effect)
        assert_converges(cloud, settings, ended=frozenset({HEALTHY}))


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(call, marks=pytest.mark.exhaustive if call == 24 else pytest.mark.chaos)
        for call in range(1, CALLS + 1)
    ],
)
def test_promise_3_a_suspended_process_costs_nothing(call: int, settings: dict[str, str]) -> None:
    with start(demo_estate()) as cloud:
        cloud.client.add_fault("*", "delay", call=call, seconds=0.7)
        child = cloud.start_product(RUN, extra=settings)
        try:
            if wait_until_met(cloud, child):
                child.send_signal(signal.SIGSTOP)
                time.sleep(1)  # the answer to the call is on its way when hours have passed
                cloud.client.move_clock(timedelta(hours=3))
                other = cloud.run_product(RUN, extra=settings)
                assert other.returncode == 0, other.stderr
                cloud.client.move_clock(timedelta(hours=4))
                child.send_signal(signal.SIGCONT)
            child.communicate(timeout=60)
        finally:
            child.kill()
            child.communicate()
        assert working(cloud.client.estate(reveal=True)) == set(ITEMS)
        assert_converges(cloud, settings)
