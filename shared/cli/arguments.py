"""What words on the command line may be: each check says what is wrong and never repeats what may be a secret."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable
from datetime import timedelta

from shared.inventory import texts
from shared.inventory.texts import GUID
from shared.model import durations
from shared.model.errors import Code, Misconfigured
from shared.model.items import Inventory, User
from shared.model.pats import PatId

PROGRAM = "python -m shared"


# Examples are to be copied: nothing may break them at their hyphens.
Formatter = argparse.RawDescriptionHelpFormatter


def example(*lines: str) -> str:
    """What a command's help ends with."""
    return "\n".join(f"{'Example:' if at == 0 else '        '} {PROGRAM} {line}" for at, line in enumerate(lines))


def wrapped(text: str) -> str:
    """A description of more than a line."""
    return textwrap.fill(text, 78, break_on_hyphens=False, break_long_words=False)


def guid(text: str) -> PatId:
    if not re.fullmatch(GUID, text):
        raise argparse.ArgumentTypeError("an authorization id is a guid")
    return PatId(text.lower())


def scope_list(text: str) -> tuple[str, ...]:
    """Not judged here: the API knows more scopes than patrol. Empty text would ask for whatever it takes that for."""
    found = tuple(scope.strip() for scope in text.split(",") if scope.strip())
    if not found:
        raise argparse.ArgumentTypeError("name at least one scope; `python -m shared scopes` lists them")
    return found


def duration(text: str) -> timedelta:
    try:
        found = durations.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    if not found:
        raise argparse.ArgumentTypeError("a PAT has to live for a while, such as 30d")
    return found


def _as_in_pats_yaml(check: Callable[[str], str]) -> Callable[[str], str]:
    def judge(text: str) -> str:
        try:
            return check(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return judge


secret_name = _as_in_pats_yaml(texts.secret_name)
organization = _as_in_pats_yaml(texts.organization_name)
user_name = _as_in_pats_yaml(texts.user_name)
tenant = _as_in_pats_yaml(texts.tenant_name)
client_id = _as_in_pats_yaml(texts.guid)
verify_path = _as_in_pats_yaml(texts.verify_path)


def user_of(inventory: Inventory, username: str) -> User:
    """The user as pats.yaml has it. Raises Misconfigured."""
    for user in inventory.users:
        if user.key == username.casefold():
            return user
    known = ", ".join(user.username for user in inventory.users)
    raise wrong(f"pats.yaml has no user {username}.", f"Known: {known}.")


def wrong(cause: str, remedy: str) -> Misconfigured:
    return Misconfigured(Code.SETTINGS_INVALID, cause, remedy)
