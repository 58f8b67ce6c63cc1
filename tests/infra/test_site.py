"""docs/ as a site: every page is on it, and every link of it leads somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra import site
from sandbox.process.running import ROOT

FORGE = "https://github.com/contoso/patrol"
PAGES = site.pages(FORGE)


def listed(entries: list[dict[str, Any]]) -> list[str]:
    """The pages of a navigation, in order."""
    inner = [target for entry in entries for target in entry.values()]
    return [page for target in inner for page in ([target] if isinstance(target, str) else listed(target))]


def test_each_page_is_in_the_navigation_once() -> None:
    navigation = listed(tomllib.loads(site.CONFIGURATION.read_text(encoding="utf-8"))["project"]["nav"])
    assert sorted(navigation) == sorted(name for name in PAGES if name.endswith(".md"))


def test_the_first_page_is_the_readme_whose_links_stay_within_the_site_where_they_can() -> None:
    first = PAGES["index.md"]
    assert isinstance(first, str)
    assert "](deploy.md)" in first
    assert "](demo.svg)" in first
    assert f"]({FORGE}/blob/main/CONTRIBUTING.md)" in first
    assert "](docs/" not in first


def test_what_leads_out_of_docs_leads_to_the_forge() -> None:
    for name, page in PAGES.items():
        if isinstance(page, str):
            assert re.findall(r"\]\((\.\./\S+)\)", page) == [], name


def test_a_link_that_leads_nowhere_ends_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[how](docs/how.md)")
    with pytest.raises(site.LeadsNowhere, match=r"README.md leads to docs/how.md"):
        site.pages(FORGE, tmp_path.resolve())


def test_no_page_asks_anybody_for_fonts() -> None:
    theme = tomllib.loads((ROOT / "infra/site.toml").read_text(encoding="utf-8"))["project"]["theme"]
    assert theme["font"] is False
