"""The page in Chromium: axe-core finds nothing, and nobody scrolls sideways; at each width, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.functions_host.azurite import free_port
from shared.report.kept_run import KeptRun
from shared.rotation.overview import Overview
from shared.views import html, page
from tests.lab.chromium import BROWSER, DRIVER, Browser, chromium
from tests.views.estates import FACTS, row_of, seen_of, troubled
from tests.views.test_html import HOSTILE

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)"),
]

AXE = Path(__file__).resolve().parents[2] / "sandbox/node/node_modules/axe-core/axe.min.js"
WIDTHS = (360, 768, 1440)


def documents() -> dict[str, str]:
    """Every kind of page, and one of hostile names."""
    lab = troubled()
    seen: Overview = seen_of(lab)
    run: KeptRun = seen.runs.reports[0]
    versions = lab.quick_world().vault.versions("website-build-pat").versions
    link = page.links("a-key")
    return {
        "estate": page.estate(seen, FACTS, link, code="a-key"),
        "one PAT": page.one_pat(seen, row_of(seen), versions, lab.inventory(), FACTS, link),
        "one run": page.one_run(run, FACTS, seen.status.as_of, link),
        "message": html.message("Not enrolled", *HOSTILE, "Run `patrol enroll svc@contoso.com`.", tone="bad"),
    }


@pytest.fixture(scope="module", params=["light", "dark"])
def browser(request: pytest.FixtureRequest, npm: None) -> Iterator[Browser]:
    with chromium(None, free_port(), dark=request.param == "dark") as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, document in documents().items():
        made[name] = folder / f"{name.replace(' ', '-')}.html"
        made[name].write_text(document, encoding="utf-8")
    return made


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["estate", "one PAT", "one run", "message"])
def test_axe_core_finds_nothing_and_nobody_scrolls_sideways(
    browser: Browser, files: dict[str, Path], name: str, width: int
) -> None:
    browser.size(width, 900)
    browser.open(files[name].as_uri())
    assert browser.breaches(AXE) == []
    assert not browser.overflows()


def test_axe_core_would_find_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.html"
    text = '<!doctype html><html><title>x</title><body><img src="x.png"><p style="color:#ccc;background:#fff">faint</p>'
    wrong.write_text(text, encoding="utf-8")
    browser.open(wrong.as_uri())
    found = " ".join(browser.breaches(AXE))
    assert all(rule in found for rule in ("image-alt", "html-has-lang", "color-contrast")), found


def test_axe_core_is_the_one_that_is_pinned() -> None:
    assert AXE.is_file(), "run `make node`"
