"""Rule 12 as a truth table: what a refused sign-in is remembered as, until when it holds, and what releases it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.model.credentials import ClientSecret, SignIn
from shared.model.errors import Again, UserRefused
from shared.model.tags import Mark
from shared.rules import lock_out
from shared.rules.lock_out import UNANSWERED, Block, Facts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, HALF_AN_HOUR, DAY = timedelta(seconds=1), timedelta(minutes=30), timedelta(days=1)
MARK = Mark("patrol/prod-abcdef")
SIGN_IN = SignIn("Contoso.onmicrosoft.com", "1111-AAAA", ClientSecret("s"))
FACTS = Facts.of("SVC@contoso.com", SIGN_IN, "V1", "C1")
OTHERS = replace(FACTS, password_version="V2")
BLOCK = Block(FACTS, "AADSTS50126", Again.NEVER, NOW, cause="The password is wrong.", remedy="Write it.")


def refusal(again: Again = Again.NEVER) -> UserRefused:
    return UserRefused("The password is wrong.", "Write it.", "AADSTS50126", again)


def test_names_are_compared_as_entra_does_and_versions_to_the_letter() -> None:
    assert Facts("svc@contoso.com", "contoso.onmicrosoft.com", "1111-aaaa", "V1", "C1") == FACTS
    names = {lock_out.note_name(one) for one in ("SVC@contoso.com", "svc@contoso.com")}
    assert names == {"patrol-blocked-" + hashlib.sha256(b"svc@contoso.com").hexdigest()[:12]}


@pytest.mark.parametrize(
    ("again", "times", "until"),
    [
        (Again.NEVER, 1, None),
        (Again.NEVER, 9, None),
        (Again.DAILY, 1, NOW + DAY),
        (Again.DAILY, 2, NOW + DAY),
        (Again.LOCKED, 1, NOW + HALF_AN_HOUR),
        (Again.LOCKED, 2, NOW + DAY),
        (Again.UNCLEAR, 1, NOW),
        (Again.UNCLEAR, 2, NOW + HALF_AN_HOUR),
        (Again.UNCLEAR, 3, NOW + HALF_AN_HOUR),
    ],
)
def test_rule_12_until_when_a_refusal_holds(again: Again, times: int, until: datetime | None) -> None:
    block = replace(BLOCK, again=again, times=times)
    assert block.next_try() == until
    if until is None:
        assert block.holds(FACTS, NOW + 1000 * DAY)
        return
    assert block.holds(FACTS, until - SECOND)
    assert not block.holds(FACTS, until)


@pytest.mark.parametrize("changed", ["username", "tenant", "client_id", "password_version", "client_version"])
def test_rule_12_a_change_of_any_fact_releases(changed: str) -> None:
    assert not BLOCK.holds(replace(FACTS, **{changed: "another"}), NOW)


@pytest.mark.parametrize(
    ("before", "times"),
    [
        (None, 1),
        (replace(BLOCK, times=3), 4),
        (replace(BLOCK, times=3, facts=OTHERS), 1),
        (replace(BLOCK, times=3, again=Again.DAILY), 1),
    ],
    ids=["the first", "in a row", "of other facts", "of another kind"],
)
def test_rule_12_a_refusal_is_remembered_with_its_cause_and_how_often_in_a_row(
    before: Block | None, times: int
) -> None:
    at = NOW + timedelta(hours=1, microseconds=999_999)
    expected = replace(BLOCK, refused_at=NOW + timedelta(hours=1), times=times)
    assert lock_out.remembered(FACTS, refusal(), before, at) == expected


def test_rule_12_a_password_without_an_answer_is_remembered_and_an_earlier_refusal_not_forgotten() -> None:
    at = NOW + timedelta(hours=1, microseconds=999_999)
    later = NOW + timedelta(hours=1)
    assert lock_out.unanswered(FACTS, BLOCK, at) == replace(BLOCK, refused_at=later, times=2)
    first = lock_out.unanswered(FACTS, None, at)
    assert (first.facts, first.word, first.again, first.refused_at, first.times) == (
        FACTS,
        UNANSWERED,
        Again.UNCLEAR,
        later,
        1,
    )
    assert first.cause == "The password was sent to Entra ID, and no answer came that says what became of it."
    assert first.remedy.startswith("Look at the network between patrol and Entra ID")
    assert lock_out.unanswered(FACTS, replace(BLOCK, facts=OTHERS), at) == first, "other facts say nothing"
    assert lock_out.unanswered(FACTS, first, at).times == 2
    assert lock_out.unanswered(FACTS, replace(first, facts=OTHERS), at).times == 1
    named = lock_out.unanswered(FACTS, None, at, "The refresh token")
    assert named.cause.startswith("The refresh token was sent")


@pytest.mark.parametrize(
    ("again", "passes"),
    [(Again.NEVER, False), (Again.LOCKED, False), (Again.DAILY, True), (Again.UNCLEAR, True)],
)
def test_rule_12_an_emergency_passes_only_what_did_not_judge_the_password(again: Again, passes: bool) -> None:
    assert lock_out.may_pass(replace(BLOCK, again=again)) is passes


# --- the note --------------------------------------------------------------------------------------------------------

NOTE = {
    "managed-by": MARK.text,
    "username": "svc@contoso.com",
    "tenant": "contoso.onmicrosoft.com",
    "client-id": "1111-aaaa",
    "password-version": "V1",
    "client-secret-version": "C1",
    "state": "blocked",
    "code": "AADSTS50126",
    "again": "never",
    "refused-at": "2026-03-01T12:00:00Z",
    "times": "1",
    "cause": "The password is wrong.",
    "remedy": "Write it.",
}


def note(**more: str) -> dict[str, str]:
    return {**NOTE, **{name.replace("_", "-"): value for name, value in more.items()}}


def test_rule_12_a_note_says_all_that_a_later_run_says_again() -> None:
    assert lock_out.write(BLOCK, MARK) == NOTE
    assert lock_out.read(NOTE) == BLOCK
    bare = {name: value for name, value in NOTE.items() if name not in ("cause", "remedy")}
    assert lock_out.write(replace(BLOCK, cause="", remedy=""), MARK) == bare, "Key Vault takes no empty tag"
    assert lock_out.read(bare) == replace(BLOCK, cause="", remedy="")


def test_rule_12_what_a_tag_cannot_hold_is_cut() -> None:
    written = lock_out.write(replace(BLOCK, cause="c" * 300, remedy="r" * 300), MARK)
    assert (written["cause"], written["remedy"]) == ("c" * 256, "r" * 256)


@pytest.mark.parametrize(
    "but",
    [
        {"state": "released"},
        {"state": "proven"},
        {"again": "sometimes"},
        {"refused_at": "yesterday"},
        {"times": "often"},
    ],
    ids=lambda but: f"{but}",
)
def test_a_note_that_does_not_read_as_a_refusal_is_none(but: dict[str, str]) -> None:
    assert lock_out.read(note(**but)) is None


@pytest.mark.parametrize(
    "without",
    ["username", "tenant", "client-id", "password-version", "client-secret-version", "state", "code", "times"],
)
def test_a_note_that_lacks_a_fact_is_none(without: str) -> None:
    assert lock_out.read({name: value for name, value in NOTE.items() if name != without}) is None


def test_rule_12_facts_that_signed_in_once_are_proven_and_no_others() -> None:
    proven = lock_out.proven(FACTS, MARK)
    assert proven == {**{name: NOTE[name] for name in list(NOTE)[:6]}, "state": "proven"}
    assert lock_out.is_proven(proven, FACTS)
    assert not lock_out.is_proven(proven, OTHERS)
    assert not lock_out.is_proven({**proven, "state": "blocked"}, FACTS)
    assert not lock_out.is_proven({}, FACTS)


def test_rule_12_a_release_keeps_what_was_remembered() -> None:
    assert lock_out.released(NOTE) == note(state="released")


def test_rule_12_of_one_second_a_person_s_word_comes_last_then_a_refusal_s() -> None:
    words = [note(state="proven"), {}, note(), note(state="released")]
    assert [lock_out.weight(word) for word in words] == [0, 0, 1, 2]


def words_of(**more: Any) -> dict[str, str]:
    return lock_out.write(replace(BLOCK, **more), MARK)


REFUSED, DOUBT = words_of(), words_of(again=Again.UNCLEAR, word=UNANSWERED)
ELSEWHERE = words_of(facts=OTHERS)
RELEASED, PROVEN = note(state="released"), lock_out.proven(FACTS, MARK)


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ([], None),
        ([REFUSED], REFUSED),
        ([DOUBT, REFUSED], REFUSED),
        ([DOUBT, {}, REFUSED], REFUSED),
        ([DOUBT, ELSEWHERE, REFUSED], REFUSED),
        ([DOUBT, words_of(again=Again.UNCLEAR, times=7)], DOUBT),
        ([ELSEWHERE, DOUBT], DOUBT),
        ([ELSEWHERE, words_of(facts=OTHERS, times=7)], ELSEWHERE),
        ([DOUBT, RELEASED, REFUSED], DOUBT),
        ([DOUBT, PROVEN, REFUSED], DOUBT),
        ([RELEASED, REFUSED], None),
        ([{}, PROVEN, REFUSED], None),
    ],
    ids=[
        "no word",
        "a verdict",
        "a doubt takes no verdict back",
        "nor does what is no word",
        "nor do other facts",
        "of two doubts the newest",
        "a doubt of these facts before a verdict of others",
        "of other facts the newest word",
        "a person's release ends what is older",
        "and so does a success",
        "released",
        "proven",
    ],
)
def test_rule_12_the_strongest_word_about_the_same_facts_counts(
    words: list[dict[str, str]], counts: dict[str, str] | None
) -> None:
    expected = None if counts is None else lock_out.read(counts)
    assert lock_out.strongest(words, FACTS) == expected
