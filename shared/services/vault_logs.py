"""Who read which version, from the audit log of a vault, asked for that vault alone (azure-monitor-query).

What comes back is text from outside: it is cut, made printable, and never more than a hint.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport

from shared.model.clock import Clock, Deadline
from shared.model.errors import Busy, Code, Denied, NotDone, PatrolError, Unclear
from shared.model.readers import Asked, Reader, VaultLogSeen, together
from shared.model.secret_text import printable
from shared.services import answers
from shared.services.identity import NoToken, OwnIdentity
from shared.services.transport import Later, later, patiently, timeouts
from shared.services.way_out import no_answer

LONGEST_LOOK = timedelta(seconds=20)
"""Nothing waits longer for a log: whoever asks goes on without it."""
LONGEST_TEXT = 200

_ENDPOINTS: Final[Mapping[str, str]] = {
    ".vault.usgovcloudapi.net": "https://api.loganalytics.us",
    ".vault.azure.cn": "https://api.loganalytics.azure.cn",
}
_OBJECT_ID = "http://schemas.microsoft.com/identity/claims/objectidentifier"
_UPN = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"

# A column that no row ever had does not exist, and a query that names it is refused: so each may be missing.
_DEDICATED = f"""AZKVAuditLogs
| extend claim = column_ifexists("Identity", dynamic({{}})).claim
| project at = TimeGenerated, operation = OperationName, id = tostring(column_ifexists("Id", "")),
    uri = tostring(column_ifexists("RequestUri", "")), status = toint(column_ifexists("HttpStatusCode", 0)),
    oid = coalesce(tostring(claim.oid), tostring(claim["{_OBJECT_ID}"])), app = tostring(claim.appid),
    name = coalesce(tostring(claim.upn), tostring(claim["{_UPN}"]))
"""
_SHARED = """AzureDiagnostics
| project at = TimeGenerated, operation = OperationName, id = tostring(column_ifexists("id_s", "")),
    uri = tostring(column_ifexists("requestUri_s", "")), status = toint(column_ifexists("httpStatusCode_d", 0)),
    oid = coalesce(tostring(column_ifexists("identity_claim_oid_g", "")),
        tostring(column_ifexists("identity_claim_http_schemas_microsoft_com_identity_claims_objectidentifier_g", ""))),
    app = tostring(column_ifexists("identity_claim_appid_g", "")),
    name = coalesce(tostring(column_ifexists("identity_claim_upn_s", "")),
        tostring(column_ifexists("identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s", "")))
"""
_SUMS = """| extend gets = operation == "SecretGet"
| extend id = iff(gets, id, ""), uri = iff(gets, tostring(split(uri, "?")[0]), ""), status = iff(gets, status, 0)
| summarize first = min(at), last = max(at) by gets, id, uri, status, oid, app, name
"""
QUERIES: Final[Mapping[str, str]] = {"AZKVAuditLogs": _DEDICATED + _SUMS, "AzureDiagnostics": _SHARED + _SUMS}
"""By table. Which of them a vault's log goes to is decided by its diagnostic setting."""

_SECRET = re.compile(r"/secrets/([0-9A-Za-z-]{1,127})(?:/([0-9A-Za-z]{1,64}))?/?", re.IGNORECASE)
_ROLE = (
    "Give patrol's identity microsoft.insights/logs/AZKVAuditLogs/read and "
    "microsoft.insights/logs/AzureDiagnostics/read on that vault, and let the workspace use "
    "resource permissions (docs/readers.md)."
)
_LATER = "Nothing to do if it passes; otherwise look at the workspace that the vault's diagnostic setting names."
_OWN_WORDS: Final[Mapping[int, frozenset[str]]] = {
    400: frozenset({"BadArgumentError"}),
    401: frozenset({"AuthorizationRequiredError", "InvalidTokenError"}),
    403: frozenset({"InsufficientAccessError", "AuthorizationFailed"}),
    404: frozenset({"ResourceNotFoundError", "WorkspaceNotFoundError", "PathNotFoundError"}),
    429: frozenset({"ThrottledError"}),
}


