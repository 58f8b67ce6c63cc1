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
    ],
)
def test_it_tells_how_much_how_fast_and_how_long(done: int, items: int, seconds: float, told: str) -> None:
    assert line(done, items, seconds) == told


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


def test_an_item_with_several_rows_counts_once() -> None:
    lab, out, now = Lab([item()], quick=True), Watched(), [0.0]
    bar = Bar(Output(out), 2, lambda: now[0])
    rows: tuple[Row, ...] = lab.run().items
    for _ in range(3):
        now[0] += 1.0
        bar.add(rows[0])
    bar.end()
    assert out.getvalue().count(" 1 of 2") == 4
