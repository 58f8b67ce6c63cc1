"""The deployment package: what is in it, and that it runs on what it carries."""

from __future__ import annotations

import fnmatch
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import package
from sandbox.process.running import ROOT

# The flags of a .pyc: it has the hash of its source, which nobody looks at.
NEVER_CHECKED = (1).to_bytes(4, "little")


@pytest.fixture
def built(packaged: None) -> Path:
    """What `make package` built, as `make test-all` lets it: the tests themselves reach no network."""
    if not package.FOLDER.exists():
        pytest.fail("There is no package: run `make package`, or `make test-all`, which does.")
    return package.FOLDER


def azd() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "azure.yaml").read_text())
    return found


def test_it_holds_the_app_and_its_libraries_and_nothing_else(built: Path) -> None:
    found = {one.name for one in built.iterdir()} - {"__pycache__", package.INVENTORY.name}  # yours, where there is one
    assert found == {*package.FILES, "shared", ".python_packages"}
    tracked = subprocess.run(
        ["git", "ls-files", "shared"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    sources = set(tracked.stdout.split())
    held = {str(path.relative_to(built)) for path in (built / "shared").rglob("*") if path.is_file()}
    assert {name for name in held if not name.endswith(".pyc")} == sources
    assert all((built / name).read_bytes() == (ROOT / name).read_bytes() for name in sources)


def test_a_pyproject_toml_does_not_mislead_azd(built: Path) -> None:
    service = azd()["services"]["patrol"]
    assert ROOT / service["project"] == package.FOLDER
    assert service["remoteBuild"] is False
    assert not (built / "pyproject.toml").exists()
    assert (built / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes()
    for hook in ("prerestore", "prepackage", "predeploy"):
        assert azd()["hooks"][hook]["posix"]["run"].endswith("infra/package.py")
    assert (ROOT / azd()["hooks"]["postdeploy"]["posix"]["run"].split()[-1]).exists()


def test_its_libraries_are_for_python_3_13_on_linux(built: Path) -> None:
    libraries = built / ".python_packages" / "lib" / "site-packages"
    compiled = [path.name for path in libraries.rglob("*.so")]
    assert compiled
    assert all("cpython-313-x86_64-linux-gnu" in name or "abi3" in name for name in compiled), compiled
    functions = next(libraries.glob("azure_functions-*.dist-info")).name
    assert functions.startswith("azure_functions-2."), "the one that Python 3.13 takes"


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="bytecode is of one Python, and the package is for 3.13")
def test_every_module_it_runs_is_compiled_for_good(built: Path) -> None:
    libraries = built / ".python_packages" / "lib" / "site-packages"
    for folder in (
        built / "shared",
        *(libraries / name for name in ("azure/identity", "msal", "pydantic", "requests")),
    ):
        for module in folder.rglob("*.py"):
            held = Path(importlib.util.cache_from_source(str(module)))
            assert held.read_bytes()[:8] == importlib.util.MAGIC_NUMBER + NEVER_CHECKED, module


def test_the_app_s_own_files_are_the_service_tag_of_the_template() -> None:
    assert "'azd-service-name': 'patrol'" in (ROOT / "infra/modules/function-app.bicep").read_text()
    assert set(azd()["services"]) == {"patrol"}
    assert azd()["infra"] == {"provider": "bicep", "path": "infra", "module": "main"}


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the package is for Python 3.13")
def test_it_imports_everything_it_runs_from_itself_alone(built: Path) -> None:
    paths = [path.relative_to(ROOT) for path in (ROOT / "shared").rglob("[a-z]*.py")]
    modules = ["function_app", *(".".join(path.with_suffix("").parts) for path in paths)]
    libraries = built / ".python_packages" / "lib" / "site-packages"
    code = f"import sys, importlib; sys.path[:0] = {[str(built), str(libraries)]!r}\n"
    code += f"for name in {modules!r}: importlib.import_module(name)\n"
    code += "import requests, azure.storage.blob, msal; print(requests.__file__)"
    base = Path(getattr(sys, "_base_executable", sys.executable))
    # -B: other tests look at the package meanwhile, and nothing may be added to it.
    ran = subprocess.run([base, "-B", "-I", "-S", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(libraries))


def test_the_same_content_gives_the_same_archive(built: Path, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        package.archive(built, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as made:
        assert {"host.json", "function_app.py", "shared/rotation/run.py"} <= set(made.namelist())


def test_funcignore_keeps_everything_else_out_for_the_core_tools() -> None:
    patterns = [
        line.strip("/") for line in (ROOT / ".funcignore").read_text().splitlines() if line[:1] not in ("#", "")
    ]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    top = {name.partition("/")[0] for name in listed.stdout.splitlines()}
    kept = {name for name in top if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    assert kept == {*package.FILES, "shared"}
