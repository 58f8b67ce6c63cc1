"""The applications that setup makes in Entra ID: in a tenant where others register, own and change things too."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.entra import api, az, sign_in
from sandbox.process.running import ROOT
from shared.inventory import pats_yaml
from shared.services import managed_identity
from tests.lab import openapi
from tests.lab.entra_directory import (
    DEVOPS_PRINCIPAL,
    EVERYTHING,
    GRAPH,
    IDENTITY,
    ME,
    OURS,
    SCOPE_IDS,
    SECRET,
    SOMEBODY,
    TENANT,
    Directory,
)
from tests.lab.inventory_texts import CLIENT, text_of

KINDS = {
    "identity": (IDENTITY,),
    "certificate": ("--certificate", "contoso-users"),
    "secret": ("--secret", "contoso-users"),
}
EXACTLY = [("AllPrincipals", DEVOPS_PRINCIPAL, "vso.pats vso.pats_manage")]
CALLER = "e0000000-0000-4000-8000-000000000001"
NOWHERE = Path(os.devnull)
"""A folder in which azd has no environment."""

Said = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def read() -> str:
        captured = capsys.readouterr()
        return captured.out + captured.err

    return read


def set_up(tenant: Directory, *arguments: str, root: Path = NOWHERE) -> int:
    return sign_in.main(arguments, tenant, lambda seconds: None, root)


def serve(tenant: Directory, *arguments: str, root: Path = NOWHERE) -> int:
    return api.main(arguments, tenant, lambda seconds: None, root)


def with_azd(folder: Path) -> Path:
    (folder / ".azure").mkdir()
    (folder / ".azure" / "config.json").write_text(json.dumps({"version": 1, "defaultEnvironment": "contoso-pats"}))
    return folder


def made(tenant: Directory) -> str:
    """Client id of the one application there is."""
    (found,) = tenant.applications.values()
    return str(found["appId"])


def settings_of(text: str) -> dict[str, str]:
    """What it prints for pats.yaml: it is what `check` takes."""
    printed = text[text.index("sign_in in pats.yaml:") :].replace("sign_in in pats.yaml:", "sign_in:")
    found: dict[str, str] = yaml.safe_load(printed)["sign_in"]
    given = {"tenant": TENANT, "client_id": CLIENT, **{key: one for key, one in found.items() if key.endswith("_name")}}
    assert pats_yaml.check(text_of({"sign_in": given, "users": []})) == ()
    return found


# a tenant in which nobody else does anything


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
def test_the_sign_in_app_asks_for_two_permissions_and_gets_consent_to_exactly_these(
    arguments: tuple[str, ...], said: Said
) -> None:
    tenant = Directory()
    assert set_up(tenant, *arguments) == 0, said()
    client_id = made(tenant)
    assert tenant.application(client_id)["requiredResourceAccess"] == OURS
    assert tenant.consented(client_id) == EXACTLY
    assert settings_of(said())["client_id"] == client_id


@pytest.mark.parametrize(
    ("cloud", "host", "audience"),
    [
        ("https://login.microsoftonline.com", "login.microsoftonline.com", "api://AzureADTokenExchange"),
        ("https://login.microsoftonline.us/", "login.microsoftonline.us", "api://AzureADTokenExchangeUSGov"),
        ("https://login.chinacloudapi.cn", "login.partner.microsoftonline.cn", "api://AzureADTokenExchangeChina"),
    ],
)
def test_by_default_the_app_trusts_the_managed_identity_and_no_secret_is_made(
    cloud: str, host: str, audience: str, said: Said
) -> None:
    tenant = Directory(login=cloud)
    assert set_up(tenant, IDENTITY) == 0
    ((trusted,),) = tenant.trusted.values()
    wanted = {"issuer": f"https://{host}/{TENANT}/v2.0", "subject": IDENTITY, "audiences": [audience]}
    assert trusted == {"id": trusted["id"], "name": f"patrol-{IDENTITY}", **wanted}
    assert managed_identity.audience(host) == audience, "what the app asks its identity for"
    assert tenant.vault == []
    assert settings_of(said()) == {"tenant": TENANT, "client_id": made(tenant)}


def test_a_certificate_is_made_in_the_vault_and_only_its_public_part_goes_to_the_app(said: Said) -> None:
    tenant = Directory()
    assert set_up(tenant, "--certificate", "contoso-users") == 0
    ((created, given),) = tenant.vault
    assert created.startswith("certificate create --vault-name contoso-users --name patrol-sign-in")
    assert "certificate-policy.json" in created
    assert given == ""
    (reset,) = [command for command in tenant.said if "credential reset" in command]
    assert "--append --keyvault contoso-users --cert patrol-sign-in" in reset
    assert settings_of(said())["client_certificate_name"] == "patrol-sign-in"


def test_the_certificate_is_one_that_patrol_can_sign_with_and_that_key_vault_does_not_renew_by_itself() -> None:
    policy = json.loads((ROOT / "infra/entra/certificate-policy.json").read_text())
    assert policy["keyProperties"]["keyType"] == "RSA"
    assert policy["keyProperties"]["exportable"] is True
    assert policy["secretProperties"]["contentType"] == "application/x-pkcs12"
    # A renewed certificate that the app registration does not know would stop every sign-in.
    assert [row["action"]["actionType"] for row in policy["lifetimeActions"]] == ["EmailContacts"]


def test_promise_7_a_client_secret_goes_straight_into_the_vault_and_is_in_no_argument(said: Said) -> None:
    tenant = Directory()
    assert set_up(tenant, "--secret", "contoso-users") == 0
    ((stored, given),) = tenant.vault
    assert stored.startswith("secret set --vault-name contoso-users --name patrol-client-secret --file /dev/stdin")
    assert given == SECRET, "without the line's end"
    assert not [command for command in tenant.said if SECRET in command]
    printed = said()
    assert SECRET not in printed
    assert settings_of(printed)["client_secret_name"] == "patrol-client-secret"


def test_a_later_run_takes_the_client_id_and_changes_the_same_application(said: Said) -> None:
    tenant = Directory()
    assert set_up(tenant, IDENTITY) == 0
    client_id = made(tenant)
    assert f"--app-id {client_id}" in said()
    assert set_up(tenant, "--secret", "contoso-users", "--app-id", client_id.upper()) == 0
    assert set_up(tenant, IDENTITY, "--app-id", client_id) == 0
    assert made(tenant) == client_id
    assert tenant.consented(client_id) == EXACTLY, "not twice"
    assert [len(credentials) for credentials in tenant.trusted.values()] == [1]


def test_rule_16_people_who_enroll_come_back_to_the_platform_web_alone(said: Said) -> None:
    tenant = Directory()
    assert set_up(tenant, IDENTITY) == 0
    client_id, back = made(tenant), "https://contoso-patrol.azurewebsites.net/api/enroll/callback"
    for given in (back, "http://localhost", back):
        assert set_up(tenant, IDENTITY, "--app-id", client_id, "--web-redirect", given) == 0
    assert tenant.application(client_id)["web"] == {"redirectUris": ["http://localhost", back]}
    assert set_up(tenant, IDENTITY, "--app-id", client_id, "--web-redirect", "http://contoso.com/x") == 1
    tenant.application(client_id)["isFallbackPublicClient"] = True
    assert set_up(tenant, IDENTITY, "--app-id", client_id, "--web-redirect", "https://other.example/x") == 1
    assert tenant.application(client_id)["web"] == {"redirectUris": ["http://localhost", back]}


def test_azd_s_environment_keeps_the_client_id_for_the_next_run(tmp_path: Path, said: Said) -> None:
    tenant, root = Directory(), with_azd(tmp_path)
    assert set_up(tenant, IDENTITY, root=root) == 0
    assert tenant.environment == {sign_in.KEPT: made(tenant)}
    assert set_up(tenant, "--secret", "contoso-users", root=root) == 0, said()
    assert len(tenant.applications) == 1


def test_a_run_that_was_stopped_half_way_is_finished_by_the_next(tmp_path: Path, said: Said) -> None:
    tenant, root = Directory(), with_azd(tmp_path)
    tenant.deaf = ["post servicePrincipals"] * 8
    assert set_up(tenant, IDENTITY, root=root) == 1
    assert set_up(tenant, IDENTITY, root=root) == 0, said()
    assert tenant.consented(made(tenant)) == EXACTLY


def test_what_was_made_a_moment_ago_is_waited_for(said: Said) -> None:
    tenant = Directory(deaf=["get applications/", "post servicePrincipals"])
    assert set_up(tenant, IDENTITY) == 0, said()


def test_an_application_that_asks_for_less_is_completed(said: Said) -> None:
    tenant = Directory()
    client_id = tenant.register("patrol sign-in", [ME])
    assert set_up(tenant, IDENTITY, "--app-id", client_id) == 0, said()
    assert tenant.application(client_id)["requiredResourceAccess"] == OURS


def test_a_service_principal_may_set_it_up(said: Said) -> None:
    tenant = Directory(signed_in={"type": "servicePrincipal", "name": "f0000000-0000-4000-8000-000000000002"})
    tenant.principals[SOMEBODY] = {"id": SOMEBODY, "appId": tenant.signed_in["name"]}
    client_id = tenant.register("patrol sign-in", [SOMEBODY])
    assert set_up(tenant, IDENTITY, "--app-id", client_id) == 0, said()


# a tenant in which somebody was there before


@pytest.mark.parametrize("name", ["patrol sign-in", "patrol sign-in 2", "patrol sign"])
def test_somebody_s_application_of_that_name_is_neither_used_nor_changed(name: str, said: Said) -> None:
    tenant = Directory()
    theirs = tenant.register(name, [SOMEBODY], [EVERYTHING])
    before = json.dumps(tenant.application(theirs))
    code = set_up(tenant, IDENTITY)
    assert json.dumps(tenant.application(theirs)) == before
    assert tenant.consented(theirs) == []
    assert tenant.trusted.get(tenant.application(theirs)["id"]) is None
    assert theirs not in said().partition("sign_in in pats.yaml:")[2]
    if name == "patrol sign-in":
        assert (code, len(tenant.applications)) == (1, 1)
    else:
        assert (code, len(tenant.applications)) == (0, 2), "another name is another application"


@pytest.mark.parametrize("owners", [[SOMEBODY], [ME, SOMEBODY], [ME], []], ids=["theirs", "both", "mine", "nobody's"])
def test_a_name_that_is_taken_ends_it_with_whose_it_is_and_what_to_do(owners: list[str], said: Said) -> None:
    """Who owns it proves nothing: its owner may add others."""
    tenant = Directory()
    theirs = tenant.register("patrol sign-in", owners, OURS)
    assert set_up(tenant, "--secret", "contoso-users") == 1
    told = said()
    assert theirs in told
    assert ("you own it" in told) is (ME in owners)
    assert ("1 other does" in told) is (SOMEBODY in owners)
    assert "--app-id" in told
    assert "--name" in told
    assert tenant.vault == []
    assert len(tenant.applications) == 1
    assert set_up(tenant, "--secret", "contoso-users", "--name", "patrol sign-in of contoso") == 0


def asks_also(access: dict[str, Any]) -> Callable[[Directory, str], None]:
    return lambda tenant, client_id: tenant.application(client_id)["requiredResourceAccess"].append(access)


def owned_also(*owners: str) -> Callable[[Directory, str], None]:
    return lambda tenant, client_id: tenant.owners[tenant.application(client_id)["id"]].extend(owners)


def has(**properties: object) -> Callable[[Directory, str], None]:
    return lambda tenant, client_id: tenant.application(client_id).update(properties)


def of_devops(scope: str, kind: str) -> dict[str, Any]:
    return {**OURS[0], "resourceAccess": [{"id": SCOPE_IDS[scope], "type": kind}]}


SPOILED: dict[str, Callable[[Directory, str], None]] = {
    "asks for everything": asks_also(EVERYTHING),
    "asks for another scope of Azure DevOps": asks_also(of_devops("vso.code_full", "Scope")),
    "asks for the same as a role": asks_also(of_devops("vso.pats", "Role")),
    "is owned by others too": owned_also(SOMEBODY),
    "is owned by others on the second page": owned_also(ME, ME, SOMEBODY),
    "signs in people of other tenants": has(signInAudience="AzureADMultipleOrgs"),
    "is a public client": has(isFallbackPublicClient=True),
    "is an app on a device": has(publicClient={"redirectUris": ["https://evil.example"]}),
    "is a page": has(spa={"redirectUris": ["https://evil.example"]}),
    "has consent elsewhere": lambda tenant, id_: tenant.consent(id_, "Directory.ReadWrite.All", resource="graph"),
    "has wider consent": lambda tenant, id_: tenant.consent(id_, "vso.pats vso.pats_manage vso.code_full"),
    "has a role": lambda tenant, id_: tenant.roles.update(
        {tenant.principal(id_): [{"appRoleId": "r", "resourceId": "graph", "resourceDisplayName": "Microsoft Graph"}]}
    ),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_an_application_that_is_more_than_patrol_s_gets_nothing(
    spoil: Callable[[Directory, str], None], said: Said
) -> None:
    tenant = Directory()
    client_id = tenant.register("patrol sign-in", [ME], OURS)
    spoil(tenant, client_id)
    before = tenant.consented(client_id)
    assert set_up(tenant, "--secret", "contoso-users", "--app-id", client_id) == 1
    assert tenant.consented(client_id) == before
    assert tenant.vault == []
    told = said()
    assert f"The application {client_id} is not as patrol's is" in told
    assert "Audit logs" in told
    assert not [command for command in tenant.said if "credential" in command]


def test_owners_that_the_caller_names_are_accepted(said: Said) -> None:
    tenant = Directory()
    client_id = tenant.register("patrol sign-in", [ME, SOMEBODY], OURS)
    assert set_up(tenant, IDENTITY, "--app-id", client_id) == 1
    assert f"--owner {SOMEBODY}" in said()
    assert set_up(tenant, IDENTITY, "--app-id", client_id, "--owner", SOMEBODY) == 0


def change(tenant: Directory) -> None:
    """Somebody has every application ask for everything."""
    for application in tenant.applications.values():
        if EVERYTHING not in application["requiredResourceAccess"]:
            application["requiredResourceAccess"].append(EVERYTHING)


def at(call: int, tenant: Directory) -> Callable[[int], None]:
    return lambda number: change(tenant) if number == call else None


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
def test_an_application_that_is_changed_before_any_call_gets_no_more_than_its_two_scopes(
    arguments: tuple[str, ...], said: Said
) -> None:
    undisturbed = Directory()
    assert set_up(undisturbed, *arguments) == 0
    look = re.compile(r"--method get --url \S+/applications/[0-9a-f-]+ ")
    last_look = max(number for number, command in enumerate(undisturbed.said) if look.search(command))
    first_post = next(number for number, command in enumerate(undisturbed.said) if "--method post" in command)
    refused = 0
    for call in range(len(undisturbed.said)):
        tenant = Directory()
        tenant.before = at(call, tenant)
        code = set_up(tenant, *arguments)
        for application in tenant.applications.values():
            assert tenant.consented(application["appId"]) in ([], EXACTLY), "whatever it asks for"
        if first_post < call <= last_look:
            refused += 1
            assert code == 1, f"changed before call {call}"
            assert tenant.grants == {}, "what was given a moment ago was taken back"
            assert tenant.vault == []
            assert tenant.trusted == {}
    assert refused >= 10


def test_a_change_between_the_two_looks_takes_the_consent_back_and_says_so(said: Said) -> None:
    tenant = Directory()
    tenant.before = lambda number: change(tenant) if tenant.grants else None
    assert set_up(tenant, "--secret", "contoso-users") == 1
    assert tenant.grants == {}
    assert "was taken back" in said()
    assert tenant.vault == []


def test_only_a_managed_identity_is_trusted(said: Said) -> None:
    tenant = Directory()
    theirs = tenant.principal(tenant.register("id-patrol", [SOMEBODY]))
    assert set_up(tenant, theirs) == 1
    assert "not a managed identity" in said()
    assert len(tenant.applications) == 1, "none was made"


def test_other_identities_that_the_application_trusts_are_told(said: Said) -> None:
    tenant = Directory()
    client_id = tenant.register("patrol sign-in", [ME], OURS)
    stranger = {"id": "x", "name": "x", "subject": "repo:evil\x1b[2J", "issuer": "https://token.example"}
    tenant.trusted[tenant.application(client_id)["id"]] = [stranger]
    assert set_up(tenant, IDENTITY, "--app-id", client_id) == 0
    told = said()
    assert "repo:evil" in told
    assert "\x1b" not in told


def test_a_list_that_goes_on_at_another_host_is_not_followed(said: Said) -> None:
    tenant = Directory()
    client_id = tenant.register("patrol sign-in", [ME, ME, ME], OURS)

    def elsewhere(command: Sequence[str], given: str) -> str:
        return tenant(command, given).replace(f'"{GRAPH}/v1.0/', '"https://evil.example/v1.0/')

    assert sign_in.main([IDENTITY, "--app-id", client_id], elsewhere, lambda seconds: None, NOWHERE) == 1
    assert "another host" in said()


def test_a_tenant_without_the_permission_ends_it_before_anything_is_made(said: Said) -> None:
    tenant = Directory()
    tenant.principals[DEVOPS_PRINCIPAL]["oauth2PermissionScopes"] = [{"value": "vso.pats", "id": "x"}]
    assert set_up(tenant, IDENTITY) == 1
    assert "vso.pats_manage" in said()
    del tenant.principals[DEVOPS_PRINCIPAL]
    assert set_up(tenant, IDENTITY) == 1
    assert "does not know Azure DevOps" in said()
    assert tenant.applications == {}


@pytest.mark.parametrize("kept", ["patrol sign-in", "d0000000-0000-4000-8000-000000000099", "x' or 1 eq '1"])
@pytest.mark.parametrize("given", [True, False], ids=["given", "kept"])
def test_an_id_that_is_none_or_unknown_makes_and_changes_nothing(
    kept: str, *, given: bool, tmp_path: Path, said: Said
) -> None:
    tenant = Directory(environment={} if given else {sign_in.KEPT: kept})
    assert set_up(tenant, IDENTITY, *(("--app-id", kept) if given else ()), root=with_azd(tmp_path)) == 1
    assert tenant.applications == {}
    assert re.search(r"is not an id|has no application", said())


@pytest.mark.parametrize(
    "arguments",
    [(), ("--secret",), ("--federated", "x"), (IDENTITY, "--secret", "contoso-users"), (IDENTITY, "patrol sign-in")],
    ids=str,
)
def test_what_it_does_not_understand_changes_nothing(arguments: tuple[str, ...], said: Said) -> None:
    tenant = Directory()
    with pytest.raises(SystemExit) as ended:
        set_up(tenant, *arguments)
    assert ended.value.code == 2
    assert "usage: " in said()
    assert tenant.said == []


# the API's application


def test_the_api_s_app_has_the_roles_that_the_doors_ask_for(said: Said) -> None:
    operations = [operation for path in openapi.document()["paths"].values() for operation in path.values()]
    assert set(api.IDS) == {operation["x-app-role"] for operation in operations if "x-app-role" in operation}
    tenant = Directory()
    assert serve(tenant, "register") == 0
    client_id = made(tenant)
    found = tenant.application(client_id)
    assert found["identifierUris"] == [f"api://{client_id}"]
    assert {role["value"] for role in found["appRoles"]} == set(api.IDS)
    assert found["api"] == {"requestedAccessTokenVersion": 2}
    assert tenant.principals[tenant.principal(client_id)]["appRoleAssignmentRequired"] is True
    assert found["requiredResourceAccess"] == []
    assert tenant.grants == {}
    assert f"authClientId: {client_id}" in said()


def test_a_caller_is_given_one_role(said: Said) -> None:
    tenant = Directory()
    assert serve(tenant, "register") == 0
    client_id = made(tenant)
    assert serve(tenant, "assign", CALLER, "Pats.Rotate", "--app-id", client_id) == 0
    wanted = {"principalId": CALLER, "resourceId": tenant.principal(client_id), "appRoleId": api.IDS["Pats.Rotate"]}
    assert tenant.assigned == [wanted]
    assert f'"release pipeline" ({CALLER}) may call with Pats.Rotate.' in said()


def test_the_api_s_own_registration_may_be_let_in(said: Said) -> None:
    """Azure Pipelines' `AzureFunction@2` asks for a token for the application of its service connection."""
    tenant = Directory()
    assert serve(tenant, "register") == 0
    own = tenant.principal(made(tenant))
    assert serve(tenant, "assign", own, "Pats.Rotate", "--app-id", made(tenant)) == 0, said()
    tenant.roles[own] = tenant.assigned
    assert serve(tenant, "assign", CALLER, "Pats.Read", "--app-id", made(tenant)) == 0, said()


