"""Rule 19 as a pure function: what a memory and a run come to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.model.errors import Code
from shared.model.notices import BY_DEFAULT, Audience, Event, Kind, Recipient
from shared.model.steps import Because
from shared.report.met import Happened, met
from shared.report.notices import MOST_ITEMS, OWED_FOR, claimed, decided, settled
from shared.report.report import Failure, Outcome, Report, Row, Verb
from shared.report.told import Memory, memory_json, read_memory

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SLACK, HOOK = Recipient(Kind.SLACK, "slack-url"), Recipient(Kind.WEBHOOK, "hook-url", frozenset(Event))
AUDIENCE = Audience((SLACK, HOOK), (), "contoso", "contoso-pats.vault.azure.net")
HOUR = timedelta(hours=1)


def failing(secret: str, code: Code = Code.MINT_REFUSED, message: str = "SECRET: refused", **more: object) -> Row:
    failure = Failure(code, message.replace("SECRET", secret), "Ask.")
    row = Row(
        secret, "svc@contoso.com", "contoso", Verb.ROTATE, Outcome.FAILED, Because.NEAR_EXPIRY, "-", error=failure
    )
    return replace(row, **more)  # type: ignore[arg-type]


def fine(secret: str, outcome: Outcome = Outcome.DONE, username: str = "svc@contoso.com") -> Row:
    return Row(secret, username, "contoso", Verb.ROTATE, outcome, Because.NEAR_EXPIRY, "-")


def happened(*rows: Row, at: datetime = NOW, whole: bool = True, **more: object) -> Happened:
    report = Report("a" * 32, at, at, tuple(rows))
    managed = frozenset({"one", "two", "three"} | {row.secret.casefold() for row in rows})
    return Happened(report, "run", whole=whole, managed=managed, **more)  # type: ignore[arg-type]


def told(memory: Memory, run: Happened, now: datetime, *, takes: bool = True) -> tuple[Memory, list[str]]:
    """One run from its end to what is remembered; gives what was sent."""
    memory, deliveries = claimed(decided(memory, run, AUDIENCE, now), now, now + HOUR)
    memory = settled(memory, deliveries, {one.key for one in deliveries if takes}, now)
    written = read_memory(json.loads(json.dumps(memory_json(memory))))
    assert written == memory
    return written, [f"{one.recipient} {one.notice.event}{' again' * one.notice.reminder}" for one in deliveries]


def test_rule_19_the_schema_s_default_is_everything_but_done() -> None:
    from shared.inventory.schema import RecipientPart

    part = RecipientPart(kind="slack", url_secret_name="x")
    assert frozenset(part.on) == {event.value for event in BY_DEFAULT}
    assert "done" not in part.on


def test_rule_19_one_cause_of_many_items_is_one_notice_that_names_some_and_counts_all() -> None:
    rows = [failing(f"pat-{number:04}", expires_on=NOW + number * HOUR) for number in range(5000)]
    memory, deliveries = claimed(decided(Memory(), happened(*rows), AUDIENCE, NOW), NOW, NOW + HOUR)
    assert [one.notice.event for one in deliveries] == [Event.FAILED, Event.FAILED]
    notice = deliveries[0].notice
    assert (len(notice.items), notice.items_in_all, notice.subject) == (MOST_ITEMS, 5000, "")
    assert notice.serious_at == NOW == notice.items[0].expires_on
    assert len(next(iter(memory.open.values())).secrets) == 5000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (failing("one"), failing("two"), True),
        (failing("one", message="PAT 1 of SECRET"), failing("one", message="PAT 22 of SECRET"), True),
        (failing("one", message="policy A"), failing("one", message="policy B"), False),
        (failing("one", Code.VAULT_UNCLEAR, "HTTP 502"), failing("two", Code.VAULT_UNCLEAR, "no answer"), True),
        (failing("one", Code.DEVOPS_UNAVAILABLE, "x"), failing("two", Code.DEVOPS_UNAVAILABLE, "y"), True),
        (
            failing("one", Code.DEVOPS_UNAVAILABLE, "x"),
            failing("two", Code.DEVOPS_UNAVAILABLE, "x", organization="fabrikam"),
            False,
        ),
        (
            failing("one", Code.SIGN_IN_REFUSED, "now", outcome=Outcome.BLOCKED),
            failing("two", Code.USER_BLOCKED, "at 12:00", outcome=Outcome.BLOCKED),
            True,
        ),
        (
            failing("one", Code.USER_BLOCKED, "x", outcome=Outcome.BLOCKED),
            failing("two", Code.USER_BLOCKED, "x", outcome=Outcome.BLOCKED, username="other@contoso.com"),
            False,
        ),
    ],
    ids=["items", "numbers", "words", "doubt", "organization", "organizations", "blocked", "users"],
)
def test_rule_19_what_is_one_cause(one: Row, other: Row, same: bool) -> None:
    assert (met(happened(one)).keys() == met(happened(other)).keys()) is same


def test_rule_17_each_item_of_a_notice_says_its_vault_and_whose_it_is_apart() -> None:
    web = "contoso-web.vault.azure.net"
    rows = (replace(fine("one"), vault=AUDIENCE.vault), replace(fine("two"), vault=web))
    _, deliveries = claimed(decided(Memory(), happened(*rows), AUDIENCE, NOW), NOW, NOW + HOUR)
    (notice,) = [one.notice for one in deliveries if one.notice.event is Event.DONE]
    assert [(one.secret, one.vault, one.owner) for one in notice.items] == [
        ("one", AUDIENCE.vault, ""),
        ("two", web, ""),
    ]


def test_rule_19_a_named_request_that_looks_at_nothing_of_a_cause_says_nothing_of_it() -> None:
    memory, _ = told(Memory(), happened(failing("one")), NOW)
    memory, sent = told(memory, happened(fine("two"), at=NOW + HOUR, whole=False), NOW + HOUR)
    assert sent == ["hook-url done"]
    memory, sent = told(memory, happened(fine("one"), at=NOW + 2 * HOUR, whole=False), NOW + 2 * HOUR)
    assert sorted(sent) == ["hook-url done", "hook-url recovered", "slack-url recovered"]
    assert memory == Memory()


@pytest.mark.parametrize("outcome", [Outcome.LEFT, Outcome.BUSY])
def test_rule_19_what_a_run_did_not_reach_is_not_well(outcome: Outcome) -> None:
    memory, _ = told(Memory(), happened(failing("one")), NOW)
    later = NOW + timedelta(days=3)
    memory, sent = told(memory, happened(fine("one", outcome), at=later), later)
    assert sent == []
    assert len(memory.open) == 1


def test_rule_19_an_item_that_left_pats_yaml_holds_nothing_open() -> None:
    memory, _ = told(Memory(), happened(failing("gone")), NOW)
    memory, sent = told(memory, happened(fine("one", Outcome.HELD)), NOW + HOUR)
    assert sorted(sent) == ["hook-url recovered", "slack-url recovered"]
    assert memory.open == {}


def test_rule_19_who_was_not_told_that_something_is_wrong_is_not_told_that_it_is_well() -> None:
    memory, _ = told(Memory(), happened(failing("one")), NOW, takes=False)
    assert [one.told for one in memory.open.values()] == [{}]
    memory, sent = told(memory, happened(fine("one")), NOW + HOUR)
    assert sent == ["hook-url done"]


def test_rule_19_a_recipient_that_joins_is_told_what_is_open() -> None:
    memory = decided(Memory(), happened(failing("one")), replace(AUDIENCE, recipients=(SLACK,)), NOW)
    memory, deliveries = claimed(memory, NOW, NOW + HOUR)
    memory = settled(memory, deliveries, {one.key for one in deliveries}, NOW)
    _, sent = told(memory, happened(failing("one"), at=NOW + 6 * HOUR), NOW + 6 * HOUR)
    assert sent == ["hook-url failed"]


def test_rule_19_a_recipient_that_leaves_is_owed_nothing() -> None:
    memory = decided(Memory(), happened(failing("one"), emergency=True), AUDIENCE, NOW)
    memory = decided(memory, happened(failing("one")), replace(AUDIENCE, recipients=(SLACK,)), NOW + HOUR)
    assert {name for one in memory.owed.values() for name in one.to} == {"slack-url"}


def test_rule_19_what_happened_once_is_owed_for_days_and_not_for_ever() -> None:
    run = happened(replace(fine("one"), version="v"), emergency=True)
    memory, sent = told(Memory(), run, NOW, takes=False)
    assert "slack-url emergency" in sent
    for days_later, owed in ((1, True), (OWED_FOR // timedelta(days=1), False)):
        _, sent = told(memory, happened(), NOW + timedelta(days=days_later))
        assert ("slack-url emergency" in sent) is owed


def test_rule_19_a_claim_keeps_another_run_away_and_ends_by_itself() -> None:
    memory, deliveries = claimed(decided(Memory(), happened(failing("one")), AUDIENCE, NOW), NOW, NOW + HOUR)
    assert len(deliveries) == 2
    again = decided(memory, happened(failing("one")), AUDIENCE, NOW)
    assert claimed(again, NOW, NOW + HOUR)[1] == ()
    later = NOW + HOUR
    resent = claimed(decided(memory, happened(failing("one"), at=later), AUDIENCE, later), later, later + HOUR)[1]
    assert [one.notice.id for one in resent] == [one.notice.id for one in deliveries]


def test_rule_19_an_unreachable_part_of_the_deployment_is_its_vault_s_notice() -> None:
    run = happened()
    failure = Failure(Code.CLIENT_REFUSED, "Entra ID refused the app.", "Correct it.")
    run = replace(run, report=replace(run.report, misconfigured=failure, items=(failing("one", Code.CLIENT_REFUSED),)))
    memory, _ = told(Memory(), run, NOW)
    (key,) = memory.open
    assert key == "failed client-refused"
    notice = next(iter(decided(Memory(), run, AUDIENCE, NOW).owed.values())).notice
    assert notice.subject == AUDIENCE.vault
    assert [item.secret for item in notice.items] == ["one"]


def test_rule_19_a_thousand_causes_are_each_told_once_and_each_well_again() -> None:
    """In line with their number: what a run shows is looked up and not searched for each of them."""
    names = [f"pat-{number:04}" for number in range(3000)]
    users = {name: f"svc-{name}@contoso.com" for name in names}
    refused = [
        failing(name, Code.SIGN_IN_REFUSED, f"{users[name]} was refused.", username=users[name]) for name in names
    ]
    memory, sent = told(Memory(), happened(*refused), NOW)
    assert (len(sent), set(sent)) == (6000, {"slack-url failed", "hook-url failed"})
    memory, sent = told(memory, happened(*refused, at=NOW + HOUR), NOW + HOUR)
    assert sent == []
    memory, sent = told(memory, happened(*(fine(name, username=users[name]) for name in names)), NOW + 2 * HOUR)
    assert memory == Memory()
    assert (len(sent), set(sent)) == (6001, {"slack-url recovered", "hook-url recovered", "hook-url done"})
