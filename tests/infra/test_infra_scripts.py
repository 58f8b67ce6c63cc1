"""The scripts around the template, run against a stand-in for `az` that notes what it was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from sandbox.process.running import ROOT
from shared.inventory import pats_yaml
from shared.services import managed_identity
from tests.lab import openapi
from tests.lab.inventory_texts import CLIENT, TENANT, text_of

SCRIPTS = sorted([*ROOT.glob("infra/**/*.sh"), ROOT / ".ci/run"])
SECRET = "the-new-client-secret"
AZ = """#!/usr/bin/env python3
import json, os, sys
said = " ".join(sys.argv[1:])
given = "" if sys.stdin is None or "secret set" not in said else open("/dev/stdin").read()
with open(os.environ["AZ_LOG"], "a") as log:
    log.write(json.dumps({"said": said, "given": given}) + "\\n")
if "--output none" in said:
    sys.exit(0)
for words, answer in json.loads(os.environ["AZ_ANSWERS"]):
    if words in said:
        print(answer)
        break
"""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    asked: list[dict[str, str]]

    def said(self, *words: str) -> list[dict[str, str]]:
        return [one for one in self.asked if all(word in one["said"] for word in words)]


def run(folder: Path, script: str, *arguments: str, answers: dict[str, str], **environment: str) -> Ran:
    stub, log = folder / "az", folder / "log"
    stub.write_text(AZ)
    stub.chmod(0o755)
    log.touch()
    known = {"AZ_LOG": str(log), "AZ_ANSWERS": json.dumps(list(answers.items())), **environment}
    ran = subprocess.run(
        ["sh", str(ROOT / script), *arguments],
        env={**BIN, "PATH": f"{folder}{os.pathsep}{BIN['PATH']}", **known},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout + ran.stderr, [json.loads(line) for line in log.read_text().splitlines()])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    ran = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, timeout=60, check=False, env=BIN)
    assert (ran.returncode, ran.stdout) == (0, "")


BIN = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
PRINCIPAL = "1d000000-0000-4000-8000-000000000002"
NEW_APP = {
    "ad app list": "",
    "ad app create": "app-id",
    "credential reset": SECRET,
    "ad sp show": "scope-id",
    "account show": "tenant-id",
    "ad app show": "object-id",
    "cloud show": "https://login.microsoftonline.com",
}
KINDS = {
    "identity": (PRINCIPAL,),
    "certificate": ("--certificate", "contoso-users"),
    "secret": ("--secret", "contoso-users"),
}


def sign_in(folder: Path, *arguments: str, **answers: str) -> Ran:
    said = {name.replace("_", " "): answer for name, answer in answers.items()}
    return run(folder, "infra/entra/sign-in.sh", *arguments, answers={**NEW_APP, **said})


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
def test_the_sign_in_app_gets_both_permissions_and_consent(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = sign_in(tmp_path, *arguments)
    assert ran.code == 0, ran.out
    assert [len(ran.said("ad sp show", f"'{scope}'")) for scope in ("vso.pats", "vso.pats_manage")] == [1, 1]
    assert len(ran.said("permission add", "499b84ac-1321-427f-aa17-267ca6975798")) == 2
    assert len(ran.said("permission admin-consent")) == 1


def lines_of(ran: Ran) -> dict[str, str]:
    """What it prints for pats.yaml: it is what `check` takes."""
    printed = ran.out[ran.out.index("sign_in in pats.yaml:") :].replace("sign_in in pats.yaml:", "sign_in:")
    found: dict[str, str] = yaml.safe_load(printed)["sign_in"]
    text = {"tenant": TENANT, "client_id": CLIENT, **{key: one for key, one in found.items() if key.endswith("_name")}}
    assert pats_yaml.check(text_of({"sign_in": text, "users": []})) == ()
    return found


@pytest.mark.parametrize(
    ("cloud", "host", "audience"),
    [
        ("https://login.microsoftonline.com", "login.microsoftonline.com", "api://AzureADTokenExchange"),
        ("https://login.microsoftonline.us/", "login.microsoftonline.us", "api://AzureADTokenExchangeUSGov"),
        ("https://login.chinacloudapi.cn", "login.partner.microsoftonline.cn", "api://AzureADTokenExchangeChina"),
    ],
)
def test_by_default_the_app_trusts_the_managed_identity_and_no_secret_is_made(
    tmp_path: Path, cloud: str, host: str, audience: str
) -> None:
    ran = sign_in(tmp_path, PRINCIPAL, cloud_show=cloud)
    (made,) = ran.said("federated-credential create", "--id app-id")
    told = json.loads(made["said"].partition("--parameters ")[2].partition(" --output")[0])
    trusted = {"issuer": f"https://{host}/tenant-id/v2.0", "subject": PRINCIPAL, "audiences": [audience]}
    assert told == {"name": f"patrol-{PRINCIPAL}", **trusted}
    assert managed_identity.audience(host) == audience, "what the app asks its identity for"
    assert not ran.said("credential reset")
    assert not ran.said("keyvault")
    assert lines_of(ran) == {"tenant": "tenant-id", "client_id": "app-id"}


def test_run_again_it_corrects_the_federated_credential_of_that_identity(tmp_path: Path) -> None:
    ran = sign_in(tmp_path, PRINCIPAL, **{"federated-credential list": "its-id"})
    assert len(ran.said("federated-credential update", f"--federated-credential-id patrol-{PRINCIPAL}")) == 1
    assert not ran.said("federated-credential create")


def test_a_certificate_is_made_in_the_vault_and_only_its_public_part_goes_to_the_app(tmp_path: Path) -> None:
    ran = sign_in(tmp_path, "--certificate", "contoso-users")
    (made,) = ran.said("keyvault certificate create", "--vault-name contoso-users", "--name patrol-sign-in")
    assert "certificate-policy.json" in made["said"]
    assert len(ran.said("credential reset", "--append", "--keyvault contoso-users", "--cert patrol-sign-in")) == 1
    assert not ran.said("secret set")
    assert lines_of(ran)["client_certificate_name"] == "patrol-sign-in"


def test_the_certificate_is_one_that_patrol_can_sign_with_and_that_key_vault_does_not_renew_by_itself() -> None:
    policy = json.loads((ROOT / "infra/entra/certificate-policy.json").read_text())
    assert policy["keyProperties"]["keyType"] == "RSA"
    assert policy["keyProperties"]["exportable"] is True
    assert policy["secretProperties"]["contentType"] == "application/x-pkcs12"
    # A renewed certificate that the app registration does not know would stop every sign-in.
    assert [one["action"]["actionType"] for one in policy["lifetimeActions"]] == ["EmailContacts"]


def test_a_client_secret_goes_straight_into_the_vault(tmp_path: Path) -> None:
    ran = sign_in(tmp_path, "--secret", "contoso-users")
    (stored,) = ran.said("keyvault secret set", "--vault-name contoso-users", "--name patrol-client-secret")
    assert stored["given"] == SECRET, "without the line's end"
    assert lines_of(ran)["client_secret_name"] == "patrol-client-secret"


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
def test_promise_7_the_client_secret_is_in_no_argument_and_not_printed(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ran = sign_in(tmp_path, *arguments)
    assert not [one for one in ran.asked if SECRET in one["said"]]
    assert SECRET not in ran.out


def test_run_again_it_takes_the_application_that_exists(tmp_path: Path) -> None:
    ran = sign_in(tmp_path, PRINCIPAL, ad_app_list="old-id")
    assert ran.code == 0, ran.out
    assert not ran.said("ad app create")
    assert "client_id: old-id" in ran.out


def test_a_tenant_without_the_permission_ends_it_before_anything_is_trusted(tmp_path: Path) -> None:
    ran = sign_in(tmp_path, PRINCIPAL, ad_sp_show="")
    assert ran.code == 1
    assert "vso.pats" in ran.out
    assert not ran.said("federated-credential")


@pytest.mark.parametrize("arguments", [(), ("contoso-users",), ("--secret",), ("--federated", "x")], ids=str)
def test_what_it_does_not_understand_changes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = sign_in(tmp_path, *arguments)
    assert ran.code == 2
    assert "usage: " in ran.out
    assert ran.asked == []


def test_the_api_s_app_has_the_roles_that_the_doors_ask_for(tmp_path: Path) -> None:
    roles = {row["value"] for row in json.loads((ROOT / "infra/entra/app-roles.json").read_text())}
    operations = [one for path in openapi.document()["paths"].values() for one in path.values()]
    assert roles == {one["x-app-role"] for one in operations if "x-app-role" in one}
    ran = run(tmp_path, "infra/entra/api.sh", answers=NEW_APP)
    assert ran.code == 0, ran.out
    (update,) = ran.said("ad app update", "--identifier-uris api://app-id")
    assert "app-roles.json" in update["said"]
    assert ran.said("appRoleAssignmentRequired=true")
    assert "authClientId: app-id" in ran.out


def test_a_caller_is_given_one_role(tmp_path: Path) -> None:
    ran = run(tmp_path, "infra/entra/api.sh", "patrol API", "assign", "caller-id", "Pats.Rotate", answers=NEW_APP)
    assert ran.code == 0, ran.out
    (given,) = ran.said("appRoleAssignedTo", "caller-id")
    assert "scope-id" in given["said"]
    assert "caller-id may call with Pats.Rotate." in ran.out


DEPLOYED = {"AZURE_RESOURCE_GROUP": "rg-patrol", "AZURE_FUNCTION_NAME": "patrol-x", "PAUSE": "0", "TRIES": "3"}


def test_triggers_are_synced_until_the_platform_knows_the_timer_and_the_queue(tmp_path: Path) -> None:
    known = {"/functions?": "rotate\nrotate_due\nrotate_user"}
    ran = run(tmp_path, "infra/after-deploy.sh", answers=known, **DEPLOYED)
    assert ran.code == 0, ran.out
    assert len(ran.said("host/default/sync", "resourceGroups/rg-patrol", "sites/patrol-x")) == 1


@pytest.mark.parametrize("known", ["WarmUp", "rotate\nrotate_due"], ids=["nothing", "no queue"])
def test_a_platform_that_never_learns_it_fails_the_deployment(known: str, tmp_path: Path) -> None:
    ran = run(tmp_path, "infra/after-deploy.sh", answers={"/functions?": known}, **DEPLOYED)
    assert ran.code == 1
    assert len(ran.said("host/default/sync")) == 3
    assert "does not know the timer" in ran.out
