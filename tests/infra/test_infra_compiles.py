"""The template as the real compiler and its template engine see it; skipped where there is no compiler."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bicep import (
    INFRA,
    PARAMETERS,
    SUBSCRIPTION,
    Compiler,
    Refused,
    app_settings,
    compiler,
    needs_compiler,
    of_type,
    snapshot_of,
)

pytestmark = needs_compiler

ENTRIES = [INFRA / "main.bicep", INFRA / "custom-role.bicep"]
SOURCES = sorted([*INFRA.rglob("*.bicep"), *PARAMETERS])
SHORT, LONG = "ab", "A-very-long-name-of-a-deployment-of-40-x"

LENGTHS = {
    "Microsoft.KeyVault/vaults": (3, 24),
    "Microsoft.Storage/storageAccounts": (3, 24),
    "Microsoft.Web/sites": (2, 60),
    "Microsoft.Web/serverfarms": (1, 40),
    "Microsoft.ManagedIdentity/userAssignedIdentities": (3, 128),
    "Microsoft.OperationalInsights/workspaces": (4, 63),
    "Microsoft.Insights/components": (1, 260),
    "Microsoft.Insights/actionGroups": (1, 260),
    "Microsoft.Insights/scheduledQueryRules": (1, 260),
    "Microsoft.Network/virtualNetworks": (2, 64),
    "Microsoft.Network/privateEndpoints": (2, 64),
    "Microsoft.Network/networkSecurityGroups": (1, 80),
}


@pytest.fixture(scope="module")
def warm() -> Iterator[Compiler]:
    with compiler() as running:
        yield running


@pytest.mark.parametrize("path", [*ENTRIES, *PARAMETERS], ids=lambda path: path.name)
def test_compiler_and_linter_have_nothing_to_say(warm: Compiler, path: Path) -> None:
    assert warm.words(path) == []


def test_what_the_linter_would_say_is_heard(warm: Compiler, tmp_path: Path) -> None:
    path = tmp_path / "tried.bicep"
    path.write_text("param unused string\n")
    assert [line.split()[1] for line in warm.words(path)] == ["no-unused-params"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_file_is_in_the_one_format(warm: Compiler, path: Path) -> None:
    assert warm.formatted(path) == path.read_text()


@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.stem)
def test_the_committed_snapshot_is_what_a_deployment_would_create(warm: Compiler, path: Path) -> None:
    """After a change on purpose: `make infra` writes the snapshots again, so that a review sees what changes."""
    assert json.loads(snapshot_of(path).read_text()) == warm.snapshot(path)


def test_the_button_s_template_is_compiled_from_this_source(warm: Compiler) -> None:
    built = warm.template(INFRA / "main.bicep")
    assert json.loads((INFRA / "azuredeploy.json").read_text()) == built, "run `make infra`"


@pytest.mark.parametrize("name", [SHORT, LONG])
def test_names_are_within_azure_s_limits(warm: Compiler, name: str, tmp_path: Path) -> None:
    resources = warm.expanded(tmp_path, deploymentName=name, networkMode="private", addressPrefix="10.20.0.0/24")
    seen = set()
    for resource in resources:
        if resource["type"] in LENGTHS:
            seen.add(resource["type"])
            shortest, longest = LENGTHS[resource["type"]]
            assert shortest <= len(resource["name"]) <= longest, resource["name"]
    assert seen == set(LENGTHS)
    for vault in of_type(resources, "Microsoft.KeyVault/vaults"):
        assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]*[a-z0-9]", vault["name"])
    for account in of_type(resources, "Microsoft.Storage/storageAccounts"):
        assert re.fullmatch(r"[a-z0-9]+", account["name"])
    (site,) = of_type(resources, "Microsoft.Web/sites")
    assert len(site["name"]) <= 32, "the host tells apps apart by their first 32 characters"


def test_code_comes_with_the_resources_where_a_package_is_named_and_is_never_built_there(
    warm: Compiler, tmp_path: Path
) -> None:
    assert of_type(warm.expanded(tmp_path), "Microsoft.Web/sites/extensions") == []
    address = "https://github.com/contoso/patrol/releases/download/v0.1.0/patrol.zip"
    (code,) = of_type(warm.expanded(tmp_path, packageUri=address), "Microsoft.Web/sites/extensions")
    assert code["name"].endswith("/onedeploy")
    assert code["properties"] == {"packageUri": address, "type": "zip", "remoteBuild": False}


def test_enrollments_have_one_role_in_one_place(warm: Compiler, tmp_path: Path) -> None:
    """Their own vault where one is named, reached like the others; else the credentials' vault, by the role given."""
    roles = "Microsoft.Authorization/roleAssignments"

    def why(**given: str) -> list[str]:
        found = [row["properties"].get("description", "") for row in of_type(warm.expanded(tmp_path, **given), roles)]
        return sorted(text for text in found if "enrollments" in text)

    private = {"networkMode": "private", "addressPrefix": "10.20.0.0/24"}
    alone = warm.expanded(tmp_path, enrollmentsVaultName="contoso-enrolled", **private)
    assert "'contoso-enrolled'" in app_settings(alone)["ENROLLMENTS_VAULT_URL"]
    endpoints = "Microsoft.Network/privateEndpoints"
    assert len(of_type(alone, endpoints)) == len(of_type(warm.expanded(tmp_path, **private), endpoints)) + 1
    kept = "patrol keeps the enrollments of users without a password"
    assert why() == []
    assert why(enrollmentRoleId="1" * 36) == [kept]
    assert why(enrollmentsVaultName="contoso-enrolled") == [f"{kept}, in a vault of their own"]


