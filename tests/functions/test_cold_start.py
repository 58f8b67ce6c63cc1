"""A cold start: the vaults' token is asked for while the rest is loaded, once, and is never in the way of anything."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from sandbox.cloud.seed import demo_estate, demo_pats_yaml
from sandbox.process.running import ROOT, Running, start
from shared.functions.cold_start import cold_start

TWICE = """
import json, sys, threading
from types import SimpleNamespace
import function_app

seen = []
def watch(event, _):
    if event == "socket.connect" and not seen:
        seen.extend(name for name in sys.modules if name.startswith("shared."))
sys.addaudithook(watch)
(rotate_due,) = (one for one in function_app.app.get_functions() if one.get_function_name() == "rotate_due")
context = SimpleNamespace(invocation_id="1", thread_local_storage=threading.local())
said = []
for _ in range(2):
    try:
        rotate_due.get_user_function()(SimpleNamespace(past_due=False), SimpleNamespace(set=list), context)
        said.append("")
    except Exception as failure:
        said.append(f"{type(failure).__name__}: {failure}")
print(json.dumps({"seen": seen, "said": said}))
"""
"""The timer, two invocations of one process; `seen`: what of patrol was loaded when the first connection was opened."""


def invoke(cloud: Running, folder: Path, **settings: str) -> dict[str, Any]:
    """`log`: what came to standard error, which the host keeps."""
    inventory = folder / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    extra = {"PATS_FILE": str(inventory), **settings}
    ran = cloud.run_product(["-c", TWICE], cwd=ROOT, extra=extra, real_time=True)
    assert ran.returncode == 0, ran.stderr
    answered: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return {**answered, "log": ran.stderr}


def test_the_first_token_is_asked_for_while_the_rest_is_loaded_and_no_second_time(tmp_path: Path) -> None:
    with start(demo_estate()) as cloud:
        ran = invoke(cloud, tmp_path)
        asked = [row["subject"] for row in cloud.client.log("identity.token")]
    assert ran["said"] == ["", ""]
    assert "shared.services.identity" in ran["seen"]
    assert "shared.rotation.run" not in ran["seen"]
    assert asked.count("https://vault.azure.net") == 1


def test_promise_8_an_identity_that_gives_no_token_is_told_by_every_invocation(tmp_path: Path) -> None:
    with start(demo_estate()) as cloud:
        quoted = json.dumps({"error": "invalid_request", "error_description": "what-was-sent"})
        cloud.client.add_fault("identity.token", "status", call=None, status=400, body=quoted)
        ran = invoke(cloud, tmp_path)
    assert ["patrol's own identity" in text for text in ran["said"]] == [True, True], ran["said"]
    assert "what-was-sent" not in ran["log"]
    assert "Attempted credentials" not in ran["log"], "what a library logs of it may quote anything"


def test_an_identity_that_there_is_not_is_told_by_the_invocation(tmp_path: Path) -> None:
    with start(demo_estate()) as cloud:
        said = invoke(cloud, tmp_path, AZURE_TOKEN_CREDENTIALS="nobody")["said"]
    assert ["AZURE_TOKEN_CREDENTIALS is nothing" in text for text in said] == [True, True], said


@pytest.mark.parametrize(
    "wrong",
    [
        {"KEY_VAULT_URL": ""},
        {"KEY_VAULT_URL": "no address"},
        {"IDENTITY_ENDPOINT": " "},
        {"RUN_BUDGET": "for ever"},
    ],
    ids="".join,
)
def test_a_setting_that_is_wrong_breaks_no_cold_start(wrong: dict[str, str]) -> None:
    given = {"IDENTITY_ENDPOINT": "http://127.0.0.1:9/", "KEY_VAULT_URL": "https://contoso.vault.azure.net", **wrong}
    loaded = False
    with cold_start(given, Lock()):
        loaded = True
    assert loaded


def test_what_asks_ahead_never_keeps_an_invocation_from_beginning() -> None:
    class Full(dict[str, str]):
        """A process that can begin no thread fails wherever it likes."""

        def get(self, *_: object) -> str:
            raise RuntimeError("can't start new thread")

    loaded = False
    with cold_start(Full(), Lock()):
        loaded = True
    assert loaded


def test_only_the_first_invocation_of_a_process_is_one() -> None:
    first = Lock()
    with cold_start({}, first):
        assert not gc.isenabled()
    assert gc.isenabled()
    with cold_start({}, first):
        assert gc.isenabled()
