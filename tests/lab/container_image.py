"""The Dockerfile without an engine: its instructions, and the files and process that they make."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.process.running import ROOT

DOCKERFILE = ROOT / "Dockerfile"
HOME = "/patrol"
READ_ONLY = ROOT / "tests" / "lab" / "read_only"


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Of the exec form, or split at blanks."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return self.text.split()


def instructions() -> list[Instruction]:
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    parts = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Instruction(name, " ".join(text.split())) for name, text in parts]


def stages() -> list[list[Instruction]]:
    """Each from its FROM on; what stands before the first is left out."""
    made: list[list[Instruction]] = []
    for one in instructions():
        if one.name == "FROM":
            made.append([])
        if made:
            made[-1].append(one)
    return made


def one(stage: list[Instruction], name: str) -> Instruction:
    (found,) = [each for each in stage if each.name == name]
    return found


def in_context(path: str) -> bool:
    """Whether .dockerignore lets `path`, relative to the repository, into a build; the last line that fits decides."""
    kept = True
    parents = [path, *(str(parent) for parent in Path(path).parents if parent != Path())]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line[:1] in ("", "#"):
            continue
        pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(pattern, each) for each in parents):
            kept = line.startswith("!")
    return kept


@dataclass(frozen=True, slots=True)
class Image:
    """`folder` holds what the image has under HOME; the rest is what a container starts with."""

    folder: Path
    environment: dict[str, str]
    entrypoint: list[str]
    user: str

    def here(self, text: str) -> str:
        """A path of the image as one of this machine."""
        return re.sub(rf"(?<![\w/]){HOME}(?=[/:]|$)", str(self.folder), text)

    def process(self, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
        """What subprocess needs to run a container: read-only, and nothing of this process's environment."""
        given = {name: self.here(value) for name, value in {**self.environment, **environment}.items()}
        given["PYTHONPATH"] = os.pathsep.join([str(READ_ONLY), given["PYTHONPATH"]])
        assert self.entrypoint[0] == "python"
        command = [sys.executable, *self.entrypoint[1:], *arguments]
        return {"args": command, "env": given, "cwd": self.folder, "stdin": subprocess.DEVNULL, "text": True}


def build(folder: Path) -> Image:
    """Do what the instructions say, but for the libraries: this Python has them, and tests reach no network."""
    first, last = stages()
    home = folder / "image"
    home.mkdir()
    image = Image(home, _variables(one(last, "ENV")), one(last, "ENTRYPOINT").words, one(last, "USER").text)
    for each in first:
        if each.name == "COPY":
            _copy(each, home)
        if each.name == "RUN" and "pip" not in each.words:
            command = [sys.executable if word == "python" else image.here(word) for word in each.words]
            subprocess.run(command, check=True, timeout=60)
    for path in [home, *home.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    return image


def _copy(instruction: Instruction, home: Path) -> None:
    source, target = instruction.words
    found = ROOT / source
    for path in [found, *found.rglob("*")] if found.is_dir() else [found]:
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and in_context(name):
            inside = path.relative_to(found) if found.is_dir() else Path(path.name)
            made = home / target / inside
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, made)


def _variables(instruction: Instruction) -> dict[str, str]:
    return dict(word.split("=", 1) for word in instruction.words)
