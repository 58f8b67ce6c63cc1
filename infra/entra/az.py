"""Azure and Entra ID by way of the command line `az`, and azd's environment where one is in use.

Everything of Entra ID is asked of Microsoft Graph by `az rest`, and not by `az ad app`: that one searches names by
their beginning, and its `create` changes an application of the same name, whoever's it is, instead of making one
(azure-cli, command module role, `list_applications` and `create_application`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[[Sequence[str], str], str]
"""Runs a command with a text for its standard input; what it prints. Raises Refused when it fails."""


class Refused(Exception):
    """Why nothing goes on, in words that say what to do."""


def run(command: Sequence[str], given: str) -> str:
    """As `Run`. What a command says on standard error goes to the person who started this."""
    program = shutil.which(command[0])
    if program is None:
        raise Refused(f"{command[0]} is not installed, or not on PATH.")
    ran = subprocess.run([program, *command[1:]], input=given, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        shown = " ".join(command[:3])
        raise Refused(f"`{shown} ...` failed (exit code {ran.returncode}); {command[0]} said why above.")
    return ran.stdout


class Az:
    """What the person who is signed in to `az` may do, in that person's tenant."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def ask(self, *arguments: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._run(["az", *arguments, "--output", "json"], "") or "{}")
        return said

    def do(self, *arguments: str, given: str = "") -> None:
        self._run(["az", *arguments, "--output", "none"], given)

    @cached_property
    def account(self) -> dict[str, Any]:
        return self.ask("account", "show")

    @cached_property
    def endpoints(self) -> dict[str, str]:
        """Addresses of the cloud that `az` is set to."""
        found: dict[str, str] = self.ask("cloud", "show")["endpoints"]
        return found

    @cached_property
    def caller(self) -> str:
        """Object id of who is signed in, a person or a service principal."""
        user = self.account["user"]
        if user["type"] == "user":
            return str(self.get("me")["id"])
        found = self.listing("servicePrincipals", f"appId eq {quoted(user['name'])}")
        if len(found) != 1:
            raise Refused("Sign in to `az` as a person, or as a service principal of this tenant.")
        return str(found[0]["id"])

    def get(self, path: str) -> dict[str, Any]:
        return self.ask("rest", "--method", "get", "--url", self._url(path))

    def listing(self, path: str, condition: str = "") -> list[dict[str, Any]]:
        """All pages. `condition` is OData's `$filter`, with ids and names that were checked or quoted."""
        asked = ["rest", "--method", "get", "--url", self._url(path)]
        page = self.ask(*asked, *(["--url-parameters", f"$filter={condition}"] if condition else []))
        found: list[dict[str, Any]] = list(page["value"])
        while following := page.get("@odata.nextLink"):
            if not following.startswith(self._url("")):
                raise Refused("A list of Microsoft Graph goes on at another host.")
            page = self.ask("rest", "--method", "get", "--url", following)
            found += page["value"]
        return found

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._send("post", path, body)

    def patch(self, path: str, body: dict[str, Any]) -> None:
        self._send("patch", path, body)

    def delete(self, path: str) -> None:
        self.do("rest", "--method", "delete", "--url", self._url(path))

    def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        # Through a file: `az` is a batch file on Windows, which takes quotes apart.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "body.json"
            file.write_text(json.dumps(body), encoding="utf-8")
            asked = ["rest", "--method", method, "--url", self._url(path), "--body", f"@{file}"]
            return self.ask(*asked, "--headers", "Content-Type=application/json")

    def _url(self, path: str) -> str:
        return f"{self.endpoints['microsoftGraphResourceId'].rstrip('/')}/v1.0/{path}"


class Azd:
    """The environment that azd has selected in this folder; nothing where azd is not in use."""

    def __init__(self, run: Run, root: Path) -> None:
        self._run = run
        selected = root / ".azure" / "config.json"
        self.in_use = selected.exists() and bool(json.loads(selected.read_text()).get("defaultEnvironment"))

    def value(self, name: str) -> str:
        """Empty when it is not set."""
        if not self.in_use:
            return ""
        said = json.loads(self._run(["azd", "env", "get-values", "--output", "json", "--no-prompt"], ""))
        found: str = said.get(name, "")
        return found

    def keep(self, name: str, value: str) -> None:
        if self.in_use:
            self._run(["azd", "env", "set", name, value, "--no-prompt"], "")


def quoted(name: str) -> str:
    """A name as a literal of OData."""
    return "'" + name.replace("'", "''") + "'"


def shown(name: object) -> str:
    """A name that somebody else chose, without the letters that change what a terminal shows."""
    return json.dumps(str(name))


def ended(work: Callable[[], None]) -> int:
    """The exit code of a script."""
    try:
        work()
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0
