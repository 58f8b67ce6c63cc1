"""Promise 3 and rule 16: whatever call a run of an enrolled user is stopped after, the next one converges."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.key_vault import Version
from sandbox.cloud.seed import AGENTS, CREDENTIALS_VAULT
from shared.model.items import User
from tests.lab.lab import Lab, days, hours, item

NAME = User(AGENTS, "", enrolled=True).credential_name
USERS: list[dict[str, Any]] = [{"username": AGENTS, "enrolled": True, "pats": [item(), item("other-pat")]}]


class Killed(BaseException):
    """As nothing catches SIGKILL."""


def a_lab() -> Lab:
    """Two PATs near expiry, and a refresh token that is old enough to be renewed."""
    lab = Lab(users=USERS)
    lab.enroll()
    assert lab.run().exit_code() == 0
    lab.wait(days(24))
    return lab


def kept(lab: Lab) -> list[Version]:
    return list(lab.cloud.vaults[CREDENTIALS_VAULT].secret(NAME).versions.values())


def effects(lab: Lab) -> list[tuple[str, str]]:
    """What a run that nothing disturbs calls."""
    met: list[tuple[str, str]] = []
    lab.cloud.after_effect = lambda operation: met.append((operation.name, operation.subject))
    assert lab.run().exit_code() == 0
    return met


CALLS = len(effects(a_lab()))


def test_rule_16_the_run_that_is_stopped_redeems_writes_and_rotates() -> None:
    met = effects(a_lab())
    redeemed, written = met.index(("entra.token", "")), met.index(("vault.set", NAME))
    assert redeemed < written < [name for name, _ in met].index("pats.create")


def converges(lab: Lab) -> None:
    lab.wait(hours(1))
    assert lab.run().exit_code() == 0
    lab.wait(hours(30))
    assert lab.run().exit_code() == 0
    for secret in ("build-pat", "other-pat"):
        assert lab.works(secret)
        assert len(lab.live(secret)) == 1
    assert 2 <= len(kept(lab)) <= 3, "an old refresh token stays good, so nothing is lost and little is written twice"


@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_promise_3_a_run_of_an_enrolled_user_is_stopped_after_any_call(call: int) -> None:
    """Between redeeming and writing, too."""
    lab, seen = a_lab(), [0]

    def dies(_: Operation) -> None:
        seen[0] += 1
        if seen[0] == call:
            raise Killed

    lab.cloud.after_effect = dies
    with suppress(Killed):
        lab.run()
    lab.cloud.after_effect = lambda _: None
    converges(lab)


@pytest.mark.parametrize("operation", ["entra.token", "vault.set", "vault.versions", "vault.get"])
def test_promise_3_any_lost_answer_of_a_sign_in_costs_nothing(operation: str) -> None:
    lab = a_lab()
    lab.cloud.add_fault(operation, "cut_after_effect", call=1)
    lab.run()
    lab.cloud.faults.clear()
    converges(lab)


def test_promise_7_a_year_of_renewals_leaves_no_refresh_token_anywhere_but_in_its_secret() -> None:
    """tests/conftest.py looks through logs, reports, events, tags and addresses for every one of them."""
    lab = Lab(users=USERS, quick=True)
    lab.enroll()
    for _ in range(52):
        assert lab.later(days(7.1)).exit_code() == 0
    tokens = {version.value for version in kept(lab)}
    assert len(tokens) == len(kept(lab)) == 53
    others = [version for secret in lab.vault.secrets() for version in secret.versions.values()]
    assert not [version for version in others if version.value in tokens]
