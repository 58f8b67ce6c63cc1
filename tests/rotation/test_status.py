"""`status`: what the vault's listing alone says of every item, and what comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, PATS_VAULT, SONAR, demo_estate
from shared.model.errors import Again, Code
from shared.model.items import Item, Strategy
from shared.model.pats import PatId
from shared.model.secret_state import Foreign, Nothing, Published, Secret, Unmarked
from shared.model.steps import Because
from shared.model.tags import Predecessor, Stamp
from shared.report.report import Verb
from shared.rotation.looked import look
from shared.rotation.status import Status, item_status
from shared.rotation.threads import Threads
from shared.rules.lock_out import Block, Facts, note_name, released
from tests.lab.lab import Lab, days, hours, item
from tests.lab.token_estates import principal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CURRENT, OLD = PatId("a" * 8 + "-0000-4000-8000-" + "0" * 12), PatId("b" * 8 + "-0000-4000-8000-" + "0" * 12)


def an_item(**more: object) -> Item:
    base = Item("build-pat", AGENTS, "contoso", ("vso.code",), days(30), rotate_before=days(7), overlap=days(1))
    return Item(**{**{name: getattr(base, name) for name in base.__slots__}, **more})


def published(*, age: timedelta, life: timedelta = days(30), old: datetime | None = None, **more: object) -> Published:
    """The current version, `age` ago; `old`: when its predecessor is to be retired."""
    predecessors = () if old is None else (Predecessor(OLD, old),)
    stamp = Stamp("patrol/x-000000", CURRENT, "contoso", "", str(more.get("user", AGENTS)), "vso.code", predecessors)
    return Published(stamp, NOW - age, NOW - age + life, bool(more.get("enabled", True)), {})


@pytest.mark.parametrize(
    ("managed", "secret", "state", "then", "left"),
    [
        (an_item(), Nothing(), "missing", (Verb.ROTATE, Because.NOTHING_PUBLISHED, NOW), None),
        (
            an_item(),
            published(age=days(1)),
            "healthy",
            (Verb.ROTATE, Because.NEAR_EXPIRY, NOW + days(22)),
            29,
        ),
        (
            an_item(strategy=Strategy.RENEW),
            published(age=days(1)),
            "healthy",
            (Verb.RENEW, Because.NEAR_EXPIRY, NOW + days(22)),
            29,
        ),
        (
            an_item(strategy=Strategy.RENEW, max_age=days(10)),
            published(age=days(1)),
            "healthy",
            (Verb.ROTATE, Because.MAX_AGE, NOW + days(9)),
            29,
        ),
        (
            an_item(),
            published(age=days(23) - timedelta(seconds=1)),
            "healthy",
            (Verb.ROTATE, Because.NEAR_EXPIRY, NOW + timedelta(seconds=1)),
            7,
        ),
        (an_item(), published(age=days(23)), "due", (Verb.ROTATE, Because.NEAR_EXPIRY, NOW), 7),
        (
            an_item(strategy=Strategy.RENEW),
            published(age=days(23)),
            "due",
            (Verb.RENEW, Because.NEAR_EXPIRY, NOW),
            7,
        ),
        (an_item(), published(age=days(30)), "expired", (Verb.ROTATE, Because.EXPIRED, NOW), 0),
        (an_item(), published(age=days(30) + hours(1)), "expired", (Verb.ROTATE, Because.EXPIRED, NOW), -1),
        (an_item(), published(age=days(1), user=SONAR), "due", (Verb.ROTATE, Because.USER_CHANGED, NOW), 29),
        (an_item(), published(age=days(1), enabled=False), "missing", (Verb.HOLD, Because.DISABLED, None), 29),
        (an_item(), Unmarked(edited=True), "edited", (Verb.HOLD, Because.EDITED, None), None),
        (an_item(), Unmarked(), "foreign", (Verb.HOLD, Because.UNMARKED, None), None),
        (an_item(adopt=True), Unmarked(), "due", (Verb.ROTATE, Because.ADOPTED, NOW), None),
        (an_item(adopt=True), Unmarked(edited=True), "edited", (Verb.HOLD, Because.EDITED, None), None),
        (an_item(), Foreign("patrol/y-111111"), "foreign", (Verb.HOLD, Because.FOREIGN, None), None),
        (an_item(paused=True), published(age=days(29)), "paused", (Verb.HOLD, Because.PAUSED, None), 1),
        (an_item(paused=True), Nothing(), "paused", (Verb.HOLD, Because.PAUSED, None), None),
        (
            an_item(decommission=True),
            published(age=days(1)),
            "healthy",
            (Verb.DECOMMISSION, Because.DECOMMISSIONED, NOW),
            29,
        ),
        (
            an_item(decommission=True),
            published(age=days(1), enabled=False),
            "missing",
            (Verb.HOLD, Because.DECOMMISSIONED, None),
            29,
        ),
    ],
    ids=[
        "no secret",
        "healthy",
        "renewed next",
        "too old next",
        "a second early",
        "at the margin",
        "renewed now",
        "at its expiry",
        "an hour after its expiry",
        "another user",
        "disabled",
        "edited",
        "unmarked",
        "adopted",
        "edited, and adopt has no effect",
        "another deployment's",
        "paused",
        "paused and missing",
        "to be ended",
        "ended",
    ],
)
def test_state_and_next_step(
    managed: Item, secret: Secret, state: str, then: tuple[Verb, Because, datetime | None], left: int | None
) -> None:
    shown = item_status(managed, secret, None, NOW)
    assert (shown.state, shown.days_left) == (state, left)
    assert (shown.step, shown.because, shown.at) == then


def test_a_predecessor_in_overlap_is_what_comes_next() -> None:
    shown = item_status(an_item(), published(age=hours(2), old=NOW + hours(22)), None, NOW)
    assert [(one.id, one.retire_at) for one in shown.predecessors] == [(OLD, NOW + hours(22))]
    assert (shown.state, shown.step, shown.because, shown.at) == (
        "healthy",
        Verb.RETIRE,
        Because.OVERLAP_OVER,
        NOW + hours(22),
    )


def test_a_predecessor_whose_overlap_is_over_is_retired_now() -> None:
    shown = item_status(an_item(), published(age=days(2), old=NOW - days(1)), None, NOW)
    assert (shown.step, shown.at) == (Verb.RETIRE, NOW)


@pytest.mark.parametrize(
    ("again", "times", "at"),
    [
        (Again.NEVER, 1, None),
        (Again.DAILY, 1, NOW + days(1)),
        (Again.LOCKED, 1, NOW + timedelta(minutes=30)),
        (Again.LOCKED, 2, NOW + days(1)),
    ],
)
def test_rule_12_a_blocked_user_s_items_are_blocked_until_the_next_try(
    again: Again, times: int, at: datetime | None
) -> None:
    block = Block(Facts(AGENTS, "t", "c", "1", "1"), "AADSTS50126", again, NOW, times)
    shown = item_status(an_item(), published(age=days(25)), block, NOW)
    assert (shown.state, shown.step, shown.because, shown.at) == ("blocked", Verb.HOLD, Because.BLOCKED, at)


# --- from the vault --------------------------------------------------------------------------------------------------


def seen(lab: Lab) -> Status:
    return look(lab.inventory(), lab.world(), lab.settings.mark, Threads(1)).status


def states(lab: Lab) -> dict[str, str]:
    return {one.secret: one.state for one in seen(lab).pats}


def test_it_asks_the_vault_alone_and_further_only_for_unmarked_secrets() -> None:
    lab = Lab([item(), item("edited-pat"), item("stranger-pat"), item("missing-pat")])
    lab.run("build-pat", "edited-pat")
    lab.wait(hours(1))
    lab.vault.seed("edited-pat", "pasted by a person")
    lab.vault.seed("stranger-pat", "somebody else's")
    before = len(lab.operations())
    assert states(lab) == {
        "build-pat": "healthy",
        "edited-pat": "edited",
        "stranger-pat": "foreign",
        "missing-pat": "missing",
    }
    assert lab.operations()[before:] == ["vault.list", "vault.versions", "vault.versions"]


def unreadable_versions(lab: Lab, secret: str, **details: object) -> None:
    lab.cloud.add_fault("vault.versions", "status", call=None, where=secret, **{"status": 500, **details})


def test_promise_5_one_secret_whose_versions_cannot_be_read_leaves_the_others_told() -> None:
    lab = Lab([item(), item("stranger-pat")], principals=[principal("stranger-token")])
    lab.run("build-pat")
    lab.vault.seed("stranger-pat", "somebody else's")
    lab.vault.seed("stranger-token", "somebody else's")
    for name in ("stranger-pat", "stranger-token"):
        unreadable_versions(lab, name)
    found = {one.secret: one for one in seen(lab).pats}
    assert {name: one.state for name, one in found.items()} == {
        "build-pat": "healthy",
        "stranger-pat": "unknown",
        "stranger-token": "unknown",
    }
    assert found["build-pat"].last_failure is None
    for name in ("stranger-pat", "stranger-token"):
        one = found[name]
        assert (one.step, one.because, one.at) == (Verb.HOLD, Because.NOT_SEEN, None)
        assert one.last_failure is not None
        assert one.last_failure.code is Code.VAULT_UNCLEAR
        assert one.last_failure.remedy
    told: Any = seen(lab).to_json()["pats"]
    assert set(told[-1]["last_failure"]) == {"code", "message", "remedy"}


def test_what_pats_yaml_and_the_listing_say_is_told_though_the_versions_cannot_be_read() -> None:
    lab = Lab([item(paused=True)])
    lab.vault.seed("build-pat", "somebody else's")
    unreadable_versions(lab, "build-pat")
    (paused,) = seen(lab).pats
    assert (paused.state, paused.last_failure is not None) == ("paused", True)

    lab = blocked_lab()
    lab.vault.seed("build-pat", "somebody else's")
    unreadable_versions(lab, "build-pat")
    (shown,) = seen(lab).pats
    assert (shown.state, shown.because) == ("blocked", Because.BLOCKED)
    assert shown.last_failure is not None


def test_promise_5_an_invalid_item_s_secret_that_cannot_be_looked_at_is_one_row() -> None:
    lab = Lab([item(), item("wrong-pat", lifetime="long")])
    lab.run("build-pat")
    lab.vault.seed("wrong-pat", "somebody else's")
    unreadable_versions(lab, "wrong-pat")
    assert states(lab) == {"build-pat": "healthy", "wrong-pat": "unknown"}


def test_promise_7_a_defect_at_one_item_is_told_without_its_text() -> None:
    lab = Lab([item(), item("stranger-pat")], quick=True)
    lab.run("build-pat")
    lab.vault.seed("stranger-pat", "somebody else's")

    def broken(operation: str) -> None:
        if operation != "vault.list":
            raise RuntimeError("a token stands here")

    lab.trouble.before = broken
    found = look(lab.inventory(), lab.quick_world(), lab.settings.mark, Threads(1)).status
    lab.end_trouble()
    last = {one.secret: one.last_failure for one in found.pats}["stranger-pat"]
    assert last is not None
    assert last.code is Code.UNEXPECTED
    assert "a token" not in str(found.to_json())


def test_a_soft_deleted_secret_is_missing() -> None:
    lab = Lab([item()])
    lab.run()
    lab.vault.delete("build-pat")
    assert states(lab) == {"build-pat": "missing"}


def test_another_deployment_s_secret_is_foreign() -> None:
    lab = Lab([item()])
    lab.run()
    other = Lab([item()], environment={"DEPLOYMENT_NAME": "other"})
    other.cloud = lab.cloud
    assert states(other) == {"build-pat": "foreign"}


def test_an_invalid_item_shows_the_vault_s_state_and_holds() -> None:
    lab = Lab([item(), item("other-pat")])
    lab.run()
    lab.items = [item(scopes=["nonsense"]), item("other-pat"), item("third-pat", lifetime="long")]
    broken = {one.secret: one for one in seen(lab).pats if one.because is Because.INVALID}
    assert {name: one.state for name, one in broken.items()} == {"build-pat": "healthy", "third-pat": "missing"}
    assert broken["build-pat"].days_left == 30
    assert {one.step for one in broken.values()} == {Verb.HOLD}
    lab.wait(days(31))
    assert states(lab)["build-pat"] == "expired"


def test_secrets_are_found_whatever_the_case_of_their_names() -> None:
    lab = Lab([item("Build-PAT")])
    lab.run()
    lab.items = [item("build-pat")]
    assert states(lab) == {"build-pat": "healthy"}


def blocked_lab() -> Lab:
    lab = Lab([item()])
    lab.cloud.directory.set_password(AGENTS, "changed by a person")
    lab.run()
    return lab


def test_rule_12_a_refused_sign_in_blocks() -> None:
    lab = blocked_lab()
    shown = seen(lab)
    assert list(shown.blocks) == [AGENTS]
    assert [one.state for one in shown.pats] == ["blocked"]


def test_rule_12_a_blocked_user_without_items_is_told_too() -> None:
    lab = blocked_lab()
    lab.items = []
    shown = seen(lab)
    assert (list(shown.blocks), shown.pats) == ([AGENTS], ())


@pytest.mark.parametrize("fact", ["tenant", "client-id", "username"])
def test_rule_12_a_block_of_other_facts_is_none(fact: str) -> None:
    lab = blocked_lab()
    note = lab.current(note_name(AGENTS))
    note.tags[fact] = "something else"
    assert states(lab) == {"build-pat": "missing"}


def test_rule_12_a_released_block_is_none() -> None:
    lab = blocked_lab()
    note = lab.current(note_name(AGENTS))
    note.tags.update(released(note.tags))
    assert states(lab) == {"build-pat": "missing"}


def test_the_document_has_exactly_these_keys() -> None:
    lab = Lab(
        estate=demo_estate(),
        users=[
            {
                "username": AGENTS,
                "password_secret_name": "svc-agents-password",
                "pats": [item("wiki-export-pat", scopes=["vso.wiki"])],
            }
        ],
    )
    document = seen(lab).to_json()
    assert list(document) == ["as_of", "seen", "pats"]
    assert (document["as_of"], document["seen"]) == ("2026-03-01T12:00:00Z", "vault")
    assert document["pats"] == [
        {
            "secret": "wiki-export-pat",
            "vault": PATS_VAULT,
            "username": AGENTS,
            "organization": "contoso",
            "owner": None,
            "state": "healthy",
            "expires_on": "2026-03-28T12:00:00Z",
            "days_left": 27,
            "predecessors": [
                {"authorization_id": "a0000000-0000-4000-8000-000000000005", "retire_at": "2026-02-27T12:00:00Z"}
            ],
            "next": {"step": "retire", "because": "overlap-over", "at": "2026-03-01T12:00:00Z"},
            "last_failure": None,
        }
    ]
