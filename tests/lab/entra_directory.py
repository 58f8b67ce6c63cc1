"""A tenant behind a stand-in for `az`: what Microsoft Graph keeps, in which others own and change things too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.entra.az import Refused

GRAPH = "https://graph.microsoft.com"
TENANT = "00000000-0000-4000-8000-0000000000aa"
ME, SOMEBODY = "a0000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000002"
DEVOPS, DEVOPS_PRINCIPAL = "499b84ac-1321-427f-aa17-267ca6975798", "b0000000-0000-4000-8000-000000000001"
SCOPE_IDS = {
    "vso.pats": "c0000000-0000-4000-8000-000000000001",
    "vso.pats_manage": "c0000000-0000-4000-8000-000000000002",
    "vso.code_full": "c0000000-0000-4000-8000-000000000003",
}
OURS = [
    {
        "resourceAppId": DEVOPS,
        "resourceAccess": [{"id": SCOPE_IDS[one], "type": "Scope"} for one in list(SCOPE_IDS)[:2]],
    }
]
EVERYTHING = {
    "resourceAppId": "00000003-0000-0000-c000-000000000000",
    "resourceAccess": [{"id": "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8", "type": "Role"}],
}
"""What an attacker has an application ask for: a role of Microsoft Graph by which it makes itself administrator."""

IDENTITY = "1d000000-0000-4000-8000-000000000002"
SECRET = "the-new-client-secret"
PAGE = 2


@dataclass(slots=True)
class Directory:
    """Callable as `infra.entra.az.Run`. Commands that find by name or consent to everything do not exist in it."""

    signed_in: dict[str, str] = field(default_factory=lambda: {"type": "user", "name": "ops@contoso.com"})
    login: str = "https://login.microsoftonline.com"
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    principals: dict[str, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, list[str]] = field(default_factory=dict)
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    roles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    trusted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    assigned: list[dict[str, Any]] = field(default_factory=list)
    vault: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    before: Callable[[int], None] = lambda number: None
    """Called before each command with its number, from 0: what others do meanwhile."""
    deaf: list[str] = field(default_factory=list)
    """Beginnings of requests (`post servicePrincipals`) that fail once each."""
    made: int = 0

    def __post_init__(self) -> None:
        offered = [{"value": value, "id": id_} for value, id_ in SCOPE_IDS.items()]
        self.principals[DEVOPS_PRINCIPAL] = {
            "id": DEVOPS_PRINCIPAL,
            "appId": DEVOPS,
            "oauth2PermissionScopes": offered,
        }
        self.principals[IDENTITY] = {
            "id": IDENTITY,
            "appId": "1d000000-0000-4000-8000-000000000001",
            "servicePrincipalType": "ManagedIdentity",
            "displayName": "id-patrol",
        }

    def register(self, name: str, owners: Sequence[str], asks: Sequence[dict[str, Any]] = (), **more: Any) -> str:
        """An application of somebody's, with its service principal; its client id."""
        id_, client_id, principal = self._id(), self._id(), self._id()
        self.applications[id_] = {
            "id": id_,
            "appId": client_id,
            "displayName": name,
            "signInAudience": "AzureADMyOrg",
            "requiredResourceAccess": json.loads(json.dumps(list(asks))),
            "createdDateTime": "2026-11-01T00:00:00Z",
            **more,
        }
        self.principals[principal] = {"id": principal, "appId": client_id, "displayName": name}
        self.owners[id_] = list(owners)
        return client_id

    def consent(
        self, client_id: str, scope: str, resource: str = DEVOPS_PRINCIPAL, kind: str = "AllPrincipals"
    ) -> None:
        grant = {"clientId": self.principal(client_id), "resourceId": resource, "consentType": kind, "scope": scope}
        id_ = self._id()
        self.grants[id_] = {**grant, "id": id_}

    def application(self, client_id: str) -> dict[str, Any]:
        (found,) = [one for one in self.applications.values() if one["appId"] == client_id]
        return found

    def principal(self, client_id: str) -> str:
        (found,) = [id_ for id_, one in self.principals.items() if one["appId"] == client_id]
        return found

    def consented(self, client_id: str) -> list[tuple[str, str, str]]:
        mine = [one for one in self.grants.values() if one["clientId"] == self.principal(client_id)]
        return [(one["consentType"], one["resourceId"], one["scope"]) for one in mine]

    def __call__(self, command: Sequence[str], given: str) -> str:
        self.before(len(self.said))
        self.said.append(" ".join(command))
        words = list(command)
        if words[0] == "azd":
            return self._azd(words)
        option = {word: words[place + 1] for place, word in enumerate(words[:-1]) if word.startswith("--")}
        if words[1] == "rest":
            path = option["--url"].removeprefix(f"{GRAPH}/v1.0/")
            body = option.get("--body")
            asked = json.loads(Path(body.removeprefix("@")).read_text()) if body else None
            answer = self._rest(option["--method"], path, option.get("--url-parameters", ""), asked)
        elif words[1:3] == ["account", "show"]:
            answer = {"tenantId": TENANT, "user": self.signed_in}
        elif words[1:3] == ["cloud", "show"]:
            answer = {"endpoints": {"activeDirectory": self.login, "microsoftGraphResourceId": f"{GRAPH}/"}}
        elif words[1:5] == ["ad", "app", "credential", "reset"]:
            assert option["--id"] in {one["appId"] for one in self.applications.values()}
            assert "--append" in words
            return "" if "--cert" in words else f"{SECRET}\r\n"
        elif words[1] == "keyvault":
            self.vault.append((" ".join(words[2:]), given))
            return ""
        else:
            raise AssertionError(f"{words[:4]} trusts a name, or is not known here")
        return "" if "none" in words else json.dumps(answer)

    def _azd(self, words: list[str]) -> str:
        assert "--no-prompt" in words
        if words[1:3] == ["env", "get-values"]:
            return json.dumps(self.environment)
        assert words[1:3] == ["env", "set"]
        self.environment[words[3]] = words[4]
        return ""

    def _rest(self, method: str, path: str, filtered: str, body: Any) -> dict[str, Any]:
        for request in self.deaf:
            if f"{method} {path}".startswith(request):
                self.deaf.remove(request)
                raise Refused(f"{path} is not known yet")
        parts = path.partition("?")[0].split("/")
        if method == "get":
            return self._get(parts, path, filtered)
        if method == "delete":
            assert parts[0] == "oauth2PermissionGrants"
            del self.grants[parts[1]]
            return {}
        return self._patch(parts, body) if method == "patch" else self._post(parts, body)

    def _get(self, parts: list[str], path: str, filtered: str) -> dict[str, Any]:
        if parts == ["me"]:
            return {"id": ME}
        if parts[0] == "directoryObjects":
            return {"id": parts[1], "displayName": "release pipeline"}
        kind = self.applications if parts[0] == "applications" else self.principals
        if len(parts) == 1:
            asked = re.fullmatch(r"\$filter=(appId|displayName) eq '(.*)'", filtered)
            assert asked is not None, filtered
            found = [one for one in kind.values() if one[asked[1]] == asked[2].replace("''", "'")]
            return self._page(found, path)
        if len(parts) == 2:
            if parts[1] not in kind:
                raise Refused(f"{path} does not exist")
            return kind[parts[1]]
        if parts[2] == "owners":
            return self._page(
                [{"id": one, "userPrincipalName": f"{one[-1]}@contoso.com"} for one in self.owners[parts[1]]], path
            )
        if parts[2] == "federatedIdentityCredentials":
            return self._page(self.trusted.get(parts[1], []), path)
        if parts[2] == "oauth2PermissionGrants":
            return self._page([one for one in self.grants.values() if one["clientId"] == parts[1]], path)
        assert parts[2] == "appRoleAssignments"
        return self._page(self.roles.get(parts[1], []), path)

    def _page(self, found: list[dict[str, Any]], path: str) -> dict[str, Any]:
        """Pages as short as can be, so that whoever reads the first alone misses something."""
        start = int(path.partition("?skip=")[2] or 0)
        more = {"@odata.nextLink": f"{GRAPH}/v1.0/{path.partition('?')[0]}?skip={start + PAGE}"}
        return {"value": found[start : start + PAGE], **(more if len(found) > start + PAGE else {})}

    def _post(self, parts: list[str], body: dict[str, Any]) -> dict[str, Any]:
        id_ = self._id()
        if parts == ["applications"]:
            self.applications[id_] = {"id": id_, "appId": self._id(), **body}
            self.owners[id_] = [ME]
            return self.applications[id_]
        if parts == ["servicePrincipals"]:
            self.principals[id_] = {"id": id_, **body}
            return self.principals[id_]
        if parts == ["oauth2PermissionGrants"]:
            self.grants[id_] = {"id": id_, **body}
            return self.grants[id_]
        if parts[2] == "federatedIdentityCredentials":
            self.trusted.setdefault(parts[1], []).append({"id": id_, **body})
            return {}
        assert parts[2] == "appRoleAssignedTo"
        assert body["resourceId"] == parts[1]
        self.assigned.append(body)
        return {}

    def _patch(self, parts: list[str], body: dict[str, Any]) -> dict[str, Any]:
        if len(parts) == 2:
            kind = self.applications if parts[0] == "applications" else self.principals
            kind[parts[1]].update(body)
            return {}
        (same,) = [one for one in self.trusted[parts[1]] if one["id"] == parts[3]]
        same.update(body)
        return {}

    def _id(self) -> str:
        self.made += 1
        return f"d0000000-0000-4000-8000-{self.made:012}"
