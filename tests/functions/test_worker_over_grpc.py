"""The real Python worker in a process of its own, over its real protocol: a log line belongs to its invocation.

The worker is in no package index: FUNCTIONS_WORKER names a checkout of
Azure/azure-functions-python-worker of the generation that serves Python up to 3.12 (release 4.34.0 was tried).
The one that serves Python 3.13 is driven through its library (test_worker.py).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from sandbox.cloud.seed import demo_estate, demo_pats_yaml
from sandbox.process.running import start

WORKER = os.environ.get("FUNCTIONS_WORKER", "")

pytestmark = [
    pytest.mark.worker,
    pytest.mark.exhaustive,
    pytest.mark.skipif(not WORKER, reason="FUNCTIONS_WORKER names no checkout of the Functions worker"),
    pytest.mark.skipif(sys.version_info >= (3, 13), reason="that generation of the worker serves Python up to 3.12"),
]


def http(method: str, body: object = None) -> dict[str, object]:
    text = json.dumps(body)
    given = {"body": {"string": text}} if body is not None else {}
    return {"http": {"method": method, "url": "https://patrol.azurewebsites.net/api/", **given}}


def test_promise_8_each_line_reaches_the_host_under_the_invocation_it_was_written_for(tmp_path: Path) -> None:
    from tests.lab.functions_host_grpc import ANSWERS_WITHIN, host

    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    with start(demo_estate()) as cloud, host(cloud, Path(WORKER), tmp_path, PATS_FILE=str(inventory)) as functions:
        # Slow enough that both are under way at once, in threads of their own users.
        cloud.client.switch(latency=0.1)
        asked = {
            secret: functions.invoke("rotate", req=http("POST", {"secrets": [secret], "force": True}))
            for secret in ("agents-windows-pat", "wiki-export-pat")
        }
        answers = {secret: answer.result(ANSWERS_WITHIN) for secret, (_, answer) in asked.items()}
        timer, due = functions.invoke("rotate_due", timer={"json": json.dumps({"IsPastDue": False})})
        ran = due.result(ANSWERS_WITHIN)
        lines = [one for one in functions.lines if one.category == "patrol"]
    for secret, answer in answers.items():
        assert answer.result.status == answer.result.Success, answer.result.exception.message
        assert answer.return_value.http.status_code == "200", (secret, answer.return_value)
    assert ran.result.status == ran.result.Success, ran.result.exception.message
    invocations = {secret: invocation for secret, (invocation, _) in asked.items()}
    assert {one.invocation for one in lines} == {*invocations.values(), timer}
    for secret, invocation in invocations.items():
        own = [one.text for one in lines if one.invocation == invocation]
        told = [one.invocation for one in lines if one.text.startswith("pat.") and f'"{secret}"' in one.text]
        assert told[0] == invocation
        assert set(told) <= {invocation, timer}
        other = next(name for name in invocations if name != secret)
        assert not [text for text in own if f'"{other}"' in text]
