"""docs/consumers.md: its blocks run as they stand, read the vault, and show no PAT where others can see it."""

from __future__ import annotations

import base64
import itertools
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from sandbox.cloud.seed import AGENTS, CREDENTIALS_VAULT, demo_estate
from sandbox.process.running import Running, start
from shared.inventory import pats_yaml
from shared.model.consumers import ServiceConnection, SonarQube, Webhook
from tests.lab.inventory_texts import a_user, an_estate, text_of

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/consumers.md").read_text(encoding="utf-8")
SECRETS = {
    "build-pat": "vso.code",
    "agents-linux-pat": "vso.agentpools_manage",
    "sonarqube-pat": "vso.code_write vso.code_status",
    "feed-pat": "vso.packaging",
}
ADMIN = "squ_" + "a" * 40

# Node may be the one that `make node` put beside this Python.
PROGRAMS = (str(Path(sys.executable).parent), os.environ["PATH"])

# What the Azure CLI does for the one command that the page uses.
AZ = f"""#!{sys.executable}
import json, os, sys
from urllib.request import Request, urlopen

words = sys.argv[1:]
names = dict(zip(words[3::2], words[4::2]))
assert words[:3] == ["keyvault", "secret", "show"], words
assert names.pop("--query") == "value" and names.pop("--output") == "tsv", names


def get(url, **headers):
    with urlopen(Request(url, headers=headers), timeout=30) as answer:
        return json.load(answer)


asked = os.environ["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&resource=https://vault.azure.net"
token = get(asked, **{{"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]}})["access_token"]
url = "https://%s.vault.azure.net/secrets/%s/?api-version=7.4" % (names.pop("--vault-name"), names.pop("--name"))
assert not names, names
print(get(url, Authorization="Bearer " + token)["value"])
"""

# Registering an agent begins with a read of the pools, signed in with the PAT.
CONFIG = """#!/bin/sh
printf 'header = "Authorization: Basic %s"\\n' "$(printf ':%s' "$VSTS_AGENT_INPUT_TOKEN" | base64 --wrap 0)" |
  curl --fail --silent --header "X-TFS-FedAuthRedirect: Suppress" --config - https://dev.azure.com/contoso/_apis/distributedtask/pools
"""


def block(heading: str, language: str, number: int = 0) -> str:
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return found[number]


NUMBERS = itertools.count(1)


def published(name: str) -> dict[str, Any]:
    """A new PAT, and the version of its secret that holds it."""
    number = next(NUMBERS)
    identity = f"c0000000-0000-4000-8000-{number:012d}"
    pat = {
        "owner": AGENTS,
        "organization": "contoso",
        "display_name": name,
        "scope": SECRETS[name],
        "valid_from": "-1d",
        "valid_to": "+29d",
        "authorization_id": identity,
    }
    version = {"name": name, "value_of": identity, "created": f"+{number}s"}
    return {"pats": [pat], "vaults": [{"host": "contoso-pats.vault.azure.net", "secrets": [version]}]}


def seed() -> dict[str, Any]:
    setting = {"key": "contoso-azure", "url": "https://dev.azure.com/contoso"}
    token = {"name": "sonarqube-admin-token", "value": ADMIN}
    return {
        **demo_estate(),
        "pats": [],
        "vaults": [
            {"host": "contoso-credentials.vault.azure.net", "secrets": [token]},
            {"host": CREDENTIALS_VAULT, "secrets": []},  # of the estate's enrolled user
        ],
        "sonarqubes": [{"host": "sonarqube.contoso.com", "tokens": [{"value": ADMIN}], "azure": [setting]}],
    }


@dataclass(frozen=True, slots=True)
class Machine:
    """A consumer's machine: its shell, and what every program on it was started with."""

    sandbox: Running
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = self.sandbox.environment()
        bundle = kept["REQUESTS_CA_BUNDLE"]
        return {
            **kept,
            "PATH": os.pathsep.join([str(self.home / "bin"), *PROGRAMS]),
            "HOME": str(self.home),
            "ARGUMENTS": str(self.home / "arguments"),
            "GIT_SSL_CAINFO": bundle,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "CURL_CA_BUNDLE": bundle,
            "PIP_CERT": bundle,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "0",
            "NPM_CONFIG_CAFILE": bundle,
            "NPM_CONFIG_GLOBALCONFIG": str(self.home / "none"),
            "NPM_CONFIG_UPDATE_NOTIFIER": "false",
            "NPM_CONFIG_FETCH_RETRIES": "0",
            **more,
        }

    def run(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.home,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def value(self, name: str) -> str:
        (vault,) = [one for one in self.estate()["vaults"] if one["host"].startswith("contoso-pats")]
        (secret,) = [one for one in vault["secrets"] if one["name"] == name]
        return str(secret["versions"][-1]["value"])

    def pat(self, name: str) -> dict[str, Any]:
        """The newest one of a secret."""
        found: dict[str, Any] = [one for one in self.estate()["pats"] if one["display_name"] == name][-1]
        return found

    def estate(self) -> dict[str, Any]:
        return self.sandbox.client.estate(reveal=True)

    def shows(self) -> str:
        """What others could see: every program's arguments, and the addresses that servers log."""
        calls = [f"{call['path']}?{call['query']}" for call in self.sandbox.client.log()]
        return (self.home / "arguments").read_text() + "\n".join(calls)

    def end(self, name: str) -> None:
        """The PAT has ended, as after an overlap in which nobody read again."""
        self.sandbox.client.revoke_pat(self.pat(name)["authorization_id"])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with start(seed()) as running:
        yield running


@pytest.fixture
def machine(sandbox: Running, tmp_path: Path) -> Machine:
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "az").write_text(AZ)
    (tmp_path / "config").write_text(CONFIG)
    real = {name: shutil.which(name) for name in ("git", "curl", "base64", "hostname")}
    real |= {"az": f"{sys.executable} {tmp_path / 'az'}", "pip": f"{sys.executable} -m pip"}
    for name, command in real.items():
        assert command is not None, f"{name} is missing on this machine"
        write_program(programs / name, command)
    write_program(tmp_path / "config.sh", f"sh {tmp_path / 'config'}")
    for name in SECRETS:
        sandbox.client.seed(published(name))
    return Machine(sandbox, tmp_path)


