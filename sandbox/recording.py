"""`make recording`: a program's output as a moving picture, docs/demo.svg.

The program runs on a terminal of its own, and each line keeps the moment at which it came; long waits are shortened.
The picture is one SVG without a script or a foreign font: CSS moves the lines, light or dark as the reader's system is,
and whoever wants no motion sees the end of it.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sandbox.process.running import ROOT

COLUMNS, ROWS = 120, 30
LONGEST_WAIT, AT_LEAST, HEADING, HOLD = 1.5, 0.12, 1.3, 5.0
"""Seconds: what a longer wait is shortened to, between two lines, before a heading, and how long the end is shown."""
CHARACTER, LINE, EDGE, BAR = 7.2, 17, 16, 34
"""Sizes in the picture's own units: a character's width, a line's height, the margin, and the window's upper bar."""

_PAINT = re.compile(r"\x1b\[([\d;]*)m")
_KINDS = {"": "", "0": "", "1": "b", "4": "u", "32": "ok", "31;1": "bad"}
_EVENT = re.compile(r"^( +(?:pat|user|run|item)\.[\w-]+)")

_LIGHT = {
    "paper": "#ffffff", "bar": "#eef0f3", "edge": "#d0d7de", "ink": "#24292f", "soft": "#57606a",
    "ok": "#1a7f37", "bad": "#cf222e", "event": "#0550ae",
}  # fmt: skip
_DARK = {
    "paper": "#0d1117", "bar": "#161b22", "edge": "#30363d", "ink": "#e6edf3", "soft": "#8b949e",
    "ok": "#3fb950", "bad": "#ff7b72", "event": "#79c0ff",
}  # fmt: skip
_FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace"
_CLASSES = (
    f"text{{font:12px {_FONTS};fill:var(--ink);white-space:pre}}"
    ".veil{fill:var(--paper)}.paper{fill:var(--paper);stroke:var(--edge)}.bar{fill:var(--bar);stroke:var(--edge)}"
    ".b{font-weight:700}.u{text-decoration:underline}.soft{fill:var(--soft)}.event{fill:var(--event)}"
    ".ok{fill:var(--ok);font-weight:700}.bad{fill:var(--bad);font-weight:700}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output, with its paint, and when it came, in seconds from the beginning."""

    at: float
    text: str


def record(command: Sequence[str], shown_as: str) -> tuple[Line, ...]:
    """Run `command` on a terminal. Raises subprocess.CalledProcessError when it fails: no picture of a failure."""
    main, its_own = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdin=its_own, stdout=its_own, stderr=its_own, env=environment) as child:
        os.close(its_own)
        lines = [Line(0.0, f"$ {shown_as}"), *(Line(at - began, text) for at, text in _lines(main))]
    os.close(main)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return paced(lines)


def _lines(terminal: int) -> Iterator[tuple[float, str]]:
    rest = b""
    while True:
        try:
            new = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last program that had it is gone
            new = b""
        if not new:
            break
        *whole, rest = (rest + new).split(b"\n")
        for line in whole:
            yield time.monotonic(), line.decode("utf-8", "replace").rstrip("\r")
    if rest:
        yield time.monotonic(), rest.decode("utf-8", "replace").rstrip("\r")


def paced(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The same lines in moments that a person can follow."""
    made: list[Line] = []
    before = 0.0
    for line in lines:
        least = HEADING if line.text.startswith("\x1b[1m[") else AT_LEAST
        wait = min(max(line.at - before, least), LONGEST_WAIT) if made else 0.0
        before = line.at
        made.append(Line((made[-1].at if made else 0.0) + wait, line.text))
    return tuple(made)


def picture(lines: Sequence[Line], title: str) -> str:
    """An SVG of `lines`, without end over and over."""
    width = COLUMNS * CHARACTER + 2 * EDGE
    height = BAR + ROWS * LINE + EDGE
    whole = lines[-1].at + HOLD
    # What has not come yet is behind a veil; when the window is full, all of it moves up.
    moving = _moving("all", lines, whole, lambda shown: min(0, ROWS - shown))
    moving += _moving("veil", lines, whole, lambda shown: shown)
    style = (
        f"svg{{{_colours(_LIGHT)}}}@media (prefers-color-scheme:dark){{svg{{{_colours(_DARK)}}}}}\n{_CLASSES}\n{moving}"
    )
    texts = "\n".join(
        f'<text x="{EDGE}" y="{(number + 1) * LINE - 5}">{_painted(line.text)}</text>'
        for number, line in enumerate(lines)
        if line.text
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" role="img" aria-labelledby="t">',
            f'<title id="t">{escape(title)}</title>\n<style>{style}</style>',
            f'<rect class="paper" x=".5" y=".5" width="{width - 1:g}" height="{height - 1}" rx="8"/>',
            f'<path class="bar" d="M.5 {BAR - 8}V8.5a8 8 0 0 1 8-8H{width - 8.5:g}a8 8 0 0 1 8 8V{BAR - 8}z"/>',
            f'<text class="soft" x="{width / 2:g}" y="17" text-anchor="middle">{escape(title)}</text>',
            f'<svg x="0" y="{BAR}" width="{width:g}" height="{ROWS * LINE}"><g id="all">\n{texts}',
            f'<rect id="veil" class="veil" x="2" width="{width - 4:g}" height="{ROWS * LINE}"/></g></svg>\n</svg>\n',
        )
    )


def _colours(named: Mapping[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in named.items())


def _moving(name: str, lines: Sequence[Line], whole: float, rows: Callable[[int], int]) -> str:
    """The style of the element `name`, which stands `rows(shown)` rows lower when so many lines are shown."""
    frames = ""
    before = None
    for shown, line in enumerate(lines, 1):
        place = f"transform:translateY({rows(shown) * LINE}px)"
        if place != before:
            frames += f"{line.at / whole * 100:.2f}%{{{place}}}"
        before = place
    return (
        f"#{name}{{{before};animation:{name} {whole:.1f}s step-end infinite}}"
        f"@keyframes {name}{{{frames}100%{{{before}}}}}"
        f"@media (prefers-reduced-motion:reduce){{#{name}{{animation:none}}}}\n"
    )


def _painted(text: str) -> str:
    parts, kind = [], ""
    for number, piece in enumerate(_PAINT.split(text)):
        if number % 2:
            kind = _KINDS.get(piece, "")
        elif piece:
            parts.append(f'<tspan class="{kind}">{escape(piece)}</tspan>' if kind else escape(piece))
    plain = "".join(parts)
    if "<" not in plain:
        plain = _EVENT.sub(r'<tspan class="event">\1</tspan>', plain)
    return plain


def main() -> int:
    lines = record([sys.executable, "-m", "sandbox.demo"], "make demo")
    path = ROOT / "docs" / "demo.svg"
    path.write_text(picture(lines, "make demo"), encoding="utf-8")
    print(f"Wrote {Path('docs') / path.name}: {len(lines)} lines, {lines[-1].at:.0f} seconds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
