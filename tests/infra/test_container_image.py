"""The image for Kubernetes: what is in it, who it runs as, and that it writes nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.process.running import ROOT
from shared import __version__
from tests.lab import container_image
from tests.lab.container_image import HOME, Image, in_context, instructions, one, stages
from tests.lab.read_only.sitecustomize import TOLD


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    made = container_image.build(tmp_path)
    yield made
    for path in [made.folder, *made.folder.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)  # for whoever removes the folder


def container(image: Image, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**image.process(list(arguments), environment), capture_output=True, timeout=60, check=False)


def test_it_holds_the_package_its_pins_and_nothing_else(image: Image) -> None:
    assert {path.name for path in image.folder.iterdir()} == {"shared", "requirements.txt"}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "shared").rglob("*.py")}
    assert {str(path.relative_to(image.folder)) for path in (image.folder / "shared").rglob("*.py")} == sources
    caches = list((image.folder / "shared").rglob("*.pyc"))
    compiled = {f"{path.parents[1].relative_to(image.folder)}/{path.name.partition('.')[0]}.py" for path in caches}
    assert compiled == sources, "compiled before, not at every start"


@pytest.mark.parametrize(
    "path",
    [
        "pats.yaml",
        "local.settings.json",
        ".env",
        "tests/conftest.py",
        ".git/config",
        "shared/rotation/__pycache__/run.pyc",
    ],
)
def test_nothing_else_is_sent_to_a_build(path: str) -> None:
    assert not in_context(path)
    assert in_context("shared/rotation/run.py")


def test_libraries_are_the_pinned_ones_with_their_hashes() -> None:
    (install,) = [each for each in instructions() if each.name == "RUN" and "pip" in each.words]
    words = install.words
    assert "--require-hashes" in words
    assert words[words.index("--only-binary") + 1] == ":all:", "nothing is compiled, so the stage needs no compiler"
    assert words[words.index("--requirement") + 1] == "requirements.txt"
    target = words[words.index("--target") + 1]
    assert target in one(stages()[-1], "ENV").text.split("PYTHONPATH=")[1].split()[0].split(":")


def test_both_images_are_arguments_with_the_python_of_the_app() -> None:
    given = dict(each.text.split("=", 1) for each in instructions() if each.name == "ARG")
    assert given["RUNTIME_IMAGE"] == given["PYTHON_IMAGE"]
    version = re.search(r":(\d+\.\d+)-slim$", given["PYTHON_IMAGE"])
    assert version is not None
    assert version[1] == "3.13"
    assert [one(stage, "FROM").words[0] for stage in stages()] == ["${PYTHON_IMAGE}", "${RUNTIME_IMAGE}"]
    page = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--build-arg (\w+)=", page)) == set(given)
    assert given["PYTHON_IMAGE"] in page


def test_it_runs_as_a_number_without_a_shell() -> None:
    last = stages()[-1]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", one(last, "USER").text)
    assert not [each for each in last if each.name == "RUN"], "the last stage takes an image that has no shell"
    for each in instructions():
        if each.name in ("RUN", "CMD", "ENTRYPOINT"):
            assert each.text.startswith("["), each
    assert one(last, "WORKDIR").text == HOME


def test_it_starts_on_a_read_only_disk_without_a_home(image: Image) -> None:
    before = sorted(image.folder.rglob("*"))
    said = container(image, "--version")
    assert (said.returncode, said.stdout.strip(), said.stderr) == (0, f"patrol {__version__}", "")
    told = container(image, *one(stages()[-1], "CMD").words)
    assert told.returncode == 0
    assert "Exit codes" in told.stdout
    assert sorted(image.folder.rglob("*")) == before
    assert not any(path.is_file() and path.stat().st_mode & 0o022 for path in before), "the image's user owns nothing"


def test_the_read_only_disk_of_these_tests_refuses_to_write(image: Image, tmp_path: Path) -> None:
    wanted = tmp_path / "written"
    process = image.process([], {})
    process["args"] = [process["args"][0], "-c", f"open({str(wanted)!r}, 'w')"]
    ran = subprocess.run(**process, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert f"{TOLD}open {wanted}" in ran.stderr
    assert not wanted.exists()
