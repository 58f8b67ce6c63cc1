"""What `make bench` keeps: docs/performance.md shows what was measured and nothing else, and so do its pictures."""

from __future__ import annotations

import json
import re
import zlib
from datetime import date
from pathlib import Path

import pytest

from sandbox.bench import first_invocation, kept, used
from sandbox.bench.growth_rows import exponent
from sandbox.bench.rows import Row, limit
from sandbox.process.running import ROOT

PICTURES = {"beside": "beside", "growth": "growth", "instances": "queue"}
"""Each with the group it is drawn of."""


def test_the_page_s_table_is_what_was_measured() -> None:
    page = kept.PAGE.read_text(encoding="utf-8")
    shown = page.partition(kept.BEGIN)[2].partition(kept.END)[0]
    assert shown.strip() == kept.table(kept.read()).strip()
    assert "| ✓ |" in shown


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_was_drawn_of_what_is_kept_and_takes_the_reader_s_colours(name: str) -> None:
    picture = (ROOT / "docs" / "performance" / f"{name}.svg").read_text(encoding="utf-8")
    rows = kept.read()[PICTURES[name]]["rows"]
    drawn_of = zlib.crc32(json.dumps(rows, sort_keys=True).encode())
    assert f"drawn of {drawn_of:08x}" in picture, "make plots"
    assert "prefers-color-scheme:dark" in picture
    themes = re.search(r"<style>svg\{.*?</style>", picture)
    assert themes
    assert re.findall(r"#[0-9a-f]{6}", picture.replace(themes[0], "")) == [], "a colour that does not follow the theme"


def test_what_is_measured_again_replaces_its_own_group_alone(tmp_path: Path) -> None:
    path, order = tmp_path / "kept" / "measured.json", ("first", "second")
    kept.keep("second", [limit("b", 1.0, 2.0)], order, path, day=date(2026, 11, 27))
    kept.keep("first", [Row("a", "3 calls", "3 by the formula", True, {"calls": 3.0})], order, path)
    kept.keep("second", [limit("b", 3.0, 2.0)], order, path, day=date(2026, 11, 28), load=0.25)
    groups = kept.read(path)
    assert list(groups) == ["first", "second"]
    assert groups["first"]["rows"][0]["numbers"] == {"calls": 3.0}
    assert groups["second"]["on"] == "2026-11-28"
    assert "2026-11-28, load 0.2 before it began" in kept.table(groups)
    assert "| miss | b | 3.00 | ≤ 2.0 |" in kept.table(groups)


def test_the_table_stands_between_the_page_s_marks_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{kept.BEGIN}\nold\n{kept.END}\nafter\n")
    kept.write_page({}, page)
    assert page.read_text() == f"before\n{kept.BEGIN}\n\n{kept.END}\nafter\n"


@pytest.mark.parametrize(("points", "power"), [({10: 5, 100: 50}, 1), ({1: 9, 10: 7, 100: 700}, 2), ({1: 4, 9: 4}, 0)])
def test_an_exponent_is_that_of_the_last_step(points: dict[int, float], power: float) -> None:
    assert exponent(points) == pytest.approx(power)


def test_what_a_program_says_of_itself_is_read_behind_whatever_else_it_wrote() -> None:
    assert used.read('{"noise": 1}\nmost memory of all\nmost memory 80.5\nrun.finished {}') == 80.5
    assert first_invocation.read("run.started {}\nfirst request after 0.25\nrun.finished {}") == 0.25
