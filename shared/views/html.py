"""HTML documents: one environment of templates, one style, and what a browser may do with them. Pure.

No script, no request of any kind: the style stands in the document, and the policy allows exactly that style by its
hash, so the same document works behind a door and as a file. Whatever comes from outside is escaped by the templates;
what would steer how text runs (right-to-left marks, control characters) is shown by its number.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMMAND = re.compile(r"`([^`\n]+)`")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")

MIMETYPE = "text/html"


def document(template: str, /, **values: object) -> str:
    """The document of a template of this room. Raises where a template asks for what is not in `values`."""
    policy = _policy()
    return _environment().get_template(template).render(style=_style(), policy=policy, **values)


def message(title: str, *paragraphs: str, tone: str = "") -> str:
    """A document that says a thing, such as why a door stays shut. `tone`: good, warning, bad or "" for neither.

    Commands in the paragraphs stand between backticks.
    """
    return document("message.html.jinja", title=title, paragraphs=paragraphs, tone=tone)


def headers() -> Mapping[str, str]:
    """What a door sends beside a document: an address that holds a key is told to nobody, and no frame shows it."""
    return {
        "Content-Security-Policy": f"{_policy()}; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def plain(text: object) -> str:
    """Text of whatever origin, in which nothing steers how it is shown: `\\u202e` stands as `[U+202E]`."""
    return "".join(
        f"[U+{ord(letter):04X}]" if unicodedata.category(letter) in _STEERING else letter for letter in str(text)
    )


def prose(text: object) -> Markup:
    """A sentence; what stands between backticks is a command, in one piece to be copied. Instants are `moment`s."""
    from markupsafe import Markup

    parts = _COMMAND.split(plain(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else _with_moments(part) for at, part in enumerate(parts)
    )


def _with_moments(text: str) -> Markup:
    from markupsafe import Markup, escape

    parts = _INSTANT.split(text)
    return Markup("").join(_moment_of(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def _moment_of(text: str) -> Markup:
    from markupsafe import escape

    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:  # shaped like an instant, and none
        return escape(text)


def moment(at: datetime) -> Markup:
    """An instant for people, in UTC and to the minute, and for programs in full."""
    from markupsafe import Markup

    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M}")


def day(at: datetime) -> Markup:
    """Its day alone."""
    from markupsafe import Markup

    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d}")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_finalized,
    )
    made.filters |= {"prose": prose, "moment": moment, "day": day, "plain": plain}
    return made


def _finalized(value: object) -> object:
    """What every expression of a template goes through: markup of our own as it is, text from outside as `plain`."""
    return value if hasattr(value, "__html__") else plain(value)


@cache
def _style() -> Markup:
    from markupsafe import Markup

    return Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))  # a file of ours


@cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'self'"
