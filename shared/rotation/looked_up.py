"""A vault without its listing: each secret is looked at when it is first asked for.

For the work of one technical user, where the listing of a whole vault would cost more than its few secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial

from shared.model.errors import Code, Denied, Misconfigured, PatrolError
from shared.model.items import SecretSeen, User, VaultListing
from shared.model.ports import Vault
from shared.rotation.threads import Hands
from shared.rules import lock_out


class LookedUp(Mapping[str, SecretSeen]):
    """By casefolded name. Asking for a name looks it up, once; iterating gives what was looked up.

    Looking may fail as `ports.Vault.look` does: absence needs proof (rule 5), so a failure is not a missing secret.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._seen: dict[str, SecretSeen | None] = {}
        self.ahead = timedelta(0)

    def __getitem__(self, key: str) -> SecretSeen:
        if key not in self._seen:
            looked = self._vault.look(key)
            self.ahead = self.ahead or looked.ahead
            self._seen[key] = looked.seen
        seen = self._seen[key]
        if seen is None:
            raise KeyError(key)
        return seen

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, seen in self._seen.items() if seen is not None])

    def __len__(self) -> int:
        return sum(seen is not None for seen in self._seen.values())


def look_up(user: User, names: frozenset[str] | None, vault: Vault, hands: Hands) -> VaultListing:
    """What the vault has of one user: its remembered refusal, and its items, only those of `names` if given.

    Raises Misconfigured when the vault cannot be read at all; an item that cannot be looked at fails later, alone.
    """
    found = LookedUp(vault)
    try:
        found.get(lock_out.note_name(user.username))
    except Denied as failure:
        raise Misconfigured(failure.code, failure.cause, failure.remedy) from None
    except PatrolError as failure:
        raise Misconfigured(Code.VAULT_UNREACHABLE, failure.cause, failure.remedy) from None

    def look(key: str) -> None:
        with suppress(PatrolError):
            found.get(key)

    wanted = [item.key for item in user.items if names is None or item.key in names]
    hands.side_by_side([partial(look, key) for key in wanted])
    return VaultListing(found, found.ahead)
