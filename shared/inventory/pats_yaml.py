"""`pats.yaml`: read strictly for `check`, and tolerantly for a run, where an invalid item fails alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from shared.inventory import consumers, recipients, scopes, service_principals, sign_in_kinds, texts, yaml_text
from shared.inventory.mistakes import Found, sentence, shown, unknown_key, unreadable, validate
from shared.inventory.recipients import Recipients
from shared.inventory.schema import DefaultsPart, FilePart, ItemPart, UserPart
from shared.inventory.service_principals import Principals
from shared.inventory.times import Times
from shared.inventory.yaml_text import Lines, Place, Unreadable
from shared.model import durations
from shared.model.credentials import SignIn
from shared.model.errors import Code, Misconfigured
from shared.model.items import InvalidItem, Inventory, Item, Strategy, User
from shared.model.pats import PatId

BUILT_IN: Mapping[str, str] = {
    "lifetime": "30d",
    "rotate_before": "7d",
    "overlap": "1d",
    "strategy": "rotate",
    "max_age": "365d",
    "verify": "connection-data",
    "hold_for_readers": "0d",
}

_CHECKING = Lock()
_WRITE_IT = (
    "Copy pats.example.yaml to pats.yaml, write your names in it, and deploy it with the code; or set PATS_FILE to the "
    "inventory's path."
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: `path` such as `users[0].pats[1].scopes[0]`, its line from 1 where it is known, and what to do."""

    path: str
    line: int | None
    says: str


def check(text: str) -> tuple[Problem, ...]:
    """Every problem at once, by line. Empty when a run would work on every item."""
    try:
        raw = yaml_text.parse(text)
    except Unreadable as problem:
        return (Problem("", problem.line, unreadable(problem)),)
    mistakes = [mistake for mistake in _examine(raw).problems if not mistake.echo]
    if not mistakes:
        return ()
    lines = Lines(text)
    problems = [Problem(shown(mistake.path), lines.of(mistake.at), mistake.says) for mistake in mistakes]
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def load(text: str) -> Inventory:
    """Read for a run. Raises Misconfigured for unreadable YAML, an invalid `sign_in` or a secret named twice."""
    try:
        raw = yaml_text.parse(text)
    except Unreadable as problem:
        where = f" (line {problem.line})" if problem.line else ""
        cause = f"pats.yaml is not readable{where}: {unreadable(problem)}."
        remedy = "Correct that line; `patrol check` reads it again."
        raise Misconfigured(Code.INVENTORY_UNREADABLE, cause, remedy) from None
    examined = _examine(raw)
    stopping = [mistake for mistake in examined.problems if mistake.stops]
    if stopping or examined.sign_in is None:
        lines = Lines(text)
        sentences = "; ".join(_with_line(mistake, lines) for mistake in stopping)
        remedy = "Correct it; `patrol check` shows every problem."
        raise Misconfigured(Code.INVENTORY_INVALID, f"pats.yaml: {sentences}.", remedy)
    return Inventory(
        examined.sign_in,
        tuple(examined.users),
        tuple(examined.invalid),
        examined.overlap,
        tuple(examined.principals.tokens),
        tuple(examined.principals.invalid),
        tuple(examined.recipients.valid),
        tuple(examined.recipients.invalid),
        examined.administrator,
    )


def _with_line(mistake: Found, lines: Lines) -> str:
    line = lines.of(mistake.at)
    return " ".join(filter(None, (shown(mistake.path), f"(line {line})" if line else "", mistake.says)))


def check_file(path: Path) -> tuple[Problem, ...]:
    """The same of a file. Raises Misconfigured when it cannot be read."""
    return check(text_of(path))


def load_file(path: Path) -> Inventory:
    """The same of a file. One that reads as before is not checked again: an instance has many messages of one run."""
    text = text_of(path)
    with _CHECKING:
        return _load_again(text)


@lru_cache(maxsize=1)
def _load_again(text: str) -> Inventory:
    return load(text)


def schema() -> dict[str, Any]:
    """The JSON schema of `pats.yaml`, for editors."""
    made = FilePart.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pats.yaml of patrol", **made}