def test_rule_17_each_more_vault_has_the_role_and_a_private_endpoint(warm: Compiler, tmp_path: Path) -> None:
    more = [_vault_id("web"), _vault_id("ops")]
    private: dict[str, Any] = {"networkMode": "private", "addressPrefix": "10.20.0.0/24"}
    without, made = warm.expanded(tmp_path, **private), warm.expanded(tmp_path, vaults=more, **private)
    for kind, many in (("Microsoft.Network/privateEndpoints", 2), ("Microsoft.Authorization/roleAssignments", 2)):
        assert len(of_type(made, kind)) == len(of_type(without, kind)) + many
    assert warm.expanded(tmp_path, vaultsJson=json.dumps(more), **private) == made


def test_consumers_as_text_get_what_consumers_as_a_list_get(warm: Compiler, tmp_path: Path) -> None:
    consumers = [{"secretName": "agents-linux-pat", "principalId": "44444444-0000-4000-8000-000000000001"}]
    assert warm.expanded(tmp_path, consumersJson=json.dumps(consumers)) == warm.expanded(tmp_path, consumers=consumers)


def test_the_instances_that_share_the_pace_follow_the_limit(warm: Compiler, tmp_path: Path) -> None:
    resources = warm.expanded(tmp_path, maximumInstanceCount=100, fanOutAbove="never")
    (site,) = of_type(resources, "Microsoft.Web/sites")
    assert site["properties"]["functionAppConfig"]["scaleAndConcurrency"]["maximumInstanceCount"] == 100
    given = app_settings(resources)
    assert (given["QUEUE_INSTANCES"], given["FAN_OUT_ABOVE"]) == ("100", "never")


def _vault_id(name: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-{name}/providers/Microsoft.KeyVault/vaults/{name}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"networkMode": "private"}, "give addressPrefix"),
        ({"addressPrefix": "10.20.0.0/24"}, "networkMode is not private"),
        ({"patsVaultResourceGroup": "rg"}, "without patsVaultName"),
        ({"credentialsVaultResourceGroup": "rg"}, "without credentialsVaultName"),
        ({"enrollmentsVaultResourceGroup": "rg"}, "without enrollmentsVaultName"),
        ({"enrollmentsVaultName": "contoso", "enrollmentRoleId": "1" * 36}, "for the credentials vault"),
        ({"enrollmentsVaultName": "contoso", "credentialsVaultName": "Contoso"}, "one of its own"),
        ({"authAllowedApplications": ["x"]}, "without authClientId"),
        ({"patsVaultName": "contoso", "credentialsVaultName": "Contoso"}, "are one vault"),
        ({"allowedAddresses": "203.0.113.7"}, "203.0.113.7/32"),
        ({"allowedAddresses": "AzureDevOps,,10.0.0.0/8"}, "an empty place"),
        ({"authClientId": "patrol"}, "not a client id"),
        ({"deploymentName": "two words"}, "letters, digits and hyphens"),
        ({"deploymentName": "contoso_pats"}, "letters, digits and hyphens"),
        ({"deploymentName": "-contoso"}, "letters, digits and hyphens"),
        ({"deploymentName": "a"}, "BCP333"),
        ({"networkMode": "closed"}, "'private' | 'public'"),
        ({"instanceMemoryMB": 1024}, "2048 | 4096 | 512"),
        ({"maximumInstanceCount": 0}, "1"),
        ({"maximumInstanceCount": 1001}, "1000"),
        ({"fanOutAbove": "-1"}, "from 0 on, or never"),
        ({"fanOutAbove": "some"}, "some"),
        ({"patsVaultRoleId": "owner"}, "36"),
        ({"heartbeatHours": 72}, "47"),
        ({"alertEmail": ""}, "6"),
        ({"consumersJson": "[]", "consumers": [{"secretName": "a", "principalId": "b"}]}, "both given"),
        ({"packageUri": "http://contoso.com/patrol.zip"}, "https://"),
        ({"vaults": ["contoso-web"]}, "no resource id of a vault"),
        ({"vaultsJson": "[]", "vaults": [_vault_id("web")]}, "both given"),
        ({"vaults": [_vault_id("Creds")], "credentialsVaultName": "creds"}, "the vault of the PATs, the credentials"),
        ({"region": "westeurope"}, "BCP259"),
    ],
    ids=str,
)
def test_wrong_or_half_configured_parameters_are_refused_with_a_reason(
    warm: Compiler, given: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refused:
        warm.expanded(tmp_path, **given)
    assert says in str(refused.value)
