"""`make demo`: patrol's main job on the demo estate, shown and proved. Exit code 1 if a promise did not hold."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from sandbox.cloud import seed
from sandbox.cloud.large_estate import OURS
from sandbox.cloud.pat_values import read_instant
from sandbox.process.running import ROOT, Running, start

WIDTH = 118
WEB_TEAM_S = seed.WEB_VAULT.partition(".")[0]
ORGANIZATION_OF = {"sonarqube-pat": "fabrikam"}
ITEMS = {
    "agents-linux-pat": "healthy",
    "agents-windows-pat": "near expiry",
    "build-feed-pat": "expired",
    "new-pipeline-pat": "missing",
    "release-notes-pat": "revoked by a person",
    "wiki-export-pat": "predecessor's overlap is over",
    "legacy-tool-pat": "made by hand, to adopt",
    seed.WEB_SECRET: f"missing; for the web team's own vault, {WEB_TEAM_S}",
    "sonarqube-pat": "near expiry, renewed in place",
}


CHANNEL = {
    "host": "default.environment.api.powerplatform.com",
    "kind": "teams",
    "vault": seed.CREDENTIALS_VAULT,
    "secret": "patrol-teams-url",
}
NOTIFY = """\
notify:
  - kind: teams
    url_secret_name: patrol-teams-url
    on: [failed, blocked, warning, emergency, recovered, done]
