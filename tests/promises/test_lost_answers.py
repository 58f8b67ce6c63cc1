"""Issue of every odd answer, per operation: retried within the run, or the item failed with code, cause and remedy.

Never a traceback, never a wrong value published, never a mint blindly repeated (promises 1, 3, 5 and 8, rule 2).
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.model.errors import Code, Misconfigured
from shared.report.report import Outcome, Report
from tests.lab.lab import Lab, hours
from tests.lab.scenarios import BY_NAME, SECRET, Scenario
from tests.promises.test_promise_3_stop_anywhere import assert_converges, consumer_works

OPERATIONS: dict[str, tuple[str, ...]] = {
    "identity.token": (),
    "entra.discovery": ("rotation",),
    "entra.userrealm": ("rotation",),
    # Of an enrolled user the first of these redeems the refresh token, reads it, and keeps the new one.
    "entra.token": ("rotation", "rotation, enrolled"),
    "pats.list": ("rotation", "retirement"),
    "pats.create": ("rotation", "first mint", "emergency"),
    "pats.get": ("a PAT that a person revoked",),
    "pats.update": ("renewal",),
    "pats.revoke": ("retirement", "emergency", "emergency that revokes first", "decommission"),
    "devops.connection_data": ("rotation", "renewal"),
    "vault.challenge": ("rotation",),
    "vault.list": ("rotation",),
    "vault.get": ("rotation", "renewal", "retirement", "rotation, enrolled"),
    "vault.set": ("rotation", "first mint", "emergency", "rotation, enrolled", "first mint, enrolled"),
    "vault.update": ("renewal", "retirement", "decommission", "first mint, enrolled"),
    "vault.versions": ("emergency", "adoption", "rotation, enrolled"),
    "vault.deleted": ("first mint",),
}
FAULTS: dict[str, dict[str, Any]] = {
    "cut before": {"kind": "cut_before_effect"},
    "cut after": {"kind": "cut_after_effect"},
    "hang": {"kind": "hang", "seconds": 600},
    "hang after": {"kind": "hang", "seconds": 600, "after_effect": True},
    "slow": {"kind": "delay", "seconds": 5},
    "429": {"kind": "status", "status": 429},
    "429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}},
    "429 for an hour": {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    "200 with Retry-After": {"kind": "retry_after_on_200", "seconds": 9},
    "500": {"kind": "status", "status": 500},
    "500 after": {"kind": "status", "status": 500, "after_effect": True},
    "503": {"kind": "status", "status": 503, "headers": {"Retry-After": "3"}},
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404, "body": "<html>", "content_type": "text/html"},
    "400": {"kind": "status", "status": 400, "body": "{}"},
    "sign-in page": {"kind": "sign_in_page"},
    "redirect": {"kind": "redirect"},
    "garbage": {"kind": "garbage"},
    "garbage after": {"kind": "garbage", "after_effect": True},
    "wrong type": {"kind": "wrong_type"},
    # Somebody in between, most of them after the effect: a status alone, or words that look like the service's.
    "a page under 200": {"kind": "foreign", "status": 200},
    "a page under 200 after": {"kind": "foreign", "status": 200, "after_effect": True},
    "a page under 403 after": {"kind": "foreign", "status": 403, "after_effect": True},
    "a page under 404 after": {"kind": "foreign", "status": 404, "after_effect": True},
    "nothing under 401 after": {"kind": "foreign", "status": 401, "form": "empty", "after_effect": True},
    "a gateway's Forbidden": {"kind": "foreign", "status": 403, "form": "gateway", "error": "Forbidden"},
    "a gateway's Forbidden after": {
        "kind": "foreign",
        "status": 403,
        "form": "gateway",
        "error": "Forbidden",
        "after_effect": True,
    },
    "a gateway's 409 after": {"kind": "foreign", "status": 409, "form": "gateway", "after_effect": True},
    "a gateway's 400 after": {"kind": "foreign", "status": 400, "form": "oauth", "after_effect": True},
    "a gateway's 429 after": {"kind": "foreign", "status": 429, "form": "text", "after_effect": True},
    "other JSON under 200 after": {"kind": "foreign", "status": 200, "form": "gateway", "after_effect": True},
}
LOST = ("cut after", "hang after", "500 after", "a page under 200 after", "a page under 403 after")


def is_quick(name: str, names: tuple[str, ...], fault: str, times: int) -> bool:
    """`make test`: every odd answer to the first call of every operation, in the scenario that is named first.

    With an enrolled user, the answers that are lost after the effect.
    """
    return bool(times) and (name == names[0] or (name == "rotation, enrolled" and fault in LOST))


CASES = [
    pytest.param(
        *(operation, name, fault, times),
        id=f"{operation}, {name}, {fault}, {times or 'always'}",
        marks=() if is_quick(name, names, fault, times) else pytest.mark.exhaustive,
    )
    for operation, names in OPERATIONS.items()
    for name in names
    for fault in FAULTS
    for times in (1, 0)
]


def disturbed(scenario: Scenario, operation: str, fault: dict[str, Any], times: int) -> tuple[Lab, Report | None]:
    """A run with the fault on the first call of the operation, or on all of them (`times` 0)."""
    lab = scenario.prepare()
    details = {key: value for key, value in fault.items() if key != "kind"}
    lab.cloud.add_fault(operation, fault["kind"], call=1 if times else None, **details)
    try:
        report = lab.run(*scenario.names, **scenario.asks)
    except Misconfigured:
        report = None
    lab.cloud.faults.clear()
    return lab, report


@pytest.mark.parametrize(("operation", "name", "fault", "times"), CASES)
def test_promises_1_and_8_an_odd_answer_is_retried_or_told(operation: str, name: str, fault: str, times: int) -> None:
    scenario = BY_NAME[name]
    worked = consumer_works(scenario.prepare()) and not scenario.ends and not scenario.asks.get("revoke_first")
    lab, report = disturbed(scenario, operation, FAULTS[fault], times)
    assert not worked or consumer_works(lab)
    for row in report.items if report else ():
        if row.outcome in (Outcome.FAILED, Outcome.BLOCKED):
            assert row.error is not None
            assert row.error.code is not Code.UNEXPECTED, row.says
            assert SECRET in row.says
            assert row.error.remedy
    mints = [call for call in lab.cloud.calls("pats.create") if call.effect]
    tries = 2 if name.startswith(("rotation", "retirement", "renewal", "emergency", "decommission", "a PAT")) else 1
    assert len(mints) <= tries + (name in ("retirement", "emergency in overlap", "decommission")), "a mint was repeated"
    lab.wait(hours(24))  # past a block that a refused sign-in may have left
    assert_converges(lab, scenario)