class LogsOfVaults:
    """`ports.VaultLogs`. `resources`: resource ids of the vaults whose logs may be read."""

    def __init__(
        self,
        resources: Sequence[str],
        vault_host: str,
        credential: TokenCredential,
        session: requests.Session,
        clock: Clock,
        deadline: Deadline,
    ) -> None:
        self._resources = {resource.rpartition("/")[2].casefold(): resource for resource in resources}
        self._endpoint = endpoint_of(vault_host)
        self._credential = OwnIdentity(credential)
        self._session = session
        self._clock = clock
        self._deadline = deadline

    def seen(self, vault_host: str, since: datetime) -> VaultLogSeen:
        resource = self._resources.get(vault_host.partition(".")[0].casefold())
        if resource is None:
            raise NotDone(
                Code.LOGS_UNREADABLE,
                f"No log is known for the vault {vault_host}.",
                "Name the vault's resource id in VAULT_LOGS (Bicep does), and send its audit log to a workspace.",
            )
        until = self._deadline.within(LONGEST_LOOK)
        own = self._own(resource)
        found = [self._table(resource, table, query, since, until) for table, query in QUERIES.items()]
        return together([VaultLogSeen(own=own), *(part for part in found if part is not None)])

    def _own(self, resource: str) -> str:
        """The object id that patrol's own reads are logged under; "" where its token does not tell."""
        try:
            token = self._credential.get_token(f"{self._endpoint}/.default").token
        except NoToken as failure:
            raise Denied(
                Code.LOGS_UNREADABLE, f"{_could_not(resource)}: {failure.known.cause}", failure.known.remedy
            ) from None
        part = token.split(".")[1] if token.count(".") == 2 else ""
        try:
            claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            return str(claims["oid"]).casefold()
        except (ValueError, KeyError, TypeError):
            return ""

    def _table(self, resource: str, table: str, query: str, since: datetime, until: Deadline) -> VaultLogSeen | None:
        """What one table tells; None where there is none, because it never had a row."""

        def attempt() -> VaultLogSeen | Later | None:
            try:
                return self._ask(resource, query, since, until)
            except HttpResponseError as failure:
                if has_no_table(failure, table):
                    return None
                return later(_failure(resource, failure))
            except (AzureError, ValueError, TypeError, KeyError, AttributeError) as failure:
                return later(_failure(resource, failure))

        return patiently(self._clock, until, attempt)

    def _ask(self, resource: str, query: str, since: datetime, until: Deadline) -> VaultLogSeen:
        # The library is loaded where somebody asks for readers, and nowhere else.
        from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult

        transport = RequestsTransport(session=self._session, session_owner=False)
        client = LogsQueryClient(
            self._credential, endpoint=self._endpoint, transport=transport, retry_total=0, permit_redirects=False
        )
        connect, read = timeouts(until)
        limits: dict[str, Any] = {"connection_timeout": connect, "read_timeout": read}
        span = (since, self._clock.now() + timedelta(hours=1))
        result = client.query_resource(resource, query, timespan=span, server_timeout=max(1, int(read)), **limits)
        partial = isinstance(result, LogsQueryPartialResult)
        tables = result.partial_data if isinstance(result, LogsQueryPartialResult) else result.tables
        rows = [dict(zip(table.columns, row, strict=True)) for table in tables for row in table.rows]
        return _read(rows, whole=not partial)


def endpoint_of(vault_host: str) -> str:
    """Where logs are asked in the cloud that a vault is in."""
    return next((url for end, url in _ENDPOINTS.items() if vault_host.endswith(end)), "https://api.loganalytics.io")


def has_no_table(failure: HttpResponseError, table: str) -> bool:
    """Whether Log Analytics says in its own words that this table does not exist: it never had a row."""
    answer = answers.Answer.of_sdk(failure)
    if answer is None or answer.status != 400:
        return False
    error = answer.facts().get("error")
    while isinstance(error, dict):
        message = error.get("message")
        if error.get("code") == "SEM0100" and isinstance(message, str):
            return f"'{table}'" in message
        error = error.get("innererror")
    return False


def _read(rows: Iterable[Mapping[str, Any]], *, whole: bool) -> VaultLogSeen:
    asked: list[Asked] = []
    seen: dict[str, datetime] = {}
    until: datetime | None = None
    for row in rows:
        first, last = _instant(row["first"]), _instant(row["last"])
        reader = Reader(_text(row["oid"]).casefold(), _text(row["app"]).casefold(), _text(row["name"]))
        until = last if until is None else max(until, last)
        seen[reader.key] = max(last, seen.get(reader.key, last))
        if row["gets"] and (one := _asked(row, reader, first, last)) is not None:
            asked.append(one)
    return VaultLogSeen(tuple(asked), until, seen, whole=whole)


def _asked(row: Mapping[str, Any], reader: Reader, first: datetime, last: datetime) -> Asked | None:
    """None for a request of something that is no secret's name."""
    wanted, served = _SECRET.search(_text(row["uri"], 500)), _SECRET.search(_text(row["id"], 500))
    if wanted is None:
        return None
    pinned = wanted[2] or ""
    done = row["status"] == 200
    version = (served[2] or "") if done and served is not None else pinned
    return Asked(reader, wanted[1], version.casefold(), bool(pinned), done, first, last)


def _instant(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise ValueError("not an instant")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


def _text(value: object, longest: int = LONGEST_TEXT) -> str:
    # Between backquotes stand commands that a person copies.
    return printable(value[:longest]).replace("`", "'") if isinstance(value, str) else ""


def _could_not(resource: str) -> str:
    return f"The log of the vault {resource.rpartition('/')[2]} could not be read"


def _failure(resource: str, failure: Exception) -> PatrolError:
    """What a failed question means; of a body no more than its code is shown."""
    could_not = _could_not(resource)
    if isinstance(failure, NoToken):
        return Denied(Code.LOGS_UNREADABLE, f"{could_not}: {failure.known.cause}", failure.known.remedy)
    if not isinstance(failure, AzureError):
        return Unclear(Code.LOGS_UNREADABLE, f"{could_not}: the answer is not in Log Analytics' own words.", _LATER)
    answer = answers.Answer.of_sdk(failure) if isinstance(failure, HttpResponseError) else None
    if answer is None:
        inner = getattr(failure, "inner_exception", None) or failure
        return no_answer(inner, could_not, Code.LOGS_UNREADABLE, Code.LOGS_UNREADABLE, _LATER)
    error = answer.facts().get("error")
    word = answers.code_word(error.get("code")) if isinstance(error, dict) else ""
    if word not in _OWN_WORDS.get(answer.status, ()):
        between = answers.in_between(answer, "Log Analytics")
        return Unclear(Code.LOGS_UNREADABLE, f"{could_not} ({between}).", answers.look_between("Log Analytics"))
    cause = f"{could_not} (HTTP {answer.status} {word})."
    if answer.status == 429:
        return Busy(Code.LOGS_UNREADABLE, cause, _LATER)
    return Denied(Code.LOGS_UNREADABLE, cause, _ROLE if answer.status in (401, 403) else _LATER, word)
