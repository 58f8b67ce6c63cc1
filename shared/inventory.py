"""`pats.yaml`: read strictly for `check`, and tolerantly for a run, where an invalid item fails alone."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from shared import durations, scopes
from shared.errors import Code, Misconfigured
from shared.inventory_schema import GLOBAL_PATS, DefaultsPart, FilePart, ItemPart, SignInPart, UserPart
from shared.model import InvalidItem, Inventory, Item, PatId, SignIn, Strategy, User

BUILT_IN: Mapping[str, str] = {
    "lifetime": "30d",
    "rotate_before": "7d",
    "overlap": "1d",
    "strategy": "rotate",
    "max_age": "365d",
    "verify": "connection-data",
}
SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=365)

_Path = tuple[str | int, ...]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: `path` such as `users[0].pats[1].scopes[0]`, its line from 1 where it is known, and what to do."""

    path: str
    line: int | None
    says: str


def check(text: str) -> tuple[Problem, ...]:
    """Every problem at once, by line. Empty when a run would work on every item."""
    try:
        raw = _parse(text)
    except _Unreadable as problem:
        return (Problem("", problem.line, str(problem)),)
    found = _examine(raw).problems
    lines = _lines(text) if found else {}
    told = [Problem(_shown(one.path), _line_of(one.path, lines), one.says) for one in found]
    return tuple(sorted(told, key=lambda one: (one.line or 0, one.path)))


def load(text: str) -> Inventory:
    """Read for a run. Raises Misconfigured for unreadable YAML, an invalid `sign_in` or a secret named twice."""
    try:
        raw = _parse(text)
    except _Unreadable as problem:
        where = f" (line {problem.line})" if problem.line else ""
        raise Misconfigured(
            Code.INVENTORY_UNREADABLE, f"pats.yaml is not readable{where}: {problem}.", "Correct that line."
        ) from None
    examined = _examine(raw)
    stopping = [one for one in examined.problems if one.stops]
    if stopping or examined.sign_in is None:
        lines = _lines(text)
        told = "; ".join(f"{_shown(one.path)} (line {_line_of(one.path, lines)}) {one.says}" for one in stopping)
        raise Misconfigured(
            Code.INVENTORY_INVALID, f"pats.yaml: {told}.", "Correct it; `python -m shared check` shows every problem."
        )
    return Inventory(examined.sign_in, tuple(examined.users), tuple(examined.invalid), examined.overlap)


def check_file(path: Path) -> tuple[Problem, ...]:
    return check(_text_of(path))


def load_file(path: Path) -> Inventory:
    return load(_text_of(path))


