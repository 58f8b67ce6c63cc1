"""function_app.py in the hands of the real Functions worker's library: indexed as written, and invoked.

It refuses at load time what a test that imports the functions never notices (annotations, extra parameters).
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sandbox.process import ROOT, Running, start
from sandbox.seed import demo_estate, demo_pats_yaml

pytestmark = [
    pytest.mark.worker,
    pytest.mark.skipif(
        find_spec("azure_functions_runtime") is None, reason="azure-functions-runtime needs Python 3.13 or later"
    ),
]


def invoke(cloud: Running, folder: Path, **extra: str) -> tuple[dict[str, Any], str]:
    """What the host gets back, and the log."""
    inventory = folder / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    done = cloud.run_product(["-m", "tests.worker_host"], cwd=ROOT, extra={"PATS_FILE": str(inventory), **extra})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_the_timer_is_indexed_invoked_and_fails_its_invocation_when_it_must(tmp_path: Path) -> None:
    with start(demo_estate()) as cloud:
        answer, log = invoke(cloud, tmp_path)
        assert answer["succeeded"], answer
        [binding] = answer["bindings"]["rotate_due"]
        assert (binding["type"], binding["schedule"]) == ("timerTrigger", "%ROTATION_SCHEDULE%")
        assert (binding["runOnStartup"], binding["useMonitor"]) == (False, True)
        assert 'run.finished {"run_id": ' in log
        assert '"outcome": "succeeded"' in log

        broken, log = invoke(cloud, tmp_path, KEY_VAULT_URL="")
        assert not broken["succeeded"]
        assert "KEY_VAULT_URL is missing" in broken["message"]
        assert log.count("run.finished") == 1
