"""`check`: every mistake in pats.yaml and the settings; online also what a run needs of the services. And `unblock`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from shared.cli import check_canary, check_online
from shared.cli.arguments import PROGRAM, wrong
from shared.cli.command import HUMAN, MISCONFIGURED, NOT_DONE, WELL, Terminal
from shared.cli.finding import Finding
from shared.cli.names import nearest_user
from shared.cli.tables import show_causes
from shared.cli.terminal import Screen
from shared.inventory import files
from shared.inventory.pats_yaml import Problem
from shared.model.errors import Code, Misconfigured
from shared.rotation import sign_in
from shared.services.blob_address import BlobAddress
from shared.settings import home_vault, pats_file

SETTINGS = "settings"
"""Where a mistake is that lies in no file."""
_SEVERITY = (WELL, NOT_DONE, HUMAN, MISCONFIGURED)


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in `file`, or in files beside each other. `findings`: None where nothing was tried online."""

    file: str
    problems: tuple[Problem, ...]
    findings: tuple[Finding, ...] | None = None

    def exit_code(self) -> int:
        """2 beats 3 beats 1; any mistake is 2."""
        if self.problems:
            return MISCONFIGURED
        return max((finding.exit_code for finding in self.findings or ()), key=_SEVERITY.index, default=WELL)

    def to_json(self) -> dict[str, object]:
        problems = [
            {"file": problem.file or None, "path": problem.path, "line": problem.line, "says": problem.says}
            for problem in self.problems
        ]
        if self.findings is None:
            return {"problems": problems}
        return {"problems": problems, "online": [finding.to_json() for finding in self.findings]}


def check(terminal: Terminal) -> int:
    """Gives the exit code."""
    if terminal.options.canary and not terminal.options.online:
        raise wrong("--canary mints PATs, and ends them at once.", f"Write `{PROGRAM} check --online --canary`.")
    checked = _check(terminal)
    if terminal.options.json:
        terminal.screen.json(checked.to_json())
    else:
        show(terminal.screen, checked)
    return checked.exit_code()


def _check(terminal: Terminal) -> Checked:
    """Where the settings are broken, pats.yaml is examined all the same, so that nobody has to come back twice."""
    place: Path | BlobAddress = terminal.root / "pats.yaml"
    problems: list[Problem] = []
    try:
        terminal.settings()
    except Misconfigured as failure:
        mistakes = failure.mistakes or (failure.cause,)
        problems += [Problem(SETTINGS, None, f"{mistake} {failure.remedy}") for mistake in mistakes]
    try:
        place = pats_file(terminal.environ, terminal.root)
        problems += files.check(terminal.files(place), home_vault(terminal.environ))
    except Misconfigured as failure:
        if failure.code is not Code.SETTINGS_INVALID:  # that is told already
            problems.append(Problem(str(place), None, f"{failure.cause} {failure.remedy}"))
    if problems or not terminal.options.online:
        return Checked(place.name, tuple(problems))
    patrol, canary = terminal.open(), terminal.options.canary
    if canary:
        terminal.stopping.says = lambda: check_canary.IN_DOUBT
    found = check_online.check_online(patrol.inventory, patrol.settings, patrol.world, canary=canary)
    return Checked(place.name, (), tuple(found))


def show(screen: Screen, checked: Checked) -> None:
    """For a person: problems as editors and terminals link them, findings one below the other."""
    for problem in checked.problems:
        screen.sentence(_located(checked.file, problem), hanging="  ")
    if not checked.problems and checked.findings is None:
        screen.sentence("pats.yaml and the settings are in order.", "good")
    findings = checked.findings or ()
    times = Counter(finding.says for finding in findings)
    for finding in findings:
        word, tone = _shown_as(finding)
        screen.sentence(f"{word} {finding.what}", tone, hanging="       ")
        if finding.says and times[finding.says] == 1:
            screen.paragraph(finding.says, "         ")
    show_causes(
        screen, ((finding.what, finding.says) for finding in findings if finding.says and times[finding.says] > 1)
    )


def unblock(terminal: Terminal) -> int:
    """Gives the exit code. Raises Misconfigured for a user nobody knows."""
    patrol, username = terminal.open(), terminal.options.upn
    try:
        done = sign_in.unblock(patrol.inventory, patrol.world.vault, username)
    except Misconfigured as failure:
        if failure.code is Code.INVENTORY_INVALID:
            failure.remedy = f"{nearest_user(patrol.inventory, username)}{failure.remedy}"
        raise
    if terminal.options.json:
        terminal.screen.json(done.to_json())
    else:
        terminal.screen.sentence(done.says)
    return WELL


def _located(file: str, problem: Problem) -> str:
    """File, line, place in the file; of the file as a whole its name is enough."""
    if problem.path == SETTINGS:
        return f"{SETTINGS}: {problem.says}"
    name = problem.file or file
    where = f"{name}:{problem.line}:" if problem.line else f"{name}:" if problem.file or not problem.path else ""
    return " ".join(filter(None, (where, "" if problem.says.startswith(problem.path) else problem.path, problem.says)))


def _shown_as(finding: Finding) -> tuple[str, str]:
    if not finding.well:
        return "FAILED", "bad"
    return ("note  ", "warning") if finding.says else ("ok    ", "")
