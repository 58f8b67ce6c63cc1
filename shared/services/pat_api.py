"""The PAT lifecycle API (Azure DevOps REST, Tokens / Pats 7.2-preview.1), and what its answers mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from shared.model.clock import Clock, Deadline, Moment, whole_seconds
from shared.model.errors import Absent, Busy, Code, Refused, Unclear
from shared.model.pats import Minted, Pat, PatId, Validity
from shared.model.secret_text import SecretText
from shared.services.devops_answers import GUID, HEADERS, Bearer, judge, lost, unreadable
from shared.services.transport import Later, patiently, retry_after, timeouts

if TYPE_CHECKING:
    from shared.model.ports import OwnedPats

PATS = "https://vssps.dev.azure.com/{organization}/_apis/tokens/pats"
API_VERSION = "7.2-preview.1"
PAGE = 100

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,7})?Z")


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request goes, in which version, and what to do where that is not allowed; None: as for a sign-in."""

    url: str
    version: str
    remedy: str | None = None


OWN_PATS: Final = Way(PATS, API_VERSION)


class UserPats:
    """The PAT lifecycle API as one technical user: see `ports.PatApi`."""

    def __init__(self, session: requests.Session, token: SecretText, clock: Clock, deadline: Deadline) -> None:
        self._session = session
        self._token = token
        self._clock = clock
        self._deadline = deadline
        self._not_before: timedelta | None = None

    def active(self, organization: str) -> tuple[Pat, ...]:
        rows = self._list(organization, "active")
        found = [pat for row in rows if (pat := _read_listed(row)) is not None]
        # A PAT that ended while the pages were fetched is no longer alive.
        return tuple(pat for pat in found if pat.validity.ends > self._clock.now())

    def by_state(self, organization: str, state: str) -> tuple[Pat, ...]:
        return tuple(pat for row in self._list(organization, state) if (pat := _read_listed(row)) is not None)

    def revoked(self, organization: str) -> frozenset[PatId]:
        return frozenset(
            PatId(str(row.get("authorizationId", "")).lower()) for row in self._list(organization, "revoked")
        )

    def get(self, organization: str, pat: PatId) -> Pat:
        body = self.ask("GET", organization, {"authorizationId": pat})
        return read_pat(_pat_token(body))

    def mint(self, organization: str, display_name: str, scopes: tuple[str, ...], ends: datetime) -> Minted:
        wanted = _wanted(display_name, scopes, ends)

        def attempt() -> Minted | Later:
            sent = Moment.now(self._clock)
            try:
                body = self._send("POST", organization, {}, wanted)
            except Busy as busy:
                return Later(busy, self._wait_asked())  # 429: refused before anything was done
            except (Refused, Absent) as refusal:  # in the service's own words
                word = refusal.word if isinstance(refusal, Refused) else ""
                raise Refused(Code.MINT_REFUSED, f"No PAT was made. {refusal.cause}", refusal.remedy, word) from None
            except Unclear as doubt:
                raise _mint_unclear(doubt) from None
            try:
                token = _pat_token(body)
                return Minted(read_pat(token), _value_of(token), sent)
            except Unclear as doubt:
                raise _mint_unclear(doubt) from None

        return patiently(self._clock, self._deadline, attempt)

    def extend(self, organization: str, pat: PatId, display_name: str, scopes: tuple[str, ...], ends: datetime) -> Pat:
        wanted = {"authorizationId": pat, **_wanted(display_name, scopes, ends)}
        return read_pat(_pat_token(self.ask("PUT", organization, {}, wanted)))

    def revoke(self, organization: str, pat: PatId) -> None:
        try:
            self.ask("DELETE", organization, {"authorizationId": pat})
        except Absent:
            return
        except Refused as refusal:
            raise Refused(Code.REVOKE_REFUSED, refusal.cause, refusal.remedy, refusal.word) from None
        except Unclear as doubt:
            raise Unclear(Code.REVOKE_UNCLEAR, f"{doubt.cause} The PAT may still live.", doubt.remedy) from None

    def administering(self, username: str) -> OwnedPats:
        from shared.services.token_administration import AdministeredPats  # it calls by this one

        return AdministeredPats(self, username, self._clock)

    def _list(self, organization: str, state: str) -> Iterator[Mapping[str, Any]]:
        """All pages: the same filter on every one, until the continuation token is empty, null or absent."""
        options = {
            "displayFilterOption": state,
            "sortByOption": "displayName",
            "isSortAscending": "true",
            "$top": str(PAGE),
        }
        token, seen = "", set[str]()
        while True:
            page = {**options, "continuationToken": token} if token else options
            body = self.ask("GET", organization, page)
            rows = body.get("patTokens")
            if not isinstance(rows, list):
                raise unreadable("the listing of PATs")
            yield from (row for row in rows if isinstance(row, dict))
            token = body.get("continuationToken") or ""
            if not token:
                return
            if not isinstance(token, str) or token in seen:
                raise unreadable("the listing of PATs (a page repeats)")
            seen.add(token)

    def ask(
        self, method: str, organization: str, query: Mapping[str, str], body: object = None, way: Way = OWN_PATS
    ) -> Mapping[str, Any]:
        """A call that may be repeated: reads, and writes that say the same twice."""

        def attempt() -> Mapping[str, Any] | Later:
            try:
                return self._send(method, organization, query, body, way)
            except (Busy, Unclear) as failure:
                return Later(failure, self._wait_asked())

        return patiently(self._clock, self._deadline, attempt)

    def _send(
        self, method: str, organization: str, query: Mapping[str, str], body: object = None, way: Way = OWN_PATS
    ) -> Mapping[str, Any]:
        self._be_polite()
        url = way.url.format(organization=quote(organization, safe=""))
        try:
            response = self._session.request(
                method,
                url,
                params={"api-version": way.version, **query},
                json=body,
                headers=HEADERS,
                auth=Bearer(self._token),
                timeout=timeouts(self._deadline),
                allow_redirects=False,
            )
        except requests.RequestException as failure:
            raise lost(failure, organization) from None
        wait = retry_after(response.headers.get("Retry-After"), self._clock.now())
        if wait:
            self._not_before = self._clock.elapsed() + wait
        return judge(method, organization, response, remedy=way.remedy)

    def _be_polite(self) -> None:
        # A Retry-After on a success is Azure DevOps delaying this user: every thread that works for it waits before its
        # next call, and nothing is repeated.
        wait = self._wait_asked()
        if wait is not None and wait < min(self._deadline.left(), timedelta(seconds=30)):
            self._clock.sleep(wait)

    def _wait_asked(self) -> timedelta | None:
        not_before = self._not_before
        wait = not_before - self._clock.elapsed() if not_before else timedelta(0)
        return wait if wait > timedelta(0) else None


