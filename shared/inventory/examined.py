"""What an inventory has when it was read whole: every mistake, and what a run can use all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from shared.inventory import consumers, credentials, recipients, service_principals, sign_in_kinds, texts
from shared.inventory.bounds import Bounds
from shared.inventory.credentials import Credentials
from shared.inventory.item_values import read_defaults, wrong_scopes
from shared.inventory.mistakes import Found, sentence, shown, unknown_key, validate
from shared.inventory.names import Names, joined, otherwise, quarrels
from shared.inventory.parts import Part, Parts, Unread
from shared.inventory.recipients import Recipients
from shared.inventory.schema import DefaultsPart, FilePart, ItemPart, UserPart
from shared.inventory.service_principals import Principals
from shared.inventory.times import Times
from shared.inventory.vaults import Vaults, host_in
from shared.inventory.yaml_text import Place
from shared.model import durations
from shared.model.credentials import SignIn
from shared.model.errors import Code
from shared.model.items import InvalidItem, Inventory, Item, Named, Strategy, User
from shared.model.notices import InvalidRecipient
from shared.model.pats import PatId
from shared.model.vaults import VaultAddress

BUILT_IN: Mapping[str, str] = {
    "lifetime": "30d",
    "rotate_before": "7d",
    "overlap": "1d",
    "strategy": "rotate",
    "max_age": "365d",
    "verify": "connection-data",
    "hold_for_readers": "0d",
}


@dataclass(slots=True)
class Examined:
    """`sign_in`: None where a run cannot begin."""

    problems: list[Found] = field(default_factory=list)
    sign_in: SignIn | None = None
    users: list[User] = field(default_factory=list)
    invalid: list[InvalidItem] = field(default_factory=list)
    overlap: timedelta = timedelta(days=1)
    principals: Principals = field(default_factory=Principals)
    recipients: Recipients = field(default_factory=Recipients)
    administrator: str = ""
    unread: list[str] = field(default_factory=list)
    vaults: Vaults = field(default_factory=Vaults)

    def inventory(self, sign_in: SignIn) -> Inventory:
        """What a run can use of it."""
        read = Inventory(
            sign_in,
            tuple(self.users),
            tuple(self.invalid),
            self.overlap,
            tuple(self.principals.tokens),
            tuple(self.principals.invalid),
            tuple(self.recipients.valid),
            tuple(self.recipients.invalid),
            self.administrator,
            tuple(self.unread),
        )
        return self.vaults.among(read)


def examine(parts: Parts, home: str | None) -> Examined:
    """One pass for both readers: every problem, and what a run can use."""
    examined = Examined(problems=list(parts.problems), vaults=Vaults(home))
    head = parts.head
    for unread in parts.unread:
        _items_unknown(unread, examined)
    if head is None:
        return examined
    context = _of_head(head, parts, examined)
    for part in parts.parts:
        if not _users(part, context, examined):
            return examined
    examined.users = joined(examined.users)
    examined.administrator, wrong = sign_in_kinds.administrator(head.raw, examined.users)
    examined.problems += head.inside(wrong)
    for part in parts.parts:
        everyone = context.defaults, context.bad_defaults, context.credentials.all, context.named, context.bounds
        examined.principals.add(service_principals.read(part, *everyone, context.vaults))
    examined.problems += examined.principals.problems
    _set_aside(context.named, examined)
    examined.problems += context.vaults.problems
    return examined


def _users(part: Part, context: _Context, examined: Examined) -> bool:
    """Read one file's technical users; False where the run ends for want of them."""
    unknown = [str(key) for key in part.raw if key not in FilePart.model_fields]
    examined.problems += part.inside(Found((), unknown_key(key, FilePart), key=key) for key in unknown)
    users, several = part.raw.get("users"), context.named.several
    if not isinstance(users, list):
        says = "is missing" if users is None else "must be a list of technical users"
        if not several or users is not None:
            examined.problems.append(Found((*part.at, "users"), says, stops=not several))
        if several and (users is not None or part.may_misspell_users(unknown)):
            _items_unknown(Unread(part.name, f"has no list of technical users: `users` {says}"), examined)
        return several
    at: Place = (*part.at, "defaults")
    context = replace(context, spoilt=[problem for problem in context.misplaced if problem.path == at])
    for number, user in enumerate(users):
        _user((*part.at, "users", number), user, context, examined)
    return True


