"""By what a user of `pats.yaml` signs in: a password, or a person's enrollment (rule 16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.inventory.mistakes import Found
from shared.inventory.yaml_text import Place

NEEDED = ("username", "password_secret_name", "enrolled", "pats")
"""The keys of a user without which nothing of it can be worked on."""


def mistakes(path: Place, raw: Mapping[str, Any]) -> Iterator[Found]:
    """One of two, and neither silently: what signs in decides what has to be guarded."""
    enrolled, password = raw.get("enrolled") is True, "password_secret_name" in raw
    if enrolled and password:
        says = "stands beside password_secret_name: an enrolled user has no password, so take one of the two out"
        yield Found((*path, "enrolled"), says)
    if not enrolled and not password:
        says = "is missing: name the secret that holds the password, or write `enrolled: true`"
        yield Found((*path, "password_secret_name"), says)
