"""Items as the text of `pats.yaml`, made of PATs that exist."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from shared.inventory import scopes, yaml_text
from shared.inventory.texts import SCOPE
from shared.model.pats import Pat
from shared.model.secret_text import looks_like_a_pat, printable
from shared.model.tags import OWN_PREFIXES

LONGEST_NAME = 120  # of 127, so that a number fits behind it

Lines = dict[str, Any]
"""One item as keys and values of `pats.yaml`, in their order there."""


def item_of(pat: Pat, name: str, organization: str) -> tuple[Lines, tuple[str, ...]]:
    """An item that asks for the same as `pat`, and what a person should know of it. Raises ValueError, in words."""
    listed = sorted(pat.scopes)
    if not listed:
        raise ValueError("it has no scopes")
    if any(not re.fullmatch(SCOPE, scope) for scope in listed):
        raise ValueError("one of its scopes is not readable")
    lines: Lines = {"secret": name, "organization": organization}
    if scopes.FULL_ACCESS in listed:
        lines |= {"scopes": [scopes.FULL_ACCESS], "allow_full_access": True}
        note = "full access: narrow it to the scopes that its consumer needs (`patrol scopes`)"
        return lines, (note,)
    kept = [scope for scope in listed if scope not in scopes.SIGN_IN_ONLY]
    if not kept:
        raise ValueError(f"its scopes are permissions of an app registration ({', '.join(listed)})")
    lines["scopes"] = kept
    notes = []
    if len(kept) < len(listed):
        notes.append(f"left out, as a PAT cannot have it: {', '.join(sorted(set(listed) - set(kept)))}")
    unknown = [scope for scope in kept if scope not in scopes.KNOWN]
    if unknown:
        lines["allow_unknown_scopes"] = True
        notes.append(f"not a known scope: {', '.join(unknown)}")
    return lines, tuple(notes)


def name_of(pat: Pat) -> str:
    """A Key Vault name made of the PAT's display name."""
    plain = unicodedata.normalize("NFKD", pat.display_name).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^0-9a-z]+", "-", plain).strip("-")[:LONGEST_NAME].strip("-")
    # A name that holds a value must not become the name of a secret: it would be copied to where everybody reads it.
    if not name or looks_like_a_pat(pat.display_name) or name.startswith(OWN_PREFIXES):
        return f"pat-{pat.id[:8]}"
    return name


def lifetime_of(pat: Pat) -> str:
    """How long it was asked for, as `lifetime` has it: whole days; hours below one day."""
    span = pat.validity.ends - pat.validity.starts
    days = round(span / timedelta(days=1))
    return f"{min(days, 365)}d" if days else f"{max(1, round(span / timedelta(hours=1)))}h"


def block(lines: Lines) -> Iterator[str]:
    """An item as the lines of a user's `pats:`."""
    for number, (key, value) in enumerate(lines.items()):
        yield f"      {'- ' if number == 0 else '  '}{key}: {scalar(value)}"


def flow(lines: Lines) -> str:
    """An item in one line."""
    return f"- {{{', '.join(f'{key}: {scalar(value)}' for key, value in lines.items())}}}"


def scalar(value: object) -> str:
    """A value of an item as YAML in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(scalar(one) for one in value)}]"
    text = str(value)
    # Quoted where YAML would take it for something else: `2026`, `on`, `a: b`.
    return (
        text
        if re.fullmatch(r"[0-9A-Za-z-][0-9A-Za-z@._%-]*", text) and yaml_text.parse(text) == text
        else json.dumps(text)
    )


def shown_name(pat: Pat) -> str:
    """A display name as messages may repeat it: anybody's text, and never what looks like a value."""
    return "a name that looks like a PAT" if looks_like_a_pat(pat.display_name) else f'"{printable(pat.display_name)}"'
