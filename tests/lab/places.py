"""What must hold of an item that moves between vaults: each of its secrets is judged, and what it left for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.cloud.key_vault import Vault, Version
from sandbox.cloud.pats import Pat
from shared.model.tags import MOST_PREDECESSORS, read
from tests.lab.copies import pods
from tests.lab.judge import Judge
from tests.lab.lab import Lab
from tests.lab.readers import FakeLogs, Read

SECOND = timedelta(seconds=1)
"""Key Vault's times have whole seconds."""
LATELY = timedelta(days=30)


class Places:
    """One item in all vaults that it may be in. `host`: where pats.yaml has it. `held`: its `hold_for_readers`.

    `touched`: somebody wrote its tags, so nobody can say whose readers are waited for. `back`: since when it had been
    away from where it came back to, until a run saw that. `owed`: whose end the tags have promised.
    """

    def __init__(
        self,
        lab: Lab,
        secret: str,
        overlap: timedelta,
        hosts: tuple[str, ...],
        logs: FakeLogs,
        held: timedelta = timedelta(0),
    ) -> None:
        self.lab, self.secret, self.overlap, self.logs, self.held = lab, secret, overlap, logs, held
        self.judges = {host: Judge(lab, secret, overlap, host) for host in hosts}
        self.host = hosts[0]
        self.touched = False
        self.looked: set[str] = set()
        self.owed: set[str] = set()
        self.back: datetime | None = None
        for judge in self.judges.values():
            judge.by_hand = self.judges[self.host].by_hand

    @property
    def judge(self) -> Judge:
        return self.judges[self.host]

    @property
    def by_hand(self) -> set[str]:
        return self.judge.by_hand

    @property
    def vault(self) -> Vault:
        return self.judge.vault

    @property
    def broken(self) -> list[str]:
        return [f"in {host}: {one}" for host, judge in self.judges.items() for one in judge.broken]

    def touch(self) -> None:
        """Somebody writes its tags."""
        self.touched, self.owed = True, set()

    def move(self, host: str) -> None:
        """pats.yaml names another vault from now on."""
        self.host = host

    def run_begins(self) -> None:
        """With what pats.yaml says now: nobody else's word counts."""
        for host, judge in self.judges.items():
            if host != self.host and judge.left is None:
                judge.left, self.back = self.back or self.lab.clock.now(), None
        if self.judge.left is not None:
            self.back, self.judge.left = self.judge.left, None
            self.owed = set()

    def run_was_whole(self) -> None:
        """Every vault was looked at, so what the item came back to is nobody's predecessor any more."""
        self.back = None

    def emergency(self, at: datetime, *, revoke_first: bool) -> None:
        for judge in self.judges.values():
            judge.emergency(at, revoke_first=revoke_first)

    def readable(self) -> frozenset[str]:
        return frozenset().union(*(judge.readable() for judge in self.judges.values()))

    def successors(self) -> dict[str, datetime]:
        return {value: at for judge in self.judges.values() for value, at in judge.successors().items()}

    def has_ended_all(self, leaked: frozenset[str]) -> None:
        """Also what it published where it was before, as far as what is published now says that it took its place."""
        self.judge.has_ended_all(leaked)
        stamps = [stamp for one in self.judge.versions() if (stamp := read(one.tags)) is not None]
        succeeded = {old.id for stamp in stamps for old in stamp.predecessors}
        for pat in (self.judge.holder(value) for value in leaked):
            if pat is not None and pat.authorization_id in succeeded and pat.value != self.judge.versions()[-1].value:
                lives = pat.state(self.lab.clock.now()) == "active"
                self.judge.must(not lives, "rule 8: what leaked where the item was before still works")

    def is_told(self, told: bool) -> None:
        """Whether a webhook tells the pod of new versions: nothing waits for it otherwise."""
        for judge in self.judges.values():
            judge.untold |= set() if told else set(pods(self.lab.cloud))

    def look(self) -> None:
        for judge in self.judges.values():
            judge.look()
        stamp = read(self.judge.versions()[-1].tags) if self.judge.versions() else None
        # The oldest of more is ended as what the tags have forgotten (docs/readers.md).
        self.touched = self.touched or (stamp is not None and len(stamp.predecessors) == MOST_PREDECESSORS)
        if stamp is not None and not self.touched:
            self.owed |= {old.id for old in stamp.predecessors}
        ended = {one for judge in self.judges.values() for one in judge.ended} - self.looked
        self.looked |= ended
        for pat in self.lab.cloud.pats.all():
            if pat.authorization_id in ended and pat.authorization_id not in self.by_hand:
                self._look_at_what_was_left(pat)
                self._look_at_readers(pat)

    def _look_at_what_was_left(self, pat: Pat) -> None:
        """What was current where the item was before works on until its successor was current for the overlap."""
        for host, judge in self.judges.items():
            versions = judge.versions()
            if judge.left is None or not versions or versions[-1].value != pat.value or judge.has_leaked(pat):
                continue
            since = self._replaced_since(judge.left)
            over = since is not None and self.lab.clock.now() >= since + self.overlap - SECOND
            judge.must(over, f"promise 1: what {host} has was ended, and elsewhere it is current since {since}")

    def _replaced_since(self, left: datetime) -> datetime | None:
        """Since when what was left has a successor where the item is now; None: it has none that works."""
        lives = [one for one in self.judge.versions() if self._lives(self.judge.holder(one.value))]
        return max(left, _created(lives[0])) if lives else None

    def _lives(self, pat: Pat | None) -> bool:
        return pat is not None and pat.state(self.lab.clock.now()) == "active"

    def somebody_reads(self, who: str, host: str) -> None:
        """What is current in that vault, if there is anything."""
        versions = self.judges[host].versions()
        if versions:
            last = versions[-1]
            self.logs.reads.append(Read(self.lab.clock.now(), host, who, self.secret, last.id, last.value))

    def _look_at_readers(self, pat: Pat) -> None:
        """Rule 18: who read it lately, and nothing since, keeps it for `held` after its overlap."""
        over = self._over(pat)
        if self.touched or over is None or self.lab.clock.now() >= over + self.held - SECOND:
            return
        last = {one.who: one for one in self.logs.reads}
        waits = [one.who for one in last.values() if one.value == pat.value and one.at >= over - self.overlap - LATELY]
        self.judge.must(not waits, f"rule 18: it was ended, and {waits} have nothing newer")

    def _over(self, pat: Pat) -> datetime | None:
        """When the overlap was over of what an item has replaced that has `held`; None: nobody waits for them."""
        if self.judge.has_leaked(pat):
            return None
        if (replaced := self.judge.successors().get(pat.value)) is not None:
            return replaced + self.overlap
        for judge in self.judges.values():
            versions = judge.versions()
            if judge.left is not None and versions and versions[-1].value == pat.value:
                since = self._replaced_since(judge.left)
                return None if since is None else since + self.overlap
        return None


def _created(version: Version) -> datetime:
    return datetime.fromtimestamp(version.created, UTC)
