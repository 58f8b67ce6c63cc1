"""Promises 7 and 8: a name from outside reaches no terminal and no pats.yaml as it is.

PATs are named by anybody, tags are written by people and tools, and words of the command line come out of files.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS, mark
from sandbox.process.running import ROOT
from shared.inventory.proposals import propose, text_of
from shared.model.credentials import ClientSecret, SignIn
from shared.model.items import Inventory, User
from shared.model.pats import Pat as Seen
from shared.model.pats import PatId, Validity
from shared.model.tags import Mark
from tests.lab.lab import START, Lab, days, item
from tests.lab.shell import Shell

HOSTILE = {
    "escape": "evil\x1b[2J\x1b[31mOK",
    "title": "evil\x1b]0;OK\x07",
    "newline": "evil\nSucceeded: 3 untouched.",
    "carriage return": "evil\rOK",
    "right to left": "evil\u202eKO",
    "isolate": "evil\u2066OK\u2069",
    "line separator": "evil\u2028OK",
    "next line": "evil\x85OK",
    "one byte escape": "evil\x9b2JOK",
    "backspace": "evil\b\b\b\bOK",
    "zero width": "ev\u200bil\ufeff",
    "surrogate": "evil\ud800OK",
    "an item": "evil\n      - secret: stolen-pat\n        scopes: [app_token]\n        allow_full_access: true",
}


def shown_safely(text: str) -> None:
    assert [letter for letter in text if not letter.isprintable() and letter != "\n"] == []
    # What comes after a line break in a name must not stand where a line of ours could.
    assert not any(line.startswith(("OK", "succeeded: 3 of 3", "      - secret: stolen")) for line in text.split("\n"))


def seed(lab: Lab, name: str, **more: Any) -> Pat:
    now = lab.manual.now()
    return lab.cloud.pats.seed(AGENTS, "contoso", name, valid_from=now, valid_to=now + days(30), **more)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item()]), tmp_path)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_pat_s_display_name_is_shown_safely_by_every_command(shell: Shell, name: str) -> None:
    pat = seed(shell.lab, name)
    wide = seed(shell.lab, f"{name} everywhere", all_orgs=True)
    kept = seed(shell.lab, f"{mark('', shell.lab.settings.vault_host)}{name}")
    shell.terminal = True
    whose = ("--user", AGENTS)
    for command in (
        ("pats", "list", *whose),
        ("pats", "list", *whose, "--state", "all"),
        *(("pats", "get", one.authorization_id, *whose) for one in (pat, wide, kept)),
        ("pats", "revoke", pat.authorization_id, *whose),
        ("import", *whose, "--organization", "contoso"),
        ("check", "--online"),
        ("plan",),
        ("run",),
        ("status",),
        ("status", "build-pat"),
        ("pats", "renew", wide.authorization_id, *whose),
        ("pats", "revoke", kept.authorization_id, *whose, "--yes"),
    ):
        shell.answers = "no\n"
        _, out, errors = shell(*command, NO_COLOR="1")
        assert "patrol itself failed" not in errors, (command, errors)
        shown_safely(out)
        shown_safely(errors)
        document = shell(*command, "--json")[1]
        if document:
            json.loads(document)
            assert document.isascii()


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_promise_4_a_display_name_writes_no_line_of_pats_yaml(shell: Shell, name: str, tmp_path: Path) -> None:
    for text in (name, f"{mark('', shell.lab.settings.vault_host)}{name}", f"patrol/other-123456/{name}"):
        seed(shell.lab, text)
    file = tmp_path / "new.yaml"
    code, out, errors = shell("import", "--user", AGENTS, "--organization", "contoso")
    assert code == 0, errors
    assert shell("import", "--user", AGENTS, "--organization", "contoso", "--output", str(file))[0] == 0
    document = shell.json("import", "--user", AGENTS, "--organization", "contoso")[1]["pats_yaml"]
    for text in (out, file.read_text(encoding="utf-8"), document):
        shown_safely(text)
        [only] = yaml.safe_load(text)
        assert only["secret"].startswith(("evil", "ev"))
        assert (only["scopes"], only.get("allow_full_access")) == (["vso.code"], None)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_tag_of_somebody_s_is_shown_safely(shell: Shell, name: str) -> None:
    tags = {
        "managed-by": f"patrol/{name}",
        "authorization-id": f"a0000000-0000-4000-8000-000000000099{name}",
        "username": name,
        "organization": name,
    }
    for secret in ("laptop-pat", "build-pat"):
        shell.lab.vault.seed(secret, "theirs", tags=tags)
    create = ("pats", "create", "--user", AGENTS, "--name", "x", "--scopes", "vso.code", "--to-secret", "laptop-pat")
    for command in (create, ("run",), ("plan",), ("status",), ("status", "build-pat"), ("check", "--online")):
        _, out, errors = shell(*command)
        assert "patrol itself failed" not in errors, (command, errors)
        shown_safely(out)
        shown_safely(errors)


@pytest.mark.parametrize("word", HOSTILE.values(), ids=HOSTILE)
def test_a_word_of_the_command_line_is_shown_safely(shell: Shell, word: str) -> None:
    for command in (
        ("rotate", word),
        ("emergency", word),
        ("status", word),
        ("unblock", word),
        ("scopes", word),
        (word,),
        ("pats", word),
        ("pats", "list", "--user", word),
        ("pats", "list", "--user", AGENTS, "--organization", word),
        ("pats", "create", "--user", AGENTS, "--name", word, "--scopes", word, "--lifetime", word),
        ("import", "--user", word),
        ("import", "--from-env", "--output", f"/nowhere/{word}"),
        ("run", f"--json={word}"),
        ("run", f"--{word}"),
        ("run", word),
    ):
        _, out, errors = shell(*command)
        assert "patrol itself failed" not in errors, (command, errors)
        shown_safely(out)
        shown_safely(errors)


def test_a_name_out_of_a_file_with_windows_line_ends_is_told_with_the_one_that_is_meant(shell: Shell) -> None:
    code, _, errors = shell("rotate", "build-pat\r")
    assert code == 2
    assert "no item for the secret build-pat?; nothing was attempted." in errors
    assert "Did you mean build-pat?" in errors


names = st.text(max_size=40) | st.text(alphabet="evil\n\r\x1b\u2028\u202e\ud800 -:#[]{}'\"secret", max_size=60)


@given(st.lists(names, max_size=4))
def test_promise_4_whatever_pats_are_called_only_comments_and_items_come_of_it(called: list[str]) -> None:
    validity = Validity(START, START + timedelta(days=30))
    our = Mark.of("patrol", "patrol-demo.vault.azure.net")
    pats = [
        replace(
            Seen(PatId(f"a0000000-0000-4000-8000-{number:012d}"), name, frozenset({"vso.code"}), validity, "x"),
            display_name=f"{our.text}/{name}" if number % 2 else name,
        )
        for number, name in enumerate(called)
    ]
    text = text_of(
        propose(
            pats,
            User(AGENTS, "svc-agents-password"),
            "contoso",
            text="sign_in: {tenant: contoso.onmicrosoft.com}\nusers: []\n",
            file=True,
            inventory=Inventory(SignIn("contoso.onmicrosoft.com", "x", ClientSecret("y")), ()),
            listed={},
            mark=our,
            prove=lambda _: "",
        )
    )
    shown_safely(text)
    lines = [line for line in text.split("\n") if line and not line.lstrip().startswith("#")]
    assert all(
        line.startswith(("  - username: ", "    password_secret_name: ", "    pats:", "      ")) for line in lines
    )
    read = yaml.safe_load(text)[0]["pats"]
    assert all(set(one) <= {"secret", "organization", "scopes", "lifetime"} | MARGINS for one in read)


MARGINS = {"rotate_before", "overlap", "max_age"}


def test_one_place_writes_and_the_few_that_hand_it_text_of_their_own_are_known() -> None:
    """`line`, `say`, `paragraph` and `table` make names printable; `write` takes text of our own as it is."""
    files = {path.name: path.read_text() for path in (ROOT / "shared/cli").glob("*.py")}
    assert len(files) > 15
    assert {name for name, text in files.items() if re.search(r"\bprint\(|stdout\.write|stderr\.write", text)} == set()
    raw = {name for name, text in files.items() if re.search(r"\.write\(", text)}
    # What loopback.py writes goes to a browser, escaped by views/html.py.
    assert raw == {"terminal.py", "command.py", "completion.py", "loopback.py", "parser.py", "progress.py"}
