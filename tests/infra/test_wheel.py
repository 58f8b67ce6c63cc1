"""The wheel: what pip, pipx and uvx install, in an environment that has nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import shared
from sandbox.cloud.seed import demo_pats_yaml
from sandbox.process.environment import kept_environment
from sandbox.process.running import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input")


def tracked() -> list[str]:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    return listed.stdout.rstrip("\0").split("\0")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without any index, from a copy of what git knows: nothing lies about that a build could take up."""
    copy, made = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("wheel")
    top = ("pyproject.toml", "requirements.in", "README.md", "LICENSE", "shared/")
    for name in filter(lambda name: name.startswith(top), tracked()):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    building = [*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(made), str(copy)]
    subprocess.run([sys.executable, *building], capture_output=True, text=True, timeout=120, check=True)
    [path] = made.glob("*.whl")
    return path


def test_one_version_is_said_everywhere() -> None:
    assert PROJECT["version"] == shared.__version__
    assert f"template: patrol@{shared.__version__}" in (ROOT / "azure.yaml").read_text(encoding="utf-8")


@pytest.mark.exhaustive
def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry] = [name for name in names if name.endswith("entry_points.txt")]
        [metadata] = [name for name in names if name.endswith("METADATA")]
        assert archive.read(entry).decode().split() == ["[console_scripts]", "patrol", "=", "shared.__main__:main"]
        asked = re.findall(r"^Requires-Dist: ([\w.-]+)", archive.read(metadata).decode(), re.MULTILINE)
    assert {name.split("/")[0] for name in names} == {"shared", f"patrol-{shared.__version__}.dist-info"}
    assert {name for name in tracked() if name.startswith("shared/")} <= set(names)
    wanted = re.findall(r"^([\w.-]+)", (ROOT / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name.casefold() for name in asked} == {name.casefold() for name in wanted}


@pytest.mark.exhaustive
def test_in_an_empty_environment_it_gives_patrol(wheel: Path, tmp_path: Path) -> None:
    """The libraries come from the index, in the versions that the app is deployed with."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=True, symlinks=True)
    pins = re.findall(r"^([\w.-]+==\S+)(?: ; (.*?))? \\\\$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(f"{pin} ; {marker}" if marker else pin for pin, marker in pins))
    installing = [str(place / "bin" / "python"), *PIP, "install", "--constraint", str(constraints), str(wheel)]
    subprocess.run(installing, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)

    home = tmp_path / "elsewhere"
    home.mkdir()
    (home / "pats.yaml").write_text(demo_pats_yaml(), encoding="utf-8")
    environ = {**kept_environment(), "KEY_VAULT_URL": "https://contoso.vault.azure.net"}

    def patrol(*words: str) -> subprocess.CompletedProcess[str]:
        program = [str(place / "bin" / "patrol"), *words]
        return subprocess.run(program, cwd=home, env=environ, capture_output=True, text=True, timeout=60, check=False)

    assert patrol("--version").stdout == f"patrol {shared.__version__}\n"
    assert patrol("--help").stdout.startswith("usage: patrol ")
    checked = patrol("check")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    (home / "pats.yaml").unlink()
    missing = patrol("check")
    assert missing.returncode == 2
    assert str(home / "pats.yaml") in missing.stdout + missing.stderr, "the current folder's, where there is no app"
    assert patrol("completion", "bash").stdout.count("_shtab_patrol")
