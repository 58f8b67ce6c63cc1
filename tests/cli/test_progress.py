"""A bar for people who watch a long run, and nothing of it where nobody watches."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest

from shared.cli.main import main
from shared.cli.progress import Bar, line
from shared.cli.terminal import Output
from shared.model.ports import Events
from shared.report.report import Row
from shared.rotation.world import World
from shared.settings import Settings
from tests.lab.lab import ENVIRONMENT, Lab, item


class Watched(StringIO):
    """Standard error on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("done", "items", "seconds", "told"),
    [
        (0, 200, 0.0, "░" * 30 + " 0 of 200, 0.0 a second"),
        (50, 200, 10.0, "█" * 7 + "░" * 23 + " 50 of 200, 5.0 a second, 0:30 left"),
        (1, 10_000, 1.0, "░" * 30 + " 1 of 10,000, 1.0 a second, 2:46:39 left"),
        (200, 200, 40.0, "█" * 30 + " 200 of 200, 5.0 a second"),
        (0, 0, 1.0, "█" * 30 + " 0 of 0, 0.0 a second"),
    ],
)
def test_it_tells_how_much_how_fast_and_how_long(done: int, items: int, seconds: float, told: str) -> None:
    assert line(done, items, seconds) == told


@pytest.mark.parametrize("width", range(1, 121))
def test_it_fits_whatever_the_terminal_is(width: int) -> None:
    for done in (0, 1, 5_000, 10_000):
        assert len(line(done, 10_000, 36.0, width)) <= width
    assert line(10_000, 10_000, 36.0, max(width, 38)).endswith("10,000 of 10,000, 277.8 a second")


def run(folder: Path, items: int, errors: StringIO, *arguments: str) -> str:
    lab = Lab([item(f"pat-{number:03}") for number in range(items)], quick=True)
    (folder / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")

    def make_world(known: Settings, budget: timedelta, tell: Events) -> World:
        return lab.quick_world(budget)

    out = StringIO()
    assert (
        main(["run", *arguments], environ=ENVIRONMENT, root=folder, out=out, errors=errors, make_world=make_world) == 0
    )
    return out.getvalue()


def test_a_long_run_on_a_terminal_ends_with_a_full_bar_and_its_report(tmp_path: Path) -> None:
    errors = Watched()
    out = run(tmp_path, 60, errors)
    assert errors.getvalue().endswith("\x1b[K\n")
    assert f"{'█' * 30} 60 of 60" in errors.getvalue()
    assert "█" not in out
    assert "pat.minted" not in errors.getvalue()


def test_json_stays_one_document_beside_a_bar(tmp_path: Path) -> None:
    assert run(tmp_path, 60, Watched(), "--json").startswith("{")


@pytest.mark.parametrize(("items", "errors"), [(60, StringIO()), (5, Watched())], ids=["a log", "a short run"])
def test_there_is_no_bar_in_a_log_and_for_a_short_run(items: int, errors: StringIO, tmp_path: Path) -> None:
    run(tmp_path, items, errors)
    assert "█" not in errors.getvalue()
    assert "\r" not in errors.getvalue()


def test_it_is_full_at_the_end_of_a_run_that_reached_nothing(tmp_path: Path) -> None:
    """What was left for the next run is a row of the report too: a bar that stops half-way looks like a crash."""
    lab, errors = Lab([item(f"pat-{number:03}") for number in range(60)], quick=True), Watched()
    (tmp_path / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    environ = {**ENVIRONMENT, "RUN_BUDGET": "1m"}

    def make_world(known: Settings, budget: timedelta, tell: Events) -> World:
        world = lab.quick_world(budget)
        lab.wait(timedelta(minutes=2))
        return world

    assert main(["run"], environ=environ, root=tmp_path, out=StringIO(), errors=errors, make_world=make_world) == 1
    assert errors.getvalue().splitlines()[-1].split("\r")[-1].startswith("█" * 30 + " 60 of 60")


def test_an_item_with_several_rows_counts_once() -> None:
    lab, out, now = Lab([item()], quick=True), Watched(), [0.0]
    bar = Bar(Output(out), {"build-pat", "other-pat"}, lambda: now[0])
    rows: tuple[Row, ...] = lab.run().items
    for _ in range(3):
        now[0] += 1.0
        bar.add(rows[0])
    bar.end()
    assert out.getvalue().count(" 1 of 2") == 4


def test_a_row_of_no_item_counts_for_nothing() -> None:
    """Such as a credential that ends, or an item that left pats.yaml: the bar would go past its end."""
    lab, out, now = Lab([item()], quick=True), Watched(), [0.0]
    bar = Bar(Output(out), {"other-pat"}, lambda: now[0])
    for row in lab.run().items:
        now[0] += 1.0
        bar.add(row)
    bar.end()
    assert "0 of 1" in out.getvalue()
    assert "1 of 1" not in out.getvalue()