def _of_head(head: Part, parts: Parts, examined: Examined) -> _Context:
    """What the file with `sign_in` says for all."""
    examined.sign_in, wrong = sign_in_kinds.app(head.raw.get("sign_in"))
    given = head.raw.get("defaults")
    defaults, bad, problems = read_defaults(given if given is not None else {})
    if "overlap" in defaults:
        examined.overlap = durations.parse(defaults["overlap"])
    examined.recipients = recipients.read(head.raw.get("notify"))
    if (elsewhere := examined.vaults.wrong(("defaults", "vault"), defaults.get("vault"))) is not None:
        problems.append(elsewhere)
        bad["vault"] = elsewhere.says
        del defaults["vault"]
    examined.vaults.note(defaults.get("vault"))
    examined.problems += head.inside([*wrong, *problems, *examined.recipients.problems])
    for problem in parts.problems:
        if problem.path[-1:] == ("notify",):
            examined.recipients.invalid.append(InvalidRecipient(shown(problem.path), sentence([problem])))
    names = credentials.of(part.raw for part in parts.parts)
    named, bounds, vaults = Names(parts.several), Bounds.of(head), examined.vaults
    return _Context(defaults, bad, names, named, quarrels(parts.parts), bounds, vaults, parts.problems)


def _items_unknown(unread: Unread, examined: Examined) -> None:
    """A row of its own for what nobody could read; whose items stand in it nobody knows (promise 8)."""
    examined.unread.append(unread.name)
    says, remedy = (
        f"{unread}. Nothing of what it names is touched.",
        "Correct that file; `patrol check` reads it again.",
    )
    examined.invalid.append(InvalidItem(unread.name, "", "", says, Code.INVENTORY_FILE_UNREADABLE, remedy))


def _set_aside(named: Names, examined: Examined) -> None:
    """Of a secret that two files name nobody can say which is meant, so neither item is worked on."""
    wrong = dict(named.clashes())
    if not wrong:
        return
    examined.problems += wrong.values()
    clashing = [item for user in examined.users for item in user.items if item.place in wrong]
    examined.users = [user.without(wrong.keys()) for user in examined.users]
    examined.invalid += [_invalid(item, wrong[item.place]) for item in clashing]
    tokens = examined.principals.tokens
    examined.principals.invalid += [_invalid(token, wrong[token.place]) for token in tokens if token.place in wrong]
    examined.principals.tokens = [token for token in tokens if token.place not in wrong]


def _invalid(item: Named, problem: Found) -> InvalidItem:
    says = sentence([problem])
    return InvalidItem(item.secret, item.username, item.organization, says, owner=item.owner, vault=item.vault)


@dataclass(frozen=True, slots=True)
class _Context:
    """`misplaced`: keys that belong into another file; `spoilt`: those of this file that each of its items suffers."""

    defaults: Mapping[str, str]
    bad_defaults: Mapping[str, str]
    credentials: Credentials
    named: Names
    quarrels: Mapping[str, Sequence[Place]]
    bounds: Bounds
    vaults: Vaults
    misplaced: Sequence[Found] = ()
    usernames: set[tuple[Place, str]] = field(default_factory=set)
    copies: consumers.Copies = field(default_factory=consumers.Copies)
    spoilt: Sequence[Found] = ()
    vault: Any = None
    """What the user says of it, as written."""


