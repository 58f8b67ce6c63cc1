"""Rule 12, promise 6: after one refusal of the same facts no process sends that password again."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.model.clock import VaultTime
from shared.model.errors import Code, PatrolError
from shared.model.request import Request
from shared.report.report import Outcome
from shared.rotation.ledger import Ledger
from shared.rotation.run import run
from shared.rotation.sign_in import SignIns
from shared.rotation.threads import Threads
from shared.rules.lock_out import note_name
from tests.lab.fakes import FakeFlight, Storage
from tests.lab.lab import Lab, days, hours, item, row

LOCKS_AT = 10
"""So many refused passwords lock an account (smart lock-out's default)."""


def wrong_password(lab: Lab, user: str = AGENTS) -> None:
    """The password in the vault is not the user's any more."""
    lab.cloud.directory.set_password(user, "another-one-since-today")


def sent(lab: Lab, user: str = AGENTS) -> int:
    """How often a password of the user reached Entra ID."""
    return lab.cloud.directory.user(user).token_requests


def two_users(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": first},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": second},
    ]


def estate() -> dict[str, Any]:
    demo = demo_estate()
    return {**demo, "pats": [], "vaults": [{"host": demo["vaults"][0]["host"], "secrets": []}, demo["vaults"][1]]}


def test_promise_6_a_former_user_of_twelve_items_is_tried_once_and_it_is_exit_3() -> None:
    items = [item(f"pat-{number:02}") for number in range(12)]
    lab = Lab(users=two_users(items, []), estate=estate(), quick=True)
    lab.run()
    lab.wait(days(3))
    lab.users = two_users([], items)
    lab.run()
    wrong_password(lab)
    before = sent(lab)
    lab.wait(days(2))
    report = lab.run()
    assert sent(lab) == before + 1
    assert report.exit_code() == 3
    assert Outcome.BLOCKED in {one.outcome for one in report.items}


@pytest.mark.parametrize("storage", [False, True], ids=["one process", "with leases"])
def test_promise_6_twelve_requests_at_once_send_a_refused_password_once(storage: bool) -> None:
    items = [item(f"pat-{number:02}") for number in range(12)]
    lab = Lab(items, quick=True)
    lab.sign_everybody_in()
    wrong_password(lab)
    before, places, ledger = sent(lab), Storage(), Ledger()
    failures: list[PatrolError] = []

    def ask(number: int) -> None:
        world = replace(lab.quick_world(), ledger=Ledger() if storage else ledger)
        if storage:
            world = replace(world, flight=FakeFlight(places, lab.clock, f"instance-{number}"))
        request = Request(names=(f"pat-{number:02}",))
        try:
            lab.reports.append(run(lab.inventory(), world, lab.settings.mark, request, Threads(1)))
        except PatrolError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sent(lab) == before + 1
    assert {report.exit_code() for report in lab.reports} == {3}


@pytest.mark.parametrize("kind", ["cut_after_effect", "status"])
def test_promise_6_a_lost_answer_to_a_wrong_password_is_remembered_and_two_in_a_row_hold(kind: str) -> None:
    """Entra ID judged it, and a gateway answered in its place: nobody may go on trying."""
    lab = Lab([item()])
    lab.sign_everybody_in()
    wrong_password(lab)
    before = sent(lab)
    details = {"status": 502, "after_effect": True} if kind == "status" else {}
    lab.cloud.add_fault("entra.token", "foreign" if kind == "status" else kind, call=None, **details)
    for _ in range(5):
        lab.run()
        lab.wait(timedelta(minutes=5))
    assert sent(lab) - before <= 2
    lab.wait(timedelta(minutes=30))
    lab.run()
    assert sent(lab) - before <= 3, "then once more"


def test_promise_6_a_deleted_note_is_brought_back_and_not_given_up() -> None:
    lab = Lab([item()], quick=True)
    lab.sign_everybody_in()
    wrong_password(lab)
    lab.run()
    before = sent(lab)
    lab.vault.delete(note_name(AGENTS))
    lab.vault.settle()
    for _ in range(12):
        lab.later(hours(6))
    assert sent(lab) == before
    assert lab.vault.secret(note_name(AGENTS)).latest.tags["state"] == "blocked"


def test_promise_6_without_a_note_no_password_goes_out_on_day_one() -> None:
    """patrol may not write yet, and the passwords are wrong as well."""
    lab = Lab([item()], quick=True)
    wrong_password(lab)
    lab.vault.denied.add("set")
    for _ in range(12):
        report = lab.run()
        assert [one.error.code for one in report.items if one.error] == [Code.NOTE_UNWRITABLE]
        lab.wait(hours(6))
    assert sent(lab) == 0
    lab.vault.denied.clear()
    assert lab.run().exit_code() == 3
    assert sent(lab) == 1


