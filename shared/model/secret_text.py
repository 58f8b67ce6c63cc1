"""A type for secret text, so that a value cannot be shown by accident."""

from __future__ import annotations

import hmac
import traceback
from pathlib import Path
from typing import NoReturn


class SecretText:
    """A value that never shows itself; `reveal()` is the one way out, so a search finds every use."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is a fingerprint of it

    def __reduce__(self) -> NoReturn:
        # pickle, copy and deepcopy would all carry the text somewhere this type does not guard.
        raise TypeError("a secret is never serialised")


def place_of(failure: BaseException) -> str:
    """Type and innermost place in patrol of an exception nobody expected: its text may carry a secret."""
    frames = traceback.extract_tb(failure.__traceback__)
    package = Path(__file__).resolve().parents[1]
    ours = [frame for frame in frames if package in Path(frame.filename).parents] or frames
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "an unknown place"
    return f"{type(failure).__name__} at {where}"


def printable(text: str) -> str:
    """Without control characters: a PAT's display name is anybody's text, and could steer the terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)
