"""What Azure DevOps' audit log ties to a PAT: entries whose authentication names its authorization id.

Asked as patrol's own identity, a member of the organization that may view the audit log. Adding agents, using service
connections, changing pipelines are audited; fetching code and packages is not. So a hit proves use, silence nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import requests
from azure.core.credentials import TokenCredential

from shared.model.clock import Clock, Deadline, instant
from shared.model.errors import Code, Denied, PatrolError
from shared.model.pats import PatId
from shared.model.readers import Use
from shared.model.secret_text import SecretText, printable
from shared.services import devops_answers
from shared.services.devops_answers import GUID, HEADERS, Bearer
from shared.services.identity import NoToken, OwnIdentity
from shared.services.transport import Later, later, patiently, timeouts

AUDIT_LOG: Final = "https://auditservice.dev.azure.com/{organization}/_apis/audit/auditlog"
API_VERSION: Final = "7.2-preview.1"
SCOPE: Final = "499b84ac-1321-427f-aa17-267ca6975798/.default"
BATCH: Final = 5000
MOST_PAGES: Final = 10
LONGEST_LOOK = timedelta(seconds=15)
LONGEST_TEXT: Final = 200

_REMEDY = (
    "Make patrol's managed identity a member of the organization, switch its auditing on, and give the identity the "
    "permission View audit log (docs/readers.md)."
)


class AuditLogsOfOrganizations:
    """`ports.AuditLogs`."""

    def __init__(
        self, credential: TokenCredential, session: requests.Session, clock: Clock, deadline: Deadline
    ) -> None:
        self._credential = OwnIdentity(credential)
        self._session = session
        self._clock = clock
        self._deadline = deadline

    def uses(self, organization: str, pats: frozenset[PatId], since: datetime) -> tuple[tuple[Use, ...], bool]:
        until = self._deadline.within(LONGEST_LOOK)
        try:
            token = SecretText(self._credential.get_token(SCOPE).token)
        except NoToken as failure:
            raise Denied(Code.AUDIT_UNREADABLE, failure.known.cause, failure.known.remedy) from None
        found: list[Use] = []
        following = ""
        for _ in range(MOST_PAGES):
            page = self._page(organization, token, since, following, until)
            rows = page.get("decoratedAuditLogEntries")
            if not isinstance(rows, list):
                raise _told(devops_answers.unreadable("a page of the audit log"))
            found += [use for row in rows if (use := _use(row, pats)) is not None]
            following = str(page.get("continuationToken") or "")
            if page.get("hasMore") is not True or not following:
                return tuple(found), True
        return tuple(found), False

    def _page(
        self, organization: str, token: SecretText, since: datetime, following: str, until: Deadline
    ) -> Mapping[str, Any]:
        url = AUDIT_LOG.format(organization=quote(organization, safe=""))
        query: dict[str, str] = {
            "startTime": instant(since) or "",
            "batchSize": str(BATCH),
            "skipAggregation": "true",
            "api-version": API_VERSION,
        }
        if following:
            query["continuationToken"] = following

        def attempt() -> Mapping[str, Any] | Later:
            try:
                response = self._session.get(
                    url,
                    params=query,
                    headers=HEADERS,
                    auth=Bearer(token),
                    timeout=timeouts(until),
                    allow_redirects=False,
                )
                return devops_answers.judge("GET", organization, response, "patrol's own identity", _REMEDY)
            except requests.RequestException as failure:
                return later(_told(devops_answers.lost(failure, organization)))
            except PatrolError as failure:
                return later(_told(failure))

        return patiently(self._clock, until, attempt)


def _told(failure: PatrolError) -> PatrolError:
    """The same failure, under the code of this log: it stops nothing."""
    cause = f"The audit log of Azure DevOps could not be read. {failure.cause}"
    if isinstance(failure, Denied):
        return Denied(Code.AUDIT_UNREADABLE, cause, failure.remedy, failure.word)
    return type(failure)(Code.AUDIT_UNREADABLE, cause, failure.remedy)


def _use(row: object, pats: frozenset[PatId]) -> Use | None:
    """None for an entry that none of `pats` made, and for one that cannot be read."""
    if not isinstance(row, dict):
        return None
    mechanism = row.get("authenticationMechanism")
    if not isinstance(mechanism, str) or not mechanism.startswith("PAT"):
        return None
    named = GUID.search(mechanism)
    pat = PatId(named[0].lower()) if named is not None else None
    at = _instant(row.get("timestamp"))
    if pat is None or pat not in pats or at is None:
        return None
    return Use(pat, at, _text(row.get("actionId")), _text(row.get("ipAddress")), _text(row.get("userAgent")))


def _instant(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def _text(value: object) -> str:
    # Between backquotes stand commands that a person copies.
    return printable(value[:LONGEST_TEXT]).replace("`", "'") if isinstance(value, str) else ""
