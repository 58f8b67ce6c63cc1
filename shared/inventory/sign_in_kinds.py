"""What `pats.yaml` says of signing in: the app, by what each user does (rule 16), and who is administrator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from shared.inventory.mistakes import Found, validate
from shared.inventory.schema import SignInPart
from shared.inventory.yaml_text import Place
from shared.model.credentials import SignIn
from shared.model.items import User

NEEDED = ("username", "password_secret_name", "enrolled", "pats")
"""The keys of a user without which nothing of it can be worked on."""


def app(raw: Any) -> tuple[SignIn | None, list[Found]]:
    """The app registration that users sign in to; what is wrong with it stops a run."""
    part, problems = validate(SignInPart, raw, ("sign_in",))
    wrong = [replace(mistake, stops=True) for mistake in problems]
    return (SignIn(part.tenant, part.client_id, part.credential()) if isinstance(part, SignInPart) else None), wrong


def mistakes(path: Place, raw: Mapping[str, Any]) -> Iterator[Found]:
    """One of two, and neither silently: what signs in decides what has to be guarded."""
    enrolled, password = raw.get("enrolled") is True, "password_secret_name" in raw
    if enrolled and password:
        says = "stands beside password_secret_name: an enrolled user has no password, so take one of the two out"
        yield Found((*path, "enrolled"), says)
    if not enrolled and not password:
        says = "is missing: name the secret that holds the password, or write `enrolled: true`"
        yield Found((*path, "password_secret_name"), says)


def administrator(raw: Mapping[str, Any], users: Iterable[User]) -> tuple[str, list[Found]]:
    """Who ends leaked PATs of users that cannot sign in; "" and what is wrong where that is nobody who could."""
    name = raw.get("administrator")
    if name is None:
        return "", []
    user = next((user for user in users if isinstance(name, str) and user.key == name.casefold()), None)
    if user is None:
        says = "is none of `users:`: write it there with `enrolled: true` and `pats: []`"
        return "", [Found(("administrator",), says)]
    if not user.enrolled:
        says = f"{user.username} signs in with a password: an administrator's has to be enrolled (`enrolled: true`)"
        return "", [Found(("administrator",), says)]
    return user.username, []
