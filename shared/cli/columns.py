"""How text fits into columns: widths in cells of a terminal, of which a wide letter takes two and an accent none."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

GAP = 2
READABLE = 36
"""As wide as a PAT's id: a column that is wider is wrapped before another one is left out for it."""
LEAST = 16
"""A column of names is hard to read below it."""
_BREAKS = " -/.@_:,"


def cells_wide(text: str) -> int:
    """Cells that a printable text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def taken(widths: Sequence[int]) -> int:
    """Cells that these columns take side by side."""
    return sum(widths) + GAP * max(len(widths) - 1, 0)


def fitted(widths: Sequence[int], room: int) -> list[int]:
    """The same columns in `room` cells: the widest ones give way, those that hold an id last, none below two cells."""
    found = list(widths)
    for yields, least in ((READABLE, LEAST), (0, 2)):
        able = [at for at, width in enumerate(widths) if width > yields]
        while taken(found) > room and max((found[at] for at in able), default=0) > least:
            found[max(able, key=found.__getitem__)] -= 1
    return found


def broken(text: str, width: int) -> list[str]:
    """Pieces of at most `width` cells (two at the least), broken behind a space or a mark where there is one."""
    pieces, rest = [], text
    while cells_wide(rest) > width:
        end = _fits(rest, max(width, 2))
        mark = max((rest.rfind(letter, 0, end) for letter in _BREAKS), default=-1) + 1
        # A break near the front would waste the line.
        at = mark if mark > end // 3 else end
        pieces.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*pieces, rest]


def _fits(text: str, width: int) -> int:
    """How many letters of it go into `width` cells."""
    cells = 0
    for at, letter in enumerate(text):
        cells += _cells(letter)
        if cells > width:
            return at
    return len(text)


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
