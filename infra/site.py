"""docs/ as a site, in dist/site: `make site`.

The pages are written for the forge, where they are read most. For a site of their own README.md is the first page, and
what leads out of docs/ leads to the forge. A link that leads nowhere ends it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "infra" / "site.toml"
PAGES = ROOT / "dist" / "site-pages"
"""What the generator reads (the configuration says so too)."""

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s]+)(?=[)\s])")
_SHOWN = frozenset({".md", ".svg", ".png"})


class LeadsNowhere(Exception):
    """A link of a page, and where it should have led."""


def pages(repository: str, root: Path = ROOT) -> dict[str, str | bytes]:
    """Every file of the site by its path. Raises LeadsNowhere."""
    found: dict[str, str | bytes] = {"index.md": _page(root / "README.md", repository, root)}
    for path in sorted((root / "docs").rglob("*")):
        if path.suffix == ".md":
            found[path.relative_to(root / "docs").as_posix()] = _page(path, repository, root)
        elif path.suffix in _SHOWN:
            found[path.relative_to(root / "docs").as_posix()] = path.read_bytes()
    return found


def _page(path: Path, repository: str, root: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return _LINK.sub(lambda link: _target(path, link[1], repository, root), text)


def _target(page: Path, link: str, repository: str, root: Path) -> str:
    """Within the site, or on the forge."""
    name, _, anchor = link.partition("#")
    place = (page.parent / name).resolve()
    if not place.exists() or not place.is_relative_to(root):
        raise LeadsNowhere(f"{page.relative_to(root)} leads to {link}, which is not there")
    ending = f"#{anchor}" if anchor else ""
    if place == root / "README.md":
        return f"index.md{ending}"
    if place.is_relative_to(root / "docs") and place.suffix in _SHOWN:
        return f"{place.relative_to(root / 'docs').as_posix()}{ending}"
    kind = "tree" if place.is_dir() else "blob"
    return f"{repository}/{kind}/main/{place.relative_to(root).as_posix()}{ending}"


def main() -> int:
    repository = tomllib.loads(CONFIGURATION.read_text(encoding="utf-8"))["project"]["repo_url"]
    try:
        found = pages(repository)
    except LeadsNowhere as nowhere:
        print(nowhere, file=sys.stderr)
        return 1
    shutil.rmtree(PAGES, ignore_errors=True)
    for name, content in found.items():
        path = PAGES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    generator = Path(sys.executable).with_name("zensical")
    # The generator takes nothing from outside of its configuration's folder, and puts nothing there.
    copy = shutil.copy(CONFIGURATION, PAGES.parent / "zensical.toml")
    command = [str(generator), "build", "--strict", "--clean", "--config-file", str(copy)]
    ran = subprocess.run(command, cwd=PAGES.parent, capture_output=True, text=True, check=False)
    if ran.returncode:
        print(ran.stdout + ran.stderr, file=sys.stderr)
        return 1
    print(f"Wrote dist/site: {sum(name.endswith('.md') for name in found)} pages.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
