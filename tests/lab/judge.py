"""What must hold after every call, by what versions really hold and whose copy is whose: values judge, never tags."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from sandbox.cloud.key_vault import Version
from sandbox.cloud.pats import Pat
from shared.model.clock import whole_seconds
from shared.model.tags import read
from tests.lab.copies import copies
from tests.lab.lab import Lab

PUBLISH_WITHIN = timedelta(minutes=5)


class Judge:
    """Of one secret. `leaked`: until when what an emergency ends was made; `by_hand`: PATs that a person ended;
    `decommissioned`: nobody is to use any value of it from now on. `left`: since when its item is in another vault;
    `untold`: what pods had while no webhook restarted them.

    What is `broken` is noted and not raised: a run isolates what nobody expected, and would go on.
    """

    def __init__(self, lab: Lab, secret: str, overlap: timedelta, host: str = "") -> None:
        self.lab, self.secret, self.overlap = lab, secret, overlap
        self.vault = lab.cloud.vaults[host or lab.host]
        self.left: datetime | None = None
        self.ended_left: set[str] = set()
        self.untold: set[str] = set()
        self.leaked: datetime | None = None
        self.revoked_first = False
        self.by_hand = {pat.authorization_id for pat in lab.cloud.pats.all() if pat.revoked}
        self.ended: dict[str, datetime] = {}
        self.decommissioned = False
        self.broken: list[str] = []

    def must(self, holds: bool, promise: str) -> None:
        if not holds and not any(promise in said for said in self.broken):
            self.broken.append(f"{self.lab.clock.now()}: {promise}")

    def emergency(self, at: datetime, *, revoke_first: bool) -> None:
        """An emergency arrives."""
        self.leaked = max(self.leaked or at, whole_seconds(at))
        self.revoked_first = self.revoked_first or revoke_first

    def versions(self) -> list[Version]:
        """Oldest first."""
        try:
            return list(self.vault.secret(self.secret).versions.values())
        except KeyError:
            return []

    def holder(self, value: str) -> Pat | None:
        return next((pat for pat in self.lab.cloud.pats.all() if pat.value == value), None)

    def has_leaked(self, pat: Pat) -> bool:
        return self.leaked is not None and whole_seconds(pat.valid_from) <= self.leaked

    def is_late(self, pat: Pat, version: Version) -> bool:
        """The network delivered the write late: rule 2 has it mended in the same run, if that is not killed."""
        return datetime.fromtimestamp(version.created, UTC) - pat.valid_from > PUBLISH_WITHIN

    def look(self) -> None:
        versions, now = self.versions(), self.lab.clock.now()
        if not versions:
            return
        current = self.holder(versions[-1].value)
        for pat in self.lab.cloud.pats.all():
            if pat.revoked and pat.authorization_id not in self.by_hand:
                self.ended.setdefault(pat.authorization_id, now)
        # Watch sees that nothing but a decommissioning disables the newest version.
        self.decommissioned = self.decommissioned or not versions[-1].enabled
        if self.decommissioned or current is None:
            return
        if self.left is not None:
            self.ended_left |= {current.authorization_id} if current.revoked else set()
        excused = current.authorization_id in self.by_hand | self.ended_left or self.is_late(current, versions[-1])
        excused = excused or (self.revoked_first and self.has_leaked(current))
        self.must(excused or not current.revoked, "promise 1: the published value is dead")
        self._look_at_overlaps(versions)
        self._look_at_copies(self.readable())

    def _look_at_overlaps(self, versions: list[Version]) -> None:
        for number, version in enumerate(versions[:-1]):
            pat = self.holder(version.value)
            after = versions[number + 1 :]
            if pat is None or any(one.value == version.value for one in after) or self.has_leaked(pat):
                continue
            at = self.ended.get(pat.authorization_id)
            # Key Vault's times have whole seconds.
            until = datetime.fromtimestamp(after[0].created, UTC) + self.overlap - timedelta(seconds=1)
            over = at is None or at >= until or self.is_late(pat, version) or pat.authorization_id in self.ended_left
            self.must(over, f"promise 1: ended {at}, and its overlap lasts until {until}")

    def _look_at_copies(self, values: frozenset[str]) -> None:
        for copy in copies(self.lab.cloud):
            pat = self.holder(copy) if copy in values - self.untold else None
            if pat is not None and pat.authorization_id not in self.by_hand and not self.has_leaked(pat):
                self.must(not pat.revoked, "promise 1: what a consumer uses is dead")

    def readable(self) -> frozenset[str]:
        """Every value that somebody may have read by now."""
        return frozenset(version.value for version in self.versions())

    def successors(self) -> dict[str, datetime]:
        """When each value but the current one was last replaced."""
        versions = self.versions()
        after = itertools.pairwise(versions)
        return {one.value: datetime.fromtimestamp(later.created, UTC) for one, later in after}

    def has_ended_all(self, leaked: frozenset[str]) -> None:
        """Rule 8: an emergency has said done that was asked for when these values were `readable`."""
        versions = self.versions()
        for version in versions[:-1]:
            pat = self.holder(version.value)
            if pat is None or version.value not in leaked or version.value == versions[-1].value:
                continue
            self.must(pat.state(self.lab.clock.now()) != "active", "rule 8: what leaked still works")
            # What a person wrote is not patrol's to disable (promise 4).
            readable = version.enabled and read(version.tags) is not None
            self.must(not readable, "rule 8: what leaked can still be read")