def test_azd_s_environment_keeps_the_api_s_client_id_where_the_template_reads_it(tmp_path: Path, said: Said) -> None:
    tenant, root = Directory(), with_azd(tmp_path)
    assert serve(tenant, "register", root=root) == 0
    assert tenant.environment == {api.KEPT: made(tenant)}
    assert f"${{{api.KEPT}=}}" in (ROOT / "infra/main.parameters.json").read_text()
    assert serve(tenant, "register", root=root) == 0
    assert serve(tenant, "assign", CALLER, "Pats.Read", root=root) == 0, said()
    assert len(tenant.applications) == 1


def test_nobody_is_let_in_to_an_application_that_was_found_by_its_name(said: Said) -> None:
    tenant = Directory()
    theirs = tenant.register("patrol API", [SOMEBODY])
    assert serve(tenant, "register") == 1
    assert theirs in said()
    assert serve(tenant, "assign", CALLER, "Pats.Emergency") == 1
    assert "--app-id" in said()
    assert serve(tenant, "assign", CALLER, "Pats.Emergency", "--app-id", theirs) == 1
    assert "owns it too" in said()
    assert tenant.assigned == []


def test_an_application_without_patrol_s_roles_lets_nobody_in(said: Said) -> None:
    tenant = Directory()
    other = tenant.register("patrol API", [ME], appRoles=[{"value": "Pats.Rotate", "id": "somebody else's"}])
    assert serve(tenant, "assign", CALLER, "Pats.Rotate", "--app-id", other) == 1
    assert "Bring it up to date" in said()
    assert tenant.assigned == []


