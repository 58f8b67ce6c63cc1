"""What a deployment creates, by the committed snapshots: roles, settings, network, alerts. Needs no compiler."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.seed import PATS_VAULT
from shared import settings
from shared.fan_out import who_is_queued
from shared.fan_out.queue_message import KIND, MOST_DELIVERIES, POISON, QUEUE
from shared.report.kept_run import KEPT_DAYS
from shared.services import rate_limits
from shared.services.blob_leases import CONTAINER
from shared.services.blob_links import CONTAINER as LINKS
from shared.services.blob_reports import CONTAINER as RUNS
from tests.lab import event_names
from tests.lab.bicep import INFRA, PARAMETERS, ROOT, app_settings, committed, of_type, one

NAMES = [path.stem for path in PARAMETERS]
BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
BLOB_DATA_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
QUEUE_DATA_CONTRIBUTOR = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
LOGS_ROLE = "55555555-0000-4000-8000-000000000001"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"

WORKSPACES = "Microsoft.OperationalInsights/workspaces"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
APP, DEPLOYER = "the app", "the platform, which brings the package"
HOST_ROLES = {
    (APP, BLOB_DATA_OWNER, "st"),
    (APP, QUEUE_DATA_CONTRIBUTOR, "st"),
    (APP, METRICS_PUBLISHER, "appi-"),
    (DEPLOYER, BLOB_DATA_CONTRIBUTOR, "stp/app-package"),
}
ROLES: dict[str, set[tuple[str, str, str]]] = {
    name: {*HOST_ROLES, (APP, SECRETS_OFFICER, "kvp-"), (APP, SECRETS_USER, "kvc-")} for name in NAMES
}
ROLES["existing-vaults"] = {
    *HOST_ROLES,
    (APP, SECRETS_OFFICER, "rg-contoso-pats/contoso-pats"),
    (APP, SECRETS_USER, "rg-contoso-identity/contoso-technical-users"),
    (APP, LOGS_ROLE, "rg-contoso-pats/contoso-pats"),
    (APP, SECRETS_OFFICER, "rg-contoso-identity/contoso-enrollments"),
    *(
        (APP, role, f"rg-contoso-{team}/contoso-{team}")
        for team in ("web", "ops")
        for role in (SECRETS_OFFICER, LOGS_ROLE)
    ),
    ("44444444-0000-4000-8000-000000000001", SECRETS_USER, "rg-contoso-pats/contoso-pats/agents-linux-pat"),
    ("44444444-0000-4000-8000-000000000002", SECRETS_USER, "rg-contoso-pats/contoso-pats/sonarqube-pat"),
}

ROLES["teams"] |= {(APP, BLOB_DATA_READER, "sti/inventory")}

# What Flex Consumption refuses or ignores (Azure Functions, "Flex Consumption plan: deprecated settings").
FORBIDDEN = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "TZ",
    "WEBSITES_CONTAINER_START_TIME_LIMIT",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
    "WEBSITE_MOUNT_ENABLED",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_TIME_ZONE",
    "alwaysOn",
    "endToEndEncryptionEnabled",
    "functionAppScaleLimit",
    "healthCheckPath",
    "linuxFxVersion",
}

# Read by the host, the worker and the SDKs, not by patrol's own settings.
PLATFORM = {
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "AZURE_CLIENT_ID",
    "AZURE_AUTHORITY_HOST",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}


def assignment(resource: dict[str, Any]) -> tuple[str, str, str]:
    """Who, which role, on what: the beginning of a new resource's name, the whole of one that exists."""
    properties = resource["properties"]
    identity = re.search(r"userAssignedIdentities/(id-deploy-|id-)", properties["principalId"])
    who = {"id-": APP, "id-deploy-": DEPLOYER}[identity[1]] if identity else properties["principalId"]
    extension = re.match(r"\[extensionResourceId\('([^']+)'", resource["id"])
    scope = extension[1] if extension else resource["id"].partition("/providers/Microsoft.Authorization")[0]
    group = re.findall(r"/resourceGroups/([^/]+)/", scope)[-1]
    path = re.findall(r"/(?:storageAccounts|components|vaults|secrets|containers)/([^/]+)", scope)
    new = re.match(r"st[pi](?=contos)|st|appi-|kv[pc]-", path[0]) if group == "rg-patrol" else None
    where = [new[0], *path[1:]] if new else [group, *path]
    return who, properties["roleDefinitionId"].rpartition("/")[2], "/".join(where)


