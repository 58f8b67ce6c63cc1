"""The application by which patrol signs its technical users in: two delegated permissions of Azure DevOps, consent to
exactly these for the tenant, and what the application proves itself with.

    python3 -m infra.entra.sign_in PRINCIPAL_ID
        it trusts patrol's managed identity (output AZURE_IDENTITY_PRINCIPAL_ID): nothing to keep, nothing expires
    python3 -m infra.entra.sign_in --certificate CREDENTIALS_VAULT
        a certificate of one year, made in the vault; its private key leaves it to patrol alone
    python3 -m infra.entra.sign_in --secret CREDENTIALS_VAULT
        a client secret of one year, which goes straight into the vault

A first run makes the application. Later ones take its client id, `--app-id`, or what azd's environment keeps of it, and
add a new certificate or secret. Needs `az login` as somebody who may register applications and consent for the tenant;
for the last two, one who may write certificates or secrets to the vault.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.entra import application
from infra.entra.application import Application, Limits, checked_id
from infra.entra.az import ROOT, Az, Azd, Refused, Run, ended, run, shown

DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798"
"""Azure DevOps: the same client id in every tenant."""

SCOPES = ("vso.pats", "vso.pats_manage")
KEPT = "PATROL_SIGN_IN_APP_ID"
POLICY = Path(__file__).resolve().parent / "certificate-policy.json"


def main(
    arguments: Sequence[str] | None = None,
    run: Run = run,
    pause: Callable[[float], None] = time.sleep,
    root: Path = ROOT,
) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m infra.entra.sign_in", description="patrol's sign-in application.")
    proof = parser.add_mutually_exclusive_group(required=True)
    proof.add_argument("principal", nargs="?", metavar="PRINCIPAL_ID", help="it trusts this managed identity")
    proof.add_argument("--certificate", metavar="VAULT", help="a certificate in this vault")
    proof.add_argument("--secret", metavar="VAULT", help="a client secret in this vault")
    parser.add_argument("--app-id", default="", metavar="ID", help="the application of an earlier run")
    parser.add_argument(
        "--web-redirect", action="append", default=[], metavar="URI", help="where people who enroll users come back to"
    )
    parser.add_argument("--name", default="patrol sign-in", help="how a new one is called")
    parser.add_argument("--owner", action="append", default=[], metavar="ID", help="who else may own it; repeatable")
    return ended(lambda: _set_up(parser.parse_args(arguments), Az(run), Azd(run, root), run, pause))


def _set_up(options: argparse.Namespace, az: Az, azd: Azd, run: Run, pause: Callable[[float], None]) -> None:
    kept = application.kept_id(options.app_id, azd, KEPT)
    principal = _identity(az, options.principal) if options.principal else ""
    devops = _devops(az)
    ids = _scope_ids(devops)
    asks = frozenset((DEVOPS, ids[scope], "Scope") for scope in SCOPES)
    limits = Limits(
        asks=asks,
        granted=frozenset([(devops["id"], "AllPrincipals", " ".join(SCOPES))]),
        owners=frozenset(checked_id(owner) for owner in options.owner),
    )

    def keep(client_id: str) -> None:
        print(f"Made the application {shown(options.name)}, client id {client_id}.")
        azd.keep(KEPT, client_id)

    app = application.given(az, kept, pause) if kept else application.made(az, options.name, asks, keep, pause)
    _consent(az, app, limits, pause)
    if options.web_redirect:
        _redirect(az, app, options.web_redirect)
    if principal:
        _trust(az, app, principal)
    elif options.certificate:
        _certificate(az, app, options.certificate)
    else:
        _secret(az, app, options.secret, run)
    _tell(az, app, options, azd)


def _devops(az: Az) -> dict[str, Any]:
    found = az.listing("servicePrincipals", f"appId eq '{DEVOPS}'")
    if len(found) != 1:
        raise Refused(
            "This tenant does not know Azure DevOps yet: connect an organization to it, or sign in there once."
        )
    return found[0]


def _scope_ids(devops: dict[str, Any]) -> dict[str, str]:
    ids = {str(scope["value"]): str(scope["id"]).lower() for scope in devops["oauth2PermissionScopes"]}
    for scope in SCOPES:
        if scope not in ids:
            raise Refused(f"Azure DevOps offers no permission {scope} in this tenant.")
    return ids


def _identity(az: Az, given: str) -> str:
    """The principal that is to be trusted is a managed identity of this tenant. Raises Refused when it is not."""
    principal = checked_id(given)
    found = az.get(f"servicePrincipals/{principal}")
    if found.get("servicePrincipalType") != "ManagedIdentity":
        raise Refused(
            f"{principal} is not a managed identity, so nothing was made to trust it. Give the deployment's output "
            "AZURE_IDENTITY_PRINCIPAL_ID."
        )
    return principal


def _consent(az: Az, app: Application, limits: Limits, pause: Callable[[float], None]) -> None:
    """Consent for the tenant to the two scopes and to nothing else, whatever the application asks for.

    `az ad app permission admin-consent` grants all that an application asks for at that moment.
    """
    application.hold(az, app, limits)
    if application.asked(az.get(f"applications/{app.id}")) < limits.asks:
        az.patch(f"applications/{app.id}", {"requiredResourceAccess": application.access(limits.asks)})
    (wanted,) = limits.granted
    if wanted in application.granted(az, app):
        return
    resource, kind, scopes = wanted
    body = {"clientId": app.principal, "consentType": kind, "resourceId": resource, "scope": scopes}
    grant = az.post("oauth2PermissionGrants", body)
    try:
        if not application.shows(lambda: wanted in application.granted(az, app), pause):
            raise Refused("The consent does not show yet. Run this again in some minutes, with --app-id.")
        application.hold(az, app, limits)
    except Refused as refused:
        az.delete(f"oauth2PermissionGrants/{grant['id']}")
        raise Refused(f"{refused}\nThe consent that was given a moment ago was taken back.") from None


def _redirect(az: Az, app: Application, given: Sequence[str]) -> None:
    """Of the platform Web alone: only there is a refresh token bound to the application's own credential.

    Raises Refused where the application lets public clients in as well.
    """
    for uri in given:
        if not uri.startswith("https://") and uri != "http://localhost":
            raise Refused(f"{shown(uri)} is neither an https address nor http://localhost.")
    there = az.get(f"applications/{app.id}")
    others = [kind for kind in ("spa", "publicClient") if (there.get(kind) or {}).get("redirectUris")]
    if others or there.get("isFallbackPublicClient"):
        raise Refused("The application lets public clients in, whose sign-ins anybody could redeem. Take that off it.")
    known = (there.get("web") or {}).get("redirectUris") or []
    az.patch(f"applications/{app.id}", {"web": {"redirectUris": sorted({*known, *given})}})


def _trust(az: Az, app: Application, principal: str) -> None:
    # Entra ID takes wrong values without a word and compares them letter by letter at the first sign-in.
    login = az.endpoints["activeDirectory"].rstrip("/")
    if login.endswith(".us"):
        host, audience = "login.microsoftonline.us", "api://AzureADTokenExchangeUSGov"
    elif login.endswith(".cn"):
        host, audience = "login.partner.microsoftonline.cn", "api://AzureADTokenExchangeChina"
    else:
        host, audience = "login.microsoftonline.com", "api://AzureADTokenExchange"
    issuer = f"https://{host}/{az.account['tenantId']}/v2.0"
    trusted = {"name": f"patrol-{principal}", "issuer": issuer, "subject": principal, "audiences": [audience]}
    path = f"applications/{app.id}/federatedIdentityCredentials"
    there = az.listing(path)
    (same, others) = ([one for one in there if (one["name"] == trusted["name"]) is wanted] for wanted in (True, False))
    if same:
        az.patch(f"{path}/{same[0]['id']}", {key: value for key, value in trusted.items() if key != "name"})
    else:
        az.post(path, trusted)
    for other in others:
        print(f"It trusts {shown(other['subject'])} of {shown(other['issuer'])} too.")


def _certificate(az: Az, app: Application, vault: str) -> None:
    at = ("--vault-name", vault)
    az.do("keyvault", "certificate", "create", *at, "--name", "patrol-sign-in", "--policy", f"@{POLICY}")
    # Only the public part: an older certificate stays good until the new one is known everywhere.
    given = ("--append", "--keyvault", vault, "--cert", "patrol-sign-in")
    az.do("ad", "app", "credential", "reset", "--id", app.client_id, *given)


def _secret(az: Az, app: Application, vault: str, run: Run) -> None:
    reset = ["az", "ad", "app", "credential", "reset", "--id", app.client_id, "--append", "--display-name", "patrol"]
    value = run([*reset, "--years", "1", "--query", "password", "--output", "tsv"], "").strip("\r\n")
    # Through a pipe: an argument would be seen by every process of the machine.
    into = ("--vault-name", vault, "--name", "patrol-client-secret", "--file", "/dev/stdin", "--encoding", "utf-8")
    az.do("keyvault", "secret", "set", *into, given=value)


def _tell(az: Az, app: Application, options: argparse.Namespace, azd: Azd) -> None:
    if azd.in_use:
        print(f"azd's environment keeps the client id as {KEPT}.")
    else:
        print(f"Keep the client id: a later run takes it as --app-id {app.client_id}.")
    print("sign_in in pats.yaml:")
    print(f"  tenant: {az.account['tenantId']}")
    print(f"  client_id: {app.client_id}")
    if options.certificate:
        print("  client_certificate_name: patrol-sign-in")
    elif options.secret:
        print("  client_secret_name: patrol-client-secret")


if __name__ == "__main__":
    sys.exit(main())
