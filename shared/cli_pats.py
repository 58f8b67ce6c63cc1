"""`pats`: the PAT lifecycle API by hand, as one technical user of pats.yaml."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta
from typing import TextIO

from shared import durations
from shared.clock import VaultTime
from shared.errors import Code, Misconfigured, PatrolError
from shared.inventory_schema import GUID
from shared.model import Inventory, Pat, PatId, User
from shared.report import instant
from shared.run import World, check_clock
from shared.signing import Desk
from shared.tags import Mark
from shared.terminal import Cell, Screen

NEAR = timedelta(days=7)
STATES = ("active", "expired", "revoked", "all")


def add_pats(parser: argparse.ArgumentParser) -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--user", required=True, metavar="UPN", help="a technical user of pats.yaml")
    common.add_argument("--organization", metavar="ORG", help="default: the only one of the user's items")
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
    commands = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    listed = commands.add_parser("list", parents=[common], help="list them, all pages")
    listed.add_argument("--state", choices=STATES, default="active")
    one = commands.add_parser("get", parents=[common], help="show one")
    one.add_argument("id", type=_guid, metavar="ID")
    create = commands.add_parser("create", parents=[common], help="make one")
    create.add_argument("--name", required=True, help="its display name")
    create.add_argument("--scopes", required=True, type=_scopes, help="separated by commas")
    create.add_argument("--lifetime", type=_duration, default=timedelta(days=30), help="such as 30d, the default")
    create.add_argument("--show-value", action="store_true", help="print the value: the only time it can be seen")
    renew = commands.add_parser("renew", parents=[common], help="give one a later expiry, counted from now")
    renew.add_argument("id", type=_guid, metavar="ID")
    renew.add_argument("--lifetime", type=_duration, default=timedelta(days=30), help="such as 30d, the default")
    revoke = commands.add_parser("revoke", parents=[common], help="end one, after asking")
    revoke.add_argument("id", type=_guid, metavar="ID")
    revoke.add_argument("--yes", action="store_true", help="do not ask")


def run_pats(
    options: argparse.Namespace,
    inventory: Inventory,
    world: World,
    mark: Mark,
    screen: Screen,
    errors: TextIO,
    answers: TextIO,
) -> int:
    """Run one action; gives the exit code. Obeys the memory of refused sign-ins, as a run does."""
    user = _user(inventory, options.user)
    organization = options.organization or _only_organization(user)
    if options.action == "create" and options.name.casefold().startswith("patrol/"):
        raise _wrong("Names that begin with patrol/ are the mark of managed PATs.", "Choose another --name.")
    if options.action == "revoke" and not options.yes and not answers.isatty():
        raise _wrong("Nobody is there to ask whether to revoke.", "Add --yes.")
    listing = world.vault.listing()
    check_clock(listing.ahead)
    clock = VaultTime(world.clock, listing.ahead)
    desk = Desk(inventory.sign_in, world.directory, world.credentials, world.vault, listing, clock, mark, world.tell)
    api = desk.sign_in(user)
    now = clock.now()
    match options.action:
        case "list":
            _show_all(screen, api.by_state(organization, options.state), now, as_json=options.json)
        case "get":
            _show_one(screen, api.get(organization, options.id), as_json=options.json)
        case "create":
            made = api.mint(organization, options.name, options.scopes, now + options.lifetime)
            _show_one(screen, made.pat, as_json=options.json, value=made.value.reveal() if options.show_value else None)
            if not options.show_value:
                print("Its value was not shown (--show-value); nobody can see it again.", file=errors)
        case "renew":
            known = api.get(organization, options.id)
            scopes = tuple(sorted(known.scopes))
            pat = api.extend(organization, known.id, known.display_name, scopes, now + options.lifetime)
            _show_one(screen, pat, as_json=options.json)
        case "revoke":
            known = api.get(organization, options.id)
            if not options.yes and not _agreed(known, errors, answers):
                print("Nothing was revoked.", file=errors)
                return 1
            api.revoke(organization, known.id)
            print(f"Revoked {known.id} ({known.display_name}).", file=errors)
            if options.json:
                screen.json(to_api(known))
    return 0


def to_api(pat: Pat) -> dict[str, object]:
    """The API's own shape (PatToken), without the value."""
    return {
        "displayName": pat.display_name,
        "validTo": instant(pat.validity.ends),
        "scope": " ".join(sorted(pat.scopes)),
        "targetAccounts": None if pat.organization_id is None else [pat.organization_id],
        "validFrom": instant(pat.validity.starts),
        "authorizationId": pat.id,
    }


