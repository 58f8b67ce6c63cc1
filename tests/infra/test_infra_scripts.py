"""The scripts around the template, run against a stand-in for `az` that notes what it was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.process.running import ROOT

SCRIPTS = sorted([*ROOT.glob("infra/**/*.sh"), ROOT / ".ci/run"])
AZ = """#!/usr/bin/env python3
import json, os, sys
said = " ".join(sys.argv[1:])
with open(os.environ["AZ_LOG"], "a") as log:
    log.write(json.dumps({"said": said}) + "\\n")
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
