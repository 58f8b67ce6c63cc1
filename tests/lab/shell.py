"""The command line in process, on a lab's estate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from shared.cli.main import main
from shared.model.ports import Events
from shared.rotation.world import World
from shared.settings import Settings
from tests.lab.lab import ENVIRONMENT, Lab


class Screenful(StringIO):
    """A terminal: what a person types, or what a person sees."""

    def isatty(self) -> bool:
        return True


class Overheard(StringIO):
    """Tells `hears` each line when it is written."""

    def __init__(self, hears: Callable[[str], None]) -> None:
        super().__init__()
        self._hears = hears

    def write(self, text: str) -> int:
        self._hears(text)
        return super().write(text)


@dataclass
class Shell:
    """Runs commands in process, on a lab's estate."""

    lab: Lab
    root: Path
    answers: str | None = None
    """What a person types; None: nobody is there."""
    environ: dict[str, str] = field(default_factory=dict)
    terminal: bool = False
    """Whether a person reads what is printed."""
    hears: Callable[[str], None] = lambda _: None
    """What is done about a line on stderr while the command goes on."""
    writes: bool = True
    """Whether the lab's inventory is written before each command."""

    def __call__(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        if self.writes:
            (self.root / "pats.yaml").write_text(self.lab.pats_yaml(), encoding="utf-8")
        out, errors = Screenful() if self.terminal else StringIO(), Overheard(self.hears)

        def make_world(known: Settings, budget: timedelta, tell: Events) -> World:
            return replace(self.lab.world(budget), tell=tell)

        # What a person names by hand is the person's, and an emergency's word is the command line's.
        watch = self.lab.watch
        watch.by_hand = arguments[:1] == ("pats",)
        watch.emergency = arguments[:1] == ("emergency",)
        watch.revoke_first = "--revoke-first" in arguments
        code = main(
            arguments,
            environ={**ENVIRONMENT, **self.environ, **environ},
            root=self.root,
            out=out,
            errors=errors,
            answers=StringIO() if self.answers is None else Screenful(self.answers),
            make_world=make_world,
        )
        return code, out.getvalue(), errors.getvalue()

    def json(self, *arguments: str) -> tuple[int, Any]:
        code, out, _ = self(*arguments, "--json")
        return code, json.loads(out)
