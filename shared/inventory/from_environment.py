"""`import --from-env`: the environment of the TypeScript client as `pats.yaml`, and how its secrets get into the vault.

Pure. The values of secrets are looked at for being there, and go nowhere.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.inventory import texts
from shared.inventory.item_lines import scalar
from shared.model.errors import Code, Misconfigured

CLIENT_SECRET_NAME = "patrol-client-secret"


@dataclass(frozen=True, slots=True)
class Variable:
    """One of the client's variables. `like` says what belongs there; `check` raises ValueError for anything else."""

    name: str
    like: str
    check: Callable[[str], str] | None = None


VARIABLES = (
    Variable("AZURE_TENANT_ID", "the tenant's domain or id", texts.tenant_name),
    Variable("AZURE_CLIENT_ID", "the client id of the app registration, a guid", texts.guid),
    Variable("AZURE_CLIENT_SECRET", "the secret of the app registration"),
    Variable("AZURE_USERNAME", "the technical user, such as svc-agents@contoso.com", texts.user_name),
    Variable("AZURE_PASSWORD", "the technical user's password"),
    Variable("AZURE_DEVOPS_ORG", "the organization's name alone, no URL", texts.organization_name),
)
SECRETS = ("AZURE_CLIENT_SECRET", "AZURE_PASSWORD")


@dataclass(frozen=True, slots=True)
class MovedIn:
    """`pats_yaml` is a whole file; `commands` are for a POSIX shell that has the variables; `advice` is for reading."""

    pats_yaml: str
    commands: tuple[str, ...]
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {"pats_yaml": self.pats_yaml, "commands": list(self.commands), "advice": list(self.advice)}


def moved_in(environ: Mapping[str, str], credentials_vault: str | None) -> MovedIn:
    """`credentials_vault` is the vault's name where it is plain. Raises Misconfigured that names every mistake."""
    problems = [f"{variable.name} {problem}" for variable in VARIABLES if (problem := _problem(variable, environ))]
    if problems:
        raise Misconfigured(
            Code.SETTINGS_INVALID,
            f"{'; '.join(problems)}.",
            "Load the environment of the tool that is to be replaced, and ask again in the same shell.",
        )
    plain = {variable.name: environ[variable.name].strip() for variable in VARIABLES if variable.name not in SECRETS}
    user = plain["AZURE_USERNAME"]
    password_name = f"{re.sub(r'[^0-9a-z]+', '-', user.partition('@')[0].lower()).strip('-') or 'user'}-password"
    text = f"""\
sign_in:
  tenant: {scalar(plain["AZURE_TENANT_ID"])}
  client_id: {plain["AZURE_CLIENT_ID"].lower()}
  client_secret_name: {CLIENT_SECRET_NAME}
defaults:
  organization: {scalar(plain["AZURE_DEVOPS_ORG"])}
users:
  - username: {scalar(user)}
    password_secret_name: {password_name}
    pats: []
"""
    return MovedIn(text, _commands(password_name, credentials_vault), _advice(environ, plain))


def _problem(variable: Variable, environ: Mapping[str, str]) -> str:
    """Never with the value: somebody may have mixed the variables up."""
    text = environ.get(variable.name, "").strip()
    if not text:
        return f"is missing: {variable.like}"
    if variable.check is None:
        return ""
    mixed_up = [name for name in SECRETS if environ.get(name, "").strip() == text]
    if mixed_up:
        return f"holds the same as {mixed_up[0]}"
    try:
        variable.check(text)
    except ValueError:
        return f"is not {variable.like}"
    return ""


def _commands(password_name: str, credentials_vault: str | None) -> tuple[str, ...]:
    """From variable to vault through a pipe: an argument would stand in the list of processes.

    az writes what it reads from a file as it is, and prints the value unless it is told not to.
    """
    vault = credentials_vault or '"$CREDENTIALS_VAULT"'
    named = () if credentials_vault else ("CREDENTIALS_VAULT=the-name-of-your-vault",)
    pairs = zip(SECRETS, (CLIENT_SECRET_NAME, password_name), strict=True)
    lines = tuple(
        f'printf %s "${variable}" | az keyvault secret set --vault-name {vault} --name {name} '
        "--file /dev/stdin --encoding utf-8 --output none"
        for variable, name in pairs
    )
    return (*named, *lines, f"unset {' '.join(SECRETS)}")


def _advice(environ: Mapping[str, str], plain: Mapping[str, str]) -> tuple[str, ...]:
    whose = f"--user {shlex.quote(plain['AZURE_USERNAME'])} --organization {plain['AZURE_DEVOPS_ORG']}"
    advice = [
        f"`patrol import {whose}` then writes the lines of the PATs that exist.",
        "Take these variables out of what patrol runs in: AZURE_CLIENT_ID is the app's managed identity there.",
    ]
    has = {name.upper() for name, text in environ.items() if text.strip()}
    if "HTTP_PROXY" in has and "HTTPS_PROXY" not in has:
        advice.append(
            "All of patrol's calls are HTTPS, so its proxy is HTTPS_PROXY; the managed identity must stay out of it: "
            'export HTTPS_PROXY="$HTTP_PROXY" NO_PROXY=127.0.0.1,localhost,169.254.169.254'
        )
    return tuple(advice)
