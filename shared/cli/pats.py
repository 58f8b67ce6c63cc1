"""`pats`: the PAT lifecycle API by hand, as one technical user of pats.yaml."""

from __future__ import annotations

import argparse
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TextIO

from shared.cli import arguments, global_pats, make_pat
from shared.cli.arguments import Formatter, example, wrong
from shared.cli.make_pat import Bench, Wanted
from shared.cli.pat_tables import SORTED_BY, say_global, show_all, show_one
from shared.cli.terminal import Screen
from shared.inventory.item_lines import shown_name
from shared.model.clock import VaultTime, check_clock
from shared.model.errors import PatrolError
from shared.model.items import Inventory, User
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import PatApi
from shared.model.secret_text import printable
from shared.model.tags import Mark
from shared.rotation import gate
from shared.rotation.world import World
from shared.rules import may_end

STATES = ("active", "expired", "revoked", "all")
_SOMEBODY = "--user svc-agents@contoso.com"
_SOME_ID = "a0000000-0000-4000-8000-000000000001"


def add_pats(parser: argparse.ArgumentParser) -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--user", required=True, metavar="UPN", help="a technical user of pats.yaml")
    common.add_argument(
        "--organization", type=arguments.organization, metavar="ORG", help="default: the only one of the user's items"
    )
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
    commands = parser.add_subparsers(required=True, metavar="ACTION", dest="action")

    def action(name: str, help: str, line: str) -> argparse.ArgumentParser:
        shown = example(f"pats {name} {line} {_SOMEBODY}".replace("  ", " "))
        return commands.add_parser(
            name, parents=[common], help=help, description=help, epilog=shown, formatter_class=Formatter
        )

    listed = action("list", "list the user's PATs in an organization, all pages", "--state all --sort created")
    listed.add_argument("--state", choices=STATES, default="active", help="default: active")
    listed.add_argument("--sort", choices=tuple(SORTED_BY), default="expires", help="default: expires, earliest first")
    listed.add_argument("--reverse", action="store_true", help="the other way round")
    one = action("get", "show one", _SOME_ID)
    one.add_argument("id", type=arguments.guid, metavar="ID")
    create = action(
        "create",
        "make one, and put its value where it is needed",
        "--name laptop --scopes vso.code --to-secret laptop-pat",
    )
    create.add_argument("--name", required=True, help="its display name")
    create.add_argument("--scopes", required=True, type=arguments.scope_list, help="separated by commas")
    create.add_argument(
        "--lifetime", type=arguments.duration, default=timedelta(days=30), help="such as 30d, the default"
    )
    value = create.add_mutually_exclusive_group()
    value.add_argument(
        "--to-secret",
        type=arguments.secret_name,
        metavar="NAME",
        help="write it into this new Key Vault secret, unseen",
    )
    value.add_argument("--show-value", action="store_true", help="print the value: the only time it can be seen")
    create.add_argument(
        "--verify",
        type=arguments.verify_path,
        metavar="PATH",
        help="with --to-secret: a GET path to prove it by, for scopes that cannot read connectionData",
    )
    renew = action("renew", "give one a later expiry, counted from now", _SOME_ID)
    renew.add_argument("id", type=arguments.guid, metavar="ID")
    renew.add_argument(
        "--lifetime", type=arguments.duration, default=timedelta(days=30), help="such as 30d, the default"
    )
    revoke = action("revoke", "end one, after asking", _SOME_ID)
    revoke.add_argument("id", type=arguments.guid, metavar="ID")
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
    user = arguments.user_of(inventory, options.user)
    organization = options.organization or _only_organization(user)
    _refuse(options, answers)
    listing = world.vault.listing()
    check_clock(listing.ahead)
    clock = VaultTime(world.clock, listing.ahead)
    sign_ins = world.sign_ins(inventory.sign_in, clock, mark)
    if options.action == "create" and options.to_secret:
        make_pat.refuse_taken(world.vault, listing, inventory, options.to_secret)
    api = sign_ins.sign_in(user)
    match options.action:
        case "list":
            _list(options, screen, api, user, organization, clock.now())
        case "get":
            show_one(screen, api.get(organization, options.id), as_json=options.json)
        case "create":
            verify = options.verify or "connection-data"
            wanted = Wanted(user, organization, options.name, options.scopes, options.lifetime, verify)
            _create(options, screen, errors, Bench(world, api, clock, mark), wanted)
        case "renew":
            show_one(screen, _renewed(options, api, organization, clock.now()), as_json=options.json)
        case "revoke":
            return _revoke(options, screen, errors, answers, api, organization, world, clock)
    return 0


