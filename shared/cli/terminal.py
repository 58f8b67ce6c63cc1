"""What a person sees: aligned tables, and colours only on a terminal that wants them (NO_COLOR)."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from shared.model.secret_text import printable

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
        print(self.paint("\n".join(map(printable, text.split("\n"))), tone), file=self.out)

    def json(self, document: Mapping[str, object]) -> None:
        """The one document of `--json`; ASCII, so that it is the same under every terminal's encoding."""
        print(json.dumps(document, indent=2), file=self.out)

    def paragraph(self, text: str, indent: str = "  ") -> None:
        """Wrapped between words only: names and commands in it are to be copied."""
        lines = textwrap.wrap(
            text,
            self.width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.say("\n".join(lines))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> None:
        given = [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in rows]
        cells = [[Cell(printable(cell.text), cell.tone) for cell in row] for row in given]
        titles = [Cell(title, "head") for title in head]
        widths = [max(len(row[column].text) for row in [titles, *cells]) for column in range(len(head))]
        for row in [titles, *cells]:
            padded = [self.paint(cell.text.ljust(width), cell.tone) for cell, width in zip(row, widths, strict=True)]
            print("  ".join(padded).rstrip(), file=self.out)

    def paint(self, text: str, tone: str) -> str:
        code = COLOURS.get(tone, "") if self.colours else ""
        return f"\x1b[{code}m{text}\x1b[0m" if code else text
