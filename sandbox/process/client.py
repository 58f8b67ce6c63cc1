"""The other side of the control port; standard library only, and never through a proxy."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener


class ControlRefused(Exception):
    """The control port did not understand a request; the message says why."""


class SandboxClient:
    """One method per door. Raises ControlRefused, and OSError when nobody listens."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._opener = build_opener(ProxyHandler({}))

    def ready(self) -> bool:
        return bool(self._call("GET", "/ready")["ready"])

    def now(self) -> datetime:
        return datetime.fromisoformat(self.clock()["now"])

    def clock(self) -> dict[str, Any]:
        """`{now, offset (seconds), version, followers}`."""
        value: dict[str, Any] = self._call("GET", "/clock")
        return value

    def move_clock(self, by: timedelta) -> datetime:
        """Returns when every follower has moved as well."""
        return datetime.fromisoformat(self._call("POST", "/clock/move", {"seconds": by.total_seconds()})["now"])

    def follow(self, follower: str, seen: int, wait: float = 20.0) -> dict[str, Any]:
        """Acknowledge version `seen` and wait for the next."""
        query = urlencode({"follower": follower, "seen": seen, "wait": wait})
        value: dict[str, Any] = self._call("GET", f"/clock/follow?{query}", timeout=wait + 10)
        return value

    def leave(self, follower: str) -> None:
        self._call("DELETE", f"/clock/follow?{urlencode({'follower': follower})}")

    def add_fault(self, operation: str, kind: str, **details: Any) -> None:
        """`details` are fields of `faults.Fault`."""
        self._call("POST", "/faults", {"operation": operation, "kind": kind, **details})

    def pending_faults(self) -> list[dict[str, Any]]:
        value: list[dict[str, Any]] = self._call("GET", "/faults")
        return value

    def clear_faults(self) -> None:
        self._call("DELETE", "/faults")

    def log(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Rows of `cloud.Logged`, in order of arrival."""
        query = "" if operation is None else "?" + urlencode({"operation": operation})
        value: list[dict[str, Any]] = self._call("GET", f"/log{query}")
        return value

    def load(self) -> dict[str, Any]:
        """CPU seconds of the sandbox so far, and the connections it took by host."""
        value: dict[str, Any] = self._call("GET", "/load")
        return value

    def clear_log(self) -> None:
        self._call("DELETE", "/log")

    def estate(self, *, reveal: bool = False) -> dict[str, Any]:
        """Everything; values of PATs and secrets only with `reveal`."""
        value: dict[str, Any] = self._call("GET", "/estate?reveal=1" if reveal else "/estate")
        return value

    def secrets(self) -> set[str]:
        """Every secret value the sandbox saw or made, for leak searches."""
        return set(self._call("GET", "/secrets"))

    def seed(self, estate: dict[str, Any]) -> None:
        """Add an estate as `seed.apply` reads it."""
        self._call("POST", "/seed", estate)

    def revoke_pat(self, authorization_id: str) -> None:
        """As a person in the portal does."""
        self._call("POST", "/pats/revoke", {"authorization_id": authorization_id})

    def change_user(self, upn: str, **changes: Any) -> None:
        """`state`, `password`, `revoke_tokens`."""
        self._call("POST", "/users", {"upn": upn, **changes})

    def browser(self, upn: str | None, *, user_code: str | None = None, declines: bool = False) -> None:
        """Who is at the browser from now on, None for nobody; with `user_code` they enter that device code."""
        body: dict[str, Any] = {"upn": upn, "declines": declines}
        self._call("POST", "/browser", body if user_code is None else {**body, "user_code": user_code})

    def service_account_token(self, issuer: str, subject: str, **more: str) -> str:
        """What a cluster puts into a pod; `audience` is the one that Entra ID takes unless it is given."""
        return str(
            self._call("POST", "/service-accounts/token", {"issuer": issuer, "subject": subject, **more})["token"]
        )

    def change_client(self, client_id: str, **changes: Any) -> None:
        """What `seed.change_client` takes: `secrets`, `certificates`, `federated`, `disabled` and more."""
        self._call("POST", "/clients", {"client_id": client_id, **changes})

    def rename_organization(self, name: str, new_name: str) -> None:
        self._call("POST", "/organizations/rename", {"name": name, "new_name": new_name})

    def deny(self, vault_host: str, *operations: str) -> None:
        """The vault answers 403 to these operations (`get`, `set`, …) and to no others."""
        self._call("POST", "/vaults/deny", {"host": vault_host, "operations": list(operations)})

    def switch(self, **changes: Any) -> dict[str, Any]:
        """Set fields of `switches.Switches`; gives all of them."""
        value: dict[str, Any] = self._call("POST", "/switches", changes)
        return value

    def policies(self, organization: str | None = None, **policies: Any) -> None:
        """Replace the policies of one organization or of all; `max_lifetime` in seconds."""
        self._call("POST", "/policies", {"organization": organization, **policies})

    def _call(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self._opener.open(request, timeout=timeout or self._timeout) as response:
                return json.load(response)
        except HTTPError as refused:
            with refused:
                text = refused.read().decode("utf-8", "replace")
            raise ControlRefused(f"{method} {path.partition('?')[0]}: {refused.code} {text}") from None
