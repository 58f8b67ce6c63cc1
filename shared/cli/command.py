"""What a command may touch, and how it ends."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from shared.cli.stopping import Stopping
from shared.cli.terminal import Output, Screen
from shared.loading import loading
from shared.model.secret_text import printable

if TYPE_CHECKING:  # loaded by the commands that need them
    from shared.model.inventory_files import InventoryFiles
    from shared.model.items import Inventory
    from shared.rotation.world import World
    from shared.services.blob_address import BlobAddress
    from shared.settings import Settings
    from shared.wiring import Deployment, MakeWorld

WELL, NOT_DONE, MISCONFIGURED, HUMAN = 0, 1, 2, 3
UNTOLD = 74
"""The work is done, and its report could not be written (EX_IOERR of sysexits.h): never instead of another failure."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Everything a command may touch besides the world it makes."""

    options: argparse.Namespace
    environ: Mapping[str, str]
    root: Path
    screen: Screen
    errors: Output
    answers: TextIO | None
    make_world: MakeWorld
    stopping: Stopping = field(default_factory=Stopping)

    def settings(self) -> Settings:
        """Raises Misconfigured that names every mistake."""
        from shared import settings

        return settings.read(self.environ, self.root)

    def inventory(self, settings: Settings) -> Inventory:
        """Raises Misconfigured: unreadable, or invalid as a whole."""
        from shared.inventory import files

        return files.load(self.files(settings.pats_file), settings.vault_host)

    def files(self, place: Path | BlobAddress) -> InventoryFiles:
        """What PATS_FILE names; for blobs the SDKs are loaded, which takes its time. Raises Misconfigured."""
        if isinstance(place, Path):
            from shared.inventory import files

            return files.read(place)
        from shared import settings, wiring

        return wiring.inventory_files(place, settings.identity_of(self.environ))

    def world(self, settings: Settings) -> World:
        """What a run can reach; each step is told on stderr."""
        return self.make_world(settings, settings.run_budget, self.progress)

    def open(self) -> Deployment:
        """All three. Raises as they do."""
        with loading():
            from shared import wiring

        return wiring.open(self.environ, self.root, make_world=self.make_world, tell=self.progress)

    def progress(self, name: str, /, **fields: object) -> None:
        """One line per step on stderr; what the report repeats at the end is left out, ids on a terminal as well."""
        if name.startswith(("run.", "item.", "refresh.")):
            return
        if self.errors.is_terminal():
            whose = fields.get("secret") or fields.get("username") or fields.get("organization") or ""
            more = fields.get("says") or fields.get("code") or fields.get("because")
            self.errors.told(f"{name:14}  ", f"{whose}{f' ({more})' if more else ''}")
            self.errors.flush()
            return
        shown = {key: _shown(value) for key, value in fields.items() if value is not None and key != "run_id"}
        self.errors.line(f"{name}: {', '.join(f'{key} {value}' for key, value in shown.items())}")
        self.errors.flush()

    def agrees(self, question: str) -> bool:
        """Whether a person says yes. Nobody there: no."""
        self.errors.write(f"{printable(question)} [y/N] ", flush=True)
        answer = "" if self.answers is None else self.answers.readline()
        return answer.strip().casefold() in ("y", "yes")

    def is_answered(self) -> bool:
        """Whether a person is there to be asked."""
        return self.answers is not None and self.answers.isatty()


def _shown(value: object) -> object:
    from shared.model.clock import instant

    return instant(value) if isinstance(value, datetime) else value