def at_deployment(value: str) -> str:
    """A setting as the app gets it: what only Azure can say is filled in with the public cloud's names."""
    known = {
        "environment().suffixes.storage": "core.windows.net",
        "environment().suffixes.keyvaultDns": ".vault.azure.net",
    }
    formatted = re.fullmatch(r"\[format\('([^']*)', (.*)\)\]", value)
    if formatted is not None:
        words = [one.strip(" '") for one in formatted[2].split(", ")]
        return formatted[1].format(*[known.get(word, word) for word in words])
    return "login.microsoftonline.com" if "loginEndpoint" in value else value


def workspace_of_the_app(resources: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [row for row in of_type(resources, WORKSPACES) if not row["name"].startswith("log-audit-")]
    return found


def audit_workspace(resources: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [row for row in of_type(resources, WORKSPACES) if row["name"].startswith("log-audit-")]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_who_gets_which_role_on_what_and_nothing_more(name: str) -> None:
    found = [assignment(one) for one in of_type(committed(name), "Microsoft.Authorization/roleAssignments")]
    assert len(found) == len(set(found))
    assert set(found) == ROLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_app_settings_are_those_the_code_reads(name: str) -> None:
    given = app_settings(committed(name))
    assert set(given) == {one.name for one in settings.SETTINGS} | PLATFORM
    assert "AzureWebJobsStorage" not in given, "an empty one beside the identity's breaks the host"


@pytest.mark.parametrize("name", NAMES)
def test_the_code_takes_the_app_settings_that_are_deployed(name: str) -> None:
    given = {key: at_deployment(value) for key, value in app_settings(committed(name)).items()}
    known = settings.read({**given, "WEBSITE_AUTH_ENABLED": "True"}, ROOT)
    assert known.key_vault_url.endswith(PATS_VAULT.partition(".")[2])
    assert known.storage is not None
    assert known.has_queue
    given_nothing = settings.read({"KEY_VAULT_URL": known.key_vault_url}, ROOT)
    assert known.fan_out_above == given_nothing.fan_out_above
    assert known.queue_instances == given_nothing.queue_instances
    assert known.http_auth == ("entra" if name == "entra-auth" else "function-key")
    assert known.mark.text.startswith("patrol/contoso-pats-")


def test_every_name_in_a_binding_is_an_app_setting() -> None:
    bound = set(re.findall(r"%(\w+)%", (ROOT / "function_app.py").read_text()))
    example = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    assert bound
    for name in NAMES:
        assert bound <= set(app_settings(committed(name)))
    assert bound <= set(example)
    assert not [one for one in bound if "__" in one], "the host reads `__` as `:`"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_flex_consumption_refuses_is_there(name: str) -> None:
    words = set(re.findall(r"\w+", json.dumps(committed(name))))
    assert not words & FORBIDDEN


@pytest.mark.parametrize("name", NAMES)
def test_the_app_runs_on_flex_consumption_with_its_identity(name: str) -> None:
    resources = committed(name)
    assert one(resources, "Microsoft.Web/serverfarms")["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    site = one(resources, "Microsoft.Web/sites")
    assert site["kind"] == "functionapp,linux"
    assert len(site["identity"]["userAssignedIdentities"]) == 2
    assert site["identity"]["type"] == "UserAssigned"
    assert site["tags"]["azd-service-name"] == "patrol"
    properties = site["properties"]
    assert properties["httpsOnly"] is True
    assert properties["siteConfig"]["minTlsVersion"] == "1.2"
    config = properties["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    threads = int(app_settings(resources)["PYTHON_THREADPOOL_THREAD_COUNT"])
    assert config["scaleAndConcurrency"]["triggers"]["http"]["perInstanceConcurrency"] * 2 <= threads
    policies = of_type(resources, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {row["name"].rpartition("/")[2]: row["properties"]["allow"] for row in policies} == {
        "ftp": False,
        "scm": False,
    }


@pytest.mark.parametrize("name", NAMES)
def test_storage_takes_no_key_and_holds_what_the_app_needs(name: str) -> None:
    resources = committed(name)
    accounts = of_type(resources, "Microsoft.Storage/storageAccounts")
    assert len(accounts) == (3 if name == "teams" else 2)
    wanted = {
        "allowSharedKeyAccess": False,
        "allowBlobPublicAccess": False,
        "isLocalUserEnabled": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    }
    assert [{key: account["properties"][key] for key in wanted} for account in accounts] == [wanted] * len(accounts)
    containers = of_type(resources, "Microsoft.Storage/storageAccounts/blobServices/containers")
    more = {"inventory"} if name == "teams" else set()
    assert {row["name"].rpartition("/")[2] for row in containers} == {"app-package", CONTAINER, RUNS, LINKS} | more
    assert all(row["properties"]["publicAccess"] == "None" for row in containers)


@pytest.mark.parametrize("name", NAMES)
def test_the_package_is_in_an_account_of_its_own_which_the_app_s_identity_has_no_role_on(name: str) -> None:
    resources = committed(name)
    containers = of_type(resources, "Microsoft.Storage/storageAccounts/blobServices/containers")
    (package,) = [row["name"].partition("/")[0] for row in containers if row["name"].endswith("/app-package")]
    others = {row["name"].partition("/")[0] for row in containers if not row["name"].endswith("/app-package")}
    others = {account for account in others if not account.startswith("sti")}
    assert others == {app_settings(resources)["AzureWebJobsStorage__accountName"]}
    assert package not in others
    storage = one(resources, "Microsoft.Web/sites")["properties"]["functionAppConfig"]["deployment"]["storage"]
    assert package in storage["value"]
    assert "app-package" in storage["value"]
    brought_by = storage["authentication"]["userAssignedIdentityResourceId"]
    assert "/id-deploy-" in brought_by
    roles = [row for row in of_type(resources, "Microsoft.Authorization/roleAssignments") if package in row["id"]]
    assert [brought_by in row["properties"]["principalId"] for row in roles] == [True]


@pytest.mark.parametrize("name", NAMES)
def test_every_write_of_the_package_is_on_record(name: str) -> None:
    resources = committed(name)
    blobs = [row for row in of_type(resources, DIAGNOSTICS) if "/blobServices/" in row["id"]]
    (found,) = [row for row in blobs if "/storageAccounts/stp" in row["id"]]
    assert len(blobs) == (2 if name == "teams" else 1)
    assert {row["category"] for row in found["properties"]["logs"] if row["enabled"]} == {
        "StorageWrite",
        "StorageDelete",
    }
    assert found["properties"]["workspaceId"] == audit_workspace(resources)["id"]


def test_an_inventory_of_blobs_has_an_account_of_its_own_that_patrol_reads_and_whose_past_can_be_brought_back() -> None:
    resources = committed("teams")
    containers = of_type(resources, "Microsoft.Storage/storageAccounts/blobServices/containers")
    (account,) = [row["name"].partition("/")[0] for row in containers if row["name"].endswith("/inventory")]
    assert [row["name"].partition("/")[0] for row in containers].count(account) == 1
    (service,) = [
        row
        for row in of_type(resources, "Microsoft.Storage/storageAccounts/blobServices")
        if row["name"].startswith(account)
    ]
    kept = {"enabled": True, "days": 30}
    assert service["properties"] == {
        "isVersioningEnabled": True,
        "deleteRetentionPolicy": kept,
        "containerDeleteRetentionPolicy": kept,
    }
    assert at_deployment(app_settings(resources)["PATS_FILE"]) == f"https://{account}.blob.core.windows.net/inventory/"
    (written,) = [row for row in of_type(resources, DIAGNOSTICS) if account in row["id"]]
    assert {row["category"] for row in written["properties"]["logs"] if row["enabled"]} == {
        "StorageWrite",
        "StorageDelete",
    }
    assert written["properties"]["workspaceId"] == audit_workspace(resources)["id"]


@pytest.mark.parametrize("name", NAMES)
def test_the_queues_are_those_that_the_code_and_the_host_use(name: str) -> None:
    queues = of_type(committed(name), "Microsoft.Storage/storageAccounts/queueServices/queues")
    assert {row["name"].rpartition("/")[2] for row in queues} == {QUEUE, POISON}
    assert f"{QUEUE}-poison" == POISON, "the host makes this name from the queue's"
    app = (ROOT / "function_app.py").read_text()
    assert set(re.findall(r"queue_name=(.+?), connection=(\w+)", app)) == {
        ("_QUEUE", "_STORAGE"),
        ('f"{_QUEUE}-poison"', "_STORAGE"),
    }
    assert f'_QUEUE, _STORAGE = "{QUEUE}", "AzureWebJobsStorage"\n' in app


@pytest.mark.parametrize("name", NAMES)
def test_reports_are_deleted_after_thirty_days_and_nothing_else_is(name: str) -> None:
    (policy,) = of_type(committed(name), "Microsoft.Storage/storageAccounts/managementPolicies")
    assert policy["name"].endswith("/default"), "the only name that the storage takes"
    (rule,) = policy["properties"]["policy"]["rules"]
    assert (rule["enabled"], rule["type"]) == (True, "Lifecycle")
    # `.json` is a block blob, `.parts` an append blob (shared/run_store.py).
    assert rule["definition"]["filters"] == {"blobTypes": ["blockBlob", "appendBlob"], "prefixMatch": [f"{RUNS}/"]}
    # After the last change: who still has its daily look keeps it.
    assert rule["definition"]["actions"] == {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": KEPT_DAYS}}}


@pytest.mark.parametrize("name", NAMES)
def test_as_many_instances_share_the_pace_as_may_work_off_the_queue(name: str) -> None:
    resources = committed(name)
    scale = one(resources, "Microsoft.Web/sites")["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    assert app_settings(resources)["QUEUE_INSTANCES"] == str(scale["maximumInstanceCount"])


def test_no_number_of_instances_that_the_template_takes_outruns_the_vault_or_entra_id() -> None:
    most = int(re.findall(r"@maxValue\((\d+)\)\nparam maximumInstanceCount", (INFRA / "main.bicep").read_text())[0])
    assert most <= settings.MOST_INSTANCES
    for limit in (rate_limits.VERSIONS, rate_limits.SIGN_INS):
        for instances in range(1, most + 1):
            share = limit.share(instances)
            assert (
                instances * share.most / share.within.total_seconds()
                <= limit.most / limit.within.total_seconds() * (1 + 1e-9)
            )


def test_the_host_sets_a_message_aside_when_the_code_says_that_it_does() -> None:
    queues = json.loads((ROOT / "host.json").read_text())["extensions"]["queues"]
    assert queues["maxDequeueCount"] == MOST_DELIVERIES
    assert queues.get("messageEncoding", "base64") == "base64", "as docs/operations.md decodes it"


@pytest.mark.parametrize("name", NAMES)
def test_the_storage_tells_what_is_put_on_a_queue(name: str) -> None:
    resources = committed(name)
    (found,) = [row for row in of_type(resources, DIAGNOSTICS) if "/queueServices/" in row["id"]]
    assert found["properties"]["logs"] == [{"category": "StorageWrite", "enabled": True}]
    assert found["properties"]["workspaceId"] == audit_workspace(resources)["id"]


@pytest.mark.parametrize("name", NAMES)
def test_new_vaults_are_by_role_recoverable_and_on_record(name: str) -> None:
    resources = committed(name)
    vaults = of_type(resources, "Microsoft.KeyVault/vaults")
    assert len(vaults) == (0 if name == "existing-vaults" else 2)
    for vault in vaults:
        properties = vault["properties"]
        assert properties["enableRbacAuthorization"] is True
        assert properties["enableSoftDelete"] is True
        assert properties["enablePurgeProtection"] is True
        assert not any(value for key, value in properties.items() if key.startswith("enabledFor"))
    audits = [row for row in of_type(resources, DIAGNOSTICS) if "/vaults/" in row["id"]]
    assert len(audits) == len(vaults)
    assert all(row["properties"]["logs"] == [{"category": "AuditEvent", "enabled": True}] for row in audits)
    assert all(row["properties"]["workspaceId"] == audit_workspace(resources)["id"] for row in audits)
    assert all(row["properties"]["logAnalyticsDestinationType"] == "Dedicated" for row in audits)
    assert audit_workspace(resources)["properties"]["features"]["enableLogAccessUsingOnlyResourcePermissions"] is True


@pytest.mark.parametrize("name", NAMES)
def test_the_app_is_told_of_a_log_where_it_may_read_one(name: str) -> None:
    roles = of_type(committed(name), "Microsoft.Authorization/roleAssignments")
    may_read = [row for row in roles if row["properties"]["roleDefinitionId"].endswith(LOGS_ROLE)]
    told = app_settings(committed(name))["VAULT_LOGS"]
    if name != "existing-vaults":
        assert (told, may_read) == ("none", [])
        return
    vaults = told.split(",")
    assert [vault.rpartition("/")[2] for vault in vaults] == ["contoso-pats", "contoso-web", "contoso-ops"]
    assert sorted(vault for vault in vaults for row in may_read if f"'{vault}'" in row["id"]) == sorted(vaults)
    assert len(may_read) == len(vaults), "on those vaults, and on nothing else"


@pytest.mark.parametrize("name", NAMES)
def test_the_app_knows_the_consumers_as_readers(name: str) -> None:
    told = app_settings(committed(name))["KNOWN_READERS"]
    consumers = ["44444444-0000-4000-8000-000000000001", "44444444-0000-4000-8000-000000000002"]
    assert told == (",".join(consumers) if name == "existing-vaults" else "none")


def test_rule_17_a_vault_of_another_subscription_has_its_role_in_that_subscription() -> None:
    roles = of_type(committed("existing-vaults"), "Microsoft.Authorization/roleAssignments")
    (there,) = [row for row in roles if "contoso-ops" in row["id"] and SECRETS_OFFICER in str(row["properties"])]
    assert there["id"].count("00000000-0000-4000-8000-00000000cafe") >= 1
    assert "00000000-0000-4000-8000-00000000cafe" in there["properties"]["roleDefinitionId"]


def test_the_role_that_reads_a_log_reads_two_tables_and_nothing_else() -> None:
    text = (INFRA / "custom-role.bicep").read_text()
    role = text[text.index("resource logsRole") : text.index("output logsRoleId")]
    assert set(re.findall(r"'Microsoft\.[^']+'", role)) == {
        "'Microsoft.Authorization/roleDefinitions@2022-04-01'",
        "'Microsoft.Insights/logs/AZKVAuditLogs/read'",
        "'Microsoft.Insights/logs/AzureDiagnostics/read'",
    }


@pytest.mark.parametrize("name", NAMES)
def test_who_fills_the_app_s_logs_does_not_blind_the_watch_over_vaults_and_storage(name: str) -> None:
    resources = committed(name)
    capped = workspace_of_the_app(resources)
    assert capped["properties"]["workspaceCapping"]["dailyQuotaGb"] == 1
    assert one(resources, "Microsoft.Insights/components")["properties"]["WorkspaceResourceId"] == capped["id"]
    assert audit_workspace(resources)["properties"]["workspaceCapping"]["dailyQuotaGb"] == -1
    for row in of_type(resources, DIAGNOSTICS):
        assert row["properties"]["workspaceId"] == audit_workspace(resources)["id"]


def test_what_anybody_may_call_costs_little_of_the_logs() -> None:
    logging = json.loads((ROOT / "host.json").read_text())["logging"]
    assert logging["logLevel"]["Function.health"] == "Warning", "no line for each call"
    sampling = logging["applicationInsights"]["samplingSettings"]
    assert sampling["isEnabled"] is True
    assert "Request" not in sampling["excludedTypes"].split(";")
    # A request's record is below 2 KB: so little of the daily limit that an instance under fire can write.
    assert sampling["maxTelemetryItemsPerSecond"] * 2 * 86_400 / 1e6 < 0.2
    assert {"Trace", "Exception"} <= set(sampling["excludedTypes"].split(";")), "the alerts read these"


@pytest.mark.parametrize("name", NAMES)
def test_logs_are_taken_from_identities_alone(name: str) -> None:
    resources = committed(name)
    for workspace in of_type(resources, WORKSPACES):
        assert workspace["properties"]["features"]["disableLocalAuth"] is True
    assert one(resources, "Microsoft.Insights/components")["properties"]["DisableLocalAuth"] is True
    assert "Authorization=AAD" in app_settings(resources)["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_open_or_closed_as_a_whole(name: str) -> None:
    resources = committed(name)
    is_private = name == "private-network"
    guarded = of_type(resources, "Microsoft.KeyVault/vaults") + of_type(resources, "Microsoft.Storage/storageAccounts")
    for resource in guarded:
        properties = resource["properties"]
        assert properties["publicNetworkAccess"] == ("Disabled" if is_private else "Enabled")
        assert properties["networkAcls"]["defaultAction"] == ("Deny" if is_private else "Allow")
    endpoints = of_type(resources, "Microsoft.Network/privateEndpoints")
    groups = [row["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"][0] for row in endpoints]
    site = one(resources, "Microsoft.Web/sites")["properties"]
    if not is_private:
        assert not [row for row in resources if row["type"].startswith("Microsoft.Network/")]
        assert "virtualNetworkSubnetId" not in site
        return
    assert sorted(groups) == ["blob", "blob", "queue", "vault", "vault"]
    services = {
        row["properties"]["privateLinkServiceConnections"][0]["properties"]["privateLinkServiceId"] for row in endpoints
    }
    assert services == {row["id"] for row in guarded}
    assert len(of_type(resources, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")) == 5
    assert len(of_type(resources, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")) == 3
    network = one(resources, "Microsoft.Network/virtualNetworks")
    by_name = {row["name"]: row["properties"] for row in network["properties"]["subnets"]}
    assert by_name["app"]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    assert by_name["app"]["addressPrefix"] != by_name["endpoints"]["addressPrefix"]
    assert site["virtualNetworkSubnetId"].endswith("/subnets/app")
    assert site["outboundVnetRouting"] == {"applicationTraffic": True}


@pytest.mark.parametrize("name", NAMES)
def test_addresses_that_are_not_named_do_not_reach_the_app(name: str) -> None:
    config = one(committed(name), "Microsoft.Web/sites")["properties"]["siteConfig"]
    rules = [(rule["ipAddress"], rule["tag"], rule["action"]) for rule in config["ipSecurityRestrictions"]]
    if name == "private-network":
        assert rules == [("203.0.113.0/24", "Default", "Allow"), ("AzureDevOps", "ServiceTag", "Allow")]
        assert config["ipSecurityRestrictionsDefaultAction"] == "Deny"
    else:
        assert rules == []
        assert config["ipSecurityRestrictionsDefaultAction"] == "Allow"
    assert config["scmIpSecurityRestrictionsUseMain"] is False, "a deployment needs a role, not an address"


def test_app_service_authentication_stands_in_front_where_a_client_id_is_given() -> None:
    found = one(committed("entra-auth"), "Microsoft.Web/sites/config", "/authsettingsV2")["properties"]
    assert found["globalValidation"]["requireAuthentication"] is True
    assert found["globalValidation"]["unauthenticatedClientAction"] == "Return401"
    assert found["globalValidation"]["excludedPaths"] == ["/api/health", "/api/enroll/*"]
    directory = found["identityProviders"]["azureActiveDirectory"]
    assert "clientSecretSettingName" not in directory["registration"]
    assert directory["validation"]["allowedAudiences"][0].startswith("api://")
    assert directory["validation"]["defaultAuthorizationPolicy"]["allowedApplications"]
    for name in set(NAMES) - {"entra-auth"}:
        assert not [row for row in committed(name) if str(row["name"]).endswith("/authsettingsV2")]


@pytest.mark.parametrize("name", NAMES)
def test_promise_7_no_key_or_secret_is_deployed_or_put_out(name: str) -> None:
    text = (INFRA / "params" / f"{name}.snapshot.json").read_text()
    assert not re.search(
        r"listKeys|listSecrets|listAccountSas|AccountKey=|SharedAccessSignature|InstrumentationKey", text
    )
    for path in INFRA.rglob("*.bicep"):
        outputs = [line for line in path.read_text().splitlines() if line.startswith("output ")]
        assert not [
            one for one in outputs if re.search(r"connectionstring|key\b|secret\b|password", one, re.IGNORECASE)
        ]


# alerts

QUERIES = sorted((INFRA / "queries").glob("*.kql"))
OF_THE_APP = [path for path in QUERIES if "\ntraces\n" in f"\n{path.read_text()}"]


@pytest.mark.parametrize("path", OF_THE_APP, ids=lambda path: path.stem)
def test_each_query_asks_for_events_and_fields_that_the_code_logs(path: Any) -> None:
    assert event_names.problems(path.read_text()) == []


@pytest.mark.parametrize("name", NAMES)
def test_each_query_has_its_alert_which_tells_somebody(name: str) -> None:
    resources = committed(name)
    rules = {row["name"].rpartition("-contosopats-")[0]: row["properties"] for row in of_type(resources, RULES)}
    assert set(rules) == {path.stem for path in QUERIES}
    people = one(resources, "Microsoft.Insights/actionGroups")
    assert people["properties"]["emailReceivers"][0]["emailAddress"] == "platform@contoso.com"
    for rule, properties in rules.items():
        assert properties["actions"]["actionGroups"] == [people["id"]]
        (criterion,) = properties["criteria"]["allOf"]
        source = (INFRA / "queries" / f"{rule}.kql").read_text()
        summed = next(line for line in source.splitlines() if line.startswith("| summarize "))
        by = re.findall(r"(\w+)(?: = [^,]+)?", summed.partition(" by ")[2])
        assert {row["name"] for row in criterion["dimensions"]} <= set(by), rule
        assert set(re.findall(r"\{(\w+)\}", source)) <= {"hours", "readers", "deployer"}
        assert "{hours}" not in criterion["query"]
        assert properties["skipQueryValidation"] is True
        if "\ntraces\n" in source:
            asked = one(resources, "Microsoft.Insights/components")
        else:
            asked = workspace_of_the_app(resources) if rule == "logs-stopped" else audit_workspace(resources)
        assert properties["scopes"] == [asked["id"]], "where its table is"


RULES = "Microsoft.Insights/scheduledQueryRules"


@pytest.mark.parametrize("name", NAMES)
def test_a_workbook_shows_what_every_alert_watches_over_the_same_time(name: str) -> None:
    resources = committed(name)
    workbook = one(resources, "Microsoft.Insights/workbooks")
    component = one(resources, "Microsoft.Insights/components")
    assert workbook["properties"]["sourceId"] == component["id"]
    assert (workbook["kind"], workbook["properties"]["category"]) == ("shared", "workbook")
    # What depends on the deployment stays an expression of the template language, in which the text is written.
    shown = workbook["properties"]["serializedData"]
    windows = {"PT1H": 1, "PT6H": 6, "P1D": 24, "P2D": 48}
    for row in of_type(resources, RULES):
        rule = row["properties"]
        query, (scope,) = expression(rule["criteria"]["allOf"][0]["query"]), rule["scopes"]
        window = windows[rule["windowSize"]] * 3_600_000
        kind = "insights/components" if scope == component["id"] else "operationalinsights/workspaces"
        _, found, rest = shown.partition(f"'query', {query}, ")
        assert found, row["name"]
        table = rest.partition("createObject('type'")[0]
        assert f"'timeContext', createObject('durationMs', {window}), " in table
        assert f"'resourceType', 'microsoft.{kind}', 'crossComponentResources', createArray('{scope}')" in table
    assert shown.count("'KqlItem/1.0'") == len(QUERIES)


def expression(text: str) -> str:
    """A value of a snapshot as it stands within another one's expression."""
    quoted = text.replace("'", "''")
    return text[1:-1] if text.startswith("[") else f"'{quoted}'"


def test_an_item_failure_is_told_once_for_each_item_code_and_day() -> None:
    (rule,) = [row for row in of_type(committed("small"), RULES) if row["name"].startswith("item-failed")]
    (criterion,) = rule["properties"]["criteria"]["allOf"]
    assert [row["name"] for row in criterion["dimensions"]] == ["secret", "code", "day"]


def test_the_heartbeat_reads_every_outcome() -> None:
    (rule,) = [row for row in of_type(committed("small"), RULES) if row["name"].startswith("schedule-stopped")]
    query = rule["properties"]["criteria"]["allOf"][0]["query"]
    assert "outcome" not in query.partition("summarize")[2]
    assert "ago(13h)" in query


def test_promise_8_a_dead_timer_is_told_however_often_others_call() -> None:
    """A pipeline that asks for one PAT every hour ends a run each time, and looks at nothing else."""
    query = (INFRA / "queries/schedule-stopped.kql").read_text()
    assert '| where tostring(fields.door) == "timer"\n' in query
    told = event_names.calls("run.finished")
    assert told
    assert [fields for fields in told if "door" not in fields] == []
    timer = (ROOT / "shared/functions/rotation_timer.py").read_text()
    assert 'Request(door="timer")' in timer
    assert 'with opening("run", event, request):' in timer, "also of a run that could not begin"


def rule(name: str) -> dict[str, Any]:
    (found,) = [row for row in of_type(committed("small"), RULES) if row["name"].startswith(f"{name}-contosopats-")]
    properties: dict[str, Any] = found["properties"]
    return properties


def test_the_poison_queue_tells_somebody_whoever_filled_it() -> None:
    found = rule("message-set-aside")
    (criterion,) = found["criteria"]["allOf"]
    assert f"/{POISON}/" in criterion["query"]
    assert "traces" not in criterion["query"], "an app that was killed tells nothing"
    assert found["severity"] == 2


def test_a_queue_that_is_not_worked_off_wakes_somebody() -> None:
    found = rule("message-waiting")
    assert found["severity"] == 1
    assert found["windowSize"] == "P1D", "from the sending of a message until its deadline, and longer"
    assert timedelta(days=1) > who_is_queued.WORTH_WHILE
    assert found["criteria"]["allOf"][0]["dimensions"] == [], "once, however many runs wait"


def test_logs_that_are_no_longer_taken_wake_somebody() -> None:
    found = rule("logs-stopped")
    assert found["severity"] == 1
    assert "OverQuota" in found["criteria"]["allOf"][0]["query"]


def test_a_secret_that_expired_is_told_by_the_vault_itself_whatever_became_of_the_app() -> None:
    found = rule("secret-expired")
    (criterion,) = found["criteria"]["allOf"]
    assert "SecretExpiredEventGridNotification" in criterion["query"]
    assert "traces" not in criterion["query"], "an app that is gone tells nothing"
    assert found["severity"] == 1
    assert [row["name"] for row in criterion["dimensions"]] == ["vault", "secret"]


def test_a_package_that_the_platform_did_not_write_wakes_somebody() -> None:
    found = rule("package-written")
    query = found["criteria"]["allOf"][0]["query"]
    assert "/id-deploy-" in query, "all but this one's"
    assert found["severity"] == 1


@pytest.mark.parametrize("name", ["unexpected-readers", "refused-readers", "secret-expired"])
def test_queries_of_a_vault_s_log_read_both_tables_that_it_may_go_to(name: str) -> None:
    source = (INFRA / "queries" / f"{name}.kql").read_text()
    assert re.findall(r"\((AzureDiagnostics|AZKVAuditLogs)\n", source) == ["AzureDiagnostics", "AZKVAuditLogs"]
    assert "union isfuzzy=true" in source, "a table that never had a row does not exist"


def test_known_readers_are_the_app_and_the_consumers() -> None:
    (rule,) = [row for row in of_type(committed("existing-vaults"), RULES) if row["name"].startswith("unexpected")]
    query = rule["properties"]["criteria"]["allOf"][0]["query"]
    assert "44444444-0000-4000-8000-000000000001" in query
    assert "userAssignedIdentities" in query


def test_operations_says_what_to_do_at_each_alert() -> None:
    section = (ROOT / "docs/operations.md").read_text().split("## Alerts")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)
    assert sorted(rows) == [path.stem for path in QUERIES]


def test_operations_gives_the_queue_as_it_is() -> None:
    section = (ROOT / "docs/operations.md").read_text().split("## The queue")[1].split("\n## ")[0]
    queues = json.loads((ROOT / "host.json").read_text())["extensions"]["queues"]
    assert "delivered again after 2 minutes, five times in all" in section
    assert (queues["visibilityTimeout"], MOST_DELIVERIES) == ("00:02:00", 5)
    assert "the deadline is over, 4 hours after the run began" in section
    assert timedelta(hours=4) == who_is_queued.WORTH_WHILE
    assert f'{{"kind": "{KIND}"' in section
    commands = re.findall(r"^az storage message .*(?:\\\n.*)*", section, re.MULTILINE)
    assert len(commands) == 2
    assert all(f"--queue-name {POISON} " in one and "--auth-mode login" in one for one in commands)


# structure, without a compiler


def test_role_ids_in_the_source_are_those_of_azure() -> None:
    known = {
        BLOB_DATA_CONTRIBUTOR,
        BLOB_DATA_READER,
        BLOB_DATA_OWNER,
        QUEUE_DATA_CONTRIBUTOR,
        METRICS_PUBLISHER,
        SECRETS_OFFICER,
        SECRETS_USER,
    }
    text = "".join(path.read_text() for path in INFRA.rglob("*.bicep"))
    example = "22222222-2222-3333-4444-555555555555"
    assert set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)) - {example} == known


def test_the_custom_role_can_do_what_patrol_does_and_cannot_delete_or_purge() -> None:
    text = (INFRA / "custom-role.bicep").read_text()
    actions = set(re.findall(r"Microsoft\.KeyVault/vaults/secrets/(\w+)/action", text))
    assert actions == {"getSecret", "readMetadata", "setSecret", "update", "recover"}


def test_parameter_files_name_parameters_that_exist() -> None:
    declared = set(re.findall(r"^param (\w+) ", (INFRA / "main.bicep").read_text(), re.MULTILINE))
    for path in PARAMETERS:
        assert set(re.findall(r"^param (\w+) =", path.read_text(), re.MULTILINE)) <= declared
    for_azd = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert set(for_azd) <= declared
    required = set(re.findall(r"^param (\w+) \w+$", (INFRA / "main.bicep").read_text(), re.MULTILINE))
    assert required == {"deploymentName", "alertEmail"}
    assert required <= set(for_azd)


def test_every_parameter_is_described() -> None:
    lines = (INFRA / "main.bicep").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("param "):
            above = [row for row in lines[max(0, number - 5) : number] if row.startswith("@")]
            assert any(row.startswith("@description(") for row in above), line


def test_a_run_ends_before_the_host_ends_it() -> None:
    timeout = json.loads((ROOT / "host.json").read_text())["functionTimeout"]
    assert timeout == "00:30:00"
    assert settings.LONGEST_BUDGET.total_seconds() < 30 * 60