# az itself

STUB = """#!/usr/bin/env python3
import json, sys
print(json.dumps({"arguments": sys.argv[1:], "given": sys.stdin.read()}))
sys.exit(3 if "fail" in sys.argv else 0)
"""


def test_az_gets_its_arguments_and_a_secret_on_its_standard_input(tmp_path: Path) -> None:
    stub = tmp_path / "az"
    stub.write_text(STUB.replace("/usr/bin/env python3", sys.executable))
    stub.chmod(0o755)
    command = [str(stub), "keyvault", "secret", "set"]
    assert json.loads(az.run(command, SECRET)) == {"arguments": command[1:], "given": SECRET}
    with pytest.raises(az.Refused, match=r"exit code 3.*said why above"):
        az.run([*command, "fail"], SECRET)
    with pytest.raises(az.Refused, match="not installed"):
        az.run([str(tmp_path / "nothing")], "")


BY_NAME = re.compile(r'az ad (?:app|sp|group) (?:list|create|permission)|--display-name \S+ --query|--role "[A-Z]')


def test_promise_4_nothing_documented_finds_an_application_or_role_by_its_name_or_consents_to_all_that_is_asked() -> (
    None
):
    """`az ad app create` is among them: it changes an application of that name where there is one."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    scripts = list((ROOT / "infra").rglob("*.sh"))
    assert len(pages) > 5
    assert scripts
    assert not [path.name for path in [*pages, *scripts] if BY_NAME.search(path.read_text(encoding="utf-8"))]
    assert BY_NAME.search('az ad app list --display-name "$name" --query "[0].appId"')
