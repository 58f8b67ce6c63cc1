"""What became of the PATs that were to end: rows, leftovers, and what only a former owner can end."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.model.errors import PatrolError
from shared.model.items import Item
from shared.model.pats import Owner, PatId
from shared.model.steps import Because
from shared.model.tags import Predecessor
from shared.model.vaults import HOME, VaultAddress
from shared.report.report import Failure, Leftover, Outcome, Row, Verb
from shared.rules.orphans import Standing


@dataclass(frozen=True, slots=True)
class Handover:
    """A predecessor that only its former owner can end (rule 13)."""

    secret: str
    item: Item | None
    predecessor: Predecessor
    owner: Owner
    due: bool
    vault: VaultAddress = HOME


@dataclass(slots=True)
class Ended:
    rows: list[Row] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)

    def add(self, other: Ended) -> None:
        self.rows += other.rows
        self.leftovers += other.leftovers
        self.handovers += other.handovers


def ended_row(name: str, owner: Owner, because: Because, failure: PatrolError | None, pat: PatId) -> Row:
    """What became of one PAT that was to end."""
    if failure is not None and because is Because.NOT_PUSHED:
        kept = f"{name}: {pat} is not ended before the item's consumers have the published value."
        says, outcome = f"{kept} {failure.cause} {failure.remedy}", Outcome.FAILED
    elif failure is not None:
        says, outcome = f"{name}: ending {pat} failed. {failure.cause} {failure.remedy}", Outcome.FAILED
    else:
        outcome = Outcome.DONE
        says = {
            Because.ORPHAN: f"{name}: {pat}, an orphan (neither current nor in overlap), was revoked.",
            Because.EMERGENCY: f"{name}: retired at once, because of an emergency: {pat} was revoked.",
            Because.DECOMMISSIONED: f"{name}: decommissioned: {pat} was revoked.",
        }.get(because, f"{name}: retired, because its overlap is over: the predecessor {pat} was revoked.")
    return Row(
        secret=name,
        username=owner.username,
        organization=owner.organization,
        step=Verb.RETIRE,
        outcome=outcome,
        because=because,
        says=says,
        error=None if failure is None else Failure.of(failure),
    )


def left_alive(name: str, owner: Owner, pat: PatId, standing: Standing) -> Leftover:
    """A PAT that patrol does not end; `standing`: one that has a sentence."""
    return Leftover(name, pat, owner.username, owner.organization, SAYS[standing].format(name=name))


SAYS = {
    Standing.HELD: "No version of the secret names this PAT, and one may hold its value: its tags were changed, or "
    "somebody wrote it. Not revoked. Take the secret back (`patrol rotate {name} --force --adopt`), or end the PAT by "
    "hand if nobody uses it.",
    Standing.UNNAMED: "Neither pats.yaml nor a version of the secret names this PAT, which carries patrol's mark: not "
    "revoked. End it by hand if nobody uses it.",
    Standing.WITH_CONSUMER: "A consumer was given this PAT and nothing newer, and pats.yaml no longer names that "
    "consumer: not revoked. Put it back under `then` of the item, or give the consumer another PAT "
    "and end this one by hand.",
}
