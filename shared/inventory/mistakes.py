"""What pydantic found, in words for the person who writes `pats.yaml`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from shared.inventory.schema import GLOBAL_PATS, SonarQubePart
from shared.inventory.yaml_text import Place, shown

Part = TypeVar("Part", bound=BaseModel)

# Where a bare "must be text" would leave people guessing what to write.
_LIKE: Mapping[str, str] = {
    "lifetime": "a duration such as 30d",
    "rotate_before": "a duration such as 7d, or a share of the lifetime such as 25%",
    "overlap": "a duration such as 1d",
    "max_age": "a duration such as 365d",
    "refresh_below": "a share of the token's life such as 50%",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One mistake. `stops` a run as a whole; `echo` repeats what is told elsewhere, so `check` leaves it out."""

    path: Place
    says: str
    stops: bool = False
    echo: bool = False


def validate(shape: type[Part], raw: Any, path: Place) -> tuple[Part | None, list[Found]]:
    """Read `raw` as `shape`, or say everything that is wrong with it."""
    try:
        return shape.model_validate(raw), []
    except ValidationError as failure:
        found: dict[Place, str] = {}
        for error in failure.errors(include_url=False):
            inner = tuple(key for key in error["loc"] if not (isinstance(key, str) and _is_branch(key)))
            found.setdefault((*path, *inner), _words(error, inner, shape))
        return None, [Found(where, says) for where, says in found.items()]


def sentence(problems: Iterable[Found]) -> str:
    """All of an item's mistakes, for a run that leaves it out."""
    told = "; ".join(f"{shown(one.path)} {one.says}" for one in problems)
    return told if told.endswith("?") else f"{told}."


def unknown_key(key: str, shape: type[BaseModel]) -> str:
    if re.fullmatch(r"all_?org(anization)?s|organizations|(is_?)?global", key, re.IGNORECASE):
        return GLOBAL_PATS
    if key.lower() in ("password", "client_secret", "pat", "token", "value"):
        return "must not be here: pats.yaml holds names of Key Vault secrets, never their values"
    near = difflib.get_close_matches(key, shape.model_fields, n=1)
    return f"is not a known key; did you mean {near[0]}?" if near else "is not a known key"


def _is_branch(key: str) -> bool:
    # pydantic names the branch of a union in the path of an error: `adopt.bool`.
    return key == "bool" or key.startswith(("function-", "constrained-", "union["))


def _words(error: Any, inner: Place, shape: type[BaseModel]) -> str:
    kind, given = error["type"], error.get("input")
    key = str(inner[-1]) if inner else ""
    shape = SonarQubePart if "then" in inner[:-1] else shape
    if key == "adopt":
        return "must be true, false, or the authorization id of the PAT to take over"
    match kind:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return unknown_key(key, shape)
        case "invalid_key":
            return "is not a known key"
        case "string_type":
            return _not_text(given, _LIKE.get(key, "text"))
        case "bool_type":
            return "must be true or false"
        case "value_error":
            return str(error["ctx"]["error"])
        case "too_short":
            return "must name at least one"
        case "literal_error":
            return f"must be {error['ctx']['expected']}"
        case "list_type":
            return "must be a list"
        case "model_type" | "dict_type":
            return "is missing" if given is None else "must hold keys and values"
        case _:
            # pydantic's messages name types and limits, never the value.
            return str(error["msg"])


def _not_text(given: Any, like: str) -> str:
    if given is None:
        return "is empty"
    if like != "text":
        return f"must be {like}"
    # YAML reads `no` as false and `1:30` as 90. What it made of the text would only confuse.
    return "must be text" if isinstance(given, list | dict) else "must be text: put it in quotes"
