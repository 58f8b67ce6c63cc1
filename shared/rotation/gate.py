"""The one gate for what cannot be undone: no other module ends or changes a PAT, or disables a version.

Each call demands its evidence, which only `rules/may_end.py` makes. tests/test_architecture.py holds that.
"""

from __future__ import annotations

from datetime import datetime

from shared.model.pats import Pat
from shared.model.ports import Events, OwnedPats, PatApi, Vault
from shared.rules.may_end import MayDisable, MayEnd, MayExtend


def end(api: OwnedPats, allowed: MayEnd, tell: Events) -> None:
    """End a PAT. Returns when it is confirmed; raises as `OwnedPats.revoke`."""
    api.revoke(allowed.owner.organization, allowed.pat)
    tell("pat.revoked", secret=allowed.secret, authorization_id=allowed.pat)


def extend(api: PatApi, allowed: MayExtend, scopes: tuple[str, ...], ends: datetime) -> Pat:
    """Give a PAT a later expiry; the value stays. Gives it with its granted expiry; raises as `PatApi.extend`."""
    return api.extend(allowed.owner.organization, allowed.pat, allowed.display_name, scopes, ends)


def disable(vault: Vault, allowed: MayDisable) -> None:
    """No reader gets the version's value from now on. Raises as `Vault.disable`."""
    vault.disable(allowed.secret, allowed.version)
