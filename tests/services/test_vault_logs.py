"""Logs of vaults and of Azure DevOps as the adapters read them: both tables, what is missing, and whose words count."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
import requests

from sandbox.cloud.audit_log import entry
from sandbox.cloud.foreign_answers import FORMS, STATUSES
from sandbox.cloud.seed import IDENTITY_PRINCIPAL, PATS_VAULT
from sandbox.cloud.vault_log import recorded
from sandbox.process.in_process import session_for
from shared.model.errors import Busy, Code, Denied, NotDone, PatrolError, Unclear
from shared.model.pats import PatId
from shared.model.ports import AuditLogs, VaultLogs
from shared.model.readers import Asked, VaultLogSeen
from tests.lab.lab import Lab, days, item
from tests.lab.readers import RESOURCE

AGENT = "a9e00000-0000-4000-8000-000000000009"
ALICE = "a11ce000-0000-4000-8000-000000000001"
TABLES = ("AZKVAuditLogs", "AzureDiagnostics")


def lab_with(table: str = "AZKVAuditLogs") -> Lab:
    lab = Lab([item()], environment={"VAULT_LOGS": RESOURCE})
    lab.cloud.switches.vault_log_table = table
    lab.run()
    return lab


def logs(lab: Lab) -> VaultLogs:
    found = lab.world().logs
    assert found is not None
    return found


def seen(lab: Lab) -> VaultLogSeen:
    return logs(lab).seen(PATS_VAULT, lab.clock.now() - days(30))


def reads(lab: Lab, who: str, secret: str = "build-pat", version: str = "") -> requests.Response:
    token = lab.cloud.directory.application_token("https://vault.azure.net", who)[0]
    url = f"https://{PATS_VAULT}/secrets/{secret}/{version}?api-version=7.6"
    return session_for(lab.cloud).get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5)


def of(found: VaultLogSeen, who: str) -> list[Asked]:
    return [one for one in found.of("BUILD-PAT") if one.reader.object_id == who]


@pytest.mark.parametrize("table", TABLES)
def test_readers_are_told_with_the_version_that_was_served_and_patrol_s_own_reads_are_not(table: str) -> None:
    lab = lab_with(table)
    reads(lab, AGENT)
    first = lab.clock.now()
    lab.wait(timedelta(hours=2))
    reads(lab, AGENT)
    old = lab.current("build-pat").id
    lab.wait(timedelta(minutes=6))
    found = seen(lab)
    assert found.whole
    assert [(one.version, one.pinned, one.served, one.first, one.last) for one in found.of("build-pat")] == [
        (old, False, True, first, first + timedelta(hours=2))
    ]
    assert found.until == first + timedelta(hours=2)
    assert found.seen[AGENT] == found.until
    lab.run("build-pat", force=True)
    reads(lab, AGENT, version=old)
    lab.wait(timedelta(minutes=6))
    assert [(one.version, one.pinned) for one in of(seen(lab), AGENT)] == [(old, False), (old, True)]


@pytest.mark.parametrize("table", TABLES)
def test_what_was_refused_is_told_by_the_version_that_was_asked_for(table: str) -> None:
    lab = lab_with(table)
    old = lab.current("build-pat").id
    lab.run("build-pat", emergency=True)
    assert reads(lab, AGENT, version=old).status_code == 403
    lab.wait(timedelta(minutes=6))
    assert [(one.version, one.pinned, one.served) for one in of(seen(lab), AGENT)] == [(old, True, False)]


def test_a_table_that_never_had_a_row_is_no_data_and_two_tables_are_one_log() -> None:
    lab = lab_with("none")
    assert seen(lab).until is None
    assert seen(lab).asked == ()
    lab.cloud.switches.vault_log_table = "AzureDiagnostics"
    reads(lab, ALICE)
    lab.cloud.switches.vault_log_table = "AZKVAuditLogs"
    lab.wait(timedelta(minutes=1))
    reads(lab, AGENT)
    lab.wait(timedelta(minutes=6))
    assert {one.reader.object_id for one in seen(lab).of("build-pat")} == {ALICE, AGENT}


def test_a_part_of_an_answer_says_that_it_is_one() -> None:
    lab = lab_with()
    lab.wait(timedelta(minutes=6))
    lab.cloud.vault_logs[PATS_VAULT].partial = True
    assert not seen(lab).whole


def test_promise_8_a_refusal_says_which_permission_is_missing() -> None:
    lab = lab_with()
    lab.cloud.vault_logs[PATS_VAULT].denied = True
    with pytest.raises(Denied) as refused:
        seen(lab)
    assert refused.value.code is Code.LOGS_UNREADABLE
    assert "microsoft.insights/logs/AZKVAuditLogs/read" in refused.value.remedy
    with pytest.raises(NotDone, match="VAULT_LOGS"):
        logs(lab).seen("another.vault.azure.net", lab.clock.now())


def test_whatever_somebody_in_between_says_nobody_knows_who_reads() -> None:
    lab = lab_with()
    lab.wait(timedelta(minutes=6))
    for status in STATUSES:
        for form in FORMS:
            lab.cloud.faults.clear()
            lab.cloud.add_fault("logs.query", "foreign", status=status, form=form, call=None)
            with pytest.raises(PatrolError) as failed:
                seen(lab)
            assert failed.value.code is Code.LOGS_UNREADABLE, (status, form)
            assert isinstance(failed.value, Unclear | Busy), (status, form)
    for kind in ("garbage", "hang", "cut_before_effect", "cut_after_effect"):
        lab.cloud.faults.clear()
        lab.cloud.add_fault("logs.query", kind, call=None)
        with pytest.raises(PatrolError) as failed:
            seen(lab)
        assert failed.value.code is Code.LOGS_UNREADABLE, kind


def test_a_lost_answer_is_asked_for_again() -> None:
    lab = lab_with()
    reads(lab, AGENT)
    lab.wait(timedelta(minutes=6))
    lab.cloud.add_fault("logs.query", "cut_after_effect", times=2)
    assert len(of(seen(lab), AGENT)) == 1


def test_promise_7_what_a_log_says_cannot_steer_a_terminal() -> None:
    lab = lab_with()
    claim = {"oid": AGENT, "upn": "\x1b[2Jalice\u202e@contoso.com`rm SECRET`" + "x" * 500}
    uri = f"https://{PATS_VAULT}/secrets/build-pat"
    row = recorded(
        "AZKVAuditLogs", lab.clock.now(), timedelta(0), "SecretGet", f"{uri}/{'0' * 32}", uri, 200, claim, ""
    )
    lab.cloud.vault_logs[PATS_VAULT].record(row)
    name = of(seen(lab), AGENT)[0].reader.name
    assert name.startswith("?[2Jalice?@contoso.com'rm SECRET'")
    assert len(name) == 200


# Azure DevOps

RETIRED = PatId("f0000000-0000-4000-8000-000000000001")


def audit(lab: Lab) -> AuditLogs:
    found = lab.world().audit
    assert found is not None
    return found


def audited(lab: Lab) -> Lab:
    lab.cloud.pats.organization("contoso").members.add(IDENTITY_PRINCIPAL)
    log = lab.cloud.audit_log_of("contoso")
    log.readers.add(IDENTITY_PRINCIPAL)
    at = lab.clock.now() - timedelta(hours=3)
    mechanisms = (
        f"PAT_Unscoped authorizationId: {RETIRED.upper()}",
        "PAT_Unscoped authorizationId: f0000000-0000-4000-8000-000000000002",
        f"SessionToken_Unscoped authorizationId: {RETIRED}",
        "AAD_Cookie",
    )
    log.entries += [entry(at, authenticationMechanism=mechanism) for mechanism in mechanisms]
    return lab


def test_an_entry_that_a_pat_of_ours_made_is_a_use_of_it() -> None:
    lab = audited(lab_with())
    found, whole = audit(lab).uses("contoso", frozenset({RETIRED}), lab.clock.now() - days(30))
    assert whole
    assert [(use.authorization_id, use.action, use.ip_address) for use in found] == [
        (RETIRED, "Library.AgentAdded", "10.2.3.4")
    ]
    assert found[0].at == lab.clock.now() - timedelta(hours=3)
    assert "Agent.Listener" in found[0].user_agent


def test_every_page_of_the_audit_log_is_read_and_a_log_without_end_is_told_as_cut() -> None:
    lab = audited(lab_with())
    log = lab.cloud.audit_log_of("contoso")
    at = lab.clock.now() - timedelta(hours=1)
    log.entries += [entry(at, authenticationMechanism="AAD_Cookie") for _ in range(5001)]
    found, whole = audit(lab).uses("contoso", frozenset({RETIRED}), lab.clock.now() - days(30))
    assert (len(found), whole) == (1, True)
    log.entries += [entry(at, authenticationMechanism="AAD_Cookie") for _ in range(50_000)]
    assert audit(lab).uses("contoso", frozenset({RETIRED}), lab.clock.now() - days(30)) == ((), False)


def test_promise_8_without_the_permission_it_is_said_what_is_missing() -> None:
    lab = lab_with()
    for members in ((), (IDENTITY_PRINCIPAL,)):
        lab.cloud.pats.organization("contoso").members |= set(members)
        with pytest.raises(Denied) as refused:
            audit(lab).uses("contoso", frozenset({RETIRED}), lab.clock.now() - days(30))
        assert refused.value.code is Code.AUDIT_UNREADABLE
        assert "View audit log" in refused.value.remedy


def test_without_the_setting_nobody_is_asked() -> None:
    world = Lab().world()
    assert (world.logs, world.audit) == (None, None)


def test_the_library_is_loaded_where_somebody_asks_and_nowhere_else() -> None:
    code = (
        "import sys, shared.wiring, shared.services.vault_logs, shared.services.devops_audit; "
        "print('azure.monitor.query' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
