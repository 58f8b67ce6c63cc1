"""Rooms: who may import whom, and what importing does (nothing)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the bottom up: a module imports only from its own row and the rows above it.
ROWS = (
    ("__init__", "errors", "secrecy", "durations", "scopes"),
    ("model", "tags", "pat_errors", "entra_errors", "clock", "run_ids"),
    (
        "steps",
        "seen",
        "generations",
        "planning",
        "report",
        "blocking",
        "expiring",
        "token_tags",
        "token_planning",
        "kept_runs",
        "queue_messages",
    ),
    (
        "host_storage",
        "settings",
        "inventory_yaml",
        "inventory_schema",
        "inventory_words",
        "inventory_principals",
        "inventory",
        "inventory_lines",
        "inventory_import",
        "inventory_from_env",
        "global_pats",
        "telemetry",
        "terminal",
        "progress",
    ),
    ("ports", "single_flight", "unkept", "hands", "looked_up", "fan_out"),
    (
        "transport",
        "pace",
        "devops",
        "proving",
        "vault",
        "certificates",
        "client_credentials",
        "federation",
        "signin",
        "service_tokens",
        "identity",
        "host_blobs",
        "leases",
        "run_store",
        "sonarqube",
    ),
    (
        "consumers",
        "rotation",
        "pushing",
        "retiring",
        "observing",
        "signing",
        "item_rows",
        "item_work",
        "user_work",
        "run",
        "status",
        "online",
        "by_hand",
        "moving_in",
        "token_refresh",
        "refresh",
    ),
    ("dispatching", "queued_work"),
    ("both_kinds", "wiring", "beside", "http_body", "http_caller", "http_answer"),
    (
        "api",
        "http_api",
        "http_health",
        "token_timer",
        "cli",
        "cli_pats",
        "cli_pats_show",
        "cli_show",
        "cli_import",
        "cli_completion",
        "cli_words",
    ),
    ("__main__",),
)
ADAPTERS = {
    "transport",
    "certificates",
    "signin",
    "federation",
    "service_tokens",
    "devops",
    "proving",
    "vault",
    "identity",
    "host_blobs",
    "leases",
    "run_store",
    "sonarqube",
    "wiring",
}
SDKS = {"requests", "urllib3", "msal", "azure", "cryptography"}
PURE = {"errors", "secrecy", "model", "tags", "pat_errors", "entra_errors", "steps", "seen", "generations", "planning"}
PURE |= {"report", "blocking", "expiring", "token_tags", "token_planning", "kept_runs", "queue_messages", "fan_out"}


def imports(path: Path) -> set[str]:
    """Every module a file imports, also inside functions; of `shared` the module's own name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"shared.{alias.name}" for alias in node.names} if node.module == "shared" else {node.module}
    return found


MODULES = sorted((ROOT / "shared").glob("*.py"))


def row_of(name: str) -> int:
    return next(number for number, row in enumerate(ROWS) if name in row)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_from_its_own_row_and_those_above(path: Path) -> None:
    mine = row_of(path.stem)
    for name in imports(path):
        if name.startswith("shared.") and (ROOT / "shared" / f"{name[7:]}.py").exists():
            assert row_of(name[7:]) <= mine, f"{path.stem} imports {name}"
        assert not name.startswith(("sandbox", "tests"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_adapters_know_the_sdks_and_rules_know_neither_clock_nor_network(path: Path) -> None:
    used = {name.partition(".")[0] for name in imports(path)}
    if path.stem not in ADAPTERS:
        assert not used & SDKS
    if not path.stem.startswith("inventory"):
        assert not used & {"pydantic", "yaml"}
    if path.stem in PURE:
        assert not used & {"os", "time", "socket", "logging", "random", "threading"}
        assert "now()" not in path.read_text()


def test_only_the_doors_reach_for_the_environment() -> None:
    reaching = {path.stem for path in MODULES if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    assert reaching == {"api", "cli", "http_api", "http_health", "token_timer"}


def test_the_sandbox_shares_no_code_with_the_product() -> None:
    for path in (ROOT / "sandbox").glob("*.py"):
        assert not any(name.startswith("shared") for name in imports(path)), path.name


def test_importing_function_app_does_nothing() -> None:
    code = (
        "import sys, json, function_app; "
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in "
        "('shared', 'pydantic', 'yaml', 'msal', 'requests') "
        "or m.startswith(('azure.identity', 'azure.keyvault', 'azure.core'))]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_is_two(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