def write_program(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "{path.name} $*" >> "$ARGUMENTS"\nexec {command} "$@"\n')
    path.chmod(0o755)


def variable_group() -> str:
    (step,) = yaml.safe_load(block("Azure Pipelines variable groups", "yaml"))["steps"]
    assert step["env"] == {"PAT": "$(build-pat)"}
    return str(step["bash"])


SCRIPTS = {
    "git": ("build-pat", block("git over HTTPS", "sh")),
    "agent": ("agents-linux-pat", block("Self-hosted agents on machines", "sh")),
    "sonarqube": ("sonarqube-pat", block("SonarQube", "sh")),
    "variable group": ("build-pat", variable_group()),
    "npm": ("feed-pat", block("Feeds: npm, pip, NuGet", "sh", 0)),
    "pip": ("feed-pat", block("Feeds: npm, pip, NuGet", "sh", 1)),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_block_works_with_the_published_pat_fails_with_a_dead_one_and_shows_neither(
    machine: Machine, name: str
) -> None:
    secret, script = SCRIPTS[name]
    value = machine.value(secret)
    more = {}
    if name == "variable group":
        more["PAT"] = value  # the pipeline puts it there
    if name == "npm":
        npm = shutil.which("npm", path=os.pathsep.join(PROGRAMS))
        assert npm is not None, "npm is missing: `make node` installs it"
        write_program(machine.home / "bin" / "npm", npm)
        (machine.home / ".npmrc").write_text(block("Feeds: npm, pip, NuGet", "ini"))
    ran = machine.run(script, **more)
    assert ran.returncode == 0, ran.stderr
    assert machine.pat(secret)["uses"] > 0
    shown = machine.shows()
    for known in (value, ADMIN, *(encoded(f"{user}{value}") for user in ("", ":", "patrol:"))):
        assert known not in shown
        assert known not in ran.stdout + ran.stderr
    if name == "pip":
        assert (machine.home / "feed.netrc").stat().st_mode & 0o077 == 0
    if name == "sonarqube":
        (setting,) = machine.estate()["sonarqubes"][0]["azure"]
        held = machine.pat(secret)["authorization_id"]
        assert setting == {"key": "contoso-azure", "url": "https://dev.azure.com/contoso", "authorization_id": held}
    machine.end(secret)
    assert machine.run(script, **more).returncode != 0


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.exhaustive
def test_git_reads_the_vault_again_at_every_command(machine: Machine) -> None:
    """The next command after a rotation has the new PAT, with nobody doing anything."""
    secret, script = SCRIPTS["git"]
    assert machine.run(script).returncode == 0
    machine.end(secret)
    machine.sandbox.client.seed(published(secret))
    assert machine.run(script.splitlines()[-1]).returncode == 0


def test_nuget_s_file_signs_in_to_the_feed(machine: Machine) -> None:
    """NuGet itself is not here: its file is read as NuGet reads it, and the header is what it sends."""
    tree = ElementTree.fromstring(block("Feeds: npm, pip, NuGet", "xml"))
    (source,) = tree.findall("packageSources/add")
    keys = {one.attrib["key"]: one.attrib["value"] for one in tree.findall("packageSourceCredentials/main/add")}
    assert keys == {"Username": "patrol", "ClearTextPassword": "%FEED_PAT%"}
    kept = machine.environment()
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": kept["HTTPS_PROXY"]}
        session.verify = kept["REQUESTS_CA_BUNDLE"]
        for password, status in ((machine.value("feed-pat"), 200), ("nobody", 401), (machine.value("build-pat"), 401)):
            assert session.get(source.attrib["value"], auth=(keys["Username"], password)).status_code == status


def test_the_page_s_item_is_one_that_patrol_takes() -> None:
    for heading, kind in (("SonarQube", SonarQube), ("Service connections", ServiceConnection), ("Webhooks", Webhook)):
        (one,) = yaml.safe_load(block(heading, "yaml"))
        assert pats_yaml.check(text_of(an_estate(a_user(one)))) == ()
        (read,) = pats_yaml.load(text_of(an_estate(a_user(one)))).items()
        assert [type(to) for to in read.then] == [kind]


def test_every_way_to_read_has_its_row_in_the_table_of_overlaps() -> None:
    headings = set(re.findall(r"\n## (.+)\n", TEXT)) - {"How long the overlap must be"}
    table = TEXT.split("\n## How long the overlap must be\n")[1].split("\n## ")[0]
    linked = set(re.findall(r"\]\(#([a-z0-9-]+)\)", table))
    assert linked == {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
