"""`import`: moving in. `pats.yaml` for PATs that exist, or for the environment of the TypeScript client."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from shared.cli.arguments import PROGRAM, wrong
from shared.cli.command import WELL, Terminal
from shared.cli.files import save
from shared.cli.remedies import of_flags
from shared.inventory import files, pats_yaml
from shared.inventory.from_environment import moved_in
from shared.inventory.proposals import Proposals, propose, text_of
from shared.model.clock import VaultTime, check_clock
from shared.model.errors import Misconfigured, NotDone, PatrolError
from shared.model.items import User
from shared.model.pats import Claim
from shared.model.secret_state import SecretSeen
from shared.model.secret_text import looks_like_a_pat
from shared.model.tags import Mark
from shared.rotation.sign_in import SignIns
from shared.rotation.world import World
from shared.services.blob_address import BlobAddress

_SIGN_IN = ("tenant", "client_id", "client_secret_name", "client_certificate_name")
_NEXT = f"Put these lines into pats.yaml; `{PROGRAM} check`, then `{PROGRAM} plan` says what a run would do."


def moving_in(terminal: Terminal) -> int:
    """Gives the exit code. The lines go to stdout or `--output` alone; what to do with them to stderr.

    Raises Misconfigured for what is missing, and whatever signing in and listing raise; then nothing was written.
    """
    file = None if terminal.options.output is None else _new_file(terminal.options.output)
    if terminal.options.from_env:
        return _from_env(terminal, file)
    return _from_estate(terminal, file)


def _from_estate(terminal: Terminal, file: Path | None) -> int:
    options = terminal.options
    if options.organization is None:
        raise wrong("--organization is missing: PATs are listed per organization.", "Add --organization ORG.")
    settings = terminal.settings()
    text, user, is_there = _to_fit_into(terminal, settings.pats_file)
    world = terminal.world(settings)
    with of_flags(_given(options, file=is_there)):
        found = propose_from_estate(text, user, options.organization, world, settings.mark, file=is_there)
    _write(terminal, file, text_of(found), found.to_json())
    if options.json:
        return WELL
    terminal.errors.line(
        f"{len(found.items)} of {len(found.items) + len(found.left_out)} live PATs have lines. {_NEXT}"
    )
    if any("adopt" not in proposal.lines for proposal in found.items):
        terminal.errors.line(
            "Without `adopt` a run writes a new secret and leaves the old PAT alone. Where a secret of another name "
            "holds the value, write that name and `adopt: true`."
        )
    return WELL


def _from_env(terminal: Terminal, file: Path | None) -> int:
    options = terminal.options
    given = [name for name in ("organization", "password_secret_name", *_SIGN_IN) if getattr(options, name) is not None]
    if given:
        raise wrong(f"{_flags(given)}: --from-env takes all of that from the environment.", "Leave it out.")
    try:
        host = urlsplit(terminal.settings().credentials_vault_url).hostname or ""
    except Misconfigured:
        host = ""  # the vault may not be there yet
    found = moved_in(terminal.environ, host.partition(".")[0] or None)
    _write(terminal, file, found.pats_yaml, found.to_json())
    if options.json:
        return WELL
    terminal.errors.line("Run in this shell, which has the variables:")
    for command in found.commands:
        terminal.errors.line(f"  {command}")
    for advice in found.advice:
        terminal.errors.line(advice)
    return WELL


def _new_file(name: str) -> Path:
    """Where to write. Raises Misconfigured where something is: it may be somebody's inventory.

    An empty file is what a shell leaves behind whose command wrote nothing.
    """
    path = Path(name)
    if path.exists() and (not path.is_file() or path.stat().st_size):
        raise wrong(f"{path} is there already.", "Name a file that is not there yet.")
    return path


def _write(terminal: Terminal, file: Path | None, text: str, document: Mapping[str, object]) -> None:
    """Raises Misconfigured when the file cannot be written: then it is not there, or as it was."""
    if file is not None:
        save(file, text, "--output")
        terminal.errors.line(f"Wrote {file}.")
    if terminal.options.json:
        terminal.screen.json(document)
    elif file is None:
        terminal.screen.lines(text.removesuffix("\n").split("\n"))


def _to_fit_into(terminal: Terminal, path: Path | BlobAddress) -> tuple[str, User, bool]:
    """The inventory's text (of a new one where there is no file), the user in it, and whether there is a file.

    Raises Misconfigured that names every flag that is missing or too many.
    """
    options = terminal.options
    given = {name: getattr(options, name) for name in _SIGN_IN if getattr(options, name) is not None}
    if isinstance(path, Path) and not path.exists():
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
    text = files.as_one_text(terminal.files(path))
    users = {user.key: user for user in pats_yaml.load(text).users}
    user = users.get(options.user.casefold())
    named = options.password_secret_name
    if user is None and named is None:
        cause = f"pats.yaml has no user {options.user}, so patrol does not know the secret with the password."
        raise wrong(cause, "Add --password-secret-name NAME: the name of a Key Vault secret, not the password.")
    if user is not None and named is not None and named.casefold() != user.password_secret_name.casefold():
        has = (
            "says that there is no password (`enrolled: true`)"
            if user.enrolled
            else f"names {user.password_secret_name}"
        )
        raise wrong(f"pats.yaml {has} for {options.user}.", "Leave --password-secret-name out.")
    return text, user or User(options.user, named), True


def _given(options: argparse.Namespace, *, file: bool) -> dict[str, str]:
    """By key of pats.yaml, what came from the command line; without a file nothing came from there."""
    given = {"organization": "--organization"}
    if options.password_secret_name is not None:
        given["password_secret_name"] = "--password-secret-name"
    return given if file else {**given, "username": "--user", "tenant": "--tenant", "client_id": "--client-id"}


def _flags(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def propose_from_estate(text: str, user: User, organization: str, world: World, mark: Mark, *, file: bool) -> Proposals:
    """What `pats.yaml` would say of the user's live PATs. `text` is the inventory to fit into, with its `sign_in`.

    Raises what signing in and listing raise.
    """
    inventory = pats_yaml.load(text)
    listing = world.vault.listing()
    check_clock(listing.ahead)
    clock = VaultTime(world.clock, listing.ahead)
    pats = SignIns(world, inventory.sign_in, clock, mark).sign_in(user).active(organization)
    return propose(
        pats,
        user,
        organization,
        text=text,
        file=file,
        inventory=inventory,
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
