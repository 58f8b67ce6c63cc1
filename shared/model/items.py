"""The frozen values of patrol: what people ask for, and what was seen in the vault and in Azure DevOps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import wraps
from typing import Any, Protocol, TypeVar

from shared.model.consumers import Consumer
from shared.model.credentials import (
    ClientCredential,
    FederatedIdentity,
    SignIn,
)
from shared.model.errors import Code
from shared.model.notices import InvalidRecipient, Recipient
from shared.model.pats import PatId
from shared.model.tags import ENROLLED_PREFIX
from shared.model.vaults import HOME, VaultAddress


class Strategy(StrEnum):
    ROTATE = "rotate"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Item:
    """One managed PAT = one Key Vault secret, as `pats.yaml` asks for it."""

    secret: str
    username: str
    organization: str
    scopes: tuple[str, ...]
    lifetime: timedelta
    rotate_before: timedelta
    overlap: timedelta
    strategy: Strategy = Strategy.ROTATE
    max_age: timedelta = timedelta(days=365)
    verify: str = "connection-data"
    hold_for_readers: timedelta = timedelta(0)
    """How long a predecessor whose overlap is over is kept for its readers at most (rule 18)."""
    paused: bool = False
    adopt: bool | PatId = False
    decommission: bool = False
    recover_deleted: bool = False
    owner: str = ""
    """Whom it belongs to: an e-mail address."""
    then: tuple[Consumer, ...] = ()
    vault: VaultAddress = HOME

    @property
    def key(self) -> str:
        """Its name in its vault: Key Vault names are case-insensitive."""
        return self.secret.casefold()

    @property
    def place(self) -> str:
        """What it is known by among all vaults."""
        return self.vault.key_of(self.secret)


@dataclass(frozen=True, slots=True)
class TokenItem:
    """One Key Vault secret that holds a service principal's own access token for Azure DevOps.

    `refresh_below`: per cent of the token's life; with less than that left it is replaced.
    """

    secret: str
    client_id: str
    credential: ClientCredential
    organization: str
    refresh_below: int = 50
    paused: bool = False
    adopt: bool = False
    recover_deleted: bool = False
    owner: str = ""
    vault: VaultAddress = HOME

    @property
    def key(self) -> str:
        return self.secret.casefold()

    @property
    def place(self) -> str:
        """See `Item.place`."""
        return self.vault.key_of(self.secret)

    @property
    def username(self) -> str:
        """Who signs in, where a report names it."""
        return self.client_id


class Named(Protocol):
    """What a report's row says of an item of either kind."""

    @property
    def key(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def organization(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def vault(self) -> VaultAddress: ...
    @property
    def place(self) -> str: ...


@dataclass(frozen=True, slots=True)
class InvalidItem:
    """An item of `pats.yaml` that cannot be worked on; it fails alone. `remedy`: "" for the one of every such item.

    Also a file of several that nobody could read: then `secret` is its name.
    """

    secret: str
    username: str
    organization: str
    problem: str
    code: Code = Code.ITEM_INVALID
    remedy: str = ""
    owner: str = ""
    vault: VaultAddress = HOME

    @property
    def key(self) -> str:
        return self.secret.casefold()

    @property
    def place(self) -> str:
        """See `Item.place`."""
        return self.vault.key_of(self.secret)


def digest(username: str) -> str:
    """See `User.digest`."""
    return hashlib.sha256(username.casefold().encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class User:
    """One technical user: the unit of work. `password_secret_name` is "" for one that is `enrolled` (rule 16).

    `owners`: of its entries, where several files name it each its own.
    """

    username: str
    password_secret_name: str
    items: tuple[Item, ...] = ()
    enrolled: bool = False
    owners: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.username.casefold()

    @property
    def credential_name(self) -> str:
        """The secret by which the user signs in: it holds a password, or the refresh token of an enrolled user."""
        return ENROLLED_PREFIX + self.digest if self.enrolled else self.password_secret_name

    def and_items(self, other: User) -> User:
        """With the items of another entry of this user."""
        owners = dict.fromkeys((*self.owners, *other.owners))
        return replace(self, items=(*self.items, *other.items), owners=tuple(owners))

    def without(self, places: Container[str]) -> User:
        """Without the items at these places."""
        return replace(self, items=tuple(item for item in self.items if item.place not in places))

    @property
    def digest(self) -> str:
        """12 hex of SHA-256: the user where a name may hold letters, digits and hyphens only."""
        return digest(self.username)


@dataclass(frozen=True, slots=True)
class Owners:
    """Whom secrets and technical users belong to, each by its casefolded name, as rows call it."""

    of_secrets: Mapping[str, str] = field(default_factory=dict)
    of_users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, secret: str, username: str = "") -> tuple[str, ...]:
        """The secret's; of one that is no item, such as a credential, its user's."""
        owner = self.of_secrets.get(secret.casefold())
        return (owner,) if owner else self.of_users.get(username.casefold(), ())


Answer = TypeVar("Answer")


def once(method: Callable[[Any], Answer]) -> Callable[[Any], Answer]:
    """A method of a frozen value that goes over all of it, once: an instance has many messages of one inventory."""

    @wraps(method)
    def answer(self: Any) -> Answer:
        known: dict[str, Answer] = self.__dict__
        name = f"{method.__name__}()"
        if name not in known:
            known[name] = method(self)
        return known[name]

    return answer


@dataclass(frozen=True)
class Inventory:
    """`pats.yaml`, read. `overlap` is the default one, for PATs whose item is gone.

    `administrator`: the enrolled user that ends leaked PATs of users who cannot sign in; "" for none.

    Tokens have a timer of their own, so what is wrong with one does not fail a run over PATs, nor the other way round.

    `unread`: files that could not be read. Any name may stand in one of them, so nothing is known to be in none.

    `more_vaults`: named where there is no item (any more): what patrol published there is still looked at. `home`: the
    host of KEY_VAULT_URL, "" where that is not known.
    """

    sign_in: SignIn
    users: tuple[User, ...]
    invalid: tuple[InvalidItem, ...] = ()
    overlap: timedelta = timedelta(days=1)
    tokens: tuple[TokenItem, ...] = ()
    invalid_tokens: tuple[InvalidItem, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    invalid_recipients: tuple[InvalidRecipient, ...] = ()
    administrator: str = ""
    unread: tuple[str, ...] = ()
    more_vaults: tuple[VaultAddress, ...] = ()
    home: str = ""
    in_several: frozenset[str] = frozenset()
    """Casefolded names of secrets that several vaults have: of these callers write `label/name`."""

    @once
    def items(self) -> tuple[Item, ...]:
        return tuple(item for user in self.users for item in user.items)

    @once
    def by_key(self) -> Mapping[str, Item]:
        """Items by their names in their vault; asked of one vault's part, where a name is there once."""
        return {item.key: item for item in self.items()}

    @once
    def owners(self) -> Owners:
        """Whom things belong to."""
        secrets = {self.called(one).casefold(): one.owner for one in self.all_named() if one.owner}
        return Owners(secrets, {user.key: user.owners for user in self.users})

    @once
    def credential_names(self) -> frozenset[str]:
        """The secrets that hold what patrol signs in, pushes and tells with, casefolded: nothing is published there."""
        named = [self.sign_in.credential, *(token.credential for token in self.tokens)]
        names = [credential.name for credential in named if not isinstance(credential, FederatedIdentity)]
        names += [user.credential_name for user in self.users]
        names += [name for item in self.items() for to in item.then for name in to.secret_names]
        names += [name for one in self.recipients for name in (one.url_secret_name, one.signing_secret_name) if name]
        return frozenset(name.casefold() for name in names)

    def token_keys(self) -> frozenset[str]:
        """Casefolded names of the secrets that hold tokens."""
        return frozenset({token.key for token in self.tokens} | {token.key for token in self.invalid_tokens})

    @once
    def nameable(self) -> frozenset[str] | None:
        """What rows call everything of `pats.yaml`, casefolded; None while a file cannot be read: any name may stand in
        it.
        """
        return None if self.unread else frozenset(self.called(one).casefold() for one in self.all_named())

    def token_places(self) -> frozenset[str]:
        """Of the secrets that hold tokens, in all vaults."""
        return frozenset({token.place for token in self.tokens} | {token.place for token in self.invalid_tokens})

    @once
    def places(self) -> frozenset[str]:
        """Of everything that has a secret, in all vaults."""
        return frozenset(one.place for one in self.all_named())

    @once
    def managed(self) -> frozenset[str]:
        """Casefolded names of all secrets that `pats.yaml` names as published, of both kinds."""
        return self.token_keys() | {item.key for item in self.items()} | {item.key for item in self.invalid}

    def places_called(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The places of what callers mean by a name, by `label/name`, or by the whole host in place of the label."""
        vaults: dict[str, dict[VaultAddress, str]] = {}
        for one in self.all_named():
            vaults.setdefault(one.key, {})[one.vault] = one.place
        found = {}
        for name in names:
            vault, _, secret = name.casefold().rpartition("/")
            places = vaults.get(secret, {})
            found[name] = tuple(place for at, place in places.items() if not vault or vault in self._names_of(at))
        return found

    def written(self, place: str) -> str:
        """A place as callers write it where its name alone is not enough."""
        return place if "/" in place or not self.home else f"{VaultAddress(self.home).label}/{place}"

    def called(self, item: Named) -> str:
        """An item as callers write it, and tables show it."""
        return self.called_at(item.vault, item.secret)

    def called_at(self, address: VaultAddress, secret: str) -> str:
        """The same of a secret of one vault."""
        return self.written(address.written(secret)) if secret.casefold() in self.in_several else secret

    def vault_called(self, name: str) -> VaultAddress | None:
        """The vault that callers mean by its label or its whole host; None: it is named nowhere."""
        return next((at for at in self.vaults() if name.casefold() in self._names_of(at)), None)

    def _names_of(self, address: VaultAddress) -> tuple[str, str]:
        at = address if address.host else VaultAddress(self.home)
        return at.label, at.host

    @once
    def all_named(self) -> tuple[Item | TokenItem | InvalidItem, ...]:
        """Everything that has a secret, of both kinds, whether it can be worked on or not."""
        found: list[Item | TokenItem | InvalidItem] = [*self.items(), *self.invalid]
        return (*found, *self.tokens, *self.invalid_tokens)

    @once
    def vaults(self) -> tuple[VaultAddress, ...]:
        """Where something is or was published: the vault of KEY_VAULT_URL, then the others by their hosts."""
        named = {one.vault for one in self.all_named()} | set(self.more_vaults)
        return (HOME, *sorted(named - {HOME}))

    @once
    def by_vault(self) -> Mapping[VaultAddress, Inventory]:
        """What each vault has of it: every user, with its items there alone."""
        if self.vaults() == (HOME,):
            return {HOME: self}
        return {address: self._in(address) for address in self.vaults()}

    def _in(self, address: VaultAddress) -> Inventory:
        users = tuple(
            replace(user, items=tuple(item for item in user.items if item.vault == address)) for user in self.users
        )
        return replace(
            self,
            users=users,
            invalid=tuple(item for item in self.invalid if item.vault == address),
            tokens=tuple(item for item in self.tokens if item.vault == address),
            invalid_tokens=tuple(item for item in self.invalid_tokens if item.vault == address),
            more_vaults=(),
        )
