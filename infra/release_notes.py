"""What a release says of itself: the section of CHANGELOG.md that belongs to a tag.

python infra/release_notes.py v1.2.3     prints it; exit code 2 and a sentence where tag, version and changelog differ
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = r"^## \[{version}\] - \d{{4}}-\d\d-\d\d$"


def notes(tag: str, version: str, changelog: str) -> str:
    """The text below the heading `## [version] - date`. Raises ValueError, in words, when there is none."""
    if tag != f"v{version}":
        raise ValueError(f"The tag is {tag}, and pyproject.toml says {version}: the tag must be v{version}.")
    found = re.search(HEADING.format(version=re.escape(version)), changelog, re.MULTILINE)
    if found is None:
        raise ValueError(f'CHANGELOG.md has no line "## [{version}] - YYYY-MM-DD": turn "Unreleased" into it.')
    text = re.split(r"^(?:## |\[[^\]]+\]: )", changelog[found.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not text:
        raise ValueError(f"CHANGELOG.md says nothing of {version}.")
    return text


def main(arguments: list[str]) -> int:
    try:
        (tag,) = arguments
        version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        print(notes(tag, version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
