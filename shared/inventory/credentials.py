"""The secrets that hold credentials, as the inventory's files name them: nothing is published there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.inventory import consumers, recipients
from shared.inventory.mistakes import Found
from shared.inventory.yaml_text import Place

_OF_APPS = ("client_secret_name", "client_certificate_name")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Casefolded. `sign_in`: those of `all` by which somebody signs in to Entra ID."""

    all: frozenset[str]
    sign_in: frozenset[str]

    def sent_away(self, path: Place, item: Mapping[str, Any]) -> Iterator[Found]:
        """A consumer is sent what its token's secret holds, at an address that stands beside it."""
        if any(name.casefold() in self.sign_in for name in _texts(_of_consumers({"pats": [item]}))):
            says = "names a secret by which somebody signs in, and would send it to the consumer: name another"
            yield Found((*path, "then"), says)


def of(files: Iterable[Mapping[str, Any]]) -> Credentials:
    """What all files name, as written."""
    sign_in: set[str] = set()
    others: set[str] = set()
    for raw in files:
        users, head, principals = (raw.get(key) for key in ("users", "sign_in", "service_principals"))
        entries = [user for user in _list(users) if isinstance(user, dict)]
        apps = [entry for entry in (head, *_list(principals)) if isinstance(entry, dict)]
        sign_in |= set(_texts(app.get(key) for app in apps for key in _OF_APPS))
        sign_in |= set(_texts(user.get("password_secret_name") for user in entries))
        others |= set(_texts(name for user in entries for name in _of_consumers(user)))
        others |= set(_texts(recipients.secrets(raw.get("notify"))))
    return Credentials(frozenset(map(str.casefold, sign_in | others)), frozenset(map(str.casefold, sign_in)))


def _of_consumers(user: Mapping[str, Any]) -> Iterator[Any]:
    """What `then` of a user's items names, as written."""
    for item in _list(user.get("pats")):
        yield from consumers.secrets(item.get("then") if isinstance(item, dict) else None)


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _texts(names: Iterable[Any]) -> Iterator[str]:
    return (name for name in names if isinstance(name, str))