def _refuse(options: argparse.Namespace, answers: TextIO) -> None:
    """What is wrong before anything is reached."""
    if options.action == "create" and options.name.casefold().startswith("patrol/"):
        raise wrong("Names that begin with patrol/ are the mark of managed PATs.", "Choose another --name.")
    if options.action == "create" and not options.show_value and not options.to_secret:
        raise wrong(
            "A PAT's value can be had only when it is made, and nothing says where to put it, so none was made.",
            "Add `--to-secret NAME`, which writes it into a new Key Vault secret, or `--show-value`, which prints it.",
        )
    if options.action == "create" and options.verify and not options.to_secret:
        raise wrong("--verify proves what --to-secret writes, and nothing is to be written.", "Leave --verify out.")
    if options.action == "revoke" and not options.yes and not answers.isatty():
        raise wrong("Nobody is there to ask whether to revoke.", "Add --yes.")


def _list(
    options: argparse.Namespace, screen: Screen, api: PatApi, user: User, organization: str, now: datetime
) -> None:
    pats = api.by_state(organization, options.state)
    # A PAT does not say itself that it was revoked.
    ended = api.revoked(organization) if options.state == "all" else frozenset[PatId]()
    show_all(screen, pats, options, ended, now)
    wide = [pat for pat in pats if global_pats.is_global(pat) and options.state in ("active", "all")]
    wide = [pat for pat in wide if pat.id not in ended and pat.validity.ends > now]
    if wide and not options.json:
        say_global(screen, wide, user, _where_listed(api, user, organization, wide), now)


def _where_listed(api: PatApi, user: User, organization: str, wide: list[Pat]) -> dict[PatId, list[str]]:
    """In which organizations of the user's items each of these is listed too."""
    found = {pat.id: [organization] for pat in wide}
    others = {item.organization.casefold(): item.organization for item in user.items}
    others.pop(organization.casefold(), None)
    for other in others.values():
        # Only to say more: what cannot be listed is left out.
        with suppress(PatrolError):
            for pat in api.active(other):
                if pat.id in found:
                    found[pat.id].append(other)
    return found


def _create(options: argparse.Namespace, screen: Screen, errors: TextIO, bench: Bench, wanted: Wanted) -> None:
    if options.to_secret is None:
        made = make_pat.make(bench, wanted)
        show_one(screen, made.pat, as_json=options.json, value=made.value.reveal())
        return
    made = make_pat.make_into(bench, wanted, options.to_secret)
    show_one(screen, made.pat, as_json=options.json, secret=options.to_secret)
    print(f"Its value is in the secret {options.to_secret}. Nobody rotates it: it is not in pats.yaml.", file=errors)


def _renewed(options: argparse.Namespace, api: PatApi, organization: str, now: datetime) -> Pat:
    known = api.get(organization, options.id)
    if global_pats.is_global(known):
        raise wrong(
            global_pats.cause(known, now), "Renewing would bind it to one organization: make one PAT for each instead."
        )
    scopes = tuple(sorted(known.scopes))
    allowed = may_end.extension_by_a_person(known, Owner(options.user, organization))
    return gate.extend(api, allowed, scopes, now + options.lifetime)


def _revoke(
    options: argparse.Namespace,
    screen: Screen,
    errors: TextIO,
    answers: TextIO,
    api: PatApi,
    organization: str,
    world: World,
    clock: VaultTime,
) -> int:
    known = api.get(organization, options.id)
    if not options.yes and not _agreed(known, errors, answers):
        print("Nothing was revoked.", file=errors)
        return 1
    owner = Owner(options.user, organization)
    gate.end(api, may_end.named_by_a_person(known.id, owner, clock.now()), world.tell)
    print(printable(f"Revoked {known.id} ({shown_name(known)})."), file=errors)
    if options.json:
        show_one(screen, known, as_json=True)
    return 0


def _agreed(pat: Pat, errors: TextIO, answers: TextIO) -> bool:
    whose = " It carries patrol's mark." if pat.display_name.startswith("patrol/") else ""
    question = f"Revoke {pat.id} ({shown_name(pat)})?{whose} Whoever uses it stops working. [y/N] "
    print(printable(question), end="", file=errors, flush=True)
    return answers.readline().strip().casefold() in ("y", "yes")


def _only_organization(user: User) -> str:
    names = {item.organization.casefold(): item.organization for item in user.items}
    if len(names) == 1:
        return next(iter(names.values()))
    raise wrong(f"{user.username} has items in {len(names)} organizations.", "Name one: --organization ORG.")
