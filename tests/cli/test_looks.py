"""What a person sees: tables that fit every terminal, and captures that are read in a review (tests/lab/looks.txt).

To write the captures again after a change that was meant: `python -m tests.cli.test_looks`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud.seed import AGENTS, demo_estate, demo_pats_yaml
from shared.cli.columns import broken, cells_wide
from shared.cli.main import main
from shared.cli.terminal import Output, Screen
from shared.model.ports import Events
from shared.rotation.world import World
from shared.settings import Settings
from shared.views import moments
from tests.lab.lab import ENVIRONMENT, START, Lab, days, hours, item
from tests.lab.shell import Screenful, Shell

README = Path(__file__).parents[2] / "README.md"
GOLDEN = Path(__file__).parents[1] / "lab/looks.txt"
WIDTHS = range(50, 201, 25)


# --- captures --------------------------------------------------------------------------------------------------------


def demo() -> Lab:
    """The estate of `make demo`."""
    tree = yaml.safe_load(demo_pats_yaml())
    return Lab(estate=demo_estate(), users=tree["users"], defaults=tree["defaults"], sign_in=tree["sign_in"])


def seen(lab: Lab, columns: int, *arguments: str) -> str:
    """Everything that a person at a terminal of so many columns sees of one command."""
    both = Screenful()

    def make_world(known: Settings, budget: timedelta, tell: Events) -> World:
        return replace(lab.world(budget), tell=tell)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
        lab.watch.emergency = arguments[:1] == ("emergency",)
        code = main(
            arguments,
            environ={**ENVIRONMENT, "COLUMNS": str(columns), "NO_COLOR": "1"},
            root=Path(folder),
            out=both,
            errors=both,
            answers=StringIO(),
            make_world=make_world,
        )
    ended = f"(exit code {code})\n" if code else ""
    return f"$ patrol {' '.join(arguments)}\n{both.getvalue()}{ended}\n"


def captures(columns: int) -> Iterator[str]:
    lab = demo()
    yield f"=== {columns} columns {'=' * 40}\n\n"
    yield seen(lab, columns, "status")
    yield seen(lab, columns, "plan")
    yield seen(lab, columns, "run")
    lab.wait(hours(2))
    yield seen(lab, columns, "status", "agents-windows-pat")
    yield seen(lab, columns, "emergency", "build-feed-pat")
    lab.cloud.directory.set_password(AGENTS, "changed by a person")
    lab.wait(days(24))
    yield seen(lab, columns, "run")
    lab.wait(hours(6))
    yield seen(lab, columns, "run")
    yield seen(lab, columns, "status")


def all_captures() -> str:
    return "".join(text for columns in (60, 100) for text in captures(columns))


def test_what_a_person_sees_is_as_it_was_reviewed() -> None:
    assert all_captures() == GOLDEN.read_text(encoding="utf-8"), "meant? `python -m tests.cli.test_looks`"


def test_no_line_of_a_capture_is_wider_than_its_terminal_but_for_a_command() -> None:
    width = 0
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        width = int(line.split()[1]) if line.startswith("=== ") else width
        assert len(line) <= width or line.count("`") == 2, line


def test_the_readme_shows_it_as_it_is() -> None:
    (block,) = re.findall(
        r"`patrol status` on the estate of `make demo`:\n\n```\n(.*?)```", README.read_text("utf-8"), re.DOTALL
    )
    wide = GOLDEN.read_text(encoding="utf-8").partition("=== 100 columns")[2]
    assert f"$ patrol status\n{block}(exit code 1)\n" in wide


# --- every width -----------------------------------------------------------------------------------------------------

TEXTS = st.text(
    st.one_of(st.sampled_from("abc-/.@_ ,"), st.characters(categories=["L", "N", "P", "S", "Zs", "M", "Cc"])),
    max_size=127,
)
TABLES = st.integers(1, 8).flatmap(
    lambda columns: st.lists(st.tuples(*[TEXTS] * columns), max_size=4).map(lambda rows: (columns, rows))
)


@given(TABLES, st.integers(50, 200), st.integers(0, 7))
def test_a_table_breaks_no_row_at_any_width(table: tuple[int, list[tuple[str, ...]]], width: int, spare: int) -> None:
    columns, rows = table
    head = [f"title-{at}" for at in range(columns)]
    out = StringIO()
    Screen(Output(out), colours=False, width=width).table(head, rows, spare=head[1 : 1 + spare])
    assert all(cells_wide(line) <= width for line in out.getvalue().split("\n"))


@given(TEXTS, st.integers(2, 60))
def test_what_is_wrapped_in_a_column_is_all_there(text: str, width: int) -> None:
    pieces = broken(text, width)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(cells_wide(piece) <= width for piece in pieces)


@pytest.mark.parametrize("command", ["status", "plan", "run"])
def test_the_tables_of_an_estate_fit_every_width(command: str, tmp_path: Path) -> None:
    names = ["short-pat", "a" * 127, "team-with-a-long-name-of-their-own-and-a-purpose-that-needs-words-pat"]
    shell = Shell(Lab([item(name) for name in names]), tmp_path, terminal=True)
    shell("run")
    for width in WIDTHS:
        out = shell(command, COLUMNS=str(width), NO_COLOR="1")[1]
        assert all(len(line) <= width for line in out.splitlines()), (width, out)
        assert "a" * 12 in out


def test_a_long_list_of_what_is_well_is_told_in_a_line_on_a_terminal_and_in_full_to_a_program(tmp_path: Path) -> None:
    shell = Shell(Lab([item(f"pat-{number:02}") for number in range(30)], quick=True), tmp_path)
    shell("run")
    shell.lab.items.append(item("new-pat"))
    shell.terminal = True
    status, plan = shell("status", COLUMNS="80")[1], shell("plan", COLUMNS="80")[1]
    assert "30 that are healthy are not shown" in status
    assert "31 items: 1 missing, 30 healthy." in status
    assert "30 that are held are not shown" in plan
    assert "Plan: 1 to replace, 30 untouched." in plan
    for out in (status, plan):
        assert "new-pat" in out
        assert "pat-07" not in out
    shell.terminal = False
    assert "pat-07" in shell("status")[1]
    assert "pat-07" in shell("plan")[1]


# --- words of time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (days(24.9), "in 24 days"),
        (days(2), "in 2 days"),
        (hours(47), "in 47 h"),
        (hours(2), "in 2 h"),
        (timedelta(minutes=119), "in 119 min"),
        (timedelta(seconds=59), "now"),
        (timedelta(0), "now"),
        (-timedelta(seconds=59), "now"),
        (-hours(3), "3 h ago"),
        (-days(11), "11 days ago"),
    ],
)
def test_time_is_told_in_days_where_days_are_left(left: timedelta, says: str) -> None:
    assert moments.distance(START + left, START) == says
    assert moments.ahead(START + left, START) == ("now" if left <= timedelta(0) else says)


def test_a_near_instant_is_told_to_the_minute_and_a_far_one_as_a_day() -> None:
    assert moments.when(START + days(3), START) == "2026-03-04"
    assert moments.when(START + hours(30), START) == "2026-03-02 18:00"
    assert moments.when(None, START) == moments.distance(None, START) == moments.ahead(None, START) == ""
    assert moments.spoken("It ends at 2026-03-04T12:00:59Z.") == "It ends at 2026-03-04 12:00 UTC."


# --- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = {"RUN_BUDGET": "soon", "PARALLEL_USERS": "900", "HTTP_AUTH": "x"}


def test_several_mistakes_of_the_settings_stand_one_on_a_line(tmp_path: Path) -> None:
    shell = Shell(Lab([item()]), tmp_path)
    code, out, errors = shell("status", **MISTAKES)
    assert (code, out) == (2, "")
    first, *lines = errors.splitlines()
    assert first == "patrol: 3 mistakes, and nothing was attempted:"
    assert [line.split()[0] for line in lines[:-1]] == ["RUN_BUDGET", "HTTP_AUTH", "PARALLEL_USERS"]
    assert lines[-1].strip().startswith("Correct the app settings")
    shell.environ = MISTAKES
    code, document = shell.json("check")
    assert (code, len(document["problems"])) == (2, 3)
    assert len(shell("check")[1].splitlines()) == 3


if __name__ == "__main__":
    GOLDEN.write_text(all_captures(), encoding="utf-8")
