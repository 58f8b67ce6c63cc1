"""docs/deploy.md and docs/security.md name what exists."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from sandbox.process.running import ROOT
from tests.infra.test_infra_resources import (
    APP,
    BLOB_DATA_CONTRIBUTOR,
    BLOB_DATA_OWNER,
    DEPLOYER,
    METRICS_PUBLISHER,
    QUERIES,
    QUEUE_DATA_CONTRIBUTOR,
    ROLES,
    SECRETS_OFFICER,
    SECRETS_USER,
)
from tests.lab.bicep import INFRA

DEPLOY = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")
TEMPLATE = (INFRA / "main.bicep").read_text(encoding="utf-8")
DECLARED = set(re.findall(r"^param (\w+) ", TEMPLATE, re.MULTILINE))


def test_every_parameter_output_and_variable_that_is_named_exists() -> None:
    both = DEPLOY + SECURITY
    named = set(re.findall(r"`([a-z]+(?:[A-Z][A-Za-z]*)+)(?:=\w+)?`", both))
    assert named
    assert named <= DECLARED
    given = re.findall(r"--parameters (.*)", DEPLOY)
    assert {pair.partition("=")[0] for line in given for pair in line.split() if "=" in pair} <= DECLARED
    assert set(re.findall(r"\$\(output (\w+)\)", DEPLOY)) <= set(re.findall(r"^output (\w+) ", TEMPLATE, re.MULTILINE))
    for_azd = json.dumps(json.loads((INFRA / "main.parameters.json").read_text()))
    assert all(f"${{{name}" in for_azd for name in re.findall(r"azd env set (\w+)", DEPLOY))


def test_every_parameter_has_its_variable_for_azd_and_each_is_in_the_table() -> None:
    for_azd = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    left = DECLARED - set(for_azd)
    # azd passes text alone: a list has no variable, but for consumers and vaults; code comes by `azd deploy`.
    lists = {"tags", "consumers", "vaults", "authAllowedApplications", "expectedReaders"}
    assert left == {*lists, "packageUri", "authTenantId"}
    rows = dict(re.findall(r"^\| `(PATROL_\w+)` \| `(\w+)` \|", DEPLOY, re.MULTILINE))
    wanted = {re.findall(r"\{(\w+)", row["value"])[0]: name for name, row in for_azd.items()}
    assert rows == {variable: name for variable, name in wanted.items() if variable.startswith("PATROL_")}
    for name, row in for_azd.items():
        default = re.search(rf"^param {name} \w+ = (.+)$", TEMPLATE, re.MULTILINE)
        given = re.fullmatch(r"\$\{\w+(?:=(.*))?\}", row["value"])
        assert given is not None
        if given[1] is not None:
            assert default is not None, name
            assert default[1].strip("'") == given[1], f"{name}: azd's default is not the template's"


def test_every_file_and_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", DEPLOY)) <= targets
    for module in re.findall(r"python3 -m ([\w.]+)", DEPLOY + SECURITY):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists(), module
    for name in re.findall(r"\binfra/[\w./-]+\w", DEPLOY + SECURITY):
        assert (ROOT / name).exists(), name


def test_its_workflows_are_yaml_and_sign_in_without_a_secret() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DEPLOY, re.DOTALL)]
    assert len(blocks) == 3
    assert blocks[0]["permissions"]["id-token"] == "write"
    text = json.dumps(blocks)
    assert "client-secret" not in text
    assert "publish-profile" not in text
    assert text.count("infra/after-deploy.sh") == 3, "each way of deploying syncs the triggers"


def test_no_documented_way_has_the_platform_build_the_package() -> None:
    ways = DEPLOY.split("**Never let the platform build it**")[1].split("\n## ")[0]
    assert "--no-build" in ways
    assert DEPLOY.count("remote-build: false") == 2
    editor = re.sub(r"^\s*//.*$", "", (ROOT / ".vscode/settings.json").read_text(encoding="utf-8"), flags=re.MULTILINE)
    chosen = json.loads(editor)
    assert chosen["azureFunctions.deploySubpath"] == "dist/patrol"
    assert chosen["azureFunctions.scmDoBuildDuringDeployment"] is False
    tasks = json.loads((ROOT / ".vscode/tasks.json").read_text(encoding="utf-8"))["tasks"]
    assert chosen["azureFunctions.preDeployTask"] in {task["label"] for task in tasks}
    assert yaml.safe_load((ROOT / "azure.yaml").read_text())["services"]["patrol"]["remoteBuild"] is False


def test_actions_are_named_by_commit_since_a_tag_can_be_moved() -> None:
    named = re.findall(r"uses: (\S+)", DEPLOY + (ROOT / "docs/pipelines.md").read_text(encoding="utf-8"))
    assert len(named) == 5
    assert [name for name in named if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)] == []


def test_promise_7_no_secret_is_an_argument_of_a_documented_command() -> None:
    assert "--value" not in DEPLOY
    assert "keyvault secret set" in DEPLOY


def test_security_names_the_roles_that_the_template_gives() -> None:
    names = {
        SECRETS_OFFICER: "Key Vault Secrets Officer",
        SECRETS_USER: "Key Vault Secrets User",
        BLOB_DATA_OWNER: "Storage Blob Data Owner",
        QUEUE_DATA_CONTRIBUTOR: "Storage Queue Data Contributor",
        METRICS_PUBLISHER: "Monitoring Metrics Publisher",
    }
    section = SECURITY.split("## What its identity can reach")[1].split("\n## ")[0]
    given = {role for who, role, _ in ROLES["small"] if who == APP}
    assert {names[role] for role in given} == {name for name in names.values() if f"| {name}" in section}
    assert [role for who, role, _ in ROLES["small"] if who == DEPLOYER] == [BLOB_DATA_CONTRIBUTOR]
    assert "a second identity has Storage Blob Data Contributor" in section


def test_security_names_each_alert_it_counts_on() -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", SECURITY))
    assert {"package-written", "logs-stopped", "secret-expired"} <= named
    assert named <= {path.stem for path in QUERIES}


def test_the_costs_add_up() -> None:
    section = DEPLOY.split("## What it costs")[1]
    assert "120 runs × 15 s × 2 GB = 3,600 GB-s" in section
    assert 120 * 15 * 2 == 3600
    assert 120 * 20 + 100 * 5 == 2900
    slow = len(QUERIES) - 1  # one is asked every 5 minutes
    assert (
        f"{slow} rules on logs, about 0.50 each, and one every 5 minutes, about 1.50 | {slow * 0.5 + 1.5:.2f} |"
        in section
    )
    assert round(30 * 24 * 120 / 10_000) * 0.004 + 0.05 == pytest.approx(0.09, abs=0.005)
    assert f"about {round(0.01 + 0.09 + slow * 0.5 + 1.5)}" in section
    assert f"5 private endpoints × 7.30, 3 DNS zones × 0.50 | + {round(5 * 7.30 + 3 * 0.50)} |" in section
    assert round(2 * 2.6e6 * 0.000004) == 21
