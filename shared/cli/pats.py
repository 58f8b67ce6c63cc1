"""`pats`: the PAT lifecycle API by hand, as one technical user of pats.yaml."""

from __future__ import annotations

import argparse
import shlex
from contextlib import suppress
from datetime import datetime

from shared.cli import global_pats, make_pat
from shared.cli.arguments import PROGRAM, wrong
from shared.cli.command import NOT_DONE, WELL, Terminal
from shared.cli.make_pat import Bench, Place, Wanted
from shared.cli.names import user_of
from shared.cli.pat_tables import say_global, show_all, show_one
from shared.cli.remedies import of_flags
from shared.inventory.item_lines import shown_name
from shared.model.clock import VaultTime, check_clock
from shared.model.errors import PatrolError
from shared.model.items import User
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import PatApi
from shared.rotation import gate
from shared.rotation.sign_in import SignIns
from shared.rules import may_end


def pats(terminal: Terminal) -> int:
    """Run one action; gives the exit code. Obeys the memory of refused sign-ins, as a run does.

    Raises Misconfigured for what cannot be asked for, and whatever the services refuse.
    """
    options, patrol = terminal.options, terminal.open()
    settings, inventory, world = patrol.settings, patrol.inventory, patrol.world
    user = user_of(inventory, options.user)
    organization = options.organization or _only_organization(user)
    _refuse(terminal)
    listing = world.vault.listing()
    check_clock(listing.ahead)
    clock = VaultTime(world.clock, listing.ahead)
    sign_ins = SignIns(world, inventory.sign_in, clock, settings.mark)
    wanted_at = options.to_secret if options.action == "create" else None
    place = make_pat.free_place(world, inventory, listing, wanted_at) if wanted_at else None
    bench = Bench(world, sign_ins.sign_in(user), clock)
    with of_flags(_flags(options)):
        return _act(terminal, bench, user, organization, place)


def _act(terminal: Terminal, bench: Bench, user: User, organization: str, place: Place | None) -> int:
    options, api, clock = terminal.options, bench.api, bench.clock
    whose = f"--user {shlex.quote(user.username)} --organization {organization}"
    match options.action:
        case "list":
            _list(terminal, api, user, organization, clock.now())
        case "get":
            show_one(terminal.screen, api.get(organization, options.id), as_json=options.json)
        case "create":
            terminal.stopping.says = lambda: make_pat.in_doubt(whose)
            verify = options.verify or "connection-data"
            wanted = Wanted(user, organization, options.name, options.scopes, options.lifetime, verify)
            _create(terminal, bench, wanted, place)
        case "renew":
            terminal.stopping.says = lambda: _look_again("It may have been renewed", options.id, whose)
            show_one(terminal.screen, _renewed(options, api, organization, clock.now()), as_json=options.json)
        case "revoke":
            return _revoke(terminal, bench, organization, whose)
    return WELL


def _flags(options: argparse.Namespace) -> dict[str, str]:
    """What of a new PAT did not come from pats.yaml."""
    given = {"organization": "--organization"} if options.organization else {}
    if options.action in ("create", "renew"):
        given["lifetime"] = "--lifetime"
    if options.action == "create":
        given |= {"scopes": "--scopes", "verify": "--verify"}
    return given


def _refuse(terminal: Terminal) -> None:
    """What is wrong before anything is reached."""
    options = terminal.options
    if options.action == "create" and options.name.casefold().startswith("patrol/"):
        raise wrong("Names that begin with patrol/ are the mark of managed PATs.", "Choose another --name.")
    if options.action == "create" and not options.show_value and not options.to_secret:
        raise wrong(
            "A PAT's value can be had only when it is made, and nothing says where to put it, so none was made.",
            "Add `--to-secret NAME`, which writes it into a new Key Vault secret, or `--show-value`, which prints it.",
        )
    if options.action == "create" and options.show_value and terminal.screen.out.is_gone():
        raise wrong("Nothing can be printed: standard output is closed, so no PAT was made.", "Use --to-secret NAME.")
    if options.action == "create" and options.verify and not options.to_secret:
        raise wrong("--verify proves what --to-secret writes, and nothing is to be written.", "Leave --verify out.")
    if options.action == "revoke" and not options.yes and not terminal.is_answered():
        raise wrong("Nobody is there to ask whether to revoke.", "Add --yes.")


def _list(terminal: Terminal, api: PatApi, user: User, organization: str, now: datetime) -> None:
    options = terminal.options
    listed = api.by_state(organization, options.state)
    # A PAT does not say itself that it was revoked.
    ended = api.revoked(organization) if options.state == "all" else frozenset[PatId]()
    show_all(terminal.screen, listed, options, ended, now)
    wide = [pat for pat in listed if global_pats.is_global(pat) and options.state in ("active", "all")]
    wide = [pat for pat in wide if pat.id not in ended and pat.validity.ends > now]
    if wide and not options.json:
        say_global(terminal.screen, wide, user, _where_listed(api, user, organization, wide), now)


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


def _create(terminal: Terminal, bench: Bench, wanted: Wanted, place: Place | None) -> None:
    options = terminal.options
    if place is None:
        made = make_pat.make(bench, wanted)
        show_one(terminal.screen, made.pat, as_json=options.json, value=made.value)
        if terminal.screen.out.is_gone():
            raise make_pat.unseen(wanted, made)
        return
    made = make_pat.make_into(bench, wanted, place)
    show_one(terminal.screen, made.pat, as_json=options.json, put={"secret": place.name, "vault": place.host})
    terminal.errors.line(f"Its value is in the secret {place.written}. Nobody rotates it: it is not in pats.yaml.")


def _renewed(options: argparse.Namespace, api: PatApi, organization: str, now: datetime) -> Pat:
    pat = api.get(organization, options.id)
    if global_pats.is_global(pat):
        raise wrong(
            global_pats.cause(pat, now), "Renewing would bind it to one organization: make one PAT for each instead."
        )
    scopes = tuple(sorted(pat.scopes))
    allowed = may_end.extension_by_a_person(pat, Owner(options.user, organization))
    return gate.extend(api, allowed, scopes, now + options.lifetime)


def _revoke(terminal: Terminal, bench: Bench, organization: str, whose: str) -> int:
    options, api = terminal.options, bench.api
    pat = api.get(organization, options.id)
    named = f"{pat.id} ({shown_name(pat)})"
    mark = " It carries patrol's mark." if pat.display_name.startswith("patrol/") else ""
    if not options.yes and not terminal.agrees(f"Revoke {named}?{mark} Whoever uses it stops working."):
        terminal.errors.line("Nothing was revoked.")
        return NOT_DONE
    terminal.stopping.says = lambda: _look_again("It may have ended", pat.id, whose)
    owner = Owner(options.user, organization)
    gate.end(api, may_end.named_by_a_person(pat.id, owner, bench.clock.now()), bench.world.tell)
    terminal.errors.line(f"Revoked {named}.")
    if options.json:
        show_one(terminal.screen, pat, as_json=True)
    return WELL


def _look_again(says: str, pat: PatId, whose: str) -> str:
    return f"{says}: `{PROGRAM} pats get {pat} {whose}` tells."


def _only_organization(user: User) -> str:
    names = {item.organization.casefold(): item.organization for item in user.items}
    if len(names) == 1:
        return next(iter(names.values()))
    raise wrong(f"{user.username} has items in {len(names)} organizations.", "Name one: --organization ORG.")
