"""What holds for every kind of consumer: it has the new value before the old PAT ends, whatever it answers and whoever
is killed. tests/rotation/test_push.py has what is SonarQube's own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from shared.cli.check_online import check_online
from shared.model.errors import Code
from tests.lab.consumers import KINDS, SONARQUBE, WEBHOOK, Kind, asked
from tests.lab.copies import copies
from tests.lab.lab import Lab, days, hours, item, outcomes, row
from tests.lab.watched_consumer import WatchedConsumer, due
from tests.promises.test_promise_3_stop_anywhere import Killed

of_every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
KEEPING = tuple(kind for kind in KINDS if kind.keeps_copy)


@of_every_kind
def test_promise_1_what_a_consumer_uses_lives_at_every_instant_of_a_quarter(kind: Kind) -> None:
    watched = WatchedConsumer(kind)
    watched.lab.run()
    reports = watched.let_pass(days(90))
    assert watched.dead == []
    assert watched.takes_current
    assert {one.outcome for one in reports} == {"succeeded"}
    assert sum(row.step == "retire" for report in reports for row in report.items) == 3
    assert len(watched.lab.live()) == 1


@of_every_kind
def test_promise_1_a_consumer_that_refuses_for_days_holds_the_revoke_until_it_has_the_new_value(kind: Kind) -> None:
    watched = due(kind, quick=False)
    lab, first = watched.lab, watched.copy
    allow = kind.refuse(lab)
    report = lab.run()
    assert outcomes(report.items) == ["build-pat rotate failed not-pushed", "build-pat rotate done near-expiry"]
    error = row(report).error
    assert error is not None
    assert error.code is Code.CONSUMER_REFUSED
    assert error.remedy
    assert all(name in f"{error.message} {error.remedy}" for name in kind.secret_names[:1])
    assert lab.works("build-pat")  # what was published is good, and stays
    held = watched.let_pass(days(3))
    assert {one.outcome for one in held} == {"partial"}
    assert outcomes(held[-1].items)[:2] == ["build-pat rotate failed not-pushed", "build-pat retire failed not-pushed"]
    assert watched.copy == first
    assert len(lab.live()) == 2
    allow()
    assert outcomes(lab.run().items) == [
        "build-pat rotate done not-pushed",
        "build-pat retire done overlap-over",
        "build-pat hold held fresh",
    ]
    assert watched.takes_current
    assert watched.dead == []
    assert len(lab.live()) == 1


ODD = [
    {"kind": "cut_after_effect"},
    {"kind": "cut_before_effect"},
    {"kind": "hang", "seconds": 300},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429},
    {"kind": "foreign", "status": 401},
    {"kind": "foreign", "status": 404, "after_effect": True},
    {"kind": "foreign", "status": 403, "form": "gateway", "after_effect": True},
    {"kind": "redirect"},
    {"kind": "redirect", "after_effect": True},
]


@pytest.mark.parametrize(
    ("kind", "call", "fault"),
    [
        pytest.param(kind, call, fault, id=f"{kind} {call} {fault}")
        for kind in KINDS
        if kind is not SONARQUBE
        for call in kind.calls
        for fault in ODD
    ],
)
def test_promise_1_no_answer_lets_what_a_consumer_uses_die(kind: Kind, call: str, fault: dict[str, Any]) -> None:
    watched = due(kind, quick=False)
    watched.lab.cloud.add_fault(call, call=None, **fault)
    told = [one.error for one in watched.lab.run().items if one.error is not None]
    assert len(told) == 1
    assert told[0].code in (Code.CONSUMER_UNREACHABLE, Code.CONSUMER_REFUSED)
    assert "<" not in told[0].message
    watched.let_pass(hours(30))
    assert len(watched.lab.live()) == 2
    watched.lab.cloud.faults.clear()
    watched.let_pass(hours(6))
    assert watched.dead == []
    assert watched.takes_current
    assert len(watched.lab.live()) == 1


@pytest.mark.parametrize("kind", KEEPING, ids=str)
def test_promise_1_a_copy_that_somebody_put_back_is_replaced_before_its_pat_ends(kind: Kind) -> None:
    watched = due(kind)
    first = watched.copy
    watched.lab.run()
    kind.put_back(watched.lab, first)
    watched.let_pass(days(2))
    assert watched.dead == []
    assert watched.takes_current


@pytest.mark.parametrize("kind", KEEPING, ids=str)
def test_promise_1_a_dead_copy_that_came_back_is_replaced_by_the_next_full_look(kind: Kind) -> None:
    watched = due(kind, quick=False)
    lab, first = watched.lab, watched.copy
    watched.remember_looks()
    watched.let_pass(days(2))
    assert watched.takes_current
    kind.put_back(lab, first)
    reports = watched.let_pass(days(1))
    assert watched.takes_current
    told = [line for report in reports for line in outcomes(report.items) if "not-pushed" in line]
    assert told == ["build-pat rotate done not-pushed"]
    before = len(lab.operations())
    lab.later(timedelta(minutes=1))
    assert asked(lab.operations()[before:]) == [], "asked once a day"


@pytest.mark.parametrize("kind", KEEPING, ids=str)
def test_promise_1_a_push_that_an_emergency_overtook_and_that_was_killed_is_mended_by_the_full_look(kind: Kind) -> None:
    """The timer's push arrives after the emergency's, and nobody is left to see that it put an older value back."""
    watched = due(kind, quick=False)
    lab = watched.lab
    watched.remember_looks()

    def overtaken(met: Operation) -> None:
        if met.name == kind.write:
            lab.cloud.before_effect = None
            lab.run("build-pat", emergency=True)
            lab.cloud.after_effect = killed

    def killed(_: Operation) -> None:
        raise Killed

    lab.cloud.after_effect, lab.cloud.before_effect = None, overtaken
    with pytest.raises(Killed):
        lab.run()
    lab.cloud.after_effect = None
    assert not watched.takes_current
    watched.let_pass(days(1))
    assert watched.takes_current
    assert lab.works("build-pat")


@of_every_kind
def test_a_quiet_run_asks_a_consumer_nothing_and_reads_no_secret_of_its_own(kind: Kind) -> None:
    watched = WatchedConsumer(kind, quick=False)
    watched.remember_looks()
    watched.lab.run()
    before = len(watched.lab.operations())
    watched.lab.later(hours(6))
    assert asked(watched.lab.operations()[before:]) == []
    assert not {call.subject for call in watched.lab.cloud.calls()[before:]} & set(kind.secret_names)


def test_a_webhook_is_told_once_of_a_version_however_many_full_looks_and_retirements_follow() -> None:
    watched = due(WEBHOOK, quick=False)
    watched.let_pass(days(5))
    told = watched.lab.cloud.recipients["restart.contoso.com"].received
    versions = [version.id for version in watched.lab.vault.secret("build-pat").versions.values()]
    assert [one["data"]["items"][0]["version"] for one in told] == versions
    assert {one["type"] for one in told} == {"patrol.published"}


@of_every_kind
def test_rule_8_an_emergency_is_never_held_back_and_ends_the_leaked_pat_first(kind: Kind) -> None:
    watched = due(kind, quick=False)
    watched.end_looking()
    leaked, seen = watched.copy, []
    watched.lab.cloud.before_effect = lambda met: seen.append(met.name)
    allow = kind.refuse(watched.lab)
    report = watched.lab.run("build-pat", emergency=True)
    assert sorted(outcomes(report.items)) == [
        "build-pat retire done emergency",
        "build-pat rotate done emergency",
        "build-pat rotate failed not-pushed",
    ]
    assert watched.lab.cloud.pats.authenticate("contoso", leaked) is None
    assert len(watched.lab.live()) == 1
    assert seen.index("pats.revoke") < seen.index(asked(seen)[0])
    allow()
    watched.lab.cloud.before_effect = None
    watched.lab.later(hours(6))
    assert watched.takes_current


@of_every_kind
def test_promise_1_without_any_overlap_a_consumer_has_the_new_value_before_the_old_one_ends(kind: Kind) -> None:
    watched = due(kind, overlap="0d")
    allow = kind.refuse(watched.lab)
    watched.let_pass(days(2))
    assert watched.dead == []
    allow()
    watched.let_pass(days(2))
    assert watched.dead == []
    assert watched.takes_current
    assert len(watched.lab.live()) == 1


@pytest.mark.parametrize("kind", KEEPING, ids=str)
def test_promise_1_then_that_is_taken_off_leaves_alive_what_the_consumer_was_given_last(kind: Kind) -> None:
    watched = due(kind)
    lab, given = watched.lab, watched.copy
    lab.items = [item()]
    lab.run()
    report = lab.later(days(2))
    assert lab.cloud.pats.authenticate("contoso", given) is not None
    assert ["A consumer was given this PAT" in one.says for one in report.leftovers] == [True]


def test_promise_2_a_webhook_that_is_taken_off_holds_nothing() -> None:
    watched = due(WEBHOOK)
    watched.end_looking()
    watched.lab.items = [item()]
    watched.lab.run()
    assert watched.lab.later(days(2)).leftovers == ()
    assert len(watched.lab.live()) == 1


def test_promise_5_of_three_kinds_the_one_that_fails_keeps_the_others_not_waiting() -> None:
    for broken in KINDS:
        lab = Lab([item(then=[kind.then for kind in KINDS])], quick=True)
        for kind in KINDS:
            kind.prepare(lab)
        lab.run()
        lab.wait(days(24))
        allow = broken.refuse(lab)
        lab.run()
        lab.later(days(2))
        current = lab.current("build-pat").value
        assert lab.works("build-pat")
        assert len(lab.live()) == 2
        assert copies(lab.cloud).count(current) == 2
        allow()
        lab.later(hours(6))
        assert set(copies(lab.cloud)) == {current}
        assert len(lab.live()) == 1


@of_every_kind
def test_check_online_looks_at_a_consumer_and_changes_nothing(kind: Kind) -> None:
    watched = WatchedConsumer(kind, quick=False)
    watched.end_looking()
    lab = watched.lab

    def well() -> bool:
        found = check_online(lab.inventory(), lab.settings, lab.world())
        (one,) = [one for one in found if "for build-pat" in one.what]
        return one.well

    assert well()
    assert not any(call.effect for call in lab.cloud.calls() if asked([call.operation]))
    if kind is WEBHOOK:
        lab.cloud.vaults["patrol-demo-creds.vault.azure.net"].seed("restart-url", "http://x", created=lab.clock.now())
    elif kind is SONARQUBE:
        kind.refuse(lab)
    else:
        lab.cloud.connections.clear()
    assert not well()


def test_what_a_webhook_did_is_told_in_its_own_words() -> None:
    watched = WatchedConsumer(WEBHOOK, quick=False)
    watched.end_looking()
    lab = watched.lab
    planned = lab.run(dry_run=True)
    assert "build-pat: The webhook restart-url would be told of the new version." in [one.says for one in planned.items]
    allow = WEBHOOK.refuse(lab)
    assert "The webhook restart-url was not told of the new version" in row(lab.run()).says
    allow()
    assert row(lab.run()).says == "build-pat: The webhook restart-url was told of the new version."
    (found,) = [one for one in check_online(lab.inventory(), lab.settings, lab.world()) if "webhook" in one.what]
    assert found.what == "find the webhook restart-url for build-pat"
