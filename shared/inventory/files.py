"""The inventory as files on this machine: one, or all of a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock

from shared.inventory import pats_yaml
from shared.inventory.parts import in_one
from shared.inventory.pats_yaml import Problem
from shared.model.errors import Code, Misconfigured
from shared.model.inventory_files import LARGEST, MOST_BYTES, MOST_FILES, InventoryFile, InventoryFiles
from shared.model.items import Inventory
from shared.model.secret_text import printable

ENDING = ".yaml"
_CHECKING = Lock()
_WRITE_IT = (
    "Copy pats.example.yaml to pats.yaml, write your names in it, and deploy it with the code; or set PATS_FILE to the "
    "inventory's path."
)

ReadFiles = Callable[[], InventoryFiles]
"""Reads what PATS_FILE names, wherever that is. Raises Misconfigured."""


def check(files: InventoryFiles, home: str | None = None) -> tuple[Problem, ...]:
    """Every problem at once. Empty when a run would work on every item.

    `home`: the host of KEY_VAULT_URL; "" where that is not set, None where nobody asks.
    """
    return pats_yaml.check_files(files, home) if files.several else pats_yaml.check(only_text(files), home)


def load(files: InventoryFiles, home: str | None = None) -> Inventory:
    """Read for a run. What reads as before is not checked again: an instance has many messages of one run."""
    with _CHECKING:
        return _load_again(files, home)


@lru_cache(maxsize=1)
def _load_again(files: InventoryFiles, home: str | None) -> Inventory:
    return pats_yaml.load_files(files, home) if files.several else pats_yaml.load(only_text(files), home)


def only_text(files: InventoryFiles) -> str:
    """Of an inventory that is one file. Raises Misconfigured where that is broken."""
    (file,) = files.files
    if file.text is None:
        raise Misconfigured(Code.INVENTORY_UNREADABLE, f"{files.where} {file.broken}.", "Correct it.")
    return file.text


def as_one_text(files: InventoryFiles) -> str:
    """Of several files what one would say; else the file's text. Raises Misconfigured."""
    # JSON is YAML.
    return json.dumps(in_one(files), default=str) if files.several else only_text(files)


def read(path: Path) -> InventoryFiles:
    """A file, or every `*.yaml` of a folder in the order of their names. Raises Misconfigured for what is not there."""
    try:
        several = path.is_dir()
    except OSError as failure:  # a name that no file system takes
        raise _unreadable(path, failure) from None
    return _folder(path) if several else InventoryFiles(str(path), (InventoryFile(path.name, text_of(path)),), False)


def text_of(path: Path) -> str:
    """The text of one file. Raises Misconfigured."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as failure:
        raise _unreadable(path, failure) from None
    except UnicodeDecodeError:
        raise Misconfigured(Code.INVENTORY_UNREADABLE, f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None


def _folder(path: Path) -> InventoryFiles:
    try:
        # A mounted ConfigMap has its files behind links that begin with a dot, and so do editors' copies.
        names = sorted(one.name for one in path.iterdir() if one.suffix == ENDING and not one.name.startswith("."))
    except OSError as failure:
        raise _unreadable(path, failure) from None
    check_many(str(path), len(names))
    files, size = [], 0
    for name in names:
        files.append(_one_of_many(path / name))
        size += len(files[-1].text or "")
        check_much(str(path), size)
    return InventoryFiles(str(path), tuple(files), True)


def check_many(where: str, files: int) -> None:
    """Raises Misconfigured where there are more files than an inventory is made of."""
    if files > MOST_FILES:
        cause = f"{where} holds {files} files, more than {MOST_FILES}."
        raise Misconfigured(Code.INVENTORY_UNREADABLE, cause, "Name a folder that holds the inventory alone.")


def check_much(where: str, size: int) -> None:
    """Raises Misconfigured where the files together are larger than an inventory is."""
    if size > MOST_BYTES:
        cause = f"The files of {where} have more than {MOST_BYTES / 1e6:.0f} MB together."
        raise Misconfigured(Code.INVENTORY_UNREADABLE, cause, "Name a folder that holds the inventory alone.")


def _one_of_many(path: Path) -> InventoryFile:
    """One that cannot be read is told, and the others are read."""
    name = printable(path.name)
    try:
        size = path.stat().st_size
        if size > LARGEST:
            return InventoryFile.too_large(name, size)
        return InventoryFile.of(name, path.read_bytes())
    except OSError as failure:
        return InventoryFile(name, None, f"cannot be read ({failure.strerror or type(failure).__name__})")


def _unreadable(path: Path, failure: OSError) -> Misconfigured:
    cause = f"{path} cannot be read ({failure.strerror or type(failure).__name__})."
    return Misconfigured(Code.INVENTORY_UNREADABLE, cause, _WRITE_IT)
