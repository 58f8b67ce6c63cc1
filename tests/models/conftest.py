"""The checker as a fixture, which counts what it tried for the end of the run (tests/lab/what_ran.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.what_ran import TRIED
from tests.models import spin


@pytest.fixture
def check(tmp_path: Path, record_property: Callable[[str, object], None]) -> Callable[[str, str], spin.Verdict]:
    """`spin.check` of a model with switches, each time in a folder of its own."""

    def checked(model: str, switches: str) -> spin.Verdict:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        verdict = spin.check(model, switches, folder)
        record_property(f"{TRIED}configurations of a model", 1)
        record_property(f"{TRIED}states of a model", verdict.states)
        record_property("megabytes", verdict.megabytes)
        return verdict

    return checked
