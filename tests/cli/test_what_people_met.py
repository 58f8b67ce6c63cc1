"""Situations of people who do this job, out of public bug reports: what patrol says and does in each, whole.

Each stands for its kind, which has tests of its own beside the code; these play it as a person meets it, command by
command. Streams that fail are in test_output.py, proxies and bundles in tests/services/test_way_out.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, CREDENTIALS_VAULT
from tests.lab.certificate_texts import a_certificate, a_key, pfx
from tests.lab.http_calls import app, call
from tests.lab.lab import START, THEN, Lab, days, hours, item
from tests.lab.shell import Shell

PASSWORD = "sandbox-password-agents"
Change = Callable[[Lab], object]


@dataclass(frozen=True, slots=True)
class Met:
    """`changes`: what happened to people; then `command` ends with `code` and `says` all of this, and `never` that.

    `minted`: how many PATs were made by then; None where it does not matter.
    """

    changes: Change
    command: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    never: tuple[str, ...] = ()
    minted: int | None = None
    environ: dict[str, str] = field(default_factory=dict)


def refuses(operation: str, status: int, body: object, **more: Any) -> Change:
    text = body if isinstance(body, str) else json.dumps(body)
    given = {"call": None, "status": status, "body": text, **more}
    return lambda lab: lab.cloud.add_fault(operation, "status", **given)


def vault_says(operation: str, status: int, inner: str, **more: Any) -> Change:
    code = "Conflict" if status == 409 else "Forbidden"
    return refuses(operation, status, {"error": {"code": code, "message": "x", "innererror": {"code": inner}}}, **more)


def entra_says(error: str, number: int) -> Change:
    body = {"error": error, "error_codes": [number], "error_description": f"AADSTS{number}: x"}
    return refuses("entra.token", 400, body)


def kept(name: str, value: str, content_type: str | None = None) -> Change:
    return lambda lab: lab.cloud.vaults[CREDENTIALS_VAULT].seed(name, value, content_type=content_type)


def federated(lab: Lab) -> None:
    lab.cloud.directory.federate(AGENTS.partition("@")[2], "adfs.contoso.com")


def known_under_an_old_name(lab: Lab) -> None:
    person = {"id": lab.cloud.directory.user(AGENTS).object_id, "properties": {"Account": {"$value": "svc-old@c.com"}}}
    refuses("devops.connection_data", 200, {"authenticatedUser": person})(lab)


def a_consumer_s_token_by_echo(lab: Lab) -> None:
    lab.items[0]["then"] = THEN
    token = next(iter(lab.sonarqube().tokens))
    kept("sonarqube-token", f"{token}\n")(lab)


def a_certificate_as_client_secret(lab: Lab) -> None:
    certificate = a_certificate(a_key(), begins=START - days(1), ends=START + days(90))
    kept("patrol-client-secret", pfx(a_key(), certificate), "application/x-pkcs12")(lab)


def written(**keys: Any) -> Change:
    """The first item as somebody wrote it."""
    return lambda lab: lab.items[0].update(keys)


def as_user(name: str) -> Change:
    def change(lab: Lab) -> None:
        lab.users = [{"username": name, "password_secret_name": "svc-agents-password", "pats": lab.items}]

    return change


SHORT = {"lifetime": "7d", "rotate_before": "12h", "overlap": "6h"}
RUN, STATUS, CHECK, ONLINE = ("run",), ("status",), ("check",), ("check", "--online")
NETWORK = ("ForbiddenByFirewall", "Let patrol's network in", "no role changes that")
A_ROLE = "the role Key Vault"
PASSES = "Nothing to do if the next run succeeds"
SIGNS = "user.signed-in"
MET = {
    "a federated domain": Met(
        federated, RUN, 3, ("is federated", "onmicrosoft.com", "`enrolled: true`"), (PASSES, SIGNS), 0
    ),
    "a policy refuses one secret": Met(
        vault_says("vault.set", 403, "ForbiddenByPolicy", where="a-pat"),
        RUN,
        1,
        ("a-pat: ", "ForbiddenByPolicy", "Policy", "Partial: 2 replaced, 1 not done."),
        (A_ROLE, "vault-closed"),
        3,
    ),
    "a consumer's token by echo": Met(
        a_consumer_s_token_by_echo,
        ONLINE,
        1,
        ("The secret sonarqube-token in", "ends with a line break, so it was not sent", "printf %s"),
    ),
    "a password by echo": Met(
        kept("svc-agents-password", f"{PASSWORD}\n"),
        RUN,
        1,
        ("svc-agents-password", "ends with a line break", "printf %s"),
        ("AADSTS", SIGNS),
        0,
    ),
    "a password out of a file with CRLF": Met(
        kept("svc-agents-password", f"{PASSWORD}\r\n"), RUN, 1, ("ends with a line break",), ("AADSTS", SIGNS), 0
    ),
    "a password with its quotes": Met(
        kept("svc-agents-password", f'"{PASSWORD}"'), RUN, 3, ("AADSTS50126", "quotation marks"), (PASSWORD,), 0
    ),
    "a certificate as client secret": Met(
        a_certificate_as_client_secret,
        RUN,
        2,
        ("patrol-client-secret", "a certificate with its private key", "client_certificate_name"),
        ("The client secret is wrong",),
        0,
    ),
    "a firewall on listing": Met(vault_says("vault.list", 403, "ForbiddenByFirewall"), STATUS, 2, NETWORK, (A_ROLE,)),
    "a firewall, seen by check": Met(vault_says("vault.*", 403, "ForbiddenByFirewall"), ONLINE, 2, NETWORK, (A_ROLE,)),
    "a firewall on reading": Met(
        vault_says("vault.get", 403, "ForbiddenByFirewall", where="svc-agents-password"), RUN, 1, NETWORK, (A_ROLE,), 0
    ),
    "a firewall on writing": Met(
        vault_says("vault.set", 403, "ForbiddenByFirewall", where="a-pat"), RUN, 1, NETWORK, (A_ROLE,), 3
    ),
    "a gateway's page": Met(
        refuses("vault.list", 200, "<html>a gateway</html>", content_type="text/html"),
        STATUS,
        2,
        ("not in Key Vault's own words", "a gateway"),
        ("JSONDecodeError", "<html>"),
    ),
    "a redirect on listing": Met(
        refuses("vault.list", 302, "", headers={"Location": "https://login.microsoftonline.com/x?y=z"}),
        STATUS,
        2,
        ("login.microsoftonline.com", "no redirect is followed"),
        ("y=z", "name and tags"),
    ),
    "a redirect on reading": Met(
        refuses(
            "vault.get", 307, "", where="svc-agents-password", headers={"Location": "https://gate.contoso.com/?y=z"}
        ),
        RUN,
        1,
        ("gate.contoso.com", "no redirect is followed"),
        ("y=z", "is empty", A_ROLE),
        0,
    ),
    "an account that never was in a browser": Met(
        refuses("pats.*", 401, {"message": "TF401444: sign in.", "typeKey": "UnauthorizedRequestException"}),
        RUN,
        1,
        ("TF401444", "Sign in once in a browser as the technical user"),
        ("member",),
    ),
    "a user under its old name": Met(known_under_an_old_name, RUN, 0, ("3 replaced",), ("somebody else",), 3),
    "locked out, by the newer number": Met(
        entra_says("invalid_grant", 500532), RUN, 3, ("AADSTS500532", "smart lock-out"), ("Look the code up",), 0
    ),
    **{
        f"a policy, by {number}": Met(
            entra_says("invalid_grant", number), RUN, 3, (f"AADSTS{number}", "Conditional Access"), ("Look the",), 0
        )
        for number in (53005, 50131, 53002, 530021, 53009)
    },
    "a guest, by its number": Met(
        entra_says("invalid_grant", 50020), RUN, 3, ("is a guest", "a member of the tenant"), ("Look the code up",), 0
    ),
    "a guest's account is disabled": Met(
        entra_says("invalid_grant", 500571), RUN, 3, ("guest account is disabled",), ("Look the code up",), 0
    ),
    "multi-factor, by 500121": Met(
        entra_says("invalid_grant", 500121), RUN, 3, ("multi-factor",), ("Look the code up",), 0
    ),
    "a user's number as an app's error": Met(
        entra_says("invalid_request", 50052), RUN, 3, ("longer than Entra ID takes",), ("refused the app",), 0
    ),
    "a name that is being recovered": Met(
        vault_says("vault.set", 409, "ObjectIsBeingRecovered", where="a-pat", call=1),
        RUN,
        0,
        ("3 replaced",),
        ("Recover or purge",),
        3,
    ),
    "scopes as the portal spells them": Met(written(scopes=["Code (read)"]), CHECK, 2, ("`Code (read)` is vso.code",)),
    "a key with an umlaut": Met(
        written(then={**THEN, "alm_setting": "ado-zürich"}), CHECK, 2, ("character 6 is `ü` (U+00FC)",)
    ),
    "a guest as technical user": Met(
        as_user("alice_example.org#EXT#@contoso.onmicrosoft.com"), CHECK, 2, ("is a guest", "member of this tenant")
    ),
    "a reference that was not resolved": Met(
        lambda _: None,
        STATUS,
        2,
        ("KEY_VAULT_URL holds a reference that the platform did not resolve",),
        ("https://contoso",),
        environ={"KEY_VAULT_URL": "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/x)"},
    ),
    "quotes that were kept": Met(
        lambda _: None,
        STATUS,
        2,
        ("KEY_VAULT_URL begins with a quote",),
        environ={"KEY_VAULT_URL": '"https://contoso.vault.azure.net"'},
    ),
    "a name out of a file with CRLF": Met(
        lambda _: None, ("rotate", "feed-pat\r"), 2, ("no item for the secret feed-pat?",), ("\r",)
    ),
}


def played(met: Met, folder: Path) -> tuple[Shell, int, str]:
    lab = Lab([item("a-pat"), item("b-pat"), item("c-pat")])
    met.changes(lab)
    shell = Shell(lab, folder)
    code, out, errors = shell(*met.command, **met.environ)
    return shell, code, " ".join(f"{out} {errors}".split(" "))


@pytest.mark.parametrize("met", MET.values(), ids=MET)
def test_promise_8_what_people_met_is_told_as_what_it_is(met: Met, tmp_path: Path) -> None:
    shell, code, told = played(met, tmp_path)
    in_one_line = " ".join(told.split())
    assert code == met.code, told
    for says in met.says:
        assert says in in_one_line, told
    for says in ("patrol itself failed", "Traceback", *met.never):
        assert says not in told
    if met.minted is not None:
        assert len(shell.lab.cloud.calls("pats.create")) == met.minted


@pytest.mark.parametrize("met", [one for one in MET.values() if one.command == RUN], ids=lambda one: one.says[0])
def test_promises_2_and_6_however_often_it_is_met_nothing_is_left_and_no_password_goes_out_twice(
    met: Met, tmp_path: Path
) -> None:
    """Within half an hour; a policy or a lock-out is tried again later."""
    shell, code, _ = played(met, tmp_path)
    sent = len(shell.lab.cloud.calls("entra.token"))
    live = len(shell.lab.live())
    for _ in range(3):
        shell("run")
    if code == 3:
        assert len(shell.lab.cloud.calls("entra.token")) == sent
    assert len(shell.lab.live()) == live
    assert all(shell.lab.works(pat.display_name.rpartition("/")[2]) for pat in shell.lab.live())


def test_promise_5_a_policy_against_one_secret_lets_no_other_value_die(tmp_path: Path) -> None:
    """Forty items and a run each six hours, from before the first falls due until after all would have died."""
    names = [f"item-{number:02}" for number in range(40)]
    lab = Lab([item(name) for name in names], defaults=SHORT, quick=True)
    lab.run()
    vault_says("vault.set", 403, "ForbiddenByPolicy", where="item-00")(lab)
    lab.quick = False
    lab.wait(days(6.5))
    for _ in range(6):
        lab.run()
        assert [name for name in names if not lab.works(name)] in ([], ["item-00"])
        lab.wait(hours(6))


TEXTS = {
    "a password as a value": "    password: !Tr0ub4dor&3",
    "a password as a key": "    Tr0ub4dor&3: x",
    "a password as a key, twice": "    Tr0ub4dor&3: x\n    Tr0ub4dor&3: y",
    "a password as the user": "    username: !Tr0ub4dor&3",
    "a password as the tenant": "sign_in: {tenant: !Tr0ub4dor&3}",
}


@pytest.mark.parametrize("line", TEXTS.values(), ids=TEXTS)
def test_promise_7_a_password_in_pats_yaml_is_repeated_by_no_command(line: str, tmp_path: Path) -> None:
    text = f"users:\n  - username: {AGENTS}\n{line}\n" if line[0] == " " else f"{line}\nusers: []\n"
    (tmp_path / "pats.yaml").write_text(text, encoding="utf-8")
    shell = Shell(Lab([item()]), tmp_path, writes=False)
    for command in (CHECK, (*CHECK, "--json"), RUN, (*RUN, "--json"), STATUS, ("plan",), ("rotate", "build-pat")):
        code, out, errors = shell(*command)
        assert code == 2
        assert "Tr0ub4dor" not in out + errors


@pytest.mark.parametrize("name", ["Dry_Run", "dryRun", "dry-run", "whatIf", "dry_run"])
def test_who_believes_to_rehearse_by_the_query_rotates_nothing(name: str, tmp_path: Path) -> None:
    lab = Lab([item()])
    answer = call("rotate", app(lab, tmp_path), query={name: "true"})
    assert (answer.status, answer.body["code"], lab.operations()) == (400, "body-invalid", [])


def test_an_authority_of_no_cloud_is_named_by_its_setting(tmp_path: Path) -> None:
    lab = Lab([item()], environment={"AZURE_AUTHORITY_HOST": "login.contoso.com"})
    body = {"error": "invalid_instance", "error_codes": [50049], "error_description": "AADSTS50049: x"}
    refuses("entra.discovery", 400, body)(lab)
    code, out, errors = Shell(lab, tmp_path)("run", AZURE_AUTHORITY_HOST="login.contoso.com")
    told = " ".join((out + errors).split())
    assert code == 2
    assert "Correct AZURE_AUTHORITY_HOST: login.microsoftonline.com" in told
    assert PASSES not in told
    assert lab.cloud.calls("entra.token") == []
