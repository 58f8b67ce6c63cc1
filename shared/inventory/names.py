"""Names that one inventory may use once: of secrets, and of users where several files name one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.inventory import texts
from shared.inventory.mistakes import Found, shown
from shared.inventory.parts import Part
from shared.inventory.yaml_text import Place
from shared.model.items import User
from shared.model.vaults import VaultAddress


@dataclass(slots=True)
class Names:
    """Where each secret was named, by its place: vaults may have secrets of one name.

    In one file a name that comes twice stops the run: two writers of one secret would replace each other's values. Of
    `several` files it takes both items out and no others, so that one team's mistake does not stop every team.
    """

    several: bool
    first: dict[str, tuple[str, Place]] = field(default_factory=dict)
    again: dict[str, list[Place]] = field(default_factory=dict)

    def take(self, name: str, vault: VaultAddress, item: Place, at: Place) -> list[Found]:
        """`item`: how a message says where it was named; `at`: the place of the name itself."""
        key = vault.key_of(name)
        _, before = self.first.setdefault(key, (vault.written(name), item))
        if before is item:
            return []
        self.again.setdefault(key, []).append(item)
        return [Found(at, _twice(vault.written(name), [before]), stops=not self.several)]

    def clashes(self) -> Iterator[tuple[str, Found]]:
        """Of several files: each name that comes again, and what is wrong where it was named first."""
        for key, places in self.again.items() if self.several else ():
            name, item = self.first[key]
            yield key, Found(item if item[-1] == "secret" else (*item, "secret"), _twice(name, places))


def _twice(name: str, places: Iterable[Place]) -> str:
    return f"{name} is named twice: also at {', '.join(map(shown, places))} (names are case-insensitive)"


def quarrels(parts: Iterable[Part]) -> Mapping[str, Sequence[Place]]:
    """Users that several entries let sign in by different secrets, by casefolded name: the place of each entry.

    Whichever is wrong would use up a password's attempts, so none is believed.
    """
    found: dict[str, dict[str, Place]] = {}
    for part in parts:
        users = part.raw.get("users")
        for number, user in enumerate(users if isinstance(users, list) else []):
            if not isinstance(user, dict):
                continue
            name = texts.if_it_is(texts.user_name, user.get("username")).casefold()
            if name:
                found.setdefault(name, {}).setdefault(_credential(user), (*part.at, "users", number))
    return {name: tuple(ways.values()) for name, ways in found.items() if len(ways) > 1}


def _credential(user: Mapping[str, Any]) -> str:
    return "enrolled" if user.get("enrolled") is True else f"by {user.get('password_secret_name')}".casefold()


def otherwise(username: str, path: Place, places: Iterable[Place]) -> Found:
    """What is wrong with an entry of a user that another one lets sign in by another secret."""
    others = " and ".join(shown(place) for place in places if place[:1] != path[:1])
    says = f"{username} signs in by another secret at {others}: both must name the same one"
    return Found((*path, "username"), says)


def joined(users: Iterable[User]) -> list[User]:
    """One user for all entries of one, with the items of all of them."""
    found: dict[str, User] = {}
    for user in users:
        before = found.get(user.key)
        found[user.key] = user if before is None else before.and_items(user)
    return list(found.values())
