"""The rules as models, tried exhaustively: the promises hold, and without a rule they do not (docs/proof.md).

A model that finds nothing proves nothing. So each rule that was once missing is taken away again (`MUTANT_…`), and each
reading of a rule that would not do is tried too (`LETTER_…`): the checker must find both.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.models.spin import MODELS, Verdict, why_not

Check = Callable[[str, str], Verdict]

ONE_SECRET, SIGN_INS = "one_secret.pml", "sign_ins.pml"

exhaustive = [pytest.mark.chaos, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

KINDS = ("TIMER", "FORCE", "EMERGENCY", "RENEW", "DECOMMISSION")
QUIET = "KILLS=0 FAULTS=0"

HOLDS = {
    **{
        f"{one} beside {other}".lower(): f"FIRST={one} SECOND={other}"
        for number, one in enumerate(KINDS)
        for other in KINDS[number:]
    },
    "a lease": "FIRST=TIMER SECOND=FORCE LEASES",
    "a lease and an emergency": "FIRST=TIMER SECOND=EMERGENCY LEASES FAULTS=0",
    "an overlap shorter than an orphan's age": "FIRST=TIMER SECOND=TIMER OVERLAP=1",
    "a short overlap and an emergency": "FIRST=TIMER SECOND=EMERGENCY OVERLAP=1",
    "a long overlap and an emergency": "FIRST=TIMER SECOND=EMERGENCY OVERLAP=3 TICKS=4 FAULTS=0",
    "the first rotation": "FIRST=TIMER SECOND=TIMER HISTORY=1 TICKS=4",
    "more predecessors than the tag holds": "FIRST=TIMER SECOND=TIMER HISTORY=3 MOST=1",
    "an emergency with more predecessors than the tag holds": "FIRST=TIMER SECOND=EMERGENCY HISTORY=3 MOST=1 FAULTS=0",
    "a consumer": "FIRST=TIMER SECOND=FORCE CONSUMER",
    "a consumer and an emergency": "FIRST=TIMER SECOND=EMERGENCY CONSUMER FAULTS=0",
    "a consumer and a renewal": "FIRST=TIMER SECOND=RENEW CONSUMER",
    "a consumer and a lease": "FIRST=TIMER SECOND=TIMER CONSUMER LEASES FAULTS=0",
    "a consumer and a person": "FIRST=TIMER CONSUMER EDITS=1 ACT_NAME ACT_WIPE ACT_PASTE ACT_ROLL_BACK",
    "another user in pats.yaml": "FIRST=TIMER SECOND=TIMER OWNERS EDITS=1 FAULTS=0",
    "another user after a leak": f"FIRST=TIMER SECOND=EMERGENCY OWNERS EDITS=1 {QUIET}",
    "a leak before the last rotation": "FIRST=EMERGENCY LEAKED_AT=2",
    "late writes are mended in the same run": f"FIRST=TIMER SECOND=TIMER LATE_IS_MENDED {QUIET}",
    "taken back": "FIRST=TIMER SECOND=TAKE_BACK EDITS=1 ACT_PASTE ACT_WIPE FAULTS=0",
    "two edits": "FIRST=TIMER EDITS=2 ACT_NAME ACT_WIPE",
    "two edits and a renewal": "FIRST=RENEW EDITS=2 ACT_NAME ACT_WIPE",
    "two edits and an emergency": "FIRST=EMERGENCY EDITS=2 ACT_NAME ACT_WIPE ACT_PASTE",
    "two renewals and another id in the tag": "FIRST=RENEW SECOND=RENEW EDITS=1 ACT_NAME",
    "two renewals and old metadata": "FIRST=RENEW SECOND=RENEW EDITS=1 ACT_OLD_METADATA FAULTS=0",
    **{
        f"a person {does} beside {kind}".lower(): f"FIRST={kind} SECOND=TIMER EDITS=1 {acts} {QUIET}"
        for kind in ("TIMER", "EMERGENCY")
        for does, acts in {
            "edits tags": "ACT_NAME ACT_WIPE",
            "edits predecessors": "ACT_PREDECESSORS",
            "puts old metadata back": "ACT_OLD_METADATA",
            "pastes": "ACT_PASTE",
            "rolls back": "ACT_ROLL_BACK",
            "deletes or renames": "ACT_DELETE ACT_RENAME",
        }.items()
    },
}

MUTANTS = {
    "S2 facts of one PAT on the version of another": (
        "promise_1",
        "FIRST=TIMER SECOND=FORCE CONSUMER MUTANT_S2 MUTANT_S6_TAGS",
    ),
    "S3 row 1, replaced after the request arrived": (
        "rule_8",
        f"FIRST=TIMER SECOND=EMERGENCY MUTANT_S3_REPLACED {QUIET}",
    ),
    "S3 row 1, while it waited for the lease": (
        "rule_8",
        f"FIRST=TIMER SECOND=EMERGENCY LEASES MUTANT_S3_REPLACED {QUIET}",
    ),
    "S3 row 2, a rotation after the leak": ("rule_8", "FIRST=EMERGENCY LEAKED_AT=2 MUTANT_S3_REPLACED"),
    "S3 row 3, another user in pats.yaml": ("rule_8", "FIRST=EMERGENCY OWNERS EDITS=1 MUTANT_S3_OWNER"),
    "S3 row 4, more predecessors than the tag holds": ("rule_8", "FIRST=EMERGENCY MOST=1 MUTANT_S3_TAG"),
    "S4 any 4xx is a refusal": ("promise_1", "FIRST=TIMER MUTANT_S4"),
    "S6 authorization-id replaced": ("promise_1", f"FIRST=TIMER EDITS=1 ACT_NAME MUTANT_S6_TAGS {QUIET}"),
    "S6 tags wiped": ("promise_1", f"FIRST=TIMER HISTORY=1 EDITS=1 ACT_WIPE MUTANT_S6_TAGS {QUIET}"),
    "S6 the current id among the predecessors": (
        "rule_7",
        f"FIRST=TIMER EDITS=1 ACT_PREDECESSORS MUTANT_S6_DISABLE {QUIET}",
    ),
    "S6 a stranger renewed": ("promise_4", f"FIRST=RENEW EDITS=1 ACT_NAME ACT_NAME_STRANGER MUTANT_S6_RENEW {QUIET}"),
    "S6 the same value again, taken back": ("promise_1", f"FIRST=TAKE_BACK EDITS=1 ACT_PASTE MUTANT_S6_TAGS {QUIET}"),
    "S8 an emergency inferred from two times": ("promise_1", "FIRST=TIMER MUTANT_S8"),
    "S9 a former user's PATs out of sight": ("promise_2", "FIRST=TIMER OWNERS EDITS=1 MUTANT_S9"),
    "S14 a consumer remembered and not asked": ("promise_1", "FIRST=TIMER SECOND=EMERGENCY CONSUMER MUTANT_S14"),
    "a predecessor by its tag alone": ("promise_4", f"FIRST=TIMER EDITS=1 ACT_RENAME MUTANT_RULE_7 {QUIET}"),
}

LETTER = {
    "LETTER_RULE_2": ("rule_2", f"FIRST=TIMER SECOND=TIMER LATE_IS_MENDED {QUIET}"),
    "LETTER_RULE_4": ("promise_1", f"FIRST=TIMER EDITS=1 ACT_OLD_METADATA {QUIET}"),
    "LETTER_RULE_8": ("promise_1", f"FIRST=TIMER SECOND=EMERGENCY {QUIET}"),
    "LETTER_RULE_8_TAG": ("rule_8", "FIRST=EMERGENCY EDITS=2 ACT_NAME ACT_WIPE"),
    "LETTER_RULE_9": ("promise_1", "FIRST=RENEW SECOND=RENEW EDITS=1 ACT_NAME"),
    "LETTER_PUSHED_TO": ("promise_1", "FIRST=TIMER SECOND=FORCE CONSUMER"),
}

REFUSED_AT_MOST = {
    "a lease": (1, "STORAGE"),
    "a lease, and answers that are lost": (2, "STORAGE LOST=3"),
    "a lease, and a kill whenever it hurts": (2, "STORAGE KILLS=4"),
    "a lease, and a holder that was suspended": (2, "STORAGE TICKS=2"),
    "a lease, everything, half an hour": (4, "STORAGE KILLS=2 LOST=3 TICKS=1"),
    "a lease, and a person deletes the note": (2, "STORAGE DELETIONS=1"),
    "no storage: one for each process at the same moment": (3, "RUNNERS=3"),
    "a note that cannot be written, facts never proven": (0, "NOT_WRITABLE RUNS=3"),
    "a note that cannot be written, facts that signed in once: one a run": (6, "NOT_WRITABLE WAS_PROVEN RUNS=3"),
}

SIGN_IN_MUTANTS = {
    "S5a refusals forgotten within a run": "STORAGE MUTANT_S5_A ATTEMPTS=4 MOST_REFUSED=1",
    "S5b no lease for the user": "STORAGE MUTANT_S5_B RUNNERS=3 MOST_REFUSED=1",
    "S5c the note from a listing": "STORAGE MUTANT_S5_C MOST_REFUSED=1",
    "S5d what nobody judged is tried again": "STORAGE MUTANT_S5_D LOST=3 MOST_REFUSED=2",
    "S5e the note was deleted": "STORAGE MUTANT_S5_E DELETIONS=1 RUNS=3 MOST_REFUSED=2",
    "S5e the note cannot be written": "STORAGE MUTANT_S5_E NOT_WRITABLE MOST_REFUSED=0",
    "S5f killed between answer and note": "STORAGE MUTANT_S5_F KILLS=3 RUNS=3 MOST_REFUSED=2",
    "the last word counts": "RUNNERS=3 LETTER_RULE_12 MOST_REFUSED=3",
}


def cases(marks: list[pytest.MarkDecorator], **rows: object) -> list[object]:
    return [pytest.param(row, id=name, marks=marks) for name, row in rows.items()]


@pytest.mark.parametrize("switches", cases(exhaustive, **HOLDS))
def test_promises_1_2_3_and_4_hold_in_every_state(switches: str, check: Check) -> None:
    verdict = check(ONE_SECRET, switches)
    assert verdict.broken is None, verdict.story
    assert verdict.states > 500


@pytest.mark.parametrize("mutant", cases(exhaustive, **MUTANTS))
def test_without_its_rule_a_promise_breaks(mutant: tuple[str, str], check: Check) -> None:
    promise, switches = mutant
    assert check(ONE_SECRET, switches).broken == promise


@pytest.mark.parametrize("letter", cases(exhaustive, **{name: (name, *rest) for name, rest in LETTER.items()}))
def test_a_rule_read_to_the_letter_breaks_a_promise_and_as_it_is_meant_does_not(
    letter: tuple[str, str, str], check: Check
) -> None:
    switch, promise, switches = letter
    assert check(ONE_SECRET, f"{switches} {switch}").broken == promise
    assert check(ONE_SECRET, switches).broken is None


@pytest.mark.parametrize("bound", cases(exhaustive, **REFUSED_AT_MOST))
def test_promise_6_a_refused_password_goes_out_so_often_at_most_and_no_less(
    bound: tuple[int, str], check: Check
) -> None:
    most, switches = bound
    verdict = check(SIGN_INS, f"{switches} MOST_REFUSED={most}")
    assert verdict.broken is None, verdict.story
    if most:
        assert check(SIGN_INS, f"{switches} MOST_REFUSED={most - 1}").broken == "promise_6"


@pytest.mark.parametrize("switches", cases(exhaustive, **SIGN_IN_MUTANTS))
def test_promise_6_without_its_rule_a_refused_password_goes_out_more_often(switches: str, check: Check) -> None:
    assert check(SIGN_INS, switches).broken == "promise_6"


def test_every_switch_that_takes_a_rule_away_is_tried_and_explained() -> None:
    there = {name for model in MODELS.glob("*.pml") for name in re.findall(r"(?:MUTANT|LETTER)_\w+", model.read_text())}
    tried = " ".join([*(row for _, row in MUTANTS.values()), *LETTER, *SIGN_IN_MUTANTS.values()])
    page = (MODELS.parents[1] / "docs/proof.md").read_text(encoding="utf-8")
    assert there == set(re.findall(r"(?:MUTANT|LETTER)_\w+", tried))
    assert there == set(re.findall(r"(?:MUTANT|LETTER)_\w+", page))


@pytest.mark.parametrize("model", [ONE_SECRET, SIGN_INS])
def test_every_assertion_of_a_model_names_the_promise_that_it_holds(model: str) -> None:
    lines = [line for line in (MODELS / model).read_text(encoding="utf-8").splitlines() if "assert(" in line]
    assert lines
    assert [line for line in lines if not re.search(r"(?i)(promise|rule)_\d|bounds", line)] == []
