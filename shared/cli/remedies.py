"""Remedies that name a key of pats.yaml, where the value came from a flag."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from shared.model.errors import PatrolError

_KEYS = re.compile(r"`[\w.]+`(?: (?:or|and) `[\w.]+`)*(?: of the item)?(?: in pats\.yaml)?")
_A_NAME = "its name in pats.yaml"


@contextmanager
def of_flags(flags: Mapping[str, str]) -> Iterator[None]:
    """Whoever fails in here is told to correct the flag. `flags`: by key of pats.yaml, those that were given."""
    try:
        yield
    except PatrolError as failure:
        failure.remedy = named(failure.remedy, flags)
        raise


def named(remedy: str, flags: Mapping[str, str]) -> str:
    """The remedy with flags for keys; unchanged where one of its keys did come from pats.yaml."""
    if "password_secret_name" in flags:
        remedy = remedy.replace(_A_NAME, f"its name, {flags['password_secret_name']}")

    def flag(found: re.Match[str]) -> str:
        keys = [key.rpartition(".")[2] for key in re.findall(r"`([\w.]+)`", found[0])]
        return " or ".join(flags[key] for key in keys) if all(key in flags for key in keys) else found[0]

    return _KEYS.sub(flag, remedy)
