"""What the workflows of .github hold to: tags, pins, rights, and the ways that this repository has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.release_notes import notes

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.3] - 2026-12-31

### Fixed

- It holds now.

## [1.2.2] - 2026-12-01

- Before.

[1.2.3]: https://example.com/compare
"""


def test_the_notes_are_the_section_of_the_tag_alone() -> None:
    assert notes("v1.2.3", "1.2.3", CHANGELOG) == "### Fixed\n\n- It holds now."
    assert notes("v1.2.2", "1.2.2", CHANGELOG) == "- Before."


@pytest.mark.parametrize(
    ("tag", "version", "says"),
    [
        ("v1.2.4", "1.2.3", "the tag must be v1.2.3"),
        ("1.2.3", "1.2.3", "the tag must be v1.2.3"),
        ("v1.3.0", "1.3.0", "has no line"),
        ("v1x2.3", "1x2.3", "has no line"),
        ("v2.0.0", "2.0.0", "says nothing of 2.0.0"),
    ],
)
def test_what_does_not_fit_together_is_not_released(tag: str, version: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        notes(tag, version, CHANGELOG.replace("## [1.2.3]", "## [2.0.0] - 2027-01-01\n\n## [1.2.3]"))


@pytest.mark.parametrize("arguments", [(), ("v0.0.0",), ("v1", "v2")], ids=str)
def test_the_program_ends_with_2_and_a_sentence(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "infra/release_notes.py", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (2, "", False)


def workflow(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job.get("steps", ())]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_digest_with_the_version_beside_it(path: Path) -> None:
    used = re.findall(r"^\s*(?:- )?uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for one in used:
        assert one.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_one_action_has_one_digest_everywhere() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    pins = set(re.findall(r"uses: ([\w.-]+/[\w.-]+)[\w./-]*@([0-9a-f]{40})", text))
    assert len(pins) == len({action for action, _ in pins})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_a_job_says_what_more_it_needs(path: Path) -> None:
    assert workflow(path)["permissions"] == {"contents": "read"}
    for job in workflow(path)["jobs"].values():
        assert "timeout-minutes" in job or "uses" in job
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_calls_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for step in steps(path):
        for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
            assert target in targets
        for file in re.findall(r"\bpython (\S+\.py)", step.get("run", "")):
            assert (ROOT / file).exists()


def test_every_python_of_the_project_is_tested_and_nothing_is_released_untested() -> None:
    tested = workflow(ROOT / ".github/workflows/tests.yml")["jobs"]["quick"]["strategy"]["matrix"]["python"]
    assert tested == ["3.11", "3.12", "3.13", "3.14"]
    assert 'requires-python = ">=3.11,<3.15"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    jobs = workflow(ROOT / ".github/workflows/release.yml")["jobs"]
    for name in ("package", "image"):
        assert {"notes", "tests"} <= set(jobs[name]["needs"])
    assert {"package", "image"} <= set(jobs["release"]["needs"])


def test_dependabot_compiles_the_requirements_as_make_lock_does() -> None:
    """It reads the options off the file: for each Python of the project, from the oldest on, with hashes."""
    ecosystems = {
        one["package-ecosystem"] for one in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    }
    assert ecosystems == {"uv", "npm", "docker", "github-actions"}
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("UV_COMPILE := ")[1].split("\n\n")[0]
    for name in ("requirements.txt", "requirements-dev.txt"):
        top = (ROOT / name).read_text(encoding="utf-8").split("\n")[:2]
        for option in ("--universal", "--python-version 3.11", "--generate-hashes"):
            assert option in recipe
            assert option in "".join(top), name
