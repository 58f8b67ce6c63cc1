"""Events that any stream can write, and libraries that say nothing of their own."""

from __future__ import annotations

import json
import logging

import pytest

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


def test_promise_7_no_library_s_logger_says_anything(caplog: pytest.LogCaptureFixture) -> None:
    # Every logger that the libraries make when they are loaded, and one that they might make later.
    import azure.identity
    import azure.keyvault.secrets
    import azure.storage.blob
    import msal

    assert all((azure.identity, azure.keyvault.secrets, azure.storage.blob, msal))
    telemetry.quieten()
    names = {name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("azure", "msal", "urllib3")}
    assert len(names) > 10
    for name in (*names, "azure.identity._credentials.of_tomorrow", "requests"):
        logger = logging.getLogger(name)
        logger.critical("a page of <html>", exc_info=ValueError("a body"))
        logger.warning("a failure where there is none")
        assert not logger.isEnabledFor(logging.CRITICAL), name
    assert caplog.records == []
