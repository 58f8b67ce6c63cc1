"""One report out of the parts of a run over the queue: whatever comes twice, late, in portions or never, it adds up."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model import run_ids
from shared.model.errors import Code
from shared.model.steps import Because
from shared.report.brief import Brief, last_run
from shared.report.kept_run import (
    GIVEN_UP,
    KeptRun,
    MessageDone,
    MessageOpen,
    part_json,
    put_together,
    read_part,
    read_run,
    run_json,
    shown,
)
from shared.report.report import WELL, Failure, Leftover, Outcome, Report, Row, Verb
from tests.lab.lab import outcomes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE = NOW + timedelta(hours=4)
DOWN = Failure(Code.VAULT_UNREACHABLE, "The vault gave no answer.", "Look at its health.")


def minutes(number: float) -> datetime:
    return NOW + timedelta(minutes=number)


def row(secret: str, outcome: Outcome, step: Verb = Verb.ROTATE, because: Because = Because.NEAR_EXPIRY) -> Row:
    return Row(secret, "svc@contoso.com", "contoso", step, outcome, because, f"{secret}: told.")


def done(secret: str, step: Verb = Verb.ROTATE) -> Row:
    return row(secret, Outcome.DONE, step)


def held(secret: str) -> Row:
    return row(secret, Outcome.HELD, Verb.HOLD, Because.FRESH)


def failed(secret: str) -> Row:
    return row(secret, Outcome.FAILED)


def head(*secrets: tuple[str, ...], items: tuple[Row, ...] = ()) -> KeptRun:
    """A run of one message for each group of secrets."""
    waiting = tuple(
        MessageOpen(f"svc-{n}@contoso.com", tuple((name, "contoso") for name in mine)) for n, mine in enumerate(secrets)
    )
    report = Report(run_ids.new(NOW), NOW, NOW, items)
    return KeptRun(report, "timer", running=True, waiting=waiting, deadline=DEADLINE, messages=len(waiting))


def part(
    number: int, *rows: Row, at: datetime = minutes(1), delivery: int = 1, final: bool = True, **more: object
) -> MessageDone:
    made = MessageDone(number, delivery, final, at, rows)
    return replace(made, **more)  # type: ignore[arg-type]


def told(run: KeptRun) -> list[str]:
    return outcomes(run.report.items)


def test_while_a_message_is_open_the_run_goes_on_and_its_items_are_left() -> None:
    run = put_together(head(("a-pat",), ("b-pat", "c-pat")), [part(1, done("a-pat"))], minutes(5))
    assert (run.finished_at, run.outcome, run.messages, run.messages_done) == (None, "running", 2, 1)
    assert told(run) == ["b-pat hold left queued", "c-pat hold left queued", "a-pat rotate done near-expiry"]
    assert shown(run, None)["progress"] == {"messages": 2, "finished": 1}


def test_what_the_dispatcher_told_stands_beside_what_the_messages_did() -> None:
    run = put_together(head(("a-pat",), items=(held("quiet-pat"),)), [part(1, done("a-pat"))], minutes(5))
    assert told(run) == ["a-pat rotate done near-expiry", "quiet-pat hold held fresh"]
    assert (run.finished_at, run.outcome) == (minutes(1), "succeeded")


def test_a_redelivered_message_keeps_what_the_first_did_and_the_last_s_word_on_the_rest() -> None:
    first = part(1, done("a-pat"), done("a-pat", Verb.RETIRE), failed("b-pat"), final=False)
    again = part(1, held("a-pat"), done("b-pat"), at=minutes(3), delivery=2)
    run = put_together(head(("a-pat", "b-pat")), [first, again], minutes(5))
    assert told(run) == [
        "a-pat rotate done near-expiry",
        "a-pat retire done near-expiry",
        "b-pat rotate done near-expiry",
    ]


def test_the_last_delivery_is_the_one_that_ended_last() -> None:
    """Its lock had run out, so it was delivered again while it was worked on: the second one found it taken."""
    second = part(1, row("a-pat", Outcome.BUSY), at=minutes(2), delivery=2, final=False)
    first = part(1, done("a-pat"), at=minutes(3), delivery=1)
    assert told(put_together(head(("a-pat",)), [second, first], minutes(5))) == ["a-pat rotate done near-expiry"]


def test_a_poison_message_that_a_person_put_back_counts_anew() -> None:
    tries = [part(1, failed("a-pat"), at=minutes(n), delivery=n, final=n == 5) for n in range(1, 6)]
    assert put_together(head(("a-pat",)), tries, minutes(6)).outcome == "failed"
    by_hand = part(1, done("a-pat"), at=minutes(90), delivery=1)
    run = put_together(head(("a-pat",)), [*tries, by_hand], minutes(91))
    assert (told(run), run.outcome) == (["a-pat rotate done near-expiry"], "succeeded")


def test_a_failure_that_passed_is_none_of_the_report() -> None:
    down = part(1, final=False, error=DOWN)
    waiting = put_together(head(("a-pat",)), [down], minutes(2))
    assert (waiting.outcome, waiting.report.misconfigured, told(waiting)) == (
        "running",
        DOWN,
        ["a-pat hold left queued"],
    )
    over = put_together(head(("a-pat",)), [down, part(1, done("a-pat"), at=minutes(9), delivery=2)], minutes(10))
    assert (over.outcome, over.report.misconfigured) == ("succeeded", None)


def test_a_message_that_could_not_begin_fails_its_items_with_its_cause() -> None:
    run = put_together(head(("a-pat",), ("b-pat",)), [part(1, error=DOWN), part(2, done("b-pat"))], minutes(5))
    assert (run.outcome, run.report.misconfigured) == ("partial", DOWN)
    assert told(run) == ["a-pat hold failed not-seen", "b-pat rotate done near-expiry"]
    assert run.report.items[0].error == DOWN


def test_what_pats_yaml_no_longer_has_is_left_and_never_well() -> None:
    """Its user is gone, and whoever asked for it by name must not read success."""
    run = put_together(head(("a-pat",)), [part(1)], minutes(5))
    assert (run.outcome, told(run)) == ("failed", ["a-pat hold left queued"])
    assert "any more" in run.report.items[0].says


def test_portions_of_one_delivery_are_one() -> None:
    names = ("a-pat", "b-pat", "c-pat")
    portions = [part(1, done("a-pat"), final=False), part(1, failed("b-pat"), final=False), part(1, done("c-pat"))]
    run = put_together(head(names), portions, minutes(5))
    assert told(run) == [
        "b-pat rotate failed near-expiry",
        "a-pat rotate done near-expiry",
        "c-pat rotate done near-expiry",
    ]


def test_leftovers_are_the_last_delivery_s_and_stand_there_once() -> None:
    old, new = (Leftover("a-pat", one, "svc@contoso.com", "contoso", "says") for one in ("id-1", "id-2"))
    parts = [
        part(1, failed("a-pat"), final=False, leftovers=(old,)),
        part(1, done("a-pat"), at=minutes(2), delivery=2, leftovers=(new,)),
        part(2, done("b-pat"), leftovers=(new,)),
    ]
    assert put_together(head(("a-pat",), ("b-pat",)), parts, minutes(5)).report.leftovers == (new,)


@pytest.mark.parametrize("late", [timedelta(seconds=-1), timedelta(0)])
def test_what_is_not_told_long_after_the_deadline_is_given_up(late: timedelta) -> None:
    run = put_together(head(("a-pat",), ("b-pat",)), [part(1, done("a-pat"))], DEADLINE + GIVEN_UP + late)
    over = late >= timedelta(0)
    assert run.finished_at == (DEADLINE if over else None)
    assert told(run)[0] == "b-pat hold left queued"
    assert ("not worked off in time" in run.report.items[0].says) == over
    assert run.outcome == ("partial" if over else "running")


def test_a_run_that_is_over_takes_no_more_parts() -> None:
    over = put_together(head(("a-pat",)), [part(1, failed("a-pat"))], minutes(5))
    assert put_together(over, [part(1, done("a-pat"), delivery=2)], minutes(6)) == over


# --- whatever comes --------------------------------------------------------------------------------------------------

NAMES = ("a-pat", "b-pat", "c-pat", "d-pat")
GROUPS = (NAMES[:2], NAMES[2:3], NAMES[3:])


@st.composite
def deliveries(draw: st.DrawFn) -> list[MessageDone]:
    """What the deliveries of three messages told, in the order in which it happened."""
    found = []
    for number, names in enumerate(GROUPS, start=1):
        for delivery in range(1, draw(st.integers(0, 3)) + 1):
            at = NOW + timedelta(seconds=draw(st.integers(1, 600)), minutes=11 * delivery)
            rows = [
                draw(st.sampled_from([done(name), held(name), failed(name), row(name, Outcome.LEFT)]))
                for name in draw(st.sets(st.sampled_from(names)).map(sorted))
            ]
            cut = draw(st.integers(0, len(rows)))
            final = draw(st.booleans())
            error = draw(st.sampled_from([None, DOWN])) if not rows else None
            if cut:
                found.append(part(number, *rows[:cut], at=at, delivery=delivery, final=False))
            found.append(part(number, *rows[cut:], at=at, delivery=delivery, final=final, error=error))
    return found


@given(deliveries(), st.randoms(use_true_random=False), st.booleans())
def test_the_report_adds_up_in_whatever_order_and_however_often_parts_come(
    parts: list[MessageDone], chance: object, over: bool
) -> None:
    now = DEADLINE + GIVEN_UP if over else DEADLINE
    begun = head(*GROUPS)
    run = put_together(begun, parts, now)
    # One row for each item and step, at least one for each item.
    assert {one.secret for one in run.report.items} == set(NAMES)
    assert len({(one.secret, one.step, one.outcome) for one in run.report.items}) == len(run.report.items)
    # What was done is never forgotten, and nothing is well that nobody told.
    assert {one for mine in parts for one in mine.items if one.outcome is Outcome.DONE} <= set(run.report.items)
    assert {one for one in run.report.items if one.outcome in WELL} <= {one for mine in parts for one in mine.items}
    ended = {one.part for one in parts if one.final}
    assert (run.messages, run.messages_done) == (3, len(ended))
    assert (run.finished_at is not None) == (over or len(ended) == 3)
    # Redelivered, doubled by a lost answer, in any order: the same.
    again = [*parts, *parts]
    chance.shuffle(again)  # type: ignore[attr-defined]
    other = put_together(begun, again, now)
    assert set(other.report.items) == set(run.report.items)
    assert replace(other, report=replace(other.report, items=run.report.items)) == run


# --- as JSON ---------------------------------------------------------------------------------------------------------


@given(deliveries())
def test_what_is_kept_is_read_as_it_was(parts: list[MessageDone]) -> None:
    for one in parts:
        assert read_part(json.loads(json.dumps(part_json(one)))) == one
    begun = head(*GROUPS, items=(held("e-pat"),))
    begun = replace(begun, report=replace(begun.report, unmanaged=("old-pat",)), dry_run=True)
    for run in (begun, put_together(begun, parts, DEADLINE), put_together(begun, parts, DEADLINE + GIVEN_UP)):
        assert read_run(json.loads(json.dumps(run_json(run)))) == run
        brief = Brief.of(run)
        assert Brief.of_facts(run.run_id, brief.facts()) == brief
        assert all(value.isascii() for value in brief.facts().values()), "a header of HTTP"


def test_the_last_run_is_the_last_that_was_meant() -> None:
    real, newer = head(("a-pat",)), head(("a-pat",))
    ids = sorted([real.run_id, newer.run_id])
    briefs = [replace(Brief.of(real), run_id=ids[0]), replace(Brief.of(newer), run_id=ids[1], dry_run=True)]
    assert last_run(briefs) == briefs[0]
    assert last_run(briefs[1:]) is None
