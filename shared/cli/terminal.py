"""What a person sees, and the one place that writes it.

Telling never fails the work: a line of progress is written between minting and publishing. A stream that is not there,
is closed or has no reader takes the rest in silence; one that is full or broken is remembered, and told when the work
is done. Whatever comes from outside (a PAT's display name, a tag, a word of the command line) is shown without what
could steer a terminal or begin a line of its own.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from shared.model.secret_text import printable

COLOURS: Mapping[str, str] = {"good": "32", "warning": "33", "bad": "31", "faint": "2", "head": "1"}
WIDTH = 100
"""Of paragraphs where no terminal says how wide it is."""
_NO_BREAK = "\0"
"""In place of a space: no printable text has it, and no line is broken there."""
_NOBODY_READS = frozenset({errno.EPIPE, errno.EBADF, errno.ESHUTDOWN})


class Output:
    """A stream of text to a person or a pipe, safe to call from any thread. `lost`: why some of it did not arrive."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost = ""

    def line(self, text: str = "") -> None:
        """One line of whatever text, at once: users are worked on side by side."""
        self.write(f"{printable(text)}\n")

    def write(self, text: str, *, flush: bool = False) -> None:
        """Text of our own as it is, with its line ends and colours; never a name from outside."""
        with self._lock:
            if self._stream is None:
                return
            try:
                if self._stream.closed:
                    raise ValueError("closed")
                if text:
                    # What cannot show a letter of somebody's name is no reason to fail.
                    encoding = getattr(self._stream, "encoding", None) or "utf-8"
                    self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
                if flush:
                    self._stream.flush()
            except Exception as failure:  # noqa: BLE001  # whatever a stream does, the work goes on
                self._give_up(failure)

    def is_gone(self) -> bool:
        """Whether nothing that is written arrives any more."""
        self.flush()
        return self._stream is None

    def flush(self) -> None:
        """Send what is buffered: only then is it known whether it arrives."""
        self.write("", flush=True)

    def is_terminal(self) -> bool:
        """Whether a person reads it as it is written."""
        with suppress(Exception):
            return self._stream is not None and self._stream.isatty()
        return False

    def columns(self) -> int | None:
        """How wide the terminal is; None where there is none."""
        with suppress(Exception):
            return os.get_terminal_size(self._stream.fileno()).columns if self._stream is not None else None
        return None

    def _give_up(self, failure: Exception) -> None:
        stream, self._stream = self._stream, None
        if isinstance(failure, OSError) and failure.errno not in _NOBODY_READS:
            self.lost = failure.strerror or type(failure).__name__
        # What is still in its buffer would be tried again, and complained about, when the interpreter ends.
        with suppress(Exception):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if stream is not None:
                os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a table; `tone` is a key of COLOURS."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Screen:
    """Standard output. `width` is the terminal's; None where nobody looks, and tables are as wide as they are."""

    out: Output
    colours: bool
    width: int | None = None

    @classmethod
    def on(cls, out: Output, environ: Mapping[str, str]) -> Screen:
        """Colours follow https://no-color.org: any non-empty NO_COLOR switches them off."""
        person = out.is_terminal()
        given = environ.get("COLUMNS", "")
        width = int(given) if given.isdecimal() and int(given) > 0 else out.columns()
        colours = person and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(out, colours, width if person else None)

    def say(self, text: str = "", tone: str = "") -> None:
        """One line."""
        self.out.write(f"{self.paint(printable(text), tone)}\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Each on its own: a line break within one is shown as `?`."""
        for line in lines:
            self.say(line)

    def json(self, document: Mapping[str, object]) -> None:
        """The one document of `--json`; ASCII, so that it is the same under every terminal's encoding."""
        import json

        self.out.write(f"{json.dumps(document, indent=2)}\n")

    def paragraph(self, text: str, indent: str = "  ") -> None:
        """Wrapped between words only, and never within a command: names and commands in it are to be copied."""
        import re
        import textwrap

        whole = re.sub("`[^`\\n]*`", lambda command: command[0].replace(" ", _NO_BREAK), printable(text))
        wrapped = textwrap.wrap(
            whole,
            min(self.width or WIDTH, WIDTH),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.lines(line.replace(_NO_BREAK, " ") for line in wrapped)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Cell | str]], spare: Sequence[str] = ()) -> None:
        """`spare`: titles of columns that are left out where the terminal is too narrow, the first one first."""
        cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
        lines = [[Cell(title, "head") for title in head], *cells]
        shown = [[Cell(printable(cell.text), cell.tone) for cell in line] for line in lines]
        widths = [max(len(line[column].text) for line in shown) for column in range(len(head))]
        kept, left_out = list(range(len(head))), []
        for title in spare:
            if self.width is None or sum(widths[column] + 2 for column in kept) - 2 <= self.width:
                break
            kept.remove(head.index(title))
            left_out.append(title)
        for line in shown:
            padded = [self.paint(line[column].text.ljust(widths[column]), line[column].tone) for column in kept]
            self.out.write(f"{'  '.join(padded).rstrip()}\n")
        if left_out:
            self.say(f"Too narrow for: {', '.join(reversed(left_out))}.", "faint")

    def paint(self, text: str, tone: str) -> str:
        """The text in the tone's colour where colours are wanted."""
        code = COLOURS.get(tone, "") if self.colours else ""
        return f"\x1b[{code}m{text}\x1b[0m" if code else text