def test_promise_6_a_password_that_was_refused_while_the_attempt_was_written_down_stays_here() -> None:
    """Key Vault was slow, or the note waited for its turn: what was read of the user before it is no longer news."""
    lab = Lab([item()])
    wrong_password(lab)
    slow: list[str] = []

    def meets(met: Operation) -> None:
        if met.name == "vault.set" and not slow:
            slow.append(met.name)
            other = replace(lab.world(), ledger=Ledger())  # a process of its own
            lab.reports.append(run(lab.inventory(), other, lab.settings.mark, Request(), Threads(1)))
            lab.wait(timedelta(seconds=8))

    lab.cloud.before_effect = meets
    report = lab.run()
    lab.cloud.before_effect = None
    assert sent(lab) == 1
    assert (row(report).outcome, report.exit_code()) == (Outcome.BLOCKED, 3)
    lab.wait(days(1))
    assert lab.run().exit_code() == 3
    assert sent(lab) == 1, "the note says what was judged, and not that an attempt was forgotten"


def test_rule_12_an_attempt_that_was_slowly_announced_is_not_held_up_by_itself() -> None:
    """What is tried again once a day goes on from the refusal before it, and so does what announces it."""
    lab = Lab([item()])
    user = lab.cloud.directory.user(AGENTS)
    user.state = UserState.MFA_REQUIRED
    lab.run()
    user.state = UserState.NORMAL
    lab.wait(days(2))
    lab.cloud.before_effect = lambda met: lab.wait(timedelta(seconds=8)) if met.name == "vault.set" else None
    assert lab.run().exit_code() == 0
    assert sent(lab) == 2


class Killed(BaseException):
    """As nothing catches SIGKILL."""


def test_promise_6_a_run_that_dies_between_the_answer_and_the_note_every_time_locks_nobody_out() -> None:
    lab = Lab([item()])
    wrong_password(lab)

    def dies(met: Operation) -> None:
        if met.name == "entra.token":
            raise Killed

    lab.cloud.after_effect = dies
    for _ in range(12):
        with suppress(Killed):
            lab.run()
        lab.wait(timedelta(minutes=5))
    assert 0 < sent(lab) < LOCKS_AT / 2


def test_rule_12_an_emergency_passes_a_block_that_does_not_judge_the_password_once() -> None:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(2))
    user = lab.cloud.directory.user(AGENTS)
    user.state = UserState.MFA_REQUIRED
    lab.run()
    user.state = UserState.NORMAL
    assert lab.run("build-pat", force=True).exit_code() == 3
    report = lab.run("build-pat", emergency=True)
    assert row(report, step="rotate").outcome is Outcome.DONE


def test_promise_6_an_emergency_passes_no_block_that_judged_the_password() -> None:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(2))
    wrong_password(lab)
    lab.run()
    before = sent(lab)
    assert lab.run("build-pat", emergency=True).exit_code() == 3
    assert sent(lab) == before


def test_rule_12_named_work_that_rests_signs_nobody_in() -> None:
    lab = Lab([item()], quick=True)
    lab.run()
    before = sent(lab)
    for _ in range(8):
        assert lab.run("build-pat").exit_code() == 0
    assert sent(lab) == before


def test_rule_12_what_is_remembered_keeps_cause_and_remedy_for_every_later_run() -> None:
    lab = Lab([item()], quick=True)
    lab.sign_everybody_in()
    wrong_password(lab)
    first = lab.run().items[0].error
    later = lab.later(days(3)).items[0].error
    assert first is not None
    assert later is not None
    assert "The user name or the password is wrong." in later.message
    assert "new version of the secret svc-agents-password" in later.remedy


def test_rule_12_every_way_to_a_sign_in_obeys_the_ledger() -> None:
    lab = Lab([item()], quick=True)
    lab.sign_everybody_in()
    world, inventory = lab.quick_world(), lab.inventory()
    sign_ins = SignIns(world, inventory.sign_in, VaultTime(lab.clock, timedelta(0)), lab.settings.mark)
    (user,) = inventory.users
    sign_ins.sign_in(user)
    wrong_password(lab)
    before = sent(lab)
    for _ in range(3):
        with pytest.raises(PatrolError):
            sign_ins.sign_in(user, again=True)
    assert sent(lab) == before + 1
