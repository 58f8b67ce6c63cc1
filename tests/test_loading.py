"""Loading: the collector rests meanwhile, and what was loaded is left alone; nothing else is."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.loading import loading


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_loaded_is_left_alone_and_the_collector_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a_module_of_this_test.py").write_text("VALUE = [1]\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with loading():
            assert not gc.isenabled()
            import a_module_of_this_test  # type: ignore[import-not-found]
        assert a_module_of_this_test.VALUE == [1]
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("a_module_of_this_test", None)
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_where_nothing_was_loaded_garbage_is_not_kept_for_ever() -> None:
    """`status --watch` opens everything anew every 30 seconds, for days."""
    with loading():
        import json  # noqa: F401  # loaded long ago
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_collector_that_somebody_turned_off_stays_off() -> None:
    gc.disable()
    try:
        with loading():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