def read_instant(text: object) -> datetime:
    """Read an Azure DevOps timestamp: ISO 8601, `Z`, 0 to 7 fractional digits.

    Gives aware UTC in whole seconds. Raises Unclear on anything else. Source: REST reference, Tokens / Pats, `validTo`.
    """
    match = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise unreadable("a timestamp")
    try:
        return datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        raise unreadable("a timestamp") from None


def read_pat(token: Mapping[str, Any]) -> Pat:
    """Read a `PatToken`. Raises Unclear when a needed field is missing or wrong."""
    identity = token.get("authorizationId")
    if not isinstance(identity, str) or not GUID.fullmatch(identity):
        raise unreadable("an authorization id")
    accounts = token.get("targetAccounts")
    organization_id = accounts[0] if isinstance(accounts, list) and len(accounts) == 1 else None
    return Pat(
        id=PatId(identity.lower()),
        display_name=_writable(token.get("displayName")),
        scopes=frozenset(_writable(token.get("scope")).split()),
        validity=Validity(read_instant(token.get("validFrom")), read_instant(token.get("validTo"))),
        organization_id=organization_id.lower() if isinstance(organization_id, str) else None,
    )


def _writable(text: object) -> str:
    """A name that any file and log can hold: half of a surrogate pair becomes a question mark."""
    return str(text or "").encode("utf-8", "replace").decode()


def _read_listed(row: Mapping[str, Any]) -> Pat | None:
    # A person's odd PAT must not fail a technical user's run; one with a mark must be readable.
    try:
        return read_pat(row)
    except Unclear:
        if str(row.get("displayName") or "").startswith("patrol/"):
            raise
        return None


def _wanted(display_name: str, scopes: tuple[str, ...], ends: datetime) -> dict[str, object]:
    # All four always: what the service takes for an omitted one is not documented.
    return {
        "displayName": display_name,
        "scope": " ".join(scopes),
        "validTo": whole_seconds(ends).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "allOrgs": False,
    }


def _pat_token(body: Mapping[str, Any]) -> Mapping[str, Any]:
    token = body.get("patToken")
    if not isinstance(token, dict):
        raise unreadable("a PAT")
    return token


def _value_of(token: Mapping[str, Any]) -> SecretText:
    value = token.get("token")
    if not isinstance(value, str) or not value:
        raise unreadable("the value of a new PAT")
    return SecretText(value)


def _mint_unclear(doubt: Unclear) -> Unclear:
    return Unclear(
        Code.MINT_UNCLEAR,
        f"{doubt.cause} A PAT may have been made that nobody knows the value of.",
        "Nothing to do: the next run mints again, and ends what was left over after two hours.",
    )
