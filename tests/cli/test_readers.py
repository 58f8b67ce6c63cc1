"""`readers` and `GET /api/readers`: one document, what nobody knows is said, and text from outside steers nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.audit_log import entry
from sandbox.cloud.seed import CREDENTIALS_VAULT, IDENTITY_PRINCIPAL, PATS_VAULT, WEB_VAULT, demo_pats_yaml
from sandbox.cloud.vault_log import recorded, resource_of
from sandbox.process.running import ROOT, start
from tests.lab.http_calls import app, call, principal, text_call
from tests.lab.lab import Lab, days, hours, item
from tests.lab.readers import AGENT, DELAYED, RESOURCE, SONAR_APP, logged, reads
from tests.lab.shell import Shell

ALICE = "a11ce000-0000-4000-8000-000000000001"


def estate(table: str = "AZKVAuditLogs") -> Lab:
    """The agent has the new value, Alice is at the vault and has the old one, SonarQube stays with a version."""
    lab = logged(table)
    lab.run()
    reads(lab, SONAR_APP, version=lab.current("build-pat").id)
    for who in (AGENT, ALICE):
        reads(lab, who)
    lab.wait(days(2))
    lab.run("build-pat", force=True)
    lab.wait(hours(1))
    reads(lab, AGENT)
    reads(lab, ALICE, secret="nothing")
    lab.wait(DELAYED)
    return lab


def audited(lab: Lab) -> str:
    """The retired PAT registers an agent; gives its id."""
    lab.cloud.pats.organization("contoso").members.add(IDENTITY_PRINCIPAL)
    log = lab.cloud.audit_log_of("contoso")
    log.readers.add(IDENTITY_PRINCIPAL)
    (old, _) = sorted(lab.live("build-pat"), key=lambda pat: pat.valid_from)
    mechanism = f"PAT_Unscoped authorizationId: {old.authorization_id}"
    log.entries.append(entry(lab.clock.now() - hours(1), authenticationMechanism=mechanism))
    return old.authorization_id


@pytest.mark.parametrize("table", ["AZKVAuditLogs", "AzureDiagnostics"])
def test_the_command_and_the_door_tell_who_reads_and_what_the_pats_did(table: str, tmp_path: Path) -> None:
    lab = estate(table)
    retired = audited(lab)
    code, out, errors = Shell(lab, tmp_path, environ={"VAULT_LOGS": RESOURCE})("readers", "--json")
    assert code == 0, errors
    document = json.loads(out)
    assert call("readers", app(lab, tmp_path)).body == document
    old, new = sorted(lab.vault.secret("build-pat").versions.values(), key=lambda version: version.created)
    assert {(one["object_id"], one["verdict"], one["last_version"]) for one in document["readers"]} == {
        (AGENT, "current", new.id),
        (ALICE, "behind", old.id),
        (SONAR_APP, "pinned", old.id),
    }
    assert {one["vault"] for one in document["readers"]} == {PATS_VAULT}
    assert [(one["authorization_id"], one["action"], one["ip_address"]) for one in document["uses"]] == [
        (retired, "Library.AgentAdded", "10.2.3.4")
    ]
    assert document.keys() == {"as_of", "logs_until", "readers", "uses"}


def test_who_is_no_known_reader_is_told_and_without_the_setting_nobody_knows(tmp_path: Path) -> None:
    lab = estate()
    document = call("readers", app(lab, tmp_path)).body
    assert {one["known"] for one in rows(document)} == {None}
    assert ">unknown</span>" not in text_call("page", app(lab, tmp_path), {"secret": "build-pat"}).text
    shell = Shell(lab, tmp_path, environ={"VAULT_LOGS": RESOURCE})
    assert "known" not in shell("readers")[1].partition("\n")[0]
    lab.settings = replace(lab.settings, known_readers=frozenset({AGENT, SONAR_APP}))
    document = call("readers", app(lab, tmp_path)).body
    assert {one["object_id"]: one["known"] for one in rows(document)} == {AGENT: True, SONAR_APP: True, ALICE: False}
    code, out, _ = shell("readers")
    assert (code, "unknown: KNOWN_READERS does not name it" in " ".join(out.split())) == (0, True)
    (line,) = [line for line in out.splitlines() if ALICE in line]
    assert "unknown" in line
    assert text_call("page", app(lab, tmp_path), {"secret": "build-pat"}).text.count(">unknown</span>") == 1


def test_a_reader_that_was_not_seen_since_the_rotation_is_told_as_such(tmp_path: Path) -> None:
    lab = logged()
    lab.run()
    reads(lab)
    lab.wait(days(1))
    lab.run("build-pat", force=True)
    lab.wait(DELAYED)
    document = call("readers", app(lab, tmp_path)).body
    assert [one["verdict"] for one in rows(document)] == ["unseen"]


def rows(document: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["readers"]
    return found


def test_promise_8_what_nobody_could_tell_is_said(tmp_path: Path) -> None:
    lab = estate()
    code, out, _ = Shell(lab, tmp_path, environ={"VAULT_LOGS": RESOURCE})("readers", "build-pat")
    assert code == 0
    words = " ".join(out.split())
    assert "Uses in contoso are not known." in words
    assert "View audit log" in words
    assert "none that is shown proves nothing" in words
    lab.cloud.vault_logs[PATS_VAULT].denied = True
    code, _, errors = Shell(lab, tmp_path, environ={"VAULT_LOGS": RESOURCE})("readers")
    assert (code, "microsoft.insights/logs/AZKVAuditLogs/read" in " ".join(errors.split())) == (1, True)
    answer = call("readers", app(lab, tmp_path))
    assert (answer.status, answer.body["code"]) == (502, "logs-unreadable")
    without = Lab([item()])
    code, _, errors = Shell(without, tmp_path)("readers")
    assert (code, "VAULT_LOGS" in errors) == (2, True)
    assert call("readers", app(without, tmp_path)).status == 500


def test_promise_7_names_and_user_agents_of_a_log_steer_no_terminal(tmp_path: Path) -> None:
    lab = estate()
    pat = audited(lab)
    uri = f"https://{PATS_VAULT}/secrets/build-pat"
    claim = {"oid": "eve", "upn": "\x1b[31mEve<script>\u202e"}
    row = recorded(
        "AZKVAuditLogs", lab.clock.now(), timedelta(0), "SecretGet", f"{uri}/{'0' * 32}", uri, 200, claim, ""
    )
    lab.cloud.vault_logs[PATS_VAULT].record(row)
    lab.cloud.audit_log_of("contoso").entries.append(
        entry(lab.clock.now(), authenticationMechanism=f"PAT authorizationId: {pat}", userAgent="\x1b]0;x\x07\u202e")
    )
    _, out, _ = Shell(lab, tmp_path, environ={"VAULT_LOGS": RESOURCE})("readers")
    assert "Eve<script>" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_promise_8_check_says_whether_the_log_can_be_read(tmp_path: Path) -> None:
    lab = estate()
    shell = Shell(lab, tmp_path, environ={"VAULT_LOGS": RESOURCE})
    code, out, _ = shell("check", "--online")
    assert (code, f"read the log of {PATS_VAULT}: it reaches to" in " ".join(out.split())) == (0, True)
    lab.cloud.vault_logs[PATS_VAULT].rows.clear()
    code, out, _ = shell("check", "--online")
    assert (code, "It has no row" in out) == (0, True)
    lab.cloud.vault_logs[PATS_VAULT].denied = True
    code, out, _ = shell("check", "--online")
    assert (code, "microsoft.insights/logs/AZKVAuditLogs/read" in " ".join(out.split())) == (1, True)
    without = Shell(Lab([item(hold_for_readers="1d")]), tmp_path)
    code, out, _ = without("check", "--online")
    assert (code, "VAULT_LOGS names no log" in " ".join(out.split())) == (1, True)


@pytest.mark.exhaustive
def test_the_product_as_it_is_asks_the_log_over_tls_with_its_managed_identity(tmp_path: Path) -> None:
    with start("demo") as sandbox:
        sandbox.client.switch(vault_log_table="AZKVAuditLogs", vault_log_minutes=0)
        (tmp_path / "pats.yaml").write_text(demo_pats_yaml(), encoding="utf-8")
        extra = {
            "PATS_FILE": str(tmp_path / "pats.yaml"),
            "KEY_VAULT_URL": f"https://{PATS_VAULT}",
            "CREDENTIALS_VAULT_URL": f"https://{CREDENTIALS_VAULT}",
            "VAULT_LOGS": f"{RESOURCE},{resource_of(WEB_VAULT)}",
        }
        sandbox.run_product(["-m", "shared", "run", "--json"], cwd=ROOT, extra=extra)
        ran = sandbox.run_product(["-m", "shared", "readers", "--json"], cwd=ROOT, extra=extra)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["readers"] == [], "patrol's own reads are no reader's"
    assert document["logs_until"] is not None
    assert len(document["notes"]) == 2, "of neither organization it may see the audit log"


def test_promise_5_what_the_vault_does_not_tell_of_older_generations_spoils_nothing(tmp_path: Path) -> None:
    lab = estate()
    lab.cloud.add_fault("vault.versions", "status", call=None, status=403, body="{}")
    answer = call("readers", app(lab, tmp_path))
    assert (answer.status, len(rows(answer.body))) == (200, 3)
    assert any("older generations are not known" in str(note) for note in noted(answer.body))


def test_rule_14_a_log_that_hangs_leaves_time_to_say_so(tmp_path: Path) -> None:
    lab = estate()
    lab.cloud.add_fault("audit.query", "hang", call=None, seconds=300)
    before = lab.clock.now()
    answer = call("readers", app(lab, tmp_path, environ={"HTTP_BUDGET": "5s"}))
    assert answer.status == 200
    assert lab.clock.now() - before < timedelta(seconds=12)
    assert any("Uses in contoso" in str(note) for note in noted(answer.body))


def noted(document: Any) -> list[object]:
    found: list[object] = document["notes"]
    return found


def test_the_door_needs_the_role(tmp_path: Path) -> None:
    entra = {"HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"}
    using = app(estate(), tmp_path, environ=entra)
    assert call("readers", using, headers=principal("Pats.Rotate")).status == 403
    assert call("readers", using, headers=principal("Pats.Read")).status == 200


def test_the_page_of_one_pat_shows_who_reads_it_and_a_log_that_cannot_be_read_spoils_nothing(tmp_path: Path) -> None:
    lab = estate()
    audited(lab)
    uri = f"https://{PATS_VAULT}/secrets/build-pat"
    claim = {"oid": "eve", "upn": "Eve<script>alert(1)</script>"}
    row = recorded(
        "AZKVAuditLogs", lab.clock.now(), timedelta(0), "SecretGet", f"{uri}/{'0' * 32}", uri, 200, claim, ""
    )
    lab.cloud.vault_logs[PATS_VAULT].record(row)
    page = text_call("page", app(lab, tmp_path), {"secret": "build-pat"})
    assert page.status == 200
    for shown in (AGENT, "current", "behind", "pinned", "Library.AgentAdded", "none that is shown proves nothing"):
        assert shown in page.text
    assert "<script" not in page.text
    assert "Eve&lt;script&gt;" in page.text
    lab.cloud.vault_logs[PATS_VAULT].denied = True
    page = text_call("page", app(lab, tmp_path), {"secret": "build-pat"})
    assert (page.status, "microsoft.insights/logs/AZKVAuditLogs/read" in page.text) == (200, True)
    assert "Generations" in page.text


def test_a_hanging_log_costs_a_page_no_more_than_its_time(tmp_path: Path) -> None:
    lab = estate()
    lab.cloud.add_fault("logs.query", "hang", call=None, seconds=300)
    before = lab.clock.now()
    page = text_call("page", app(lab, tmp_path), {"secret": "build-pat"})
    assert (page.status, "Generations" in page.text) == (200, True)
    assert lab.clock.now() - before < timedelta(seconds=30)
