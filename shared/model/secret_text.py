"""A type for secret text, so that a value cannot be shown by accident."""

from __future__ import annotations

import re
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
        import hmac  # loads a library of its own, and hardly anybody compares

        return isinstance(other, SecretText) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is a fingerprint of it

    def __reduce__(self) -> NoReturn:
        # pickle, copy and deepcopy would all carry the text somewhere this type does not guard.
        raise TypeError("a secret is never serialised")


def printable(text: str) -> str:
    """Without control characters: a PAT's display name is anybody's text, and could steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# The two shapes of a PAT: since 2024, and before. Somebody pastes one where its secret's name belongs.
_PAT = re.compile(r".*[0-9A-Za-z]{76}AZDO[0-9A-Za-z]{4}.*|[a-z2-7]{52}", re.DOTALL)


def looks_like_a_pat(text: str) -> bool:
    """Whether a text has a PAT's form, so that it must not be repeated."""
    return _PAT.fullmatch(text) is not None
