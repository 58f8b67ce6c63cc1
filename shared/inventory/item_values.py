"""What items have that do not say otherwise, and what their values get wrong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.inventory import scopes
from shared.inventory.mistakes import Found, validate
from shared.inventory.schema import DefaultsPart


def read_defaults(raw: Any) -> tuple[dict[str, str], dict[str, str], list[Found]]:
    """The usable defaults; by key what is wrong with the others, for items that need one; and every problem."""
    part, problems = validate(DefaultsPart, raw, ("defaults",))
    bad = {str(mistake.path[1]): mistake.says for mistake in problems if len(mistake.path) > 1}
    if isinstance(part, DefaultsPart):
        return {key: value for key, value in part.model_dump().items() if value is not None}, bad, problems
    if not isinstance(raw, dict):
        return {}, dict.fromkeys(DefaultsPart.model_fields, "`defaults` is not readable"), problems
    kept = {key: value for key, value in raw.items() if key in DefaultsPart.model_fields and key not in bad}
    part, _ = validate(DefaultsPart, kept, ("defaults",))
    usable = part.model_dump() if part is not None else {}
    return {key: value for key, value in usable.items() if value is not None}, bad, problems


def wrong_scopes(item: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The scopes one by one; `item` is as written, and its `scopes` are a list of text."""
    listed: list[str] = item.get("scopes", [])
    for number, scope in enumerate(listed):
        if scope in listed[:number]:
            yield number, f"{scope} comes twice" if scope in scopes.KNOWN else "comes twice"
        elif scope in scopes.SIGN_IN_ONLY:
            yield number, f"{scope} is a permission of the app registration; a PAT cannot have it"
        elif scope == scopes.FULL_ACCESS and item.get("allow_full_access") is not True:
            yield number, "app_token is full access: name the scopes it needs, or set allow_full_access: true"
        elif scope == scopes.FULL_ACCESS and len(listed) > 1:
            yield number, "app_token is full access: the other scopes beside it add nothing"
        elif scope not in scopes.KNOWN and item.get("allow_unknown_scopes") is not True:
            near = scopes.nearest(scope)
            hint = f"did you mean {near}?" if near else "`patrol scopes` lists the known ones"
            yield number, f"is not a known scope; {hint}"
