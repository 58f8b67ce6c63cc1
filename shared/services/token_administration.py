"""Token Administration (Azure DevOps REST, TokenAdmin 7.2-preview.1): another user's PATs, as an administrator.

For a user that cannot sign in any more. The bearer needs `vso.tokenadministration`, and `vso.identity` to find the
user; its owner has to be a Project Collection Administrator. What is revoked so may work for up to an hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from shared.model.clock import Clock
from shared.model.errors import Absent, Code, NotDone, Unclear
from shared.model.pats import Pat, PatId
from shared.services.devops_answers import unreadable
from shared.services.pat_api import UserPats, Way, read_pat

_HOST: Final = "https://vssps.dev.azure.com/{organization}/_apis"
_REMEDY: Final = (
    "Make the administrator of pats.yaml a Project Collection Administrator of the organization, and give the app "
    "registration the delegated permissions vso.tokenadministration and vso.identity with admin consent."
)
_IDENTITIES: Final = Way(f"{_HOST}/identities", "7.1-preview.1", _REMEDY)
_REVOCATIONS: Final = Way(f"{_HOST}/tokenadmin/revocations", "7.2-preview.1", _REMEDY)
_PAGE: Final = 100
_NO_MORE: Final = ("", "00000000-0000-0000-0000-000000000000")


class AdministeredPats:
    """See `ports.OwnedPats`. `administrator` is signed in; `username` is whose PATs they are."""

    def __init__(self, administrator: UserPats, username: str, clock: Clock) -> None:
        self._administrator = administrator
        self._username = username
        self._clock = clock

    def active(self, organization: str) -> tuple[Pat, ...]:
        found = [_pat(row) for row in self._rows(organization) if row.get("isValid") is True]
        return tuple(pat for pat in found if pat.validity.ends > self._clock.now())

    def revoked(self, organization: str) -> frozenset[PatId]:
        return frozenset(_id(row) for row in self._rows(organization) if row.get("isValid") is False)

    def get(self, organization: str, pat: PatId) -> Pat:
        row = next((row for row in self._rows(organization) if _id(row) == pat), None)
        if row is None:
            # Whether this listing keeps what is dead is not documented: that it is not there proves nothing (rule 5).
            cause = f"Azure DevOps does not list {pat} among the PATs of {self._username}, dead ones included."
            raise Unclear(Code.DEVOPS_UNCLEAR, cause, "Look into the organization's audit log whether it was revoked.")
        if row.get("isValid") is not True:
            raise Absent(Code.PAT_UNKNOWN, f"{pat} is not valid any more.", "")
        return _pat(row)

    def revoke(self, organization: str, pat: PatId) -> None:
        self._administrator.ask("POST", organization, {"isPublic": "false"}, [{"authorizationId": pat}], _REVOCATIONS)

    def _rows(self, organization: str) -> Iterator[Mapping[str, Any]]:
        """All pages, dead ones included."""
        descriptor = quote(self._descriptor(organization), safe="")
        url = f"{_HOST}/tokenadmin/personalaccesstokens/{descriptor}"
        way, token, seen = Way(url, "7.2-preview.1", _REMEDY), "", set[str]()
        while True:
            query = {"pageSize": str(_PAGE), "isPublic": "false", **({"continuationToken": token} if token else {})}
            body = self._administrator.ask("GET", organization, query, None, way)
            rows = body.get("value")
            if not isinstance(rows, list):
                raise unreadable("an administrator's listing of PATs")
            yield from (row for row in rows if isinstance(row, dict))
            token = str(body.get("continuationToken") or "")
            if token in _NO_MORE:
                return
            if token in seen:
                raise unreadable("an administrator's listing of PATs (a page repeats)")
            seen.add(token)

    def _descriptor(self, organization: str) -> str:
        """How Azure DevOps names the user. Raises NotDone where it knows no such user, or several."""
        query = {"searchFilter": "General", "filterValue": self._username, "queryMembership": "None"}
        rows = self._administrator.ask("GET", organization, query, None, _IDENTITIES).get("value")
        if not isinstance(rows, list):
            raise unreadable("a list of users")
        mine = {str(row.get("subjectDescriptor")) for row in rows if _account(row) == self._username.casefold()}
        if len(mine) != 1:
            cause = f"{organization} knows {len(mine) or 'no'} users of the name {self._username}."
            raise NotDone(Code.DEVOPS_REFUSED, cause, "Have an administrator look at the organization's users.")
        return mine.pop()


def _account(row: object) -> str:
    properties = row.get("properties") if isinstance(row, dict) else None
    account = properties.get("Account") if isinstance(properties, dict) else None
    value = account.get("$value") if isinstance(account, dict) else None
    return str(value or "").casefold()


def _id(row: Mapping[str, Any]) -> PatId:
    return PatId(str(row.get("authorizationId", "")).lower())


def _pat(row: Mapping[str, Any]) -> Pat:
    """Its instants are UTC, and may come without saying so. Raises Unclear."""
    return read_pat({**row, **{name: _utc(row.get(name)) for name in ("validFrom", "validTo")}})


def _utc(text: object) -> object:
    return f"{text}Z" if isinstance(text, str) and not text.endswith("Z") else text
