"""`make recording`: the moving picture of a program's output, and the one that README shows."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from sandbox import demo
from sandbox.recording import HEADING, LONGEST_WAIT, Line, paced, picture, record

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


def test_every_line_is_in_it_as_text_whatever_it_holds() -> None:
    lines = [Line(0, "$ run"), Line(1, '\x1b[32mholds \x1b[0m a < b & "c"'), Line(2, ""), Line(3, "<script>x</script>")]
    svg = picture(lines, "run")
    assert texts(svg) == ["run", "$ run", 'holds  a < b & "c"', "<script>x</script>"]
    assert ET.fromstring(svg).findall(f".//{SVG}script") == []
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", ""), "it asks nobody for anything"


def test_without_motion_it_shows_the_end() -> None:
    svg = picture([Line(number, f"line {number}") for number in range(40)], "run")
    assert re.findall(r"#all\{(transform:translateY\(-170px\));animation", svg), "30 of 40 lines fit"
    assert svg.count("prefers-reduced-motion:reduce") == 2


def test_waits_are_such_that_a_person_can_follow() -> None:
    lines = paced([Line(0, "$ run"), Line(0, "at once"), Line(9, "after long"), Line(9.1, "\x1b[1m[ 9.1 s] heading")])
    waits = [after.at - before.at for before, after in pairwise(lines)]
    assert waits == pytest.approx([0.12, LONGEST_WAIT, HEADING])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_program_has_a_terminal_and_a_failure_is_no_picture() -> None:
    tell = "import sys; print(sys.stdout.isatty()); print('no newline', end='')"
    assert [line.text for line in record([sys.executable, "-c", tell], "tell")] == ["$ tell", "True", "no newline"]
    with pytest.raises(subprocess.CalledProcessError):
        record([sys.executable, "-c", "raise SystemExit(1)"], "fail")


def test_readme_s_picture_is_of_the_demo_as_it_is() -> None:
    shown = texts((Path(__file__).resolve().parents[2] / "docs/demo.svg").read_text(encoding="utf-8"))
    for secret in demo.ITEMS:
        assert f"  holds  {secret}: the value in the vault works" in shown
    assert shown[-1].startswith("Every promise held.")
    assert not any("BROKEN" in line for line in shown)