def _user(path: Place, raw: Any, context: _Context, examined: Examined) -> None:
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
    owner = texts.if_it_is(texts.owner, raw.get("owner"))
    entry = (path[:-2], username.casefold())
    if part is not None and entry in context.usernames:
        problems.append(Found((*path, "username"), f"{username} comes twice; put its PATs under one entry"))
        part = None
    elif context.named.several and username.casefold() in context.quarrels:
        problems.append(otherwise(username, path, context.quarrels[username.casefold()]))
    context.usernames.add(entry)
    vault = host_in(raw.get("vault"))
    if (elsewhere := context.vaults.wrong((*path, "vault"), vault)) is not None:
        problems.append(elsewhere)
    context.vaults.note(vault)
    context = replace(context, vault=raw.get("vault"))
    if pats is not None and not isinstance(pats, list):
        problems.append(Found((*path, "pats"), "must be a list of PATs"))
    examined.problems += problems
    # A key that patrol does not know may be a comment gone wrong; these say whether to work.
    # And in a vault that nobody meant nothing is published.
    lasting = [mistake for mistake in problems if mistake.path[-1] in (*sign_in_kinds.NEEDED, "vault")]
    items: list[Item] = []
    for number, one in enumerate(pats if isinstance(pats, list) else []):
        item = _item((*path, "pats", number), one, username, context, examined, [*context.spoilt, *lasting])
        if item is not None:
            items.append(replace(item, owner=owner))
        else:
            examined.invalid[-1] = replace(examined.invalid[-1], owner=owner)
    if lasting and not (pats and isinstance(pats, list)):
        # Without an item to fail, the user would drop out of the run without a word.
        examined.invalid.append(InvalidItem(shown(path), username, "", sentence(lasting)))
    if not lasting:
        enrolled = raw.get("enrolled") is True
        password = "" if enrolled else str(raw["password_secret_name"])
        examined.users.append(User(username, password, tuple(items), enrolled, () if not owner else (owner,)))


def _item(
    path: Place, raw: Any, username: str, context: _Context, examined: Examined, user_problems: list[Found]
) -> Item | None:
    given = raw if isinstance(raw, dict) else {}
    part, problems = validate(ItemPart, {**given, "then": None} if given else raw, path)
    then, wrong_then = consumers.read(given.get("then"), (*path, "then"))
    problems += wrong_then
    name = texts.if_it_is(texts.secret_name, given.get("secret")) or shown(path)
    default = context.defaults.get("vault"), context.bad_defaults.get("vault")
    vault, known, elsewhere = context.vaults.of(path, (given.get("vault"), context.vault), *default)
    problems += elsewhere
    twice = context.named.take(name, vault, path, (*path, "secret")) if known else []
    if context.named.several:
        problems += twice
    else:
        examined.problems += twice
    if name.casefold() in context.credentials.all:
        says = f"{name} holds a credential; publish the PAT under another name"
        problems.append(Found((*path, "secret"), says))
    problems += context.credentials.sent_away(path, given)
    if not any(mistake.path[: len(path) + 1] == (*path, "scopes") for mistake in problems):
        problems += [Found((*path, "scopes", number), says) for number, says in wrong_scopes(given)]
    item = None
    if part is not None:
        # Values are compared only in an item whose keys all read well: a misspelt one may be half of the comparison.
        item, more = _effective(path, part, username, vault, context)
        problems += [*more, *context.copies.twice(then, path)]
        where = part.organization or context.defaults.get("organization", "")
        problems += context.bounds.outside(path, part.scopes, where)
        item = item and replace(item, then=then)
    examined.problems += problems
    wrong = [*problems, *user_problems]
    if item is not None and not wrong:
        return item
    own = given.get("organization") or context.defaults.get("organization")
    organization = texts.if_it_is(texts.organization_name, own)
    examined.invalid.append(InvalidItem(name, username, organization, sentence(wrong), vault=vault))
    return None


def _effective(
    path: Place, part: ItemPart, username: str, vault: VaultAddress, context: _Context
) -> tuple[Item | None, list[Found]]:
    """The item with the defaults filled in, and what its values get wrong together."""
    given = {key: getattr(part, key) for key in DefaultsPart.model_fields if key != "vault"}
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
        vault=vault,
    )
    return item, []