def _show_all(screen: Screen, pats: tuple[Pat, ...], now: datetime, *, as_json: bool) -> None:
    if as_json:
        screen.json({"patTokens": [to_api(pat) for pat in pats]})
        return
    rows = [
        (
            pat.id,
            pat.display_name,
            " ".join(sorted(pat.scopes)),
            Cell(instant(pat.validity.ends) or "", _tone(pat, now)),
        )
        for pat in sorted(pats, key=lambda pat: pat.validity.ends)
    ]
    if rows:
        screen.table(("id", "name", "scopes", "works until"), rows)
    screen.say(f"{len(rows)} PATs.")
    for pat in pats:
        if pat.organization_id is None:
            screen.say(
                f"{pat.display_name} is a global PAT and stops working on 2026-12-01: make one per organization.", "bad"
            )


def _tone(pat: Pat, now: datetime) -> str:
    left = pat.validity.ends - now
    if left <= timedelta(0):
        return "faint"
    return "warning" if left < NEAR else ""


def _show_one(screen: Screen, pat: Pat, *, as_json: bool, value: str | None = None) -> None:
    shown = to_api(pat) if value is None else {**to_api(pat), "token": value}
    if as_json:
        screen.json(shown)
        return
    for key, field in shown.items():
        screen.say(f"{key:16} {', '.join(map(str, field)) if isinstance(field, list) else field}")


def _agreed(pat: Pat, errors: TextIO, answers: TextIO) -> bool:
    whose = " It carries patrol's mark." if pat.display_name.startswith("patrol/") else ""
    print(
        f"Revoke {pat.id} ({pat.display_name})?{whose} Whoever uses it stops working. [y/N] ",
        end="",
        file=errors,
        flush=True,
    )
    return answers.readline().strip().casefold() in ("y", "yes")


def _user(inventory: Inventory, username: str) -> User:
    for user in inventory.users:
        if user.key == username.casefold():
            return user
    known = ", ".join(user.username for user in inventory.users)
    raise _wrong(f"pats.yaml has no user {username}.", f"Known: {known}.")


def _only_organization(user: User) -> str:
    names = {item.organization.casefold(): item.organization for item in user.items}
    if len(names) == 1:
        return next(iter(names.values()))
    raise _wrong(f"{user.username} has items in {len(names)} organizations.", "Name one: --organization ORG.")


def _wrong(cause: str, remedy: str) -> PatrolError:
    return Misconfigured(Code.SETTINGS_INVALID, cause, remedy)


def _guid(text: str) -> PatId:
    if not re.fullmatch(GUID, text):
        raise argparse.ArgumentTypeError("an authorization id is a guid")
    return PatId(text.lower())


def _scopes(text: str) -> tuple[str, ...]:
    """Not judged here: the API knows more scopes than patrol. Empty text would ask for whatever it takes that for."""
    found = tuple(scope.strip() for scope in text.split(",") if scope.strip())
    if not found:
        raise argparse.ArgumentTypeError("name at least one scope; `python -m shared scopes` lists them")
    return found


def _duration(text: str) -> timedelta:
    try:
        duration = durations.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    if not duration:
        raise argparse.ArgumentTypeError("a PAT has to live for a while, such as 30d")
    return duration
