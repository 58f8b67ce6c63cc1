"""A typing error is told with the word that was meant, and without what may be a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.cloud.seed import AGENTS
from tests.lab.lab import Lab, item
from tests.lab.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item()]), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rotatee",), "did you mean rotate? ("),
        (("stauts",), "did you mean status? ("),
        (("pats", "lst", "--user", AGENTS), "did you mean list? ("),
        (("pats", "list", "--user", AGENTS, "--state", "revokd"), "did you mean revoked? ("),
        (("status", "--state", "heathy"), "did you mean healthy? ("),
        (("status", "--sate", "due"), "--sate is no flag of this command; did you mean --state?"),
        (("rotate", "build-pat", "--froce"), "--froce is no flag of this command; did you mean --force?"),
        (("run", "--dry-run"), "--dry-run is no flag of this command"),
        (("run", "build-pat"), "a word too many"),
        (("completion", "bsh"), "did you mean bash? ("),
        (("nonsense",), "is none of those that are known (check, plan, run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_word_that_is_not_known_is_told_with_the_nearest_one(
    shell: Shell, arguments: tuple[str, ...], says: str
) -> None:
    code, out, errors = shell(*arguments)
    assert (code, out) == (2, "")
    assert says in errors
    assert errors.startswith("usage: patrol")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--password", "Tr0ub4dor&3"),
        ("run", "--password=Tr0ub4dor&3"),
        ("run", "--Tr0ub4dor&3"),
        ("run", "-Tr0ub4dor&3"),
        ("run", "Tr0ub4dor&3"),
        ("Tr0ub4dor&3",),
        ("run", "--json=Tr0ub4dor&3"),
        ("import", "--client=Tr0ub4dor&3"),
        ("status", "--state", "Tr0ub4dor&3"),
        ("pats", "get", "Tr0ub4dor&3", "--user", AGENTS),
        ("pats", "list", "--user", AGENTS, "--organization", "Tr0ub4dor&3"),
        ("pats", "create", "--user", AGENTS, "--name", "x", "--scopes", "vso.code", "--lifetime", "Tr0ub4dor&3"),
        ("pats", "create", "--user", AGENTS, "--name", "x", "--scopes", "vso.code", "--to-secret", "Tr0ub4dor&3"),
        ("pats", "create", "--user", AGENTS, "--name", "x", "--scopes", "vso.code", "--verify", "Tr0ub4dor&3"),
        ("unblock", "Tr0ub4dor&3"),
        ("import", "--user", "Tr0ub4dor&3"),
        ("import", "--from-env", "--tenant", "Tr0ub4dor&3"),
    ],
    ids=" ".join,
)
def test_promise_7_what_nobody_knows_is_not_repeated(shell: Shell, arguments: tuple[str, ...]) -> None:
    code, out, errors = shell(*arguments)
    assert code == 2
    assert "Tr0ub4dor" not in out + errors
    assert "error: " in errors