"""


class Stage:
    """What is printed: progress while it works, colours only on a terminal."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._began = time.monotonic()
        self.failures: list[str] = []

    def step(self, text: str) -> None:
        print("\n" + self._paint("1", f"[{time.monotonic() - self._began:4.1f} s] {text}"), flush=True)

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def check(self, promise: str, holds: bool) -> None:
        word = self._paint("32", "holds ") if holds else self._paint("31;1", "BROKEN")
        print(f"  {word} {promise}", flush=True)
        if not holds:
            self.failures.append(promise)

    def table(self, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        for row in [head, *rows]:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            print("  " + (self._paint("4", line) if row is head else line))
        sys.stdout.flush()

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text


def main() -> int:
    stage = Stage()
    print(
        "patrol on a laptop: Entra ID, Azure DevOps and Key Vault are played by the sandbox; the app is the real one."
    )
    stage.step("Starting the sandbox with two users, two organizations, PATs in every state and a team's own vault")
    with (
        start({**seed.demo_estate(), "recipients": [CHANNEL]}) as cloud,
        tempfile.TemporaryDirectory(prefix="patrol-demo-") as folder,
    ):
        inventory = Path(folder) / "pats.yaml"
        inventory.write_text(seed.demo_pats_yaml() + NOTIFY, encoding="utf-8")
        before = cloud.client.estate(reveal=True)
        _show(stage, before, None)
        stage.step("Running the timer function rotate_due of function_app.py once")
        _fire(stage, cloud, inventory)
        after = cloud.client.estate(reveal=True)
        _show(stage, after, before)
        _show_notice(stage, cloud)
        stage.step("Checking what patrol promises")
        _check_first_run(stage, cloud, before, after)
        stage.step("A day passes: 25 hours on the sandbox's clock, and the app's with it")
        cloud.client.move_clock(timedelta(hours=25))
        _fire(stage, cloud, inventory)
        later = cloud.client.estate(reveal=True)
        _show(stage, later, after)
        stage.step("Checking again")
        _check_second_run(stage, cloud, before, later)
    if stage.failures:
        print(f"\n{len(stage.failures)} promise(s) did not hold.")
        return 1
    print("\nEvery promise held. Next: `make sandbox` keeps this cloud up, and tells how to try commands on it.")
    return 0


def _fire(stage: Stage, cloud: Running, inventory: Path) -> None:
    calls = len(cloud.client.log())
    with cloud.start_product(
        ["-m", "sandbox.functions_host.fire_timer"], cwd=ROOT, extra={"PATS_FILE": str(inventory)}
    ) as child:
        _, errors = child.communicate(timeout=120)
    for raw in errors.splitlines():
        line = raw.removeprefix("INFO:patrol:").removeprefix("WARNING:patrol:")
        if any(word in line for word in ("pat.", "notice.", "item.failed", "user.", "run.finished", "Error", "Failed")):
            stage.say(_event(line))
    stage.say(f"{len(cloud.client.log()) - calls} calls went out.")
    stage.check("the timer function succeeded", child.returncode == 0)


def _event(line: str) -> str:
    """A line of the app's log as a person reads it: what, of which secret or user, and what more it says."""
    name, _, text = line.partition(" ")
    try:
        fields = json.loads(text)
    except ValueError:
        return line
    whose = fields.pop("secret", "") or fields.pop("username", "")
    more = ", ".join(
        f"{key} {value}" for key, value in fields.items() if key != "run_id" and value not in ("", None, 0)
    )
    shown = f"{name:<15}  {whose:<19}  {more}".rstrip()
    return shown if len(shown) <= WIDTH else f"{shown[: WIDTH - 3]}..."


def _show(stage: Stage, now: dict[str, Any], then: dict[str, Any] | None) -> None:
    at = read_instant(now["now"])
    rows = []
    for name, story in ITEMS.items():
        version = _current(now, name)
        if version is None:
            rows.append((name, "no secret", "", "", story))
            continue
        tags = version["tags"]
        identity = tags.get("authorization-id", "")
        state = _state(now, identity) if identity else "not patrol's"
        left = (read_instant(_pat(now, identity)["valid_to"]) - at).days if identity else None
        until = f"{datetime.fromisoformat(_pat(now, identity)['valid_to'][:19]):%Y-%m-%d}" if identity else ""
        what = story if then is None else _change(then, now, name)
        rows.append((name, state, until, "" if left is None else f"{left} d", what))
    stage.table(("secret", "its PAT", "until", "left", "state" if then is None else "what changed, and why"), rows)


def _show_notice(stage: Stage, cloud: Running) -> None:
    """The card as the channel shows it, and that it came once."""
    (channel,) = cloud.client.estate()["recipients"]
    stage.step("What the channel of Teams was told (`notify` in pats.yaml)")
    for card in channel["shown"]:
        for part in card["body"]:
            line = "".join(run["text"] for run in part["inlines"])
            stage.say(line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}...")
    stage.check("one notice of the run, and no address of it in any log", len(channel["shown"]) == 1)


def _change(then: dict[str, Any], now: dict[str, Any], name: str) -> str:
    old, new = _current(then, name), _current(now, name)
    if new is None:
        return "still missing"
    if old is None:
        own = f", into {WEB_TEAM_S} alone" if name == seed.WEB_SECRET else ""
        return f"minted: nothing was published{own}"
    waiting = new["tags"].get("predecessors", "")
    if old["value"] != new["value"]:
        before = old["tags"].get("authorization-id")
        why = "taken over (adopt)" if not before else f"replaced: it was {ITEMS[name]}"
        until = f"; the old one works on until {waiting.split('@')[1]}" if waiting else ""
        return why + until
    if old["expires"] != new["expires"]:
        return "renewed: same value, later expiry"
    if old["tags"].get("predecessors") and not waiting:
        return "its predecessor was retired"
    return "untouched"


def _check_first_run(stage: Stage, cloud: Running, before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in ITEMS:
        stage.check(f"{name}: the value in the vault works", _works(cloud, after, name))
    _check_strangers(stage, before, after)
    stage.check(
        f"{seed.WEB_SECRET} is in the web team's vault and in no other",
        _vaults_of(after, seed.WEB_SECRET) == [seed.WEB_VAULT],
    )
    stage.check(
        "the healthy one was not touched", _current(before, "agents-linux-pat") == _current(after, "agents-linux-pat")
    )
    old = _current(before, "agents-windows-pat")
    identity = old["tags"]["authorization-id"] if old else ""
    stage.check("the replaced PAT still works while consumers move over", _state(after, identity) == "active")


def _check_second_run(stage: Stage, cloud: Running, before: dict[str, Any], later: dict[str, Any]) -> None:
    for name in ITEMS:
        stage.check(f"{name}: the value in the vault works", _works(cloud, later, name))
    _check_strangers(stage, before, later)
    current = {_tag(later, name, "authorization-id") for name in ITEMS}
    live = {
        pat["authorization_id"]
        for pat in later["pats"]
        if pat["display_name"].startswith(OURS)
        and pat["state"] == "active"
        and pat["authorization_id"] not in _strangers(before)
    }
    stage.check("no PAT of patrol's is left over: only the current ones live", live == current)
    secrets = cloud.client.secrets()
    seen = " ".join(f"{row['path']}?{row['query']}" for row in cloud.client.log())
    stage.check("no secret in any URL", not any(secret in seen for secret in secrets if len(secret) > 8))


def _check_strangers(stage: Stage, before: dict[str, Any], after: dict[str, Any]) -> None:
    for identity, says in _strangers(before).items():
        unchanged = {**_pat(before, identity), "uses": 0} == {**_pat(after, identity), "uses": 0}
        stage.check(f"{says} was left alone", unchanged)


def _strangers(before: Mapping[str, Any]) -> dict[str, str]:
    """PATs patrol must never touch, by id."""
    found = {}
    for pat in before["pats"]:
        if pat["display_name"] == "agents-linux-pat":
            found[pat["authorization_id"]] = "a person's PAT named like the secret"
        elif pat["owner"] == seed.PERSON:
            found[pat["authorization_id"]] = "another user's PAT with patrol's mark"
        elif not pat["display_name"].startswith("patrol/"):
            found[pat["authorization_id"]] = "the PAT somebody made by hand"
    return found


def _works(cloud: Running, estate: dict[str, Any], name: str) -> bool:
    """Use the value as a consumer does: read it from the vault, call Azure DevOps with it."""
    version = _current(estate, name)
    if version is None:
        return False
    environment = cloud.environment()
    organization = ORGANIZATION_OF.get(name, "contoso")
    answer = requests.get(
        f"https://dev.azure.com/{organization}/_apis/connectionData",
        auth=("", version["value"]),
        headers={"X-TFS-FedAuthRedirect": "Suppress"},
        proxies={"https": environment["HTTPS_PROXY"]},
        verify=environment["REQUESTS_CA_BUNDLE"],
        allow_redirects=False,
        timeout=10,
    )
    return bool(answer.status_code == requests.codes.ok)


def _vaults_of(estate: Mapping[str, Any], name: str) -> list[str]:
    return [vault["host"] for vault in estate["vaults"] if name in {secret["name"] for secret in vault["secrets"]}]


def _current(estate: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    for vault in estate["vaults"]:
        for secret in vault["secrets"]:
            if secret["name"] == name:
                version: dict[str, Any] = secret["versions"][-1]
                return version
    return None


def _tag(estate: Mapping[str, Any], name: str, tag: str) -> str:
    version = _current(estate, name)
    return str(version["tags"].get(tag, "")) if version else ""


def _pat(estate: Mapping[str, Any], identity: str) -> dict[str, Any]:
    return next(pat for pat in estate["pats"] if pat["authorization_id"] == identity)


def _state(estate: Mapping[str, Any], identity: str) -> str:
    return str(_pat(estate, identity)["state"])


if __name__ == "__main__":
    sys.exit(main())
