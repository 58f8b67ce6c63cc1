"""The files of an inventory as they came, before anybody has looked into them."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 4_000_000
"""Bytes of one of several files: some 30,000 items."""
MOST_FILES = 1000
MOST_BYTES = 64_000_000
"""Of all files together."""


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """`text` is None where it could not be had; `broken` then says why, a part of a sentence without its end."""

    name: str
    text: str | None
    broken: str = ""

    @classmethod
    def of(cls, name: str, content: bytes) -> InventoryFile:
        """Of one of several files; what is no text of UTF-8, or too much, is broken."""
        if len(content) > LARGEST:
            return cls.too_large(name, len(content))
        try:
            return cls(name, content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            return cls(name, None, "is not UTF-8 text: save it as UTF-8")

    @classmethod
    def too_large(cls, name: str, size: int) -> InventoryFile:
        says = f"has {size / 1e6:.1f} MB, more than the {LARGEST / 1e6:.0f} MB of one file: split it"
        return cls(name, None, says)


@dataclass(frozen=True, slots=True)
class InventoryFiles:
    """`several`: they came from a folder, so every place in one needs the file's name, even where there is one alone.

    `where`: the folder, or the file, as messages name it.
    """

    where: str
    files: tuple[InventoryFile, ...]
    several: bool
