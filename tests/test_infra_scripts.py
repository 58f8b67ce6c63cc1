"""The scripts around the template, run against a stand-in for `az` that notes what it was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.process import ROOT
from tests import openapi

SCRIPTS = sorted([*ROOT.glob("infra/**/*.sh"), ROOT / ".ci/run"])
SECRET = "the-new-client-secret"
AZ = """#!/usr/bin/env python3
import json, os, sys
said = " ".join(sys.argv[1:])
given = "" if sys.stdin is None or "secret set" not in said else open("/dev/stdin").read()
with open(os.environ["AZ_LOG"], "a") as log:
    log.write(json.dumps({"said": said, "given": given}) + "\\n")
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
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **known},
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
NEW_APP = {
    "ad app list": "",
    "ad app create": "app-id",
    "credential reset": SECRET,
    "ad sp show": "scope-id",
    "account show": "tenant-id",
    "ad app show": "object-id",
}


def test_the_sign_in_app_gets_both_permissions_consent_and_a_secret_in_the_vault(tmp_path: Path) -> None:
    ran = run(tmp_path, "infra/entra/sign-in.sh", "contoso-users", answers=NEW_APP)
    assert ran.code == 0, ran.out
    assert [len(ran.said("ad sp show", f"'{scope}'")) for scope in ("vso.pats", "vso.pats_manage")] == [1, 1]
    assert len(ran.said("permission add", "499b84ac-1321-427f-aa17-267ca6975798")) == 2
    assert len(ran.said("permission admin-consent")) == 1
    (stored,) = ran.said("keyvault secret set", "--vault-name contoso-users", "--name patrol-client-secret")
    assert stored["given"] == SECRET, "without the line's end"
    assert "client_id: app-id" in ran.out


def test_promise_7_the_client_secret_is_in_no_argument_and_not_printed(tmp_path: Path) -> None:
    ran = run(tmp_path, "infra/entra/sign-in.sh", "contoso-users", answers=NEW_APP)
    assert not [one for one in ran.asked if SECRET in one["said"]]
    assert SECRET not in ran.out


def test_run_again_it_takes_the_application_that_exists(tmp_path: Path) -> None:
    ran = run(tmp_path, "infra/entra/sign-in.sh", "contoso-users", answers={**NEW_APP, "ad app list": "old-id"})
    assert ran.code == 0, ran.out
    assert not ran.said("ad app create")
    assert "client_id: old-id" in ran.out


def test_a_tenant_without_the_permission_ends_it_before_any_secret_is_made(tmp_path: Path) -> None:
    ran = run(tmp_path, "infra/entra/sign-in.sh", "contoso-users", answers={**NEW_APP, "ad sp show": ""})
    assert ran.code == 1
    assert "vso.pats" in ran.out
    assert not ran.said("credential reset")


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
