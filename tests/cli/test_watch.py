"""`status --watch`: drawn again over itself until Ctrl-C, which is how it ends and no failure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest

from shared.cli.main import main
from shared.cli.terminal import Output, Screen
from shared.model.ports import Events
from shared.rotation.world import World
from shared.settings import Settings
from tests.lab.lab import ENVIRONMENT, Lab, days, item
from tests.lab.shell import Screenful, Shell

HOME = "\x1b[H"


@dataclass(frozen=True)
class Watching:
    """The lab's clock; while somebody waits, `happens` does, and at the end of the list Ctrl-C is pressed."""

    lab: Lab
    happens: list[object]

    def now(self) -> datetime:
        return self.lab.clock.now()

    def elapsed(self) -> timedelta:
        return self.lab.clock.elapsed()

    def sleep(self, duration: timedelta) -> None:
        self.lab.wait(duration)
        if not self.happens:
            raise KeyboardInterrupt
        happen = self.happens.pop(0)
        assert callable(happen)
        happen()


def watched(lab: Lab, folder: Path, *happens: object) -> tuple[int, list[str], str]:
    """The exit code, each picture as text, and stderr."""
    (folder / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    out, errors, clock = Screenful(), StringIO(), Watching(lab, list(happens))

    def make_world(known: Settings, budget: timedelta, tell: Events) -> World:
        return replace(lab.world(budget), clock=clock)

    code = main(
        ["status", "--watch"],
        environ={**ENVIRONMENT, "COLUMNS": "80", "NO_COLOR": "1"},
        root=folder,
        out=out,
        errors=errors,
        make_world=make_world,
    )
    pictures = out.getvalue().split(HOME)[1:]
    return code, [picture.replace("\x1b[K", "").removesuffix("\x1b[J") for picture in pictures], errors.getvalue()


def test_it_follows_what_happens_and_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    lab = Lab([item()])
    lab.run()
    code, pictures, errors = watched(lab, tmp_path, lambda: lab.wait(days(24)), lab.run)
    assert (code, errors) == (0, "\n")
    rows = [" ".join(picture.splitlines()[1].split()) for picture in pictures]
    assert rows == [
        "build-pat healthy 2026-03-31 in 30 days rotate in 23 days near-expiry",
        "build-pat contoso due 2026-03-31 in 5 days rotate now near-expiry",
        "build-pat healthy 2026-04-24 in 30 days retire in 24 h overlap-over",
    ]
    for picture in pictures:
        assert picture.splitlines()[-1].endswith("again every 30 seconds. Ctrl-C ends it.")


def test_pats_yaml_may_be_edited_meanwhile_and_a_look_that_fails_is_drawn(tmp_path: Path) -> None:
    lab = Lab([item()])
    lab.run()
    file = tmp_path / "pats.yaml"
    good = lab.pats_yaml()
    _, pictures, _ = watched(lab, tmp_path, lambda: file.write_text("users: ["), lambda: file.write_text(good))
    assert "build-pat" in pictures[0]
    assert "patrol: " in pictures[1]
    assert "build-pat" not in pictures[1]
    assert "build-pat" in pictures[2]


def test_a_first_look_that_fails_is_the_command_s_failure(tmp_path: Path) -> None:
    lab = Lab([item()])
    lab.vault.denied.add("list")
    code, pictures, errors = watched(lab, tmp_path)
    assert (code, pictures) == (2, [])
    assert errors.startswith("patrol: ")


@pytest.mark.parametrize(
    ("arguments", "terminal", "says"),
    [
        ((), False, "standard output is no terminal"),
        (("--json",), True, "neither for --json nor for --html"),
        (("--html", "page.html"), True, "neither for --json nor for --html"),
    ],
)
def test_where_nobody_could_watch_it_says_so(
    tmp_path: Path, arguments: tuple[str, ...], terminal: bool, says: str
) -> None:
    shell = Shell(Lab([item()]), tmp_path, terminal=terminal)
    code, _, errors = shell("status", "--watch", *arguments)
    assert code == 2
    assert says in errors


def test_what_a_terminal_has_no_lines_for_is_counted() -> None:
    class Low(Output):
        def rows(self) -> int:
            return 5

    text = StringIO()
    Screen(Low(text), colours=False, width=80).redraw("\n".join("abcdefg"))
    shown = text.getvalue().removeprefix(HOME).removesuffix("\x1b[J").replace("\x1b[K", "")
    assert shown == "a\nb\nc\n... and 4 lines more, for a higher terminal.\n"
