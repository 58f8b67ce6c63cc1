"""The wire of Azure DevOps' audit log (auditservice.dev.azure.com)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.pat_values import NoOrganization
from sandbox.wire.devops import error, headers, not_signed_in, ok
from sandbox.wire.exchange import Reply, Request, Route, html_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

HOST = "auditservice.dev.azure.com"
PATH = re.compile(r"/([^/]+)/_apis/audit/auditlog/?", re.IGNORECASE)
MOST, USUAL = 100_000, 1000
"""Entries of one page, and where a request says nothing."""


def route(cloud: Cloud, request: Request) -> Route:
    match = PATH.fullmatch(request.path)
    if match is None or request.method != "GET":
        return Route("other", "", lambda: Reply(html_response(404, "Not found")))
    return Route("audit.query", match[1], lambda: _query(cloud, request, match[1]))


def _query(cloud: Cloud, request: Request, organization: str) -> Reply:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = cloud.directory.bearer(token.strip(), AZURE_DEVOPS) if scheme.lower() == "bearer" else None
    try:
        home = cloud.pats.organization(organization)
    except NoOrganization:
        return Reply(html_response(404, "Azure DevOps Services | Not found", headers(cloud)))
    if bearer is None or bearer.subject not in home.members or (bearer.scopes and "vso.auditlog" not in bearer.scopes):
        return Reply(not_signed_in(cloud, request))
    log = cloud.audit_log_of(organization)
    if bearer.subject not in log.readers:
        text = f"Access denied: {bearer.subject} needs the following permissions: View audit log."
        return Reply(error(cloud, 403, "AccessCheckException", text))
    asked = request.parameters()
    now = cloud.now()
    try:
        start = _instant(asked.get("starttime"), now - timedelta(days=90))
        end = _instant(asked.get("endtime"), now)
        batch = min(int(asked.get("batchsize") or USUAL), MOST)
        skip = int((asked.get("continuationtoken") or "0").rpartition(";")[2])
    except ValueError:
        return Reply(error(cloud, 400, "VssPropertyValidationException", "The request is malformed."))
    rows, after = log.page(start, end, batch, skip)
    following = None if after is None else f"{rows[-1]['timestamp']};{after}"
    value = {"decoratedAuditLogEntries": rows, "continuationToken": following, "hasMore": after is not None}
    return ok(cloud, value)


def _instant(text: str | None, default: datetime) -> datetime:
    return default if not text else datetime.fromisoformat(text)
