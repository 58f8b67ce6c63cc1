"""Files that a person asked for: whole or as they were."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from shared.cli.arguments import wrong


def save(file: Path, text: str, flag: str) -> None:
    """Raises Misconfigured when it cannot be written: then it is not there, or as it was. `flag`: which names it."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except OSError as failure:
        with suppress(OSError):
            beside.unlink()
        why = failure.strerror or type(failure).__name__
        raise wrong(f"{file} cannot be written ({why}).", f"Name another file with {flag}.") from None
