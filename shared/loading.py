"""Importing what a command or an invocation needs, at less cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from gc import disable, enable, freeze, isenabled


@contextmanager
def loading() -> Iterator[None]:
    """The garbage collector rests, and leaves alone what was loaded: importing makes much, and all of it stays.

    Measured in docs/performance.md.
    """
    was_on = isenabled()
    disable()
    try:
        yield
    finally:
        freeze()
        if was_on:
            enable()
