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
from itertools import zip_longest
from typing import TextIO

from shared.cli import columns
from shared.cli.columns import READABLE, cells_wide
from shared.model.secret_text import printable

COLOURS: Mapping[str, str] = {"good": "32", "warning": "33", "bad": "31", "faint": "2", "head": "1"}
WIDTH = 100
"""Of paragraphs where no terminal says how wide it is; longer lines are hard to read."""
NARROWEST = 20
"""A terminal that says less is not believed."""
_NO_BREAK = "\0"
"""In place of a space: no printable text has it, and no line is broken there."""
_TOGETHER = r"`[^`\n]*`|\b\d+ (?:h|min|days?|hours?|minutes?)\b|\d\d:\d\d UTC\b"
"""A command to copy, a span and an instant stay in one piece."""
_NOBODY_READS = frozenset({errno.EPIPE, errno.EBADF, errno.ESHUTDOWN})


def wrapped(text: str, width: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Lines of whatever text, as `Screen.paragraph` says; instants to the minute. At least one line."""
    import re
    import textwrap

    from shared.views.moments import spoken

    whole = re.sub(_TOGETHER, lambda found: found[0].replace(" ", _NO_BREAK), printable(spoken(text)))
    lines = textwrap.wrap(
        whole,
        width,
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines or [indent.rstrip()]]


class Output:
    """A stream of text to a person or a pipe, safe to call from any thread. `lost`: why some of it did not arrive."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost = ""

    def line(self, text: str = "") -> None:
        """One line of whatever text, at once: users are worked on side by side."""
        self.write(f"{printable(text)}\n")

    def failure(self, cause: str, remedy: str = "", mistakes: Sequence[str] = ()) -> None:
        """What went wrong, and what to do. `mistakes`: several, one a line, instead of the sentence that has all."""
        from shared.views.moments import spoken

        if len(mistakes) > 1:
            self.told("patrol: ", f"{len(mistakes)} mistakes, and nothing was attempted:")
            for mistake in mistakes:
                self.told("        ", mistake)
        else:
            self.told("patrol: ", spoken(cause))
        if remedy:
            self.told("        ", spoken(remedy))

    def told(self, before: str, text: str) -> None:
        """A line; on a terminal of as many as it takes, below each other behind `before`."""
        width = self.columns() if self.is_terminal() else None
        lines = [f"{before}{text}"] if width is None else wrapped(text, min(width, WIDTH), before, " " * len(before))
        for line in lines:
            self.line(line)

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
            if self._stream is not None:
                return max(os.get_terminal_size(self._stream.fileno()).columns, NARROWEST)
        return None

    def rows(self) -> int | None:
        """How high the terminal is; None where there is none."""
        with suppress(Exception):
            if self._stream is not None:
                return os.get_terminal_size(self._stream.fileno()).lines or None
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
        width = int(given) if given.isdecimal() and len(given) < 6 and int(given) > 0 else out.columns()
        colours = person and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(out, colours, max(width or WIDTH, NARROWEST) if person else None)

    def say(self, text: str = "", tone: str = "") -> None:
        """One line, however long."""
        self.out.write(f"{self.paint(printable(text), tone)}\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Each on its own: a line break within one is shown as `?`."""
        for line in lines:
            self.say(line)

    def json(self, document: Mapping[str, object]) -> None:
        """The one document of `--json`; ASCII, so that it is the same under every terminal's encoding."""
        import json

        self.out.write(f"{json.dumps(document, indent=2)}\n")

    def sentence(self, text: str, tone: str = "", hanging: str = "") -> None:
        """One line where nobody looks, so that a program finds it in one piece; a paragraph on a terminal."""
        if self.width is None:
            from shared.views.moments import spoken

            self.say(spoken(text), tone)
        else:
            self.paragraph(text, "", tone, hanging)

    def paragraph(self, text: str, indent: str = "  ", tone: str = "", hanging: str | None = None) -> None:
        """Wrapped between words only, and never within a command: names and commands in it are to be copied.

        `hanging`: before every line but the first; None: the same.
        """
        for line in wrapped(text, min(self.width or WIDTH, WIDTH), indent, hanging):
            self.say(line, tone)

    def fields(self, fields: Iterable[tuple[str, str]], names: int) -> None:
        """Names with what they are; each name is `names` wide, and what it is has a column of its own."""
        for name, text in fields:
            self.paragraph(text, f"  {name:{names}}  ", hanging=" " * (names + 4))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Cell | str]], spare: Sequence[str] = ()) -> None:
        """`spare`: titles of columns that are left out where the terminal is too narrow, the first one first.

        Where that is not enough, what is wide is wrapped within its column: no line is wider than the terminal.
        """
        cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
        lines = [[Cell(title, "head") for title in head], *cells]
        shown = [[Cell(printable(cell.text), cell.tone) for cell in line] for line in lines]
        widths = [max(cells_wide(line[column].text) for line in shown) for column in range(len(head))]
        kept, left_out = list(range(len(head))), []
        for title in spare:
            if self.width is None or columns.taken([min(widths[at], READABLE) for at in kept]) <= self.width:
                break
            kept.remove(head.index(title))
            left_out.append(title)
        if self.width is not None:
            fitting = columns.fitted([widths[at] for at in kept], self.width)
            widths = [0 if at not in kept else fitting[kept.index(at)] for at in range(len(head))]
        for line in shown:
            self._row([line[at] for at in kept], [widths[at] for at in kept])
        if left_out:
            self.paragraph(f"Too narrow for: {', '.join(reversed(left_out))}.", "", "faint")

    def _row(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """One row, of as many lines as its highest cell has."""
        pieces = [columns.broken(cell.text, width) for cell, width in zip(cells, widths, strict=True)]
        for texts in zip_longest(*pieces, fillvalue=""):
            padded = [
                self.paint(f"{text}{' ' * (width - cells_wide(text))}", cell.tone)
                for text, width, cell in zip(texts, widths, cells, strict=True)
            ]
            self.out.write(f"{'  '.join(padded).rstrip()}\n")

    def redraw(self, text: str) -> None:
        """Text that `Screen`s wrote, over all that the terminal shows; cut where it has fewer lines."""
        lines = text.rstrip("\n").split("\n")
        rows = self.out.rows()
        if rows is not None and len(lines) > rows - 1:
            cut = len(lines) - (rows - 2)
            lines = [*lines[: rows - 2], f"... and {cut} lines more, for a higher terminal."]
        body = "".join(f"{line}\x1b[K\n" for line in lines)
        self.out.write(f"\x1b[H{body}\x1b[J", flush=True)

    def paint(self, text: str, tone: str) -> str:
        """The text in the tone's colour where colours are wanted."""
        code = COLOURS.get(tone, "") if self.colours else ""
        return f"\x1b[{code}m{text}\x1b[0m" if code else text
