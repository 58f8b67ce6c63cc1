"""HTML documents: whatever comes from outside is text, and a browser may do nothing but show it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest

from shared.views import html

TEMPLATES = Path(html.__file__).parent / "templates"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "`</code><b>bold</b>`",
    "abc\u202edcba",
    "\u200f\u2066x\u2069",
    "half of a pair \ud800",
    "two\nlines\x1b[31m",
    "x" * 256,
)


class Parts(HTMLParser):
    """The tags of a document with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("dd", "div", "dt", "li", "p", "td", "th"):
            self.text.append(" ")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(document: str) -> Parts:
    parts = Parts()
    parts.feed(document)
    parts.close()
    return parts


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_shown_as_text(text: str) -> None:
    document = html.message("A title", "A sentence.", text)
    parts = parsed(document)
    assert [tag for tag, _ in parts.tags if tag in ("script", "img", "b")] == []
    shown = "".join(parts.text)
    assert "".join(html.plain(text).split("`")) in shown
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\x1b]", document)
    document.encode()


def test_marks_that_steer_text_are_shown_by_their_number() -> None:
    assert html.plain("abc\u202edcba") == "abc[U+202E]dcba"
    assert html.plain("Zoë 東京 – x") == "Zoë 東京 – x"


def test_commands_stand_in_one_piece() -> None:
    assert str(html.prose("Run `a <b>`, or `c`.")) == "Run <code>a &lt;b&gt;</code>, or <code>c</code>."


def test_the_policy_allows_the_style_by_its_hash_and_nothing_else() -> None:
    document = html.message("A title", "A sentence.")
    (style,) = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = html.headers()["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "frame-ancestors 'none'" in policy
    meta = [found["content"] for tag, found in parsed(document).tags if tag == "meta" and "http-equiv" in found]
    assert meta == [policy.removesuffix("; frame-ancestors 'none'")], "a file is held to the same policy as a door"


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.jinja")), ids=lambda path: path.name)
def test_no_template_has_a_script_a_style_of_its_own_or_anything_to_fetch(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<script|\sstyle=|\son\w+=|<img|<link|@import|url\(|\|\s*safe|https?://", text)


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        html.document("message.html.jinja", title="x")


def test_an_address_that_holds_a_key_is_told_to_nobody() -> None:
    assert html.headers()["Referrer-Policy"] == "no-referrer"
    assert '<meta name="referrer" content="no-referrer">' in html.message("x")
