"""Moving in: `import --user` and `import --from-env`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS, CLIENT, ORGANIZATIONS, SONAR, TENANT, demo_estate, mark
from sandbox.process.running import start
from shared.cli.main import main
from shared.inventory import pats_yaml
from shared.inventory.proposals import propose, text_of
from shared.model.credentials import ClientSecret, SignIn
from shared.model.items import Inventory, User
from shared.model.pats import Pat as Seen
from shared.model.pats import PatId, Validity
from shared.model.tags import Mark
from tests.lab.lab import START, Lab, days, hours, item
from tests.lab.shell import Shell

IMPORT = ("import", "--user", AGENTS, "--organization", "contoso")
SIGN_IN = ("--tenant", TENANT, "--client-id", CLIENT, "--client-secret-name", "patrol-client-secret")
PASSWORD = ("--password-secret-name", "svc-agents-password")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item()]), tmp_path)


def seed(shell: Shell, name: str, *, lasts: timedelta = days(90), **more: Any) -> Pat:
    now = shell.lab.manual.now()
    return shell.lab.cloud.pats.seed(AGENTS, "contoso", name, valid_from=now, valid_to=now + lasts, **more)


def holds(shell: Shell, secret: str, value: str, **more: Any) -> None:
    shell.lab.vault.seed(secret, value, **more)


def proposed(shell: Shell, *more: str) -> list[dict[str, Any]]:
    """The items, as a YAML reader has them."""
    code, out, errors = shell(*IMPORT, *more)
    assert code == 0, errors
    read = yaml.safe_load(out)
    if isinstance(read, dict):
        read = read["users"][0]["pats"]
    elif read and "pats" in read[0]:
        read = read[0]["pats"]
    return list(read or [])


def pasted(shell: Shell) -> str:
    """pats.yaml with the proposed lines in their place, as a person would put them there."""
    _, out, _ = shell(*IMPORT)
    whole = yaml.safe_load(shell.lab.pats_yaml())
    whole["users"][0]["pats"] += yaml.safe_load(out) or []
    return str(yaml.safe_dump(whole))


def test_a_pat_that_exists_becomes_an_item_that_asks_for_the_same(shell: Shell) -> None:
    seed(shell, "Build Feed", scope="vso.packaging_write vso.code")
    assert proposed(shell) == [
        {
            "secret": "build-feed-pat",
            "organization": "contoso",
            "scopes": ["vso.code", "vso.packaging_write"],
            "lifetime": "90d",
        }
    ]


def test_what_is_pasted_passes_check_and_the_next_run_takes_it_over(shell: Shell) -> None:
    legacy = seed(shell, "legacy tool", lasts=days(30))
    holds(shell, "legacy-tool", legacy.value)
    seed(shell, "short", lasts=days(2))
    seed(shell, "hours", lasts=hours(5))
    text = pasted(shell)
    assert pats_yaml.check(text) == ()
    (shell.root / "pats.yaml").write_text(text, encoding="utf-8")
    shell.writes = False
    assert shell("check")[0] == 0
    code, document = shell.json("run")
    assert (code, {row["outcome"] for row in document["items"]}) == (0, {"done"})
    assert shell.lab.works("legacy-tool")
    assert shell.lab.current("legacy-tool").value != legacy.value
    assert not legacy.revoked, "`adopt: true` leaves the old PAT alive"


# --- whether the value is in the vault already -----------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["legacy-tool", "Legacy-Tool-PAT"])
def test_a_value_under_the_pat_s_name_is_adopted_once_using_it_proved_it(shell: Shell, secret: str) -> None:
    holds(shell, secret, seed(shell, "Legacy tool").value)
    [one] = proposed(shell)
    assert (one["secret"], one["adopt"]) == (secret, True)
    assert len(shell.lab.cloud.calls("devops.connection_data")) == 1


def test_a_value_under_another_name_is_found_by_its_expiry(shell: Shell) -> None:
    pat = seed(shell, "made in the portal")
    holds(shell, "sonar-token", pat.value, expires=int(pat.valid_to.timestamp()))
    holds(shell, "unrelated", "a password", expires=int(pat.valid_to.timestamp()))
    [one] = proposed(shell)
    assert (one["secret"], one["adopt"]) == ("sonar-token", True)


@pytest.mark.parametrize("tag", ["authorization-id", "AdoPatAuthorizationId"])
def test_a_tag_with_the_id_ends_the_old_pat_too(shell: Shell, tag: str) -> None:
    older = seed(shell, "legacy tool", lasts=days(20))
    seed(shell, "legacy tool", lasts=days(60))
    holds(shell, "legacy-tool-pat", older.value, tags={tag: older.authorization_id.upper()})
    found = {one["secret"]: one.get("adopt") for one in proposed(shell)}
    assert found == {"legacy-tool-pat": older.authorization_id, "legacy-tool-pat-2": None}


def test_what_was_made_by_hand_moves_in_with_its_id(shell: Shell) -> None:
    assert shell("pats", "create", "--user", AGENTS, "--name", "x", "--scopes", "vso.code", "--to-secret", "x")[0] == 0
    [one] = proposed(shell)
    [made] = shell.lab.cloud.pats.all()
    assert (one["secret"], one["adopt"], one["lifetime"]) == ("x", made.authorization_id, "30d")


def test_promise_7_only_what_looks_like_a_pat_is_ever_sent_to_azure_devops(shell: Shell) -> None:
    seed(shell, "legacy tool")
    holds(shell, "legacy-tool", "somebody's password")
    [one] = proposed(shell)
    assert (one["secret"], "adopt" in one) == ("legacy-tool-pat", False)
    assert shell.lab.cloud.calls("devops.connection_data") == []
    assert "does not look like a PAT" in shell(*IMPORT)[1]


@pytest.mark.parametrize("state", ["dead", "another user's", "disabled", "unreadable", "managed"])
def test_a_secret_that_is_not_shown_to_hold_it_is_not_adopted(shell: Shell, state: str) -> None:
    seed(shell, "legacy tool")
    other = shell.lab.cloud.pats.seed(SONAR, "contoso", "other", valid_from=START)
    dead = seed(shell, "dead", revoked=True)
    value = {"dead": dead.value}.get(state, other.value)
    tags = {"managed-by": "patrol/other-123456", "authorization-id": other.authorization_id}
    holds(shell, "legacy-tool", value, enabled=state != "disabled", tags=tags if state == "managed" else {})
    if state == "unreadable":
        shell.lab.cloud.add_fault("vault.get", "status", call=None, status=403, where="/secrets/legacy-tool")
    [one] = proposed(shell)
    assert (one["secret"], "adopt" in one) == ("legacy-tool-pat", False)
    assert "not shown to hold this PAT" in shell(*IMPORT)[1]


def test_promise_7_no_value_is_ever_printed_and_nothing_is_changed(shell: Shell) -> None:
    pat = seed(shell, "legacy tool")
    holds(shell, "legacy-tool", pat.value)
    for more in ((), ("--json",)):
        assert pat.value not in "".join(map(str, shell(*IMPORT, *more)))
    changed = [row.operation for row in shell.lab.cloud.calls() if row.effect]
    assert set(changed) <= {"entra.token", "vault.set", "vault.update"}
    names = {secret.name for secret in shell.lab.vault.secrets()}
    assert {name for name in names if not name.startswith("patrol-blocked-")} == {"legacy-tool"}


def test_a_display_name_that_is_a_value_is_not_repeated(shell: Shell) -> None:
    value = "q" * 76 + "AZDO" + "z" * 4
    pat = seed(shell, value)
    _, out, _ = shell(*IMPORT)
    assert value not in out
    assert proposed(shell)[0]["secret"] == f"pat-{pat.authorization_id[:8]}"


# --- what needs a person's eye ---------------------------------------------------------------------------------------


def test_full_access_is_said_and_asks_to_be_narrowed(shell: Shell) -> None:
    seed(shell, "everything", scope="app_token vso.code")
    [one] = proposed(shell)
    assert (one["scopes"], one["allow_full_access"]) == (["app_token"], True)
    assert "narrow it" in shell(*IMPORT)[1]


def test_a_global_pat_is_pointed_out_and_gets_no_item(shell: Shell) -> None:
    pat = seed(shell, "everywhere", all_orgs=True)
    assert proposed(shell) == []
    out = shell(*IMPORT)[1]
    assert f'# Left out: "everywhere" ({pat.authorization_id}): it is a global' in out
    # Its lines are there as comments, ready to be used.
    lines = [line.partition("# ")[2] for line in out.splitlines() if "Left out" not in line]
    [one] = yaml.safe_load("\n".join(line for line in lines if not line.startswith("PATs of")))
    assert (one["secret"], one["organization"]) == ("everywhere-contoso", "contoso")


def test_what_patrol_keeps_already_is_named_and_left_out(shell: Shell) -> None:
    assert shell("run")[0] == 0
    seed(shell, "patrol/other-123456/build-pat")
    assert proposed(shell) == []
    out = shell(*IMPORT)[1]
    assert "# patrol keeps already: build-pat" in out
    assert "another deployment of patrol keeps it" in out


def test_a_pat_whose_item_is_there_already_is_said_to_be_there(shell: Shell) -> None:
    pat = seed(shell, "build")
    holds(shell, "build-pat", pat.value)
    assert proposed(shell) == []
    assert f"`adopt: {pat.authorization_id}` there takes this PAT over" in shell(*IMPORT)[1]


def test_pats_of_one_name_get_names_of_their_own_the_youngest_first(shell: Shell) -> None:
    for lasts in (10, 30, 20):
        seed(shell, "agent", lasts=days(lasts))
    assert [(one["secret"], one["lifetime"]) for one in proposed(shell)] == [
        ("agent-pat", "30d"),
        ("agent-pat-2", "20d"),
        ("agent-pat-3", "10d"),
    ]


def test_a_name_that_is_a_credential_s_is_not_proposed(shell: Shell) -> None:
    shell.lab.items = []
    shell.lab.users = [{"username": AGENTS, "password_secret_name": "agent-pat", "pats": []}]
    shell.lab.cloud.vaults["patrol-demo-creds.vault.azure.net"].seed("agent-pat", "sandbox-password-agents")
    seed(shell, "agent")
    assert [one["secret"] for one in proposed(shell)] == ["agent-pat-2"]


@pytest.mark.parametrize(
    ("scope", "scopes", "more"),
    [
        ("vso.code vso.pats", ["vso.code"], {}),
        ("vso.code vso.tomorrow", ["vso.code", "vso.tomorrow"], {"allow_unknown_scopes": True}),
    ],
)
def test_scopes_that_check_would_refuse_are_dealt_with(
    shell: Shell, scope: str, scopes: list[str], more: dict[str, Any]
) -> None:
    seed(shell, "odd", scope=scope)
    [one] = proposed(shell)
    assert one == {
        "secret": "odd-pat",
        "organization": "contoso",
        "scopes": scopes,
        **more,
        "lifetime": "90d",
    }
    assert pats_yaml.check(pasted(shell)) == ()


def test_a_pat_without_a_usable_scope_is_left_out_with_its_reason(shell: Shell) -> None:
    seed(shell, "odd", scope="vso.pats")
    seed(shell, "empty", scope="")
    assert proposed(shell) == []
    out = shell(*IMPORT)[1]
    assert "permissions of an app registration (vso.pats)" in out
    assert "it has no scopes" in out


@pytest.mark.parametrize(
    "defaults", [{"rotate_before": "60d", "overlap": "30d"}, {"overlap": "6d"}, {"max_age": "20d", "lifetime": "20d"}]
)
def test_margins_that_do_not_fit_a_lifetime_are_written_with_it(shell: Shell, defaults: dict[str, str]) -> None:
    shell.lab.items = []
    shell.lab.defaults = defaults
    seed(shell, "a month", lasts=days(30))
    seed(shell, "a week", lasts=days(7))
    seed(shell, "an hour", lasts=hours(1))
    assert pats_yaml.check(pasted(shell)) == ()


# --- where there is no user, or no file, yet -------------------------------------------------------------------------


def test_a_user_that_pats_yaml_does_not_have_gets_an_entry(shell: Shell) -> None:
    seed(shell, "agent")
    shell.lab.items = []
    shell.lab.users = [{"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": []}]
    code, out, errors = shell(*IMPORT, *PASSWORD)
    assert code == 0, errors
    assert "to be put into `users:`" in out
    whole = yaml.safe_load(shell.lab.pats_yaml())
    whole["users"] += yaml.safe_load(out)
    assert pats_yaml.check(yaml.safe_dump(whole)) == ()


def test_what_a_folder_of_files_has_counts_as_one_inventory(shell: Shell) -> None:
    seed(shell, "agent")
    place = shell.root / "inventory"
    place.mkdir()
    (place / "platform.yaml").write_text(shell.lab.pats_yaml(), encoding="utf-8")
    team = [{"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item("agent")]}]
    (place / "web.yaml").write_text(yaml.safe_dump({"users": team}), encoding="utf-8")
    code, out, errors = shell(*IMPORT, PATS_FILE="inventory")
    assert code == 0, errors
    assert "agent is an item of pats.yaml already" in out, "another file has that name"


def test_the_name_of_the_option_may_be_shortened(shell: Shell) -> None:
    shell.lab.users = [{"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": []}]
    assert shell(*IMPORT, "--password-secret", "svc-agents-password")[0] == 0


def test_without_a_file_the_whole_file_is_written(shell: Shell) -> None:
    seed(shell, "agent")
    shell.writes = False
    code, out, errors = shell(*IMPORT, *SIGN_IN, *PASSWORD)
    assert code == 0, errors
    assert pats_yaml.check(out) == ()
    (shell.root / "pats.yaml").write_text(out, encoding="utf-8")
    assert shell("run")[0] == 0
    assert shell.lab.works("agent-pat")


def test_a_user_without_pats_gets_an_entry_that_reads_well(shell: Shell) -> None:
    shell.writes = False
    code, out, _ = shell(*IMPORT, *SIGN_IN, *PASSWORD)
    assert (code, pats_yaml.check(out)) == (0, ())


def test_json_is_one_document_with_the_text_in_it(shell: Shell) -> None:
    legacy = seed(shell, "legacy tool")
    holds(shell, "legacy-tool", legacy.value)
    seed(shell, "everywhere", all_orgs=True)
    code, document = shell.json(*IMPORT)
    assert code == 0
    assert [one["item"]["secret"] for one in document["items"]] == ["legacy-tool"]
    assert document["items"][0]["authorization_id"] == legacy.authorization_id
    assert document["left_out"][0]["item"]["secret"] == "everywhere-contoso"
    assert yaml.safe_load(document["pats_yaml"])[0]["secret"] == "legacy-tool"


@pytest.mark.parametrize(
    ("writes", "arguments", "says"),
    [
        (True, IMPORT[:3], "--organization"),
        (True, ("import", "--user", SONAR, "--organization", "contoso"), "--password-secret-name NAME"),
        (True, (*IMPORT, "--password-secret-name", "other-password"), "Leave --password-secret-name out"),
        (True, (*IMPORT, *SIGN_IN), "Leave out --tenant, --client-id, --client-secret-name"),
        (False, IMPORT, "--tenant, --client-id, --client-secret-name, --password-secret-name missing"),
        (False, (*IMPORT, *SIGN_IN[:4], *PASSWORD), "given: --client-secret-name missing"),
        (True, ("import", "--from-env", "--organization", "contoso"), "--organization: --from-env takes all"),
    ],
)
def test_what_is_missing_or_too_much_is_told_at_once(
    shell: Shell, writes: bool, arguments: tuple[str, ...], says: str
) -> None:
    shell.writes = writes
    code, out, errors = shell(*arguments)
    assert (code, out) == (2, "")
    assert says in " ".join(errors.split())
    assert shell.lab.cloud.calls() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("import",),
        ("import", "--user", AGENTS, "--from-env"),
        ("import", "--user", "svc agents", "--organization", "contoso"),
        (*IMPORT, "--tenant", "common"),
        (*IMPORT, "--client-id", "patrol"),
        (*IMPORT, "--password-secret-name", "P@ssw0rd!"),
    ],
    ids=str,
)
def test_wrong_usage_is_exit_code_2_and_repeats_no_password(shell: Shell, arguments: tuple[str, ...]) -> None:
    code, out, errors = shell(*arguments)
    assert (code, out) == (2, "")
    assert "P@ssw0rd!" not in errors
    assert shell.lab.cloud.calls() == []


def test_rule_12_moving_in_does_not_try_a_refused_password_again(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell(*IMPORT)[0] == 3
    assert shell(*IMPORT)[0] == 3
    assert shell.lab.cloud.directory.user(AGENTS).token_requests == 1


# Whatever people called their PATs, and whatever scopes they have.
_NAMES = st.text(max_size=140) | st.sampled_from(["on", "2026", "null", "a: b", "- x", "#", "patrol-blocked-x", "-"])
_SCOPES = st.sets(st.sampled_from(["vso.code", "vso.pats", "app_token", "vso.x", "é", "[a]", "a,b", "- b", "yes"]))
_PATS = st.lists(st.tuples(_NAMES, _SCOPES, st.integers(1, 9000), st.booleans()), max_size=6)


@given(_PATS)
def test_whatever_pats_there_are_the_lines_pass_check(pats: list[tuple[str, set[str], int, bool]]) -> None:
    sign_in = {"tenant": TENANT, "client_id": CLIENT, "client_secret_name": "patrol-client-secret"}
    text = json.dumps({"sign_in": sign_in, "users": []})
    seen = [
        Seen(
            PatId(f"a0000000-0000-4000-8000-{number:012d}"),
            name,
            frozenset(scopes),
            Validity(START, START + timedelta(hours=length)),
            None if everywhere else ORGANIZATIONS["contoso"],
        )
        for number, (name, scopes, length, everywhere) in enumerate(pats)
    ]
    found = propose(
        seen,
        User(AGENTS, "svc-agents-password"),
        "contoso",
        text=text,
        file=False,
        inventory=Inventory(SignIn(TENANT, CLIENT, ClientSecret("patrol-client-secret")), ()),
        listed={},
        mark=Mark("patrol/x-123456"),
        prove=lambda row: "",
    )
    assert pats_yaml.check(text_of(found)) == ()
    assert len(found.items) + len(found.left_out) == len(pats)


# --- the environment of the TypeScript client ------------------------------------------------------------------------

OLD_TOOL = {
    "AZURE_TENANT_ID": "72f00000-0000-4000-8000-000000000001",
    "AZURE_CLIENT_ID": CLIENT.upper(),
    "AZURE_CLIENT_SECRET": "it's a secret$(touch hit)",
    "AZURE_USERNAME": "Svc.Agents@contoso.com",
    "AZURE_PASSWORD": 'pass "word" `x` ',
    "AZURE_DEVOPS_ORG": "contoso",
}


def from_env(environ: dict[str, str], tmp_path: Path, *more: str) -> tuple[int, str, str]:
    out, errors = StringIO(), StringIO()
    code = main(["import", "--from-env", *more], environ=environ, root=tmp_path, out=out, errors=errors)
    return code, out.getvalue(), errors.getvalue()


def test_the_environment_becomes_a_pats_yaml_that_passes_check(tmp_path: Path) -> None:
    code, out, _ = from_env(OLD_TOOL, tmp_path)
    assert (code, pats_yaml.check(out)) == (0, ())
    read = pats_yaml.load(out)
    assert (read.sign_in.tenant, read.sign_in.client_id) == (OLD_TOOL["AZURE_TENANT_ID"], CLIENT)
    assert [(user.username, user.password_secret_name) for user in read.users] == [
        ("Svc.Agents@contoso.com", "svc-agents-password")
    ]
    assert yaml.safe_load(out)["defaults"] == {"organization": "contoso"}


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_promise_7_the_secrets_of_the_environment_are_never_shown(tmp_path: Path, more: tuple[str, ...]) -> None:
    code, out, errors = from_env({**OLD_TOOL, "HTTP_PROXY": "http://me:proxy-password@proxy:8080"}, tmp_path, *more)
    assert code == 0
    for secret in (OLD_TOOL["AZURE_CLIENT_SECRET"], OLD_TOOL["AZURE_PASSWORD"], "proxy-password"):
        assert secret not in out + errors
        assert json.dumps(secret)[1:-1] not in out + errors


def test_the_commands_bring_the_secrets_into_the_vault_as_they_are_and_never_as_an_argument(tmp_path: Path) -> None:
    """Run for real, by a shell; `az` is a stand-in that writes down what it was given."""
    _, out, _ = from_env({**OLD_TOOL, "KEY_VAULT_URL": "https://contoso.vault.azure.net"}, tmp_path, "--json")
    fake = tmp_path / "az"
    fake.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$*" >> "$RECORD/arguments"\n'
        'while [ "$1" != --name ]; do shift; done; name=$2\n'
        'while [ "$1" != --file ]; do shift; done; cat "$2" > "$RECORD/$name"\n'
    )
    fake.chmod(0o755)
    environ = {**OLD_TOOL, "PATH": f"{tmp_path}:/usr/bin:/bin", "RECORD": str(tmp_path)}
    commands = [*json.loads(out)["commands"], 'test -z "${AZURE_PASSWORD-}${AZURE_CLIENT_SECRET-}"']
    shell = shutil.which("sh")
    assert shell is not None
    subprocess.run([shell, "-euc", "\n".join(commands)], env=environ, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "patrol-client-secret").read_text() == OLD_TOOL["AZURE_CLIENT_SECRET"]
    assert (tmp_path / "svc-agents-password").read_text() == OLD_TOOL["AZURE_PASSWORD"]
    assert not (tmp_path / "hit").exists()
    given = (tmp_path / "arguments").read_text()
    assert given.count("--vault-name contoso ") == 2
    assert given.count("--output none") == 2, "az prints the value unless it is told not to"
    assert "secret$" not in given


@pytest.mark.parametrize(
    ("environ", "vault"),
    [
        ({}, '"$CREDENTIALS_VAULT"'),
        ({"KEY_VAULT_URL": "https://contoso.vault.azure.net"}, "contoso"),
        (
            {
                "KEY_VAULT_URL": "https://contoso.vault.azure.net",
                "CREDENTIALS_VAULT_URL": "https://contoso-creds.vault.azure.net",
            },
            "contoso-creds",
        ),
    ],
)
def test_the_commands_name_the_credentials_vault(tmp_path: Path, environ: dict[str, str], vault: str) -> None:
    _, out, _ = from_env({**OLD_TOOL, **environ}, tmp_path, "--json")
    commands = json.loads(out)["commands"]
    assert sum(f"--vault-name {vault} " in line for line in commands) == 2
    assert ("CREDENTIALS_VAULT=" in commands[0]) is (not environ)


def test_every_variable_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    code, out, errors = from_env({"AZURE_CLIENT_ID": " "}, tmp_path)
    assert (code, out) == (2, "")
    assert re.findall(r"AZURE_\w+ is missing", errors) == [f"{name} is missing" for name in OLD_TOOL]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AZURE_TENANT_ID", "common"),
        ("AZURE_CLIENT_ID", "hunter-2"),
        ("AZURE_USERNAME", "hunter-2"),
        ("AZURE_DEVOPS_ORG", "https://dev.azure.com/contoso"),
        ("AZURE_DEVOPS_ORG", 'pass "word" `x` '),
    ],
)
def test_a_variable_that_holds_something_else_is_named_without_its_value(tmp_path: Path, name: str, text: str) -> None:
    code, out, errors = from_env({**OLD_TOOL, name: text}, tmp_path)
    assert (code, out) == (2, "")
    assert f"{name} is not" in errors or f"{name} holds the same as AZURE_PASSWORD" in errors
    assert text.strip() not in errors


def test_a_password_in_the_wrong_variable_is_found_where_it_could_be_a_name(tmp_path: Path) -> None:
    code, _, errors = from_env({**OLD_TOOL, "AZURE_PASSWORD": "hunter2", "AZURE_DEVOPS_ORG": "hunter2"}, tmp_path)
    assert (code, "AZURE_DEVOPS_ORG holds the same as AZURE_PASSWORD" in errors) == (2, True)
    assert "hunter2" not in errors


@pytest.mark.parametrize(
    ("proxies", "told"),
    [
        ({"HTTP_PROXY": "http://proxy:8080"}, True),
        ({"http_proxy": "http://proxy:8080"}, True),
        ({"HTTP_PROXY": "http://proxy:8080", "https_proxy": "http://proxy:8080"}, False),
        ({}, False),
    ],
)
def test_a_proxy_that_patrol_would_not_see_is_pointed_out(tmp_path: Path, proxies: dict[str, str], told: bool) -> None:
    _, _, errors = from_env({**OLD_TOOL, **proxies}, tmp_path)
    assert ("HTTPS_PROXY" in errors) is told


def test_the_whole_move_from_the_old_environment_to_a_run(shell: Shell) -> None:
    environ = {**OLD_TOOL, "AZURE_USERNAME": AGENTS, "AZURE_PASSWORD": "sandbox-password-agents"}
    legacy = seed(shell, "legacy tool")
    holds(shell, "legacy-tool", legacy.value)
    shell.writes = False
    code, out, _ = shell("import", "--from-env", **environ)
    assert code == 0
    (shell.root / "pats.yaml").write_text(out, encoding="utf-8")
    assert shell("check", "--online")[0] == 0
    _, lines, _ = shell(*IMPORT)
    (shell.root / "pats.yaml").write_text(out.replace("pats: []", f"pats:\n{lines}"), encoding="utf-8")
    assert shell("check")[0] == 0
    assert shell("run")[0] == 0
    assert shell.lab.works("legacy-tool")


def test_in_an_estate_that_patrol_keeps_only_what_is_left_is_proposed(tmp_path: Path) -> None:
    managed = item("agents-linux-pat", scopes=["vso.agentpools_manage"])
    shell = Shell(Lab([managed], estate=demo_estate()), tmp_path)
    names = [one["secret"] for one in proposed(shell)]
    assert names == ["legacy-tool-pat"]
    assert mark("agents-linux-pat") not in shell(*IMPORT)[1]


def test_the_whole_move_as_processes_in_the_shell_that_has_the_old_variables(tmp_path: Path) -> None:
    path = tmp_path / "pats.yaml"
    old = {
        "AZURE_TENANT_ID": "72f00000-0000-4000-8000-000000000001",
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_CLIENT_SECRET": "sandbox-client-secret-demo",
        "AZURE_USERNAME": AGENTS,
        "AZURE_PASSWORD": "sandbox-password-agents",
        "AZURE_DEVOPS_ORG": "contoso",
        "PATS_FILE": str(path),
    }
    with start(demo_estate()) as cloud:

        def patrol(*arguments: str) -> str:
            ran = cloud.run_product(["-m", "shared", *arguments], extra=old)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            assert "sandbox-password-agents" not in ran.stdout + ran.stderr
            return ran.stdout

        text = patrol("import", "--from-env")
        path.write_text(text, encoding="utf-8")
        lines = patrol(*IMPORT)
        path.write_text(text.replace("pats: []", f"pats:\n{lines}"), encoding="utf-8")
        assert "adopt: true" in lines
        patrol("check", "--online")
        report = json.loads(patrol("rotate", "legacy-tool-pat", "--json"))
    assert [(row["outcome"], row["because"]) for row in report["items"]] == [("done", "adopted")]


# --- into a file -----------------------------------------------------------------------------------------------------


def test_a_file_is_written_only_when_all_is_well(tmp_path: Path) -> None:
    file = tmp_path / "moved.yaml"
    missing = {name: text for name, text in OLD_TOOL.items() if name != "AZURE_PASSWORD"}
    code, _, errors = from_env(missing, tmp_path, "--output", str(file))
    assert (code, "AZURE_PASSWORD is missing" in errors) == (2, True)
    assert list(tmp_path.iterdir()) == []
    code, out, errors = from_env(OLD_TOOL, tmp_path, "--output", str(file))
    assert (code, out) == (0, "")
    assert f"Wrote {file}." in errors
    assert "az keyvault secret set" in errors
    assert file.read_text(encoding="utf-8") == from_env(OLD_TOOL, tmp_path)[1]
    assert [path.name for path in tmp_path.iterdir()] == ["moved.yaml"]


def test_the_lines_of_a_user_go_into_a_file_too_and_only_when_all_is_well(shell: Shell, tmp_path: Path) -> None:
    seed(shell, "Build Feed")
    file = tmp_path / "lines.yaml"
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell(*IMPORT, "--output", str(file))[0] == 3
    assert not file.exists()
    shell.lab.cloud.directory.set_password(AGENTS, "sandbox-password-agents")
    assert shell("unblock", AGENTS)[0] == 0
    code, out, _ = shell(*IMPORT, "--output", str(file))
    assert (code, out) == (0, "")
    assert yaml.safe_load(file.read_text(encoding="utf-8"))[0]["secret"] == "build-feed-pat"


def test_somebody_s_file_is_never_written_over_and_nothing_is_asked_for_it(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "theirs.yaml"
    file.write_text("theirs: true\n")
    code, _, errors = shell(*IMPORT, "--output", str(file))
    assert (code, file.read_text()) == (2, "theirs: true\n")
    assert "is there already" in errors
    assert shell.lab.cloud.calls() == []
    file.write_text("")
    assert shell(*IMPORT, "--output", str(file))[0] == 0, "what a shell leaves behind whose command wrote nothing"


def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    code, out, errors = from_env(OLD_TOOL, tmp_path, "--output", str(tmp_path / "no" / "such" / "folder.yaml"))
    assert (code, out) == (2, "")
    assert "cannot be written (No such file or directory)" in errors
    assert list(tmp_path.iterdir()) == []


# --- remedies --------------------------------------------------------------------------------------------------------


def test_promise_8_what_came_from_a_flag_is_corrected_there(shell: Shell) -> None:
    shell.lab.items = []
    shell("check")
    (shell.root / "pats.yaml").unlink()
    shell.writes = False
    code, document = shell.json("import", "--user", AGENTS, "--organization", "nowhere", *SIGN_IN, *PASSWORD)
    assert (code, document["error"]["code"]) == (1, "organization-unknown")
    assert "Correct --organization" in document["error"]["remedy"]
    assert "pats.yaml" not in document["error"]["remedy"]
    nobody = ("import", "--user", "nobody@contoso.com", "--organization", "contoso", *SIGN_IN, *PASSWORD)
    assert "Correct --user or --tenant." in shell.json(*nobody)[1]["error"]["remedy"]
    unread = (*IMPORT, *SIGN_IN, "--password-secret-name", "no-such-secret")
    assert "its name, --password-secret-name." in shell.json(*unread)[1]["error"]["remedy"]