def text_of(path: Path) -> str:
    """The file's text. Raises Misconfigured."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as failure:
        raise Misconfigured(
            Code.INVENTORY_UNREADABLE,
            f"{path} cannot be read ({failure.strerror or type(failure).__name__}).",
            _WRITE_IT,
        ) from None
    except UnicodeDecodeError:
        raise Misconfigured(Code.INVENTORY_UNREADABLE, f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None


# --- what is in it ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Examined:
    problems: list[Found] = field(default_factory=list)
    sign_in: SignIn | None = None
    users: list[User] = field(default_factory=list)
    invalid: list[InvalidItem] = field(default_factory=list)
    overlap: timedelta = timedelta(days=1)
    principals: Principals = field(default_factory=Principals)
    recipients: Recipients = field(default_factory=Recipients)
    administrator: str = ""


def _examine(raw: Any) -> _Examined:
    """One pass for both readers: every problem, and what a run can use."""
    examined = _Examined()
    if not isinstance(raw, dict):
        examined.problems.append(Found((), "it must hold the keys sign_in and users", stops=True))
        return examined
    for key in raw:
        if key not in FilePart.model_fields:
            examined.problems.append(Found((), unknown_key(str(key), FilePart), key=str(key)))
    examined.sign_in, wrong = sign_in_kinds.app(raw.get("sign_in"))
    examined.problems += wrong
    given = raw.get("defaults")
    defaults, bad = _defaults(given if given is not None else {}, examined)
    if "overlap" in defaults:
        examined.overlap = durations.parse(defaults["overlap"])
    examined.recipients = recipients.read(raw.get("notify"))
    examined.problems += examined.recipients.problems
    users = raw.get("users")
    if not isinstance(users, list):
        says = "is missing" if users is None else "must be a list of technical users"
        examined.problems.append(Found(("users",), says, stops=True))
        return examined
    principals = raw.get("service_principals")
    credentials = _credentials(raw, users, principals if isinstance(principals, list) else [])
    named: dict[str, Place] = {}
    usernames: set[str] = set()
    for number, user in enumerate(users):
        _user(("users", number), user, _Context(defaults, bad, credentials, named, usernames), examined)
    examined.administrator, wrong = sign_in_kinds.administrator(raw, examined.users)
    examined.problems += wrong
    examined.principals = service_principals.read(raw.get("service_principals"), defaults, bad, credentials, named)
    examined.problems += examined.principals.problems
    return examined


@dataclass(frozen=True, slots=True)
class _Context:
    defaults: Mapping[str, str]
    bad_defaults: Mapping[str, str]
    credentials: frozenset[str]
    named: dict[str, Place]
    usernames: set[str]
    copies: consumers.Copies = field(default_factory=consumers.Copies)


def _defaults(raw: Any, examined: _Examined) -> tuple[dict[str, str], dict[str, str]]:
    """The usable defaults, and by key what is wrong with the others: an item that needs one of those is invalid."""
    part, problems = validate(DefaultsPart, raw, ("defaults",))
    examined.problems += problems
    bad = {str(mistake.path[1]): mistake.says for mistake in problems if len(mistake.path) > 1}
    if isinstance(part, DefaultsPart):
        return {key: value for key, value in part.model_dump().items() if value is not None}, bad
    if not isinstance(raw, dict):
        return {}, dict.fromkeys(DefaultsPart.model_fields, "`defaults` is not readable")
    kept = {key: value for key, value in raw.items() if key in DefaultsPart.model_fields and key not in bad}
    part, _ = validate(DefaultsPart, kept, ("defaults",))
    usable = part.model_dump() if part is not None else {}
    return {key: value for key, value in usable.items() if value is not None}, bad


def _user(path: Place, raw: Any, context: _Context, examined: _Examined) -> None:
    if not isinstance(raw, dict):
        says = "must be a user with username, password_secret_name (or enrolled) and pats"
        examined.problems.append(Found(path, says))
        examined.invalid.append(InvalidItem(shown(path), "", "", f"{shown(path)} {says}."))
        return
    pats = raw.get("pats")
    # The items are read one by one, below: a mistake in one must not take the others along.
    part, problems = validate(UserPart, {**raw, "pats": []}, path)
    problems += sign_in_kinds.mistakes(path, raw)
    username = texts.if_it_is(texts.user_name, raw.get("username"))
    if part is not None and username.casefold() in context.usernames:
        problems.append(Found((*path, "username"), f"{username} comes twice; put its PATs under one entry"))
        part = None
    context.usernames.add(username.casefold())
    if pats is not None and not isinstance(pats, list):
        problems.append(Found((*path, "pats"), "must be a list of PATs"))
    examined.problems += problems
    # A key that patrol does not know may be a comment gone wrong; these say whether to work.
    lasting = [mistake for mistake in problems if mistake.path[-1] in sign_in_kinds.NEEDED]
    items: list[Item] = []
    for number, entry in enumerate(pats if isinstance(pats, list) else []):
        item = _item((*path, "pats", number), entry, username, context, examined, lasting)
        if item is not None:
            items.append(item)
    if lasting and not (pats and isinstance(pats, list)):
        # Without an item to fail, the user would drop out of the run without a word.
        examined.invalid.append(InvalidItem(shown(path), username, "", sentence(lasting)))
    if not lasting:
        enrolled = raw.get("enrolled") is True
        password = "" if enrolled else str(raw["password_secret_name"])
        examined.users.append(User(username, password, tuple(items), enrolled))


def _item(
    path: Place, raw: Any, username: str, context: _Context, examined: _Examined, user_problems: list[Found]
) -> Item | None:
    given = raw if isinstance(raw, dict) else {}
    part, problems = validate(ItemPart, {**given, "then": None} if given else raw, path)
    then, wrong_then = consumers.read(given.get("then"), (*path, "then"))
    problems += wrong_then
    name = texts.if_it_is(texts.secret_name, given.get("secret")) or shown(path)
    twice = context.named.get(name.casefold())
    if twice is not None:
        says = f"{name} is named twice: also at {shown(twice)} (names are case-insensitive)"
        examined.problems.append(Found((*path, "secret"), says, stops=True))
    context.named[name.casefold()] = path
    if name.casefold() in context.credentials:
        says = f"{name} holds a credential; publish the PAT under another name"
        problems.append(Found((*path, "secret"), says))
    if not any(mistake.path[: len(path) + 1] == (*path, "scopes") for mistake in problems):
        problems += [Found((*path, "scopes", number), says) for number, says in _wrong_scopes(given)]
    item = None
    if part is not None:
        # Values are compared only in an item whose keys all read well: a misspelt one may be half of the comparison.
        item, more = _effective(path, part, username, context)
        problems += [*more, *context.copies.twice(then, path)]
        item = item and replace(item, then=then)
    examined.problems += problems
    wrong = [*problems, *user_problems]
    if item is not None and not wrong:
        return item
    own = given.get("organization") or context.defaults.get("organization")
    organization = texts.if_it_is(texts.organization_name, own)
    examined.invalid.append(InvalidItem(name, username, organization, sentence(wrong)))
    return None


def _effective(path: Place, part: ItemPart, username: str, context: _Context) -> tuple[Item | None, list[Found]]:
    """The item with the defaults filled in, and what its values get wrong together."""
    given = {key: getattr(part, key) for key in DefaultsPart.model_fields}
    for key, says in context.bad_defaults.items():
        if key in given and given[key] is None:
            return None, [Found(path, f"needs `{key}` of the defaults, and that {says}", echo=True)]
    values = {key: text or context.defaults.get(key) or BUILT_IN.get(key, "") for key, text in given.items()}
    times = Times.of(values)
    problems = [Found((*path, key), says) for key, says in times.mistakes(values)]
    if not values["organization"]:
        problems.insert(0, Found(path, "has no organization, and `defaults` names none"))
    if problems:
        return None, problems
    item = Item(
        secret=part.secret,
        username=username,
        organization=values["organization"],
        scopes=tuple(part.scopes),
        lifetime=times.lifetime,
        rotate_before=times.rotate_before,
        overlap=times.overlap,
        hold_for_readers=times.hold_for_readers,
        strategy=Strategy(values["strategy"]),
        max_age=times.max_age,
        verify=values["verify"],
        paused=part.paused,
        adopt=PatId(part.adopt) if isinstance(part.adopt, str) else part.adopt,
        decommission=part.decommission,
        recover_deleted=part.recover_deleted,
    )
    return item, []


def _wrong_scopes(item: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
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


def _credentials(raw: Mapping[str, Any], users: list[Any], principals: list[Any]) -> frozenset[str]:
    sign_in = raw.get("sign_in")
    named = ("client_secret_name", "client_certificate_name")
    names = [sign_in.get(key) for key in named] if isinstance(sign_in, dict) else []
    for user in users:
        if isinstance(user, dict):
            names += [user.get("password_secret_name"), *_consumers_secrets(user)]
    names += [entry.get(key) for entry in principals if isinstance(entry, dict) for key in named]
    names += recipients.secrets(raw.get("notify"))
    return frozenset(name.casefold() for name in names if isinstance(name, str))


def _consumers_secrets(user: Mapping[str, Any]) -> Iterator[Any]:
    """What `then` of a user's items names, as written."""
    pats = user.get("pats")
    for item in pats if isinstance(pats, list) else []:
        yield from consumers.secrets(item.get("then") if isinstance(item, dict) else None)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
