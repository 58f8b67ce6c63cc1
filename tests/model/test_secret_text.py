"""Promise 7: a secret has a type of its own that never shows itself."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from shared.model.clock import Moment, VaultInstant
from shared.model.credentials import Credential
from shared.model.pats import Minted, Pat, PatId, Validity
from shared.model.secret_state import Current, VersionSeen
from shared.model.secret_text import SecretText

TEXT = "correct horse battery staple"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = SecretText(TEXT)
PAT = Pat(PatId("a"), "name", frozenset(), Validity(NOW, NOW), None)


def test_promise_7_a_secret_never_shows_itself(caplog: pytest.LogCaptureFixture) -> None:
    shown = [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>20}",
        "{}".format(SECRET),  # noqa: UP032  # one more way out
        repr([SECRET]),
        repr({1: SECRET}),
    ]
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("%s %r", SECRET, SECRET)
    assert TEXT not in " ".join(shown) + caplog.text


def test_promise_7_a_secret_is_never_serialised() -> None:
    for leave in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            leave(SECRET)
    with pytest.raises(TypeError):
        hash(SECRET)


@pytest.mark.parametrize(
    "value",
    [
        Minted(PAT, SECRET, Moment(NOW, timedelta(0))),
        Current(VersionSeen("v", True, NOW, None), SECRET, VaultInstant(NOW)),
        Credential(SECRET, "v", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_promise_7_nothing_that_holds_a_secret_shows_it(value: Minted | Current | Credential) -> None:
    assert TEXT not in repr(value)
    with pytest.raises(TypeError):
        asdict(value)


def test_secrets_are_compared_by_their_text() -> None:
    assert SecretText("a") == SecretText("a")
    assert SecretText("a") != SecretText("b")
    assert SecretText("a") != "a"
