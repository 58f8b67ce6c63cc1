"""What is wrong in `pats.yaml`, in words for the person who writes it.

Of the file's text nothing is repeated but known keys, and names and scopes that were found to be some: what a password
is mistaken for (a key, a tag of YAML, a username) must not carry it into a log.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from shared.inventory import schema
from shared.inventory.texts import GLOBAL_PATS
from shared.inventory.yaml_text import InFile, Place, Unreadable

Part = TypeVar("Part", bound=BaseModel)

KEYS = frozenset(
    key
    for part in vars(schema).values()
    if isinstance(part, type) and issubclass(part, BaseModel)
    for key in part.model_fields
)
"""Every key that `pats.yaml` can have, wherever it stands."""

_VALUES = ("password", "client_secret", "pat", "token", "value")
"""Keys that people make up for what must not be in the file."""

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
    """One mistake. `stops` a run as a whole; `echo` repeats what is told elsewhere, so `check` leaves it out.

    `key`: one that nothing knows, below `path`. Its line is told, and its text never.
    """

    path: Place
    says: str
    stops: bool = False
    echo: bool = False
    key: str = ""

    @property
    def at(self) -> Place:
        """Where its line is found."""
        return (*self.path, self.key) if self.key else self.path


def validate(shape: type[Part], raw: Any, path: Place, *, context: Any = None) -> tuple[Part | None, list[Found]]:
    """Read `raw` as `shape`, or say everything that is wrong with it. `context`: what its own validators are given."""
    try:
        return shape.model_validate(raw, context=context), []
    except ValidationError as failure:
        found: dict[Place, Found] = {}
        for error in failure.errors(include_url=False):
            unknown = error["type"] in ("extra_forbidden", "invalid_key")
            given = error["loc"][:-1] if unknown else error["loc"]
            inner = tuple(key for key in given if not (isinstance(key, str) and _is_branch(key)))
            if unknown:
                key = str(error["loc"][-1])
                mistake = Found((*path, *inner), unknown_key(key, shape), key=key)
            else:
                mistake = Found((*path, *inner), _words(error, inner))
            found.setdefault(mistake.at, mistake)
        return None, list(found.values())


def sentence(problems: Iterable[Found]) -> str:
    """All of an item's mistakes, for a run that leaves it out."""
    text = "; ".join(f"{shown(problem.path, problem.at)} {problem.says}".lstrip() for problem in problems)
    return text if text.endswith("?") else f"{text}."


def shown(path: Place, at: Place | None = None) -> str:
    """`users[0].pats[1].scopes[0]`; of several files `team-web.yaml:7 users[0].pats[1]`. `at`: where the line is."""
    file, inner = split(path)
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner).removeprefix(".")
    return text if file is None else f"{located(file, path if at is None else at)} {text}".rstrip()


def split(path: Place) -> tuple[InFile | None, Place]:
    """The file, where there are several, and the place in it."""
    if path and isinstance(path[0], InFile):
        return path[0], path[1:]
    return None, path


def located(file: InFile, at: Place) -> str:
    """`team-web.yaml:7`, as editors and terminals link it."""
    line = file.line(at)
    return file.name if line is None else f"{file.name}:{line}"


def unreadable(problem: Unreadable) -> str:
    """One sentence without its end."""
    return f"the key `{problem.key}` comes twice" if problem.key in KEYS else str(problem)


def unknown_key(key: str, shape: type[BaseModel]) -> str:
    """What is wrong with a key that `shape` does not have."""
    if re.fullmatch(r"all_?org(anization)?s|organizations|(is_?)?global", key, re.IGNORECASE):
        return GLOBAL_PATS
    if key.lower() in _VALUES:
        return f"`{key.lower()}` must not be here: pats.yaml holds names of Key Vault secrets, never their values"
    near = difflib.get_close_matches(key, shape.model_fields, n=1)
    return f"a key here is not known; did you mean {near[0]}?" if near else "a key here is not known"


def _is_branch(key: str) -> bool:
    # pydantic names the branch of a union in the path of an error: `adopt.bool`.
    return key == "bool" or key.startswith(("function-", "constrained-", "union["))


def _words(error: Any, inner: Place) -> str:
    kind, given = error["type"], error.get("input")
    key = str(inner[-1]) if inner else ""
    if key == "adopt":
        return "must be true, false, or the authorization id of the PAT to take over"
    match kind:
        case "missing":
            return "is missing"
        case "string_type":
            return _not_text(given, _LIKE.get(key, "text"))
        case "bool_type":
            return "must be true or false"
        case "value_error":
            return str(error["ctx"]["error"])
        case "too_short":
            return "must name at least one"
        case "literal_error":
            return one_of(given, str(error["ctx"]["expected"]))
        case "list_type":
            return "must be a list"
        case "model_type" | "dict_type":
            return "is missing" if given is None else "must hold keys and values"
        case _:
            # pydantic's messages name types and limits, never the value.
            return str(error["msg"])


def one_of(given: Any, known: str) -> str:
    """That a value must be one of those that `known` quotes, and which of them it is like."""
    near = difflib.get_close_matches(str(given).casefold(), re.findall("'([^']+)'", known), n=1, cutoff=0.7)
    return f"must be {known}{f'; did you mean {near[0]}?' if near else ''}"


def _not_text(given: Any, like: str) -> str:
    if given is None:
        return "is empty"
    if like != "text":
        return f"must be {like}"
    # YAML reads `no` as false and `1:30` as 90. What it made of the text would only confuse.
    return "must be text" if isinstance(given, list | dict) else "must be text: put it in quotes"
