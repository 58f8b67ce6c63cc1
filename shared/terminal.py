"""What a person sees: aligned tables, and colours only on a terminal that wants them (NO_COLOR)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

COLOURS: Mapping[str, str] = {"good": "32", "warning": "33", "bad": "31", "faint": "2", "head": "1"}


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Screen:
    out: TextIO
    colours: bool
    width: int = 100

    @classmethod
    def on(cls, out: TextIO, environ: Mapping[str, str]) -> Screen:
        """Colours follow https://no-color.org: any non-empty NO_COLOR switches them off."""
        return cls(out, out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")

    def say(self, text: str = "", tone: str = "") -> None:
        print(self.paint(text, tone), file=self.out)

    def paragraph(self, text: str, indent: str = "  ") -> None:
        self.say(textwrap.fill(text, self.width, initial_indent=indent, subsequent_indent=indent))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> None:
        cells = [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in rows]
        titles = [Cell(title, "head") for title in head]
        widths = [max(len(row[column].text) for row in [titles, *cells]) for column in range(len(head))]
        for row in [titles, *cells]:
            padded = [self.paint(cell.text.ljust(width), cell.tone) for cell, width in zip(row, widths, strict=True)]
            self.say("  ".join(padded).rstrip())

    def paint(self, text: str, tone: str) -> str:
        code = COLOURS.get(tone, "") if self.colours else ""
        return f"\x1b[{code}m{text}\x1b[0m" if code else text
