"""`import`: moving in. `pats.yaml` for PATs that exist, or for the environment of the TypeScript client."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from shared.cli import arguments
from shared.cli.arguments import example, wrapped, wrong
from shared.cli.terminal import Screen
from shared.inventory import pats_yaml
from shared.inventory.from_environment import moved_in
from shared.inventory.proposals import Proposals, propose, text_of
from shared.model.clock import VaultTime, check_clock
from shared.model.errors import Misconfigured, NotDone, PatrolError
from shared.model.items import User
from shared.model.pats import Claim
from shared.model.secret_state import SecretSeen
from shared.model.secret_text import looks_like_a_pat, printable
from shared.model.tags import Mark
from shared.rotation.world import World
from shared.settings import Settings

_SIGN_IN = ("tenant", "client_id", "client_secret_name", "client_certificate_name")
_NEXT = (
    "Put these lines into pats.yaml; `python -m shared check`, then `python -m shared plan` says what a run would do."
)


def add_import(parser: argparse.ArgumentParser) -> None:
    parser.description = wrapped(
        "Write pats.yaml lines to stdout, and change nothing: for the PATs that a technical user has, or for the "
        "environment variables of the TypeScript client."
    )
    parser.epilog = example("import --user svc-agents@contoso.com --organization contoso", "import --from-env")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--user", type=arguments.user_name, metavar="UPN", help="the lines for this user's live PATs")
    what.add_argument(
        "--from-env",
        action="store_true",
        help="a pats.yaml, and how to get the secrets of the variables into the vault",
    )
    parser.add_argument("--organization", type=arguments.organization, metavar="ORG", help="with --user: required")
    new = parser.add_argument_group("for a user that pats.yaml does not have")
    new.add_argument(
        "--password-secret-name",
        type=arguments.secret_name,
        metavar="NAME",
        help="the Key Vault secret that holds the password (its name)",
    )
    new = parser.add_argument_group("where there is no pats.yaml yet")
    new.add_argument("--tenant", type=arguments.tenant, help="Entra tenant: a domain or its id")
    new.add_argument("--client-id", type=arguments.client_id, help="client id of the app registration")
    new.add_argument(
        "--client-secret-name",
        type=arguments.secret_name,
        metavar="NAME",
        help="the Key Vault secret that holds the client secret (its name)",
    )
    new.add_argument(
        "--client-certificate-name",
        type=arguments.secret_name,
        metavar="NAME",
        help="the Key Vault certificate of the app registration, instead (its name)",
    )


def run_import(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    settings: Callable[[], Settings],
    make_world: Callable[[Settings], World],
    screen: Screen,
    errors: TextIO,
) -> int:
    """Gives the exit code. The file goes to stdout alone; what to do with it to stderr."""
    if options.from_env:
        return _from_env(options, environ, settings, screen, errors)
    if options.organization is None:
        raise wrong("--organization is missing: PATs are listed per organization.", "Add --organization ORG.")
    known = settings()
    text, user, file = _to_fit_into(options, known.pats_file)
    found = propose_from_estate(text, user, options.organization, make_world(known), known.mark, file=file)
    if options.json:
        screen.json(found.to_json())
        return 0
    screen.out.write(text_of(found))
    print(f"{len(found.items)} of {len(found.items) + len(found.left_out)} live PATs have lines. {_NEXT}", file=errors)
    if any("adopt" not in one.lines for one in found.items):
        says = "Without `adopt` a run writes a new secret and leaves the old PAT alone."
        print(f"{says} Where a secret of another name holds the value, write that name and `adopt: true`.", file=errors)
    return 0


def _from_env(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    settings: Callable[[], Settings],
    screen: Screen,
    errors: TextIO,
) -> int:
    given = [name for name in ("organization", "password_secret_name", *_SIGN_IN) if getattr(options, name) is not None]
    if given:
        raise wrong(f"{_flags(given)}: --from-env takes all of that from the environment.", "Leave it out.")
    try:
        host = urlsplit(settings().credentials_vault_url).hostname or ""
    except Misconfigured:
        host = ""  # the vault may not be there yet
    found = moved_in(environ, host.partition(".")[0] or None)
    if options.json:
        screen.json(found.to_json())
        return 0
    screen.out.write(found.pats_yaml)
    print("Run in this shell, which has the variables:", file=errors)
    for line in found.commands:
        print(f"  {line}", file=errors)
    for line in found.advice:
        print(printable(line), file=errors)
    return 0


def _to_fit_into(options: argparse.Namespace, path: Path) -> tuple[str, User, bool]:
    """The inventory's text (of a new one where there is no file), the user in it, and whether there is a file.

    Raises Misconfigured that names every flag that is missing or too many.
    """
    given = {name: getattr(options, name) for name in _SIGN_IN if getattr(options, name) is not None}
    if not path.exists():
        proof = "client_secret_name" if options.client_certificate_name is None else "client_certificate_name"
        wanted = ("tenant", "client_id", proof, "password_secret_name")
        missing = [name for name in wanted if getattr(options, name) is None]
        if missing:
            cause = f"There is no {path}, so the sign-in must be given: {_flags(missing)} missing."
            raise wrong(cause, "Add them, or set PATS_FILE to the inventory's path.")
        # JSON is YAML.
        return json.dumps({"sign_in": given, "users": []}), User(options.user, options.password_secret_name), False
    if given:
        raise wrong(f"{path} has a sign_in of its own.", f"Leave out {_flags(given)}.")
    text = pats_yaml.text_of(path)
    users = {user.key: user for user in pats_yaml.load(text).users}
    user = users.get(options.user.casefold())
    named = options.password_secret_name
    if user is None and named is None:
        cause = f"pats.yaml has no user {options.user}, so patrol does not know the secret with the password."
        raise wrong(cause, "Add --password-secret-name NAME: the name of a Key Vault secret, not the password.")
    if user is not None and named is not None and named.casefold() != user.password_secret_name.casefold():
        raise wrong(
            f"pats.yaml names {user.password_secret_name} for {options.user}.", "Leave --password-secret-name out."
        )
    return text, user or User(options.user, named), True


def _flags(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def propose_from_estate(text: str, user: User, organization: str, world: World, mark: Mark, *, file: bool) -> Proposals:
    """What `pats.yaml` would say of the user's live PATs. `text` is the inventory to fit into, with its `sign_in`.

    Raises what signing in and listing raise.
    """
    estate = pats_yaml.load(text)
    listing = world.vault.listing()
    check_clock(listing.ahead)
    clock = VaultTime(world.clock, listing.ahead)
    pats = world.sign_ins(estate.sign_in, clock, mark).sign_in(user).active(organization)
    return propose(
        pats,
        user,
        organization,
        text=text,
        file=file,
        estate=estate,
        listed=listing.secrets,
        mark=mark,
        prove=lambda row: _why_unproved(world, user, organization, row),
    )


def _why_unproved(world: World, user: User, organization: str, row: SecretSeen) -> str:
    """Why the secret is not shown to hold a PAT of the user; "" when using its value showed that."""
    if not row.enabled:
        return "it is disabled"
    try:
        value = world.vault.current(row.name).value
    except PatrolError as failure:
        return f"it could not be read: {failure.code}"
    # Nothing else is sent to Azure DevOps: it may be somebody's password.
    if not looks_like_a_pat(value.reveal()):
        return "its value does not look like a PAT"
    try:
        world.verifier.verify(Claim(user.username, organization), value)
    except NotDone:
        return "its value is no PAT of this user that works here"
    except PatrolError as failure:
        return f"using it gave no clear answer: {failure.code}"
    return ""
