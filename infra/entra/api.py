"""Optional: the application of patrol's HTTP API, for HTTP_AUTH=entra, with its app roles.

    python3 -m infra.entra.api register               make it, or bring it up to date; prints authClientId
    python3 -m infra.entra.api assign PRINCIPAL ROLE  let a caller (object id of a service principal or group) in

A first `register` makes the application. Everything later takes its client id, `--app-id`, or what azd's environment
keeps of it. Needs `az login` as somebody who may register applications; to assign, one who may grant app roles.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.entra import application
from infra.entra.application import Application, Limits, checked_id
from infra.entra.az import ROOT, Az, Azd, Refused, Run, ended, run, shown

KEPT = "PATROL_AUTH_CLIENT_ID"
"""The variable that infra/main.parameters.json reads authClientId from."""

ROLES = json.loads((Path(__file__).resolve().parent / "app-roles.json").read_text(encoding="utf-8"))
IDS: dict[str, str] = {role["value"]: role["id"] for role in ROLES}


def main(
    arguments: Sequence[str] | None = None,
    run: Run = run,
    pause: Callable[[float], None] = time.sleep,
    root: Path = ROOT,
) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m infra.entra.api", description="patrol's API in Entra ID.")
    commands = parser.add_subparsers(dest="command", required=True)
    register = commands.add_parser("register", help="make it, or bring it up to date")
    register.add_argument("--name", default="patrol API", help="how a new one is called")
    assign = commands.add_parser("assign", help="let a caller in")
    assign.add_argument("principal", metavar="PRINCIPAL", help="object id of a service principal, user or group")
    assign.add_argument("role", metavar="ROLE", choices=sorted(IDS), help=", ".join(sorted(IDS)))
    for command in (register, assign):
        command.add_argument("--app-id", default="", metavar="ID", help="the application of an earlier run")
        command.add_argument(
            "--owner", action="append", default=[], metavar="ID", help="who else may own it; repeatable"
        )
    return ended(lambda: _work(parser.parse_args(arguments), Az(run), Azd(run, root), pause))


def _work(options: argparse.Namespace, az: Az, azd: Azd, pause: Callable[[float], None]) -> None:
    kept = application.kept_id(options.app_id, azd, KEPT)
    # It asks for nothing and is granted nothing: others ask for its roles.
    limits = Limits(owners=frozenset(checked_id(owner) for owner in options.owner))
    if options.command == "assign":
        if not kept:
            raise Refused("Name the API's application, as `register` printed it: --app-id ID.")
        app = application.given(az, kept, pause)
        application.hold(az, app, limits)
        _assign(az, app, checked_id(options.principal), options.role)
        return
    if kept:
        app = application.given(az, kept, pause)
    else:
        app = application.made(az, options.name, limits.asks, _tell_made, pause)
    application.hold(az, app, limits)
    _register(az, app)
    application.hold(az, app, limits)
    if azd.in_use:
        azd.keep(KEPT, app.client_id)
        print(
            f"azd's environment keeps it as {KEPT}: "
            "from the next `azd provision` on, callers sign in and keys open nothing."
        )
    print(f"authClientId: {app.client_id}")


def _tell_made(client_id: str) -> None:
    print(f"Made the API's application: a later run takes it as --app-id {client_id}.")


def _register(az: Az, app: Application) -> None:
    body = {
        "identifierUris": [f"api://{app.client_id}"],
        "appRoles": ROLES,
        "api": {"requestedAccessTokenVersion": 2},
    }
    az.patch(f"applications/{app.id}", body)
    # Without an app role nobody of the tenant gets a token for it.
    az.patch(f"servicePrincipals/{app.principal}", {"appRoleAssignmentRequired": True})


def _assign(az: Az, app: Application, principal: str, role: str) -> None:
    known = {one["value"]: one["id"] for one in az.get(f"applications/{app.id}").get("appRoles", [])}
    if known != IDS:
        raise Refused(
            f"The application {app.client_id} has not the app roles that patrol's API has, so nobody was let in. "
            f"Bring it up to date: python3 -m infra.entra.api register --app-id {app.client_id}"
        )
    caller = az.get(f"directoryObjects/{principal}")
    body = {"principalId": principal, "resourceId": app.principal, "appRoleId": IDS[role]}
    az.post(f"servicePrincipals/{app.principal}/appRoleAssignedTo", body)
    print(f"{shown(caller.get('displayName'))} ({principal}) may call with {role}.")


if __name__ == "__main__":
    sys.exit(main())
