"""What words on the command line may be: each check says what is wrong and never repeats what may be a secret.

Nothing heavy is loaded before a word is judged: help and a typing error are to answer at once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.model.errors import Misconfigured
    from shared.model.pats import PatId

PROGRAM = "patrol"


def pat_id(text: str) -> PatId:
    """Raises ArgumentTypeError, as all of these."""
    from shared.inventory import texts
    from shared.model.pats import PatId

    return PatId(_judged(texts.guid, text))


def scope_list(text: str) -> tuple[str, ...]:
    """Not judged here: the API knows more scopes than patrol. Empty text would ask for whatever it takes that for.

    Raises ArgumentTypeError.
    """
    found = tuple(scope.strip() for scope in text.split(",") if scope.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"name at least one scope; `{PROGRAM} scopes` lists them")
    return found


def duration(text: str) -> timedelta:
    """Longer than nothing. Raises ArgumentTypeError."""
    from shared.inventory import texts
    from shared.model import durations

    found = durations.parse(_judged(texts.duration, text))
    if not found:
        raise argparse.ArgumentTypeError("a PAT has to live for a while, such as 30d")
    return found


def secret_name(text: str) -> str:
    """A Key Vault secret's. Raises ArgumentTypeError, as what follows: each is judged as pats.yaml judges it."""
    from shared.inventory import texts

    return _judged(texts.secret_name, text)


def secret_reference(text: str) -> str:
    """A secret's name, or `label/name`."""
    from shared.inventory import texts

    return _judged(texts.secret_reference, text)


def organization(text: str) -> str:
    """One organization's name, no URL."""
    from shared.inventory import texts

    return _judged(texts.organization_name, text)


def user_name(text: str) -> str:
    """A member's user principal name."""
    from shared.inventory import texts

    return _judged(texts.user_name, text)


def tenant(text: str) -> str:
    """A domain of the tenant, or its id."""
    from shared.inventory import texts

    return _judged(texts.tenant_name, text)


def client_id(text: str) -> str:
    """A guid, in lower case."""
    from shared.inventory import texts

    return _judged(texts.guid, text)


def verify_path(text: str) -> str:
    """`connection-data`, or a path below the organization."""
    from shared.inventory import texts

    return _judged(texts.verify_path, text)


def app_address(text: str) -> str:
    """The deployed app's https address, without a slash at its end; http on this machine alone."""
    if not re.fullmatch(r"(https://[A-Za-z0-9.-]+(:[0-9]+)?|http://(localhost|127\.0\.0\.1):[0-9]+)/?", text):
        raise argparse.ArgumentTypeError("must be the app's address, such as https://contoso-pats.azurewebsites.net")
    return text.rstrip("/")


def _judged(check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def wrong(cause: str, remedy: str) -> Misconfigured:
    """What is asked for cannot be, whatever the services say: nothing was attempted."""
    from shared.model.errors import Code, Misconfigured

    return Misconfigured(Code.SETTINGS_INVALID, cause, remedy)
