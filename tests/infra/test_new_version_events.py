"""infra/new-version-events.bicep: what tells others of new versions, deployed beside patrol where it is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bicep import INFRA, ROOT, Compiler, compiler, needs_compiler, of_type, one, snapshot_of

TEMPLATE = INFRA / "new-version-events.bicep"
PARAMETERS = sorted((INFRA / "events").glob("*.bicepparam"))
TOPICS = "Microsoft.EventGrid/systemTopics"
SUBSCRIPTIONS = f"{TOPICS}/eventSubscriptions"


def deployed(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(snapshot_of(path).read_text())["predictedResources"]
    return found


@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.stem)
def test_each_is_told_of_new_versions_and_of_nothing_else(path: Path) -> None:
    resources = deployed(path)
    topic = one(resources, TOPICS)["properties"]
    assert topic["topicType"] == "Microsoft.KeyVault.vaults"
    assert topic["source"].endswith("/Microsoft.KeyVault/vaults/contoso-pats")
    for subscription in of_type(resources, SUBSCRIPTIONS):
        told = subscription["properties"]
        assert told["filter"]["includedEventTypes"] == ["Microsoft.KeyVault.SecretNewVersionCreated"]
        assert told["eventDeliverySchema"] == "CloudEventSchemaV1_0"
        assert told["retryPolicy"] == {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}
    assert {resource["type"] for resource in resources} == {TOPICS, SUBSCRIPTIONS}, "no role, no key, no storage"


def test_a_function_is_told_of_the_named_secrets() -> None:
    (told,) = [row["properties"] for row in of_type(deployed(INFRA / "events/to-a-function.bicepparam"), SUBSCRIPTIONS)]
    assert told["destination"]["endpointType"] == "AzureFunction"
    assert told["filter"]["advancedFilters"] == [
        {"operatorType": "StringIn", "key": "subject", "values": ["agents-linux-pat", "release-pat"]}
    ]


def test_promise_7_a_webhook_s_address_is_in_no_file_and_no_output() -> None:
    text = snapshot_of(INFRA / "events/to-a-webhook.bicepparam").read_text()
    (told,) = [row["properties"] for row in of_type(json.loads(text)["predictedResources"], SUBSCRIPTIONS)]
    assert told["destination"]["properties"]["endpointUrl"] == "[parameters('webhookUrl')]"
    assert "restart.contoso.com" not in text
    assert "advancedFilters" not in told["filter"], "every secret of the vault"
    source = TEMPLATE.read_text()
    assert re.search(r"@secure\(\)\s+param webhookUrl", source)
    assert re.search(r"@secure\(\)\s+param webhookKey", source)
    sent = str(told["destination"]["properties"]["deliveryAttributeMappings"])
    assert "parameters('webhookKey')" in sent
    assert "X-Webhook-Key" in sent
    assert re.search(r"name: 'X-Webhook-Key', type: 'Static', properties: \{ isSecret: true, ", source)
    assert "output " not in source


def test_it_is_off_unless_somebody_deploys_it() -> None:
    for path in (INFRA / "main.bicep", *(INFRA / "modules").glob("*.bicep")):
        text = path.read_text()
        assert "Microsoft.EventGrid" not in text, path.name
        assert "new-version-events" not in text, path.name


def test_the_page_deploys_it_with_parameters_that_exist() -> None:
    page = (ROOT / "docs/consumers.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"az deployment group create [^`]*?infra/new-version-events\.bicep[^`]*", page)
    declared = set(re.findall(r"^param (\w+) ", TEMPLATE.read_text(), re.MULTILINE))
    given = set(re.findall(r"(\w+)=", command))
    assert given
    assert given <= declared


@pytest.fixture(scope="module")
def warm() -> Iterator[Compiler]:
    with compiler() as running:
        yield running


@needs_compiler
@pytest.mark.parametrize("path", [TEMPLATE, *PARAMETERS], ids=lambda path: path.name)
def test_compiler_and_linter_have_nothing_to_say_and_the_format_is_the_one(warm: Compiler, path: Path) -> None:
    assert warm.words(path) == []
    assert warm.formatted(path) == path.read_text()


@needs_compiler
@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.stem)
def test_the_committed_snapshot_is_what_a_deployment_would_create(warm: Compiler, path: Path) -> None:
    assert deployed(path) == warm.snapshot(path)["predictedResources"]