def schema() -> dict[str, Any]:
    """The JSON schema of `pats.yaml`, for editors."""
    made = FilePart.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pats.yaml of patrol", **made}


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as failure:
        raise Misconfigured(
            Code.INVENTORY_UNREADABLE,
            f"{path} cannot be read ({failure.strerror or type(failure).__name__}).",
            "Set PATS_FILE to the inventory's path.",
        ) from None
    except UnicodeDecodeError:
        raise Misconfigured(Code.INVENTORY_UNREADABLE, f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None


# --- YAML ------------------------------------------------------------------------------------------------------------


class _Unreadable(Exception):
    def __init__(self, says: str, line: int | None) -> None:
        super().__init__(says)
        self.line = line


class _Loader(_LOADER):  # type: ignore[misc]  # the C loader where PyYAML was built with it
    """Refuses a key that comes twice: YAML forbids it, and PyYAML silently takes the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                raise _Unreadable(f"the key {name!r} comes twice", key.start_mark.line + 1)
            seen.add(name)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a safe loader with a check of its own
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None) or getattr(failure, "context_mark", None)
        says = getattr(failure, "problem", None) or "it is not YAML"
        raise _Unreadable(str(says), mark.line + 1 if mark else None) from None
    except (ValueError, RecursionError, OverflowError, TypeError) as failure:
        # PyYAML builds dates and numbers of what looks like one, and fails on the 31st of February.
        raise _Unreadable(f"it holds a value that is none ({type(failure).__name__})", None) from None


def _lines(text: str) -> dict[_Path, int]:
    """The line of every value, from 1. Composing is slow, so it is done only after a problem was found."""
    found: dict[_Path, int] = {}

    def walk(node: Any, path: _Path) -> None:
        if path in found:
            return
        found[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                walk(value, (*path, key.value))
                found[*path, key.value] = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                walk(value, (*path, number))

    root = yaml.compose(text, _LOADER)
    if root is not None:
        try:
            walk(root, ())
        except RecursionError:
            return found
    return found


def _line_of(path: _Path, lines: Mapping[_Path, int]) -> int | None:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _shown(path: _Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


# --- what is in it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    path: _Path
    says: str
    stops: bool = False


@dataclass(slots=True)
class _Examined:
    problems: list[_Found] = field(default_factory=list)
    sign_in: SignIn | None = None
    users: list[User] = field(default_factory=list)
    invalid: list[InvalidItem] = field(default_factory=list)
    overlap: timedelta = timedelta(days=1)


def _examine(raw: Any) -> _Examined:
    """One pass for both readers: every problem, and what a run can use."""
    examined = _Examined()
    if not isinstance(raw, dict):
        examined.problems.append(_Found((), "pats.yaml must hold the keys sign_in, defaults and users", stops=True))
        return examined
    for key in raw:
        if key not in FilePart.model_fields:
            examined.problems.append(_Found((str(key),), _unknown(str(key), FilePart)))
    examined.sign_in = _sign_in(raw.get("sign_in"), examined)
    given = raw.get("defaults")
    defaults, bad = _defaults(given if given is not None else {}, examined)
    if "overlap" in defaults:
        examined.overlap = durations.parse(defaults["overlap"])
    users = raw.get("users")
    if not isinstance(users, list):
        examined.problems.append(_Found(("users",), "must be a list of technical users", stops=True))
        return examined
    credentials = _credentials(raw, users)
    named: dict[str, _Path] = {}
    usernames: set[str] = set()
    for number, user in enumerate(users):
        _user(("users", number), user, _Context(defaults, bad, credentials, named, usernames), examined)
    return examined


@dataclass(frozen=True, slots=True)
class _Context:
    defaults: Mapping[str, str]
    bad_defaults: Mapping[str, str]
    credentials: frozenset[str]
    named: dict[str, _Path]
    usernames: set[str]


def _sign_in(raw: Any, examined: _Examined) -> SignIn | None:
    part, problems = _validate(SignInPart, raw, ("sign_in",))
    examined.problems += [_Found(one.path, one.says, stops=True) for one in problems]
    return SignIn(part.tenant, part.client_id, part.client_secret_name) if isinstance(part, SignInPart) else None


def _defaults(raw: Any, examined: _Examined) -> tuple[dict[str, str], dict[str, str]]:
    """The usable defaults, and by key what is wrong with the others: an item that needs one of those is invalid."""
    part, problems = _validate(DefaultsPart, raw, ("defaults",))
    examined.problems += problems
    bad = {str(one.path[1]): one.says for one in problems if len(one.path) > 1}
    if isinstance(part, DefaultsPart):
        return {key: value for key, value in part.model_dump().items() if value is not None}, bad
    if not isinstance(raw, dict):
        return {}, dict.fromkeys(DefaultsPart.model_fields, "`defaults` is not readable")
    kept = {key: value for key, value in raw.items() if key in DefaultsPart.model_fields and key not in bad}
    part, _ = _validate(DefaultsPart, kept, ("defaults",))
    known = part.model_dump() if part is not None else {}
    return {key: value for key, value in known.items() if value is not None}, bad


def _user(path: _Path, raw: Any, context: _Context, examined: _Examined) -> None:
    if not isinstance(raw, dict):
        says = "must be a user with username, password_secret_name and pats"
        examined.problems.append(_Found(path, says))
        examined.invalid.append(InvalidItem(_shown(path), "", "", f"{_shown(path)} {says}."))
        return
    pats = raw.get("pats")
    part, problems = _validate(UserPart, {**raw, "pats": []}, path)
    username = raw.get("username") if isinstance(raw.get("username"), str) else ""
    if part is not None and str(username).casefold() in context.usernames:
        problems.append(_Found((*path, "username"), f"{username} comes twice; put its PATs under one entry"))
        part = None
    context.usernames.add(str(username).casefold())
    if pats is not None and not isinstance(pats, list):
        problems.append(_Found((*path, "pats"), "must be a list of PATs"))
    examined.problems += problems
    # A key that patrol does not know may be a comment gone wrong; username and password say whether to work.
    lasting = [one for one in problems if one.path[-1] in ("username", "password_secret_name", "pats")]
    items: list[Item] = []
    for number, one in enumerate(pats if isinstance(pats, list) else []):
        item = _item((*path, "pats", number), one, str(username), context, examined, lasting)
        if item is not None:
            items.append(item)
    if not lasting:
        examined.users.append(User(str(username), str(raw["password_secret_name"]), tuple(items)))


def _item(
    path: _Path, raw: Any, username: str, context: _Context, examined: _Examined, user_problems: list[_Found]
) -> Item | None:
    part, problems = _validate(ItemPart, raw, path)
    secret = raw.get("secret") if isinstance(raw, dict) else None
    name = secret if isinstance(secret, str) else _shown(path)
    twice = context.named.get(name.casefold())
    if twice is not None:
        says = f"{name} is named twice: also at {_shown(twice)} (names are case-insensitive)"
        examined.problems.append(_Found((*path, "secret"), says, stops=True))
    context.named[name.casefold()] = path
    item = None
    if isinstance(part, ItemPart):
        item, more = _effective(path, part, username, context)
        problems += more
    examined.problems += problems
    wrong = [*problems, *user_problems]
    if item is not None and not wrong:
        return item
    organization = raw.get("organization", context.defaults.get("organization", "")) if isinstance(raw, dict) else ""
    told = "; ".join(f"{_shown(one.path)} {one.says}" for one in wrong)
    examined.invalid.append(InvalidItem(name, username, str(organization), f"{told}."))
    return None


def _effective(path: _Path, part: ItemPart, username: str, context: _Context) -> tuple[Item | None, list[_Found]]:
    """The item with the defaults filled in, and what its values get wrong together."""
    problems: list[_Found] = []
    given = part.model_dump()

    def value(key: str) -> str:
        if given[key] is not None:
            return str(given[key])
        if key in context.bad_defaults:
            problems.append(_Found(path, f"needs `{key}` of the defaults, and that {context.bad_defaults[key]}"))
        return context.defaults.get(key) or BUILT_IN.get(key, "")

    organization = value("organization")
    if not organization and not problems:
        problems.append(_Found(path, "has no organization, and `defaults` names none"))
    problems += [_Found((*path, "scopes", number), says) for number, says in _wrong_scopes(part)]
    if part.secret.casefold() in context.credentials:
        problems.append(
            _Found((*path, "secret"), f"{part.secret} holds a credential; publish the PAT under another name")
        )
    lifetime, overlap, max_age = (durations.parse(value(key)) for key in ("lifetime", "overlap", "max_age"))
    rotate_before = _margin(value("rotate_before"), lifetime)
    if not SHORTEST <= lifetime <= LONGEST:
        problems.append(_Found((*path, "lifetime"), "must be from 1h to 365d"))
    if rotate_before >= lifetime:
        problems.append(_Found((*path, "rotate_before"), "must be shorter than lifetime"))
    if overlap > rotate_before:
        problems.append(
            _Found((*path, "overlap"), "must not be longer than rotate_before: the old PAT dies before it ends")
        )
    if max_age < lifetime and given["max_age"] is not None:
        problems.append(_Found((*path, "max_age"), "must not be shorter than lifetime"))
    if problems:
        return None, problems
    item = Item(
        secret=part.secret,
        username=username,
        organization=organization,
        scopes=tuple(part.scopes),
        lifetime=lifetime,
        rotate_before=rotate_before,
        overlap=overlap,
        strategy=Strategy(value("strategy")),
        max_age=max_age,
        verify=value("verify"),
        paused=part.paused,
        adopt=PatId(part.adopt.lower()) if isinstance(part.adopt, str) else part.adopt,
        decommission=part.decommission,
        recover_deleted=part.recover_deleted,
    )
    return item, problems


def _margin(text: str, lifetime: timedelta) -> timedelta:
    return lifetime * int(text[:-1]) / 100 if text.endswith("%") else durations.parse(text)


def _wrong_scopes(part: ItemPart) -> Iterator[tuple[int, str]]:
    for number, scope in enumerate(part.scopes):
        if scope in part.scopes[:number]:
            yield number, f"{scope} comes twice"
        elif scope in scopes.SIGN_IN_ONLY:
            yield number, f"{scope} is a permission of the app registration; a PAT cannot have it"
        elif scope == scopes.FULL_ACCESS and not part.allow_full_access:
            yield number, "app_token is full access: name the scopes it needs, or set allow_full_access: true"
        elif scope == scopes.FULL_ACCESS and len(part.scopes) > 1:
            yield number, "app_token is full access: the other scopes beside it add nothing"
        elif scope not in scopes.KNOWN and not part.allow_unknown_scopes:
            near = scopes.nearest(scope)
            hint = f"did you mean {near}?" if near else "`python -m shared scopes` lists the known ones"
            yield number, f"{scope} is not a known scope; {hint}"


def _credentials(raw: Mapping[str, Any], users: list[Any]) -> frozenset[str]:
    sign_in = raw.get("sign_in")
    names = [sign_in.get("client_secret_name")] if isinstance(sign_in, dict) else []
    names += [user.get("password_secret_name") for user in users if isinstance(user, dict)]
    return frozenset(name.casefold() for name in names if isinstance(name, str))


# --- words -----------------------------------------------------------------------------------------------------------


def _validate(part: type[BaseModel], raw: Any, path: _Path) -> tuple[BaseModel | None, list[_Found]]:
    try:
        return part.model_validate(raw), []
    except ValidationError as failure:
        found: dict[_Path, str] = {}
        for error in failure.errors(include_url=False, include_context=True):
            where = tuple(key for key in error["loc"] if not (isinstance(key, str) and _is_branch(key)))
            found.setdefault((*path, *where), _words(error, part))
        return None, [_Found(where, says) for where, says in found.items()]


def _is_branch(key: str) -> bool:
    # pydantic names the branch of a union in the path of an error: `adopt.bool`.
    return key == "bool" or key.startswith(("function-", "constrained-", "union["))


def _words(error: Any, part: type[BaseModel]) -> str:
    kind, given = error["type"], error.get("input")
    key = str(error["loc"][-1]) if error["loc"] else ""
    match kind:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return _unknown(key, part)
        case "string_type":
            return f"must be text: put {given!r} in quotes" if isinstance(given, bool | int | float) else "must be text"
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
            return "must hold keys and values"
        case _:
            return str(error["msg"])


def _unknown(key: str, part: type[BaseModel]) -> str:
    if re.fullmatch(r"all_?org(anization)?s|organizations|global", key, re.IGNORECASE):
        return GLOBAL_PATS
    near = difflib.get_close_matches(key, part.model_fields, n=1)
    return f"is not a known key; did you mean {near[0]}?" if near else "is not a known key"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
