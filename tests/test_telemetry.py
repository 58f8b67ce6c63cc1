"""Events that any stream can write, and libraries that say nothing of their own."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from sandbox.process.running import ROOT
from shared import telemetry


def test_an_event_is_one_line_that_any_stream_can_write(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="patrol"):
        telemetry.event("pat.leftover", secret="half-\ud83d", says="ü\nnext", none=None)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.isascii()
    assert "\n" not in text
    name, _, fields = text.partition(" ")
    assert name == "pat.leftover"
    assert json.loads(fields) == {"secret": "half-\ud83d", "says": "ü\nnext"}


LOADED = """
import importlib, json, logging, pkgutil, shared
for module in pkgutil.walk_packages(shared.__path__, "shared."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import azure.functions, azure.identity, azure.keyvault.secrets, azure.storage.blob, msal
print(json.dumps(sorted(logging.root.manager.loggerDict)))
"""
"""In a process of its own: what tests load, such as the sandbox's server, is no part of the product."""


def test_promise_7_no_library_s_logger_says_anything(caplog: pytest.LogCaptureFixture) -> None:
    # Every logger that the libraries make when they are loaded, and one that they might make later.
    ran = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    beside = {"patrol", *sys.stdlib_module_names}
    # azure-core loads it where it is installed, and is never asked to use it.
    beside.add("aiohttp")
    names = {name for name in json.loads(ran.stdout) if name.partition(".")[0] not in beside}
    telemetry.quieten()
    assert len(names) > 60
    for name in (*names, "azure.identity._credentials.of_tomorrow", "requests"):
        logger = logging.getLogger(name)
        logger.critical("a page of <html>", exc_info=ValueError("a body"))
        logger.warning("a failure where there is none")
        assert not logger.isEnabledFor(logging.CRITICAL), name
    assert caplog.records == []
