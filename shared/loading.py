"""Importing what a command or an invocation needs, at less cost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from gc import disable, enable, freeze, isenabled


@contextmanager
def loading() -> Iterator[None]:
    """The garbage collector rests, and leaves alone what was loaded: importing makes much, and all of it stays.

    Where nothing is left to load it does nothing else: whatever is garbage then would be kept for ever. Measured in
    docs/performance.md.
    """
    was_on, before = isenabled(), len(sys.modules)
    disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            freeze()
        if was_on:
            enable()
