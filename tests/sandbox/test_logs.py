"""Log Analytics and Azure DevOps' audit log as the sandbox plays them, asked by azure-monitor-query as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult, LogsQueryResult

from sandbox.cloud.audit_log import entry
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.seed import IDENTITY_PRINCIPAL, PATS_VAULT
from sandbox.process.in_process import session_for
from tests.lab.lab import Lab, LabIdentity, item

AGENT = "a9e00000-0000-4000-8000-000000000009"
COLUMNS = "project TimeGenerated, OperationName"


def published(table: str) -> Lab:
    lab = Lab([item()])
    lab.cloud.switches.vault_log_table = table
    lab.run()
    return lab


def ask(lab: Lab, query: str) -> LogsQueryResult | LogsQueryPartialResult:
    transport = RequestsTransport(session=session_for(lab.cloud), session_owner=False)
    with LogsQueryClient(LabIdentity(lab.cloud), transport=transport, retry_total=0) as client:
        return client.query_resource(lab.cloud.vault_logs[PATS_VAULT].resource_id, query, timespan=timedelta(days=1))


def read(lab: Lab, secret: str, version: str = "") -> requests.Response:
    token = lab.cloud.directory.application_token("https://vault.azure.net", AGENT)[0]
    url = f"https://{PATS_VAULT}/secrets/{secret}/{version}?api-version=7.6"
    return session_for(lab.cloud).get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5)


def rows(result: Any) -> list[dict[str, Any]]:
    table = result.tables[0]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


GETS = {
    "AZKVAuditLogs": 'AZKVAuditLogs | where OperationName == "SecretGet"'
    " | project id = Id, uri = RequestUri, status = HttpStatusCode, oid = tostring(Identity.claim.oid)",
    "AzureDiagnostics": 'AzureDiagnostics | where OperationName == "SecretGet"'
    " | project id = id_s, uri = requestUri_s, status = toint(httpStatusCode_d), oid = identity_claim_oid_g",
}


@pytest.mark.parametrize("table", GETS)
def test_a_read_names_the_version_that_was_served_and_who_got_it_minutes_later(table: str) -> None:
    lab = published(table)
    read(lab, "build-pat")
    version = lab.current("build-pat").id
    lab.wait(timedelta(minutes=6))
    of_agent = [row for row in rows(ask(lab, GETS[table])) if row["oid"] == AGENT]
    assert [(row["id"], row["status"]) for row in of_agent] == [
        (f"https://{PATS_VAULT}/secrets/build-pat/{version}", 200)
    ]
    assert of_agent[0]["uri"].startswith(f"https://{PATS_VAULT}/secrets/build-pat/?api-version=")
    read(lab, "build-pat", version)
    lab.wait(timedelta(minutes=6))
    uris = [row["uri"] for row in rows(ask(lab, GETS[table])) if row["oid"] == AGENT]
    assert f"/build-pat/{version}?" in uris[-1]


def test_rows_come_late() -> None:
    lab = published("AZKVAuditLogs")
    lab.wait(timedelta(minutes=6))
    before = len(rows(ask(lab, f"AZKVAuditLogs | {COLUMNS}")))
    read(lab, "build-pat")
    lab.wait(timedelta(minutes=4))
    assert len(rows(ask(lab, f"AZKVAuditLogs | {COLUMNS}"))) == before
    lab.wait(timedelta(minutes=1))
    assert len(rows(ask(lab, f"AZKVAuditLogs | {COLUMNS}"))) == before + 1


def test_a_table_that_never_had_a_row_and_a_column_that_is_none_are_semantic_errors() -> None:
    lab = published("AZKVAuditLogs")
    lab.wait(timedelta(minutes=6))
    for query in ("AzureDiagnostics | take 1", "AZKVAuditLogs | where id_s == 1"):
        with pytest.raises(HttpResponseError) as refused:
            ask(lab, query)
        assert refused.value.status_code == 400
        assert "SemanticError" in str(refused.value)
    found = rows(ask(lab, 'AZKVAuditLogs | summarize n = count() by id = tostring(column_ifexists("id_s", "none"))'))
    assert [row["id"] for row in found] == ["none"]


def test_part_of_an_answer_and_a_refusal() -> None:
    lab = published("AZKVAuditLogs")
    lab.wait(timedelta(minutes=6))
    whole = len(rows(ask(lab, f"AZKVAuditLogs | {COLUMNS}")))
    log = lab.cloud.vault_logs[PATS_VAULT]
    log.partial = True
    part = ask(lab, f"AZKVAuditLogs | {COLUMNS}")
    assert isinstance(part, LogsQueryPartialResult)
    assert len(part.partial_data[0].rows) == whole // 2
    log.denied = True
    with pytest.raises(HttpResponseError) as refused:
        ask(lab, f"AZKVAuditLogs | {COLUMNS}")
    assert refused.value.status_code == 403


def test_the_audit_log_has_pages_and_needs_a_permission() -> None:
    lab = Lab()
    cloud = lab.cloud
    now = datetime(2026, 3, 1, 11, tzinfo=UTC)
    log = cloud.audit_log_of("contoso")
    log.entries += [
        entry(now - timedelta(minutes=number), authenticationMechanism=f"PAT_Unscoped authorizationId: {number}")
        for number in range(5)
    ]
    token = cloud.directory.application_token(AZURE_DEVOPS, IDENTITY_PRINCIPAL)[0]
    session = session_for(cloud)

    def page(query: str) -> requests.Response:
        url = f"https://auditservice.dev.azure.com/contoso/_apis/audit/auditlog?api-version=7.2-preview.1&{query}"
        return session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5, allow_redirects=False)

    assert page("").status_code == 302
    cloud.pats.organization("contoso").members.add(IDENTITY_PRINCIPAL)
    assert page("").status_code == 403
    log.readers.add(IDENTITY_PRINCIPAL)
    found: list[str] = []
    token_of_page: str | None = ""
    for _ in range(3):
        answer = page(f"batchSize=2&continuationToken={token_of_page or ''}").json()
        found += [row["authenticationMechanism"] for row in answer["decoratedAuditLogEntries"]]
        token_of_page = answer["continuationToken"]
    assert found == [f"PAT_Unscoped authorizationId: {number}" for number in range(5)]
    assert token_of_page is None
