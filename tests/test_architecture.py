"""What the import contracts (pyproject.toml) cannot say: rules know no clock, few doors read the environment, importing
does nothing, and no module is two.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("cli", "fan_out", "functions", "inventory", "model", "report", "rotation", "rules", "services", "views")
WAITING = ("model/clock.py", "model/single_flight.py")
"""Ports of time itself, and of waiting for one's turn."""

DOORS = {
    "cli/main.py",
    "functions/cold_start.py",
    "functions/http_health.py",
    "functions/http_routes.py",
    "functions/queue_trigger.py",
    "functions/rotation_timer.py",
    "functions/token_timer.py",
}


def sources(folder: str) -> list[Path]:
    """Every file of a folder and its wings; an empty tree would pass every test below."""
    found = sorted(path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts)
    assert len(found) > 5, folder
    return found


MODULES = sources("shared")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "shared").as_posix()


def test_every_module_lies_in_a_wing_that_has_a_law() -> None:
    assert sorted(path.parent.name for path in (ROOT / "shared").glob("*/__init__.py")) == sorted(WINGS)
    for wing in WINGS:
        assert (ROOT / "shared" / wing / "__init__.py").read_text().startswith('"""'), wing
    top = {path.name for path in (ROOT / "shared").glob("*.py")}
    one_word = {"loading.py", "process_wide.py", "settings.py", "telemetry.py", "wiring.py"}
    assert top == {"__init__.py", "__main__.py", *one_word}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("shared/rules/plan.py", "from shared.rotation import run"),
        ("shared/rotation/run.py", "import requests"),
        ("shared/rotation/run.py", "from shared.services import key_vault"),
        ("shared/functions/http_routes.py", "from shared.cli import main"),
        ("shared/model/items.py", "from sandbox.cloud import cloud"),
        ("sandbox/cloud/cloud.py", "from shared.model import items"),
        ("sandbox/cloud/cloud.py", "from sandbox.wire import exchange"),
        ("shared/rules/plan.py", "import os"),
        ("shared/views/html.py", "from shared.services import key_vault"),
        ("shared/functions/http_routes.py", "import jinja2"),
    ],
)
def test_an_arrow_against_the_contracts_fails_the_check(module: str, line: str, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("node", "__pycache__")
    for folder in ("shared", "sandbox"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / module).write_text((tmp_path / module).read_text() + f"\n{line}  # noqa\n")
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1, ran.stdout
    assert "BROKEN" in ran.stdout


def test_rules_and_values_read_no_clock() -> None:
    for path in MODULES:
        if name_of(path).startswith(("model/", "rules/", "report/", "views/")) and name_of(path) not in WAITING:
            assert "now()" not in path.read_text(), path


def test_rule_7_what_cannot_be_undone_goes_through_the_one_gate() -> None:
    """Calls of the ports' `revoke`, `extend` and `disable`: in the gate alone, and of the gate from anywhere."""
    irreversible = {"revoke", "extend", "disable"}
    found: dict[str, set[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in irreversible:
                owner = ast.unparse(node.func.value)
                if owner != "gate":
                    found.setdefault(name_of(path), set()).add(node.func.attr)
    assert found == {"rotation/gate.py": irreversible}


def test_rule_17_only_patrol_s_own_notes_are_in_the_vault_of_key_vault_url_by_name() -> None:
    """Everything else of a run is about an item, and goes to that one's vault."""
    reaching = {
        name_of(path)
        for path in MODULES
        if name_of(path).startswith(("rotation/", "fan_out/")) and re.search(r"world\.vault\b", path.read_text())
    }
    # `who_reads` is given a world of each vault in turn.
    assert reaching == {"rotation/sign_in.py", "rotation/enroll.py", "rotation/who_reads.py", "fan_out/dispatch.py"}


def test_evidence_is_made_by_the_rules_alone() -> None:
    making = {name_of(path) for path in MODULES if "_MADE_HERE" in path.read_text()}
    assert making == {"rules/may_end.py"}


def test_only_the_doors_reach_for_the_environment() -> None:
    reaching = {name_of(path) for path in MODULES if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    assert reaching == DOORS


def test_importing_function_app_does_nothing() -> None:
    code = (
        "import sys, json, function_app; "
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in "
        "('shared', 'pydantic', 'yaml', 'msal', 'requests') "
        "or m.startswith(('azure.identity', 'azure.keyvault', 'azure.core'))]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_two(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
