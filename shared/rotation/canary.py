"""PATs that are made only to see what is granted, and ended at once: the canaries of `check --canary`.

Nobody ever has such a value: it is neither proved nor written. Their mark names no secret, so that whoever lists them
next, another check or a run, ends what a killed check left (promise 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.model.clock import VaultTime
from shared.model.errors import Code, NotDone, PatrolError
from shared.model.pats import Minted, Owner, Pat, PatId
from shared.model.ports import Events, PatApi, Vault
from shared.model.tags import CANARY, Mark
from shared.rotation import gate
from shared.rules import may_end


@dataclass(frozen=True, slots=True)
class Tried:
    """How long a canary was asked to live, and what was granted, or why there is none."""

    life: timedelta
    granted: timedelta | None
    failure: PatrolError | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a canary that was found alive; `failure`: why it may still live."""

    pat: PatId
    failure: PatrolError | None


@dataclass(frozen=True, slots=True)
class Perch:
    """One user in one organization, and what canaries may touch there."""

    owner: Owner
    api: PatApi
    vault: Vault
    mark: Mark
    clock: VaultTime
    tell: Events

    def try_life(self, scopes: tuple[str, ...], life: timedelta) -> Tried:
        """Mint and end at once. Of a refusal, and of doubt, the failure; `end_all` ends what may be there then."""
        began = self.clock.now()
        try:
            minted = self.api.mint(self.owner.organization, self.mark.display_name(CANARY), scopes, began + life)
        except PatrolError as failure:
            return Tried(life, None, failure)
        self._end_at_once(minted)
        return Tried(life, minted.pat.validity.ends - began)

    def _end_at_once(self, minted: Minted) -> None:
        self.tell("pat.minted", secret=CANARY, authorization_id=minted.pat.id, expires=minted.pat.validity.ends)
        try:
            evidence = may_end.unpublished(minted, self.owner, CANARY, None, self.clock.now())
            gate.end(self.api, evidence, self.tell)
        except PatrolError as failure:  # `end_all` tries again, and tells it
            self.tell("revoke.failed", secret=CANARY, authorization_id=minted.pat.id, code=failure.code)

    def end_all(self) -> list[Ended]:
        """End every canary that is alive, whoever made it. Raises what the listing raises."""
        listed = {pat.id: pat for pat in self.api.active(self.owner.organization)}
        return end_canaries(self.owner, self.api, listed, self.vault, self.mark, self.tell)


def are_listed(listed: Iterable[Pat], mark: Mark) -> bool:
    """Whether there is a canary of this deployment among a user's PATs."""
    return any(mark.secret_of(pat.display_name) == CANARY for pat in listed)


def end_canaries(
    owner: Owner, api: PatApi, listed: Mapping[PatId, Pat], vault: Vault, mark: Mark, tell: Events
) -> list[Ended]:
    """End the canaries among an owner's live PATs. Raises what reading the vault raises."""
    if not are_listed(listed.values(), mark):
        return []
    versions, ended = vault.versions(CANARY), []
    for pat in listed.values():
        if mark.secret_of(pat.display_name) != CANARY:
            continue
        allowed = may_end.canary(pat, owner, mark, versions)
        try:
            if allowed is None:
                raise _somebodys()
            gate.end(api, allowed, tell)
        except PatrolError as failure:
            ended.append(Ended(pat.id, failure))
        else:
            ended.append(Ended(pat.id, None))
    return ended


def _somebodys() -> NotDone:
    return NotDone(
        Code.UNMARKED,
        f"A secret {CANARY} is in the vault, and that name is patrol's own: a person made it, and may use the PAT.",
        f"Delete the secret {CANARY}, or end the PAT by hand.",
    )
