"""A PAT that runs cannot replace is told before it expires, on every run."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS
from tests.lab.lab import Lab, days, item


def failing(**changes: Any) -> Lab:
    """Published once; since then Entra ID refuses the user. Due after 23 of 30 days, alarming after 26.5."""
    lab = Lab([item(**changes)])
    lab.run()
    lab.cloud.directory.user(AGENTS).state = UserState.DISABLED
    return lab


def test_promise_8_a_pat_that_cannot_be_replaced_is_told_at_half_of_its_margin_on_every_run() -> None:
    lab = failing()
    lab.later(days(26))
    assert lab.told("pat.expiring") == []
    lab.later(days(1))
    ends = lab.current("build-pat").expires
    told = [(fields["secret"], fields["expires"].timestamp()) for fields in lab.told("pat.expiring")]  # type: ignore[attr-defined]
    assert told == [("build-pat", ends)]
    lab.later(days(10))
    assert len(lab.told("pat.expiring")) == 2, "after its expiry too"


def test_a_pat_that_was_replaced_is_not_told() -> None:
    lab = Lab([item(), item("renewed-pat", strategy="renew")])
    lab.run()
    lab.later(days(28))
    assert lab.told("pat.expiring") == []
    assert all(lab.works(secret) for secret in ("build-pat", "renewed-pat"))


@pytest.mark.parametrize("changes", [{"paused": True}, {"decommission": True}], ids=["paused", "decommission"])
def test_what_people_let_expire_is_not_told(changes: dict[str, Any]) -> None:
    lab = failing()
    lab.items = [item(**changes)]
    lab.later(days(28))
    assert lab.told("pat.expiring") == []


def test_a_dry_run_and_a_run_for_named_secrets_do_not_alarm() -> None:
    lab = failing()
    lab.wait(days(28))
    lab.run(dry_run=True)
    lab.run("build-pat")
    assert lab.told("pat.expiring") == []
