"""The command line of DESIGN section 6: commands, exit codes, and one JSON document on stdout."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from sandbox.cloud.seed import AGENTS, SONAR, WEB_VAULT, demo_estate, demo_pats_yaml
from sandbox.process.environment import kept_environment
from sandbox.process.running import ROOT, start
from shared.cli.main import main
from shared.model import run_ids
from shared.model.ports import Events
from shared.model.steps import Because
from shared.report.kept_run import KeptRun, MessageOpen
from shared.report.report import Outcome, Report, Row, Verb
from shared.rotation.world import World
from shared.settings import Settings
from tests.lab.fakes import FakeHistory
from tests.lab.lab import ENVIRONMENT, START, Lab, days, hours, item
from tests.lab.shell import Screenful, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item()]), tmp_path)


def test_check_is_quiet_and_well_on_a_good_file(shell: Shell) -> None:
    code, out, _ = shell("check")
    assert code == 0
    assert "in order" in out


def test_check_tells_every_mistake_with_its_line(shell: Shell) -> None:
    shell.lab.items = [item(scopes=["vso.cod"]), item("other-pat", overlp="1d", rotate_before="90d")]
    code, out, _ = shell("check", PARALLEL_USERS="many")
    assert code == 2
    assert "did you mean vso.code?" in out
    assert "did you mean overlap?" in out
    assert "PARALLEL_USERS" in out
    assert sum("pats.yaml:" in line for line in out.splitlines()) == 2
    code, document = shell.json("check")
    assert code == 2
    assert all(one["line"] for one in document["problems"])


def test_run_prints_the_report_as_one_document(shell: Shell) -> None:
    code, document = shell.json("run")
    assert code == 0
    assert set(document) == {
        *("run_id", "started_at", "finished_at", "outcome", "items", "leftovers", "unmanaged", "recipients")
    }
    row = document["items"][0]
    assert list(row) == [
        "secret",
        "vault",
        "username",
        "organization",
        "step",
        "outcome",
        "because",
        "says",
        "expires_on",
        "version",
        "owner",
        "error",
    ]
    assert (row["step"], row["outcome"], row["error"]) == ("rotate", "done", None)
    assert shell.lab.works("build-pat")


def test_plan_changes_nothing_and_is_well_with_work_due(shell: Shell) -> None:
    code, document = shell.json("plan")
    assert (code, document["items"][0]["outcome"]) == (0, "planned")
    assert shell.lab.cloud.pats.all() == []


def test_rotate_holds_what_is_not_due_unless_forced(shell: Shell) -> None:
    shell("run")
    shell.lab.wait(days(1))
    code, document = shell.json("rotate", "build-pat")
    assert (code, document["items"][0]["outcome"]) == (0, "held")
    code, document = shell.json("rotate", "build-pat", "--force")
    assert (code, document["items"][0]["because"]) == (0, "forced")
    shell.lab.wait(hours(1))
    code, document = shell.json("rotate", "build-pat", "--force")
    assert (code, document["items"][0]["outcome"]) == (1, "busy")


def test_an_unknown_secret_is_refused_before_anything_is_attempted(shell: Shell) -> None:
    code, document = shell.json("rotate", "nobody-pat")
    assert code == 2
    assert document["error"]["code"] == "secret-unknown"
    assert shell.lab.cloud.calls() == []


def test_emergency_ends_the_old_value_at_once(shell: Shell) -> None:
    shell("run")
    shell.lab.wait(days(1))
    assert shell("emergency", "build-pat")[0] == 0
    assert len(shell.lab.live()) == 1


def test_status_shows_the_states_of_design_section_6(shell: Shell) -> None:
    code, document = shell.json("status")
    assert (code, document["seen"], document["pats"][0]["state"]) == (1, "vault", "missing")
    shell("run")
    code, document = shell.json("status")
    pat = document["pats"][0]
    assert (pat["state"], pat["days_left"]) == ("healthy", 30)
    assert (pat["next"]["step"], pat["next"]["because"], pat["next"]["at"]) == (
        "rotate",
        "near-expiry",
        "2026-03-24T12:00:00Z",
    )
    shell.lab.wait(days(24))
    code, document = shell.json("status")
    assert (code, document["pats"][0]["state"]) == (0, "due")
    shell("run")
    predecessors = shell.json("status")[1]["pats"][0]["predecessors"]
    assert [one["retire_at"] for one in predecessors] == ["2026-03-26T12:00:00Z"]
    shell.lab.wait(days(40))
    code, document = shell.json("status")
    assert (code, document["pats"][0]["state"]) == (1, "expired")


def stored(shell: Shell) -> FakeHistory:
    """The Functions host's storage is configured, as where the command line is used beside the app."""
    shell.environ["AzureWebJobsStorage"] = "UseDevelopmentStorage=true"
    runs = shell.lab.runs = FakeHistory(shell.lab.clock)
    return runs


def test_status_shows_the_last_run_where_reports_are_kept(shell: Shell) -> None:
    runs = stored(shell)
    assert shell.json("status")[1]["last_run"] is None
    assert "No run's report is kept yet" in shell("status")[1]

    run = shell.json("run")[1]
    shell("plan")
    shell.lab.wait(days(1))
    code, document = shell.json("status")
    assert (code, list(document)) == (0, ["as_of", "seen", "pats", "last_run"])
    assert document["last_run"] == {
        "run_id": run["run_id"],
        "door": "command-line",
        "dry_run": False,
        "started_at": "2026-03-01T12:00:00Z",
        "finished_at": "2026-03-01T12:00:00Z",
        "outcome": "succeeded",
        "items": 1,
        "not_well": 0,
    }
    out = shell("status")[1]
    assert (
        f"Last run: succeeded, 1 steps, finished 2026-03-01 12:00 UTC (24 h ago; command-line, {run['run_id']})." in out
    )

    begun = shell.lab.clock.now()
    waiting = (MessageOpen(AGENTS, (("build-pat", "contoso"),)),)
    report = Report(run_ids.new(), begun, begun, ())
    runs.keep(KeptRun(report, "timer", running=True, waiting=waiting, deadline=begun + hours(4), messages=1))
    assert "Last run: running, 1 of 1 steps not done, started 2026-03-02 12:00 UTC (now; timer, " in shell("status")[1]


def test_a_storage_that_does_not_answer_hides_the_last_run_and_nothing_else(shell: Shell) -> None:
    stored(shell).down = True
    code, out, errors = shell("status", "--json")
    document = json.loads(out)
    assert (code, document["last_run"], document["pats"][0]["state"]) == (1, None, "missing")
    assert "The last run is not shown." in errors


def test_without_storage_status_is_the_document_of_the_api_and_reports_go_to_stdout(shell: Shell) -> None:
    assert shell.json("run")[1]["outcome"] == "succeeded"
    assert list(shell.json("status")[1]) == ["as_of", "seen", "pats"]
    assert "Last run" not in shell("status")[1]


def test_rule_12_status_shows_a_block_with_its_remedy_and_exits_3_until_released(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell("run")[0] == 3
    code, out, _ = shell("status")
    assert code == 3
    assert "AADSTS50126" in out
    assert "unblock" in out
    assert shell.json("status")[1]["pats"][0]["state"] == "blocked"
    assert shell("pats", "list", "--user", AGENTS)[0] == 3
    assert shell.lab.cloud.directory.user(AGENTS).token_requests == 1
    code, out, _ = shell("unblock", AGENTS)
    assert (code, "is released" in out) == (0, True)
    assert shell("status")[0] == 1, "nothing is published yet"
    shell.lab.cloud.directory.set_password(AGENTS, "sandbox-password-agents")
    assert shell("run")[0] == 0


def test_check_online_signs_in_and_mints_nothing(shell: Shell) -> None:
    code, out, _ = shell("check", "--online")
    assert code == 0, out
    assert f"sign {AGENTS} in" in out
    assert shell.lab.cloud.pats.all() == []
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell("check", "--online")[0] == 3
    assert shell("check", "--online")[0] == 3
    assert shell.lab.cloud.directory.user(AGENTS).wrong_passwords == 1


def test_check_online_changes_nothing(shell: Shell) -> None:
    shell("run")
    before = len(shell.lab.cloud.calls())
    code, document = shell.json("check", "--online")
    assert (code, [one["well"] for one in document["online"]]) == (0, [True] * 6)
    done = shell.lab.cloud.calls()[before:]
    assert {"vault.list", "vault.get", "vault.update", "entra.token", "pats.list"} <= {row.operation for row in done}
    assert [row.operation for row in done if row.effect and row.operation != "entra.token"] == []


@pytest.mark.parametrize(("denied", "told"), [("get", "read secrets of"), ("update", "change secrets of")])
def test_check_online_finds_a_missing_right_before_a_run_needs_it(shell: Shell, denied: str, told: str) -> None:
    shell.lab.vault.denied.add(denied)
    code, document = shell.json("check", "--online")
    assert code == 2
    failed = next(one for one in document["online"] if not one["well"])
    assert failed["what"].startswith(told)
    assert failed["code"] == "vault-forbidden"
    assert "Key Vault Secrets" in failed["says"]


def test_check_online_tells_a_vault_that_cannot_be_listed(shell: Shell) -> None:
    shell.lab.vault.denied.add("list")
    code, document = shell.json("check", "--online")
    assert (code, document["error"]["code"]) == (2, "vault-forbidden")
    assert shell.lab.cloud.directory.user(AGENTS).token_requests == 0


@pytest.mark.parametrize(
    ("sign_in", "what", "code"),
    [
        ({"client_secret_name": "no-secret"}, "the client secret no-secret", "client-secret-unreadable"),
        ({"client_certificate_name": "no-such"}, "the certificate no-such", "client-certificate-unusable"),
        ({}, "patrol's managed identity", "identity-unavailable"),
    ],
    ids=["secret", "certificate", "identity"],
)
def test_check_online_tells_once_that_the_app_cannot_prove_itself(
    shell: Shell, sign_in: dict[str, Any], what: str, code: str
) -> None:
    shell.lab.sign_in = sign_in
    shell.lab.federated = NoIdentity()
    found, document = shell.json("check", "--online")
    assert found == 2
    [failed] = [one for one in document["online"] if not one["well"]]
    assert (failed["what"], failed["code"]) == (f"prove the app by {what}", code)
    assert shell.lab.cloud.directory.user(AGENTS).token_requests == 0


class NoIdentity:
    """A machine without a managed identity."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        raise ClientAuthenticationError("no managed identity")


def test_check_online_tells_a_password_that_is_not_there(shell: Shell) -> None:
    shell.lab.users = [{"username": AGENTS, "password_secret_name": "no-password", "pats": [item()]}]
    code, document = shell.json("check", "--online")
    assert code == 1
    assert [one["code"] for one in document["online"] if not one["well"]] == ["credential-unreadable"]


def test_unblock_says_what_it_did(shell: Shell) -> None:
    assert shell.json("unblock", AGENTS) == (
        0,
        {"username": AGENTS, "released": False, "says": f"{AGENTS} is not blocked; nothing was changed."},
    )
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    shell("run")
    assert shell.json("unblock", AGENTS.upper())[1]["released"]
    code, document = shell.json("unblock", "nobody@contoso.com")
    assert (code, document["error"]["code"]) == (2, "inventory-invalid")


def test_promise_8_every_later_run_says_cause_and_remedy_of_a_block_again(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    list_pats = ("pats", "list", "--user", AGENTS)
    bring_in = ("import", "--user", AGENTS, "--organization", "contoso")
    for command in (
        *(("run",), ("run",), ("plan",), ("rotate", "build-pat"), ("rotate", "build-pat", "--force")),
        *(("emergency", "build-pat"), ("status",), ("status", "build-pat"), ("check", "--online")),
        *(list_pats, bring_in),
    ):
        for more in ((), ("--json",)):
            code, out, errors = shell(*command, *more)
            says = " ".join((out + errors).split())
            assert code == 3, command
            assert "AADSTS50126" in says, command
            assert "The user name or the password is wrong." in says, command
            assert "Write the right password as a new version of the secret svc-agents-password." in says, command
    assert len(shell.lab.cloud.calls("entra.token")) == 1


def test_an_emergency_of_a_blocked_user_tells_the_cause_once_and_first_that_the_leaked_pat_may_work(
    shell: Shell,
) -> None:
    assert shell("run")[0] == 0
    old = shell.lab.current("build-pat").tags["authorization-id"]
    shell.lab.wait(hours(1))
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    shell("rotate", "build-pat", "--force")
    code, out, _ = shell("emergency", "build-pat")
    told = " ".join(out.split())
    assert code == 3
    assert told.count("AADSTS50126") == 1
    assert told.count("new version of the secret svc-agents-password") == 1
    assert f"{old} of {AGENTS} in contoso may still work." in told
    assert len(shell.json("emergency", "build-pat")[1]["items"]) == 2, "programs have both rows"


def test_status_exits_3_for_a_blocked_user_without_items_too(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    shell("run")
    shell.lab.items = []
    code, out, _ = shell("status")
    assert code == 3
    assert f"Blocked: {AGENTS}" in out


def test_misconfigured_beats_blocked_beats_failed(shell: Shell) -> None:
    shell.lab.cloud.directory.apps["11111111-2222-3333-4444-555555555555"].secrets.clear()
    code, document = shell.json("run")
    assert code == 2
    assert document["outcome"] == "failed"


def test_a_blocked_user_beats_a_failed_item(shell: Shell) -> None:
    sonar = {"username": SONAR, "password_secret_name": "svc-sonar-password"}
    shell.lab = Lab(
        estate=demo_estate(),
        users=[
            {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item()]},
            {**sonar, "pats": [item("broken-pat", scopes=["nonsense"]), item("sonar-pat", organization="fabrikam")]},
        ],
    )
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    code, document = shell.json("run")
    outcomes = {row["secret"]: row["outcome"] for row in document["items"]}
    assert (code, outcomes) == (3, {"build-pat": "blocked", "broken-pat": "failed", "sonar-pat": "done"})


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("done", 0), ("held", 0), ("planned", 0), ("left", 1), ("busy", 1), ("failed", 1), ("blocked", 3)],
)
def test_the_exit_code_of_each_outcome(outcome: str, code: int) -> None:
    one = Row("build-pat", AGENTS, "contoso", Verb.HOLD, Outcome(outcome), Because.FRESH, "")
    assert Report("1", START, START, (one,)).exit_code() == code


def test_adopt_needs_force(shell: Shell) -> None:
    code, _, errors = shell("rotate", "build-pat", "--adopt")
    assert code == 2
    assert "--force --adopt" in errors
    assert shell.lab.cloud.calls() == []


def test_rule_10_an_edited_secret_is_taken_back_with_force_and_adopt(shell: Shell) -> None:
    shell("run")
    shell.lab.wait(hours(1))
    shell.lab.vault.seed("build-pat", "pasted by a person")
    shell.lab.wait(hours(1))
    assert shell("rotate", "build-pat", "--force")[0] == 1
    code, document = shell.json("rotate", "build-pat", "--force", "--adopt")
    assert (code, document["items"][0]["because"]) == (0, "taken-back")
    assert shell.lab.works("build-pat")


def test_emergency_can_end_the_old_pat_first(shell: Shell) -> None:
    shell("run")
    shell.lab.wait(days(1))
    before = len(shell.lab.operations())
    assert shell("emergency", "build-pat", "--revoke-first")[0] == 0
    done = shell.lab.operations()[before:]
    assert done.index("pats.revoke") < done.index("pats.create")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("rotatee",),
        ("rotate",),
        ("emergency",),
        ("unblock",),
        ("pats", "list"),
        ("pats", "get", "no-guid", "--user", AGENTS),
        ("pats", "create", "--user", AGENTS, "--name", "x", "--scopes", " , "),
        ("pats", "create", "--user", AGENTS, "--name", "x", "--scopes", "vso.code", "--lifetime", "0d"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    code, out, errors = shell(*arguments)
    assert (code, out) == (2, "")
    assert "error: " in errors
    assert shell.lab.cloud.calls() == []


def test_progress_goes_to_stderr_and_json_alone_to_stdout(shell: Shell) -> None:
    code, out, errors = shell("run", "--json")
    assert code == 0
    assert json.loads(out)["outcome"] == "succeeded"
    assert [line.partition(":")[0] for line in errors.splitlines()] == [
        "user.signed-in",
        "pat.minted",
        "pat.verified",
        "pat.published",
    ]
    assert "2026-03-31T12:00:00Z" in errors
    assert "run_id" not in errors, "the same on every line"


def test_progress_of_threads_comes_in_whole_lines(shell: Shell) -> None:
    """`print` writes a text and its end apart, and another thread's line gets in between."""
    shell("status")
    told = Writes()
    main(
        ["run"],
        environ=ENVIRONMENT,
        root=shell.root,
        out=StringIO(),
        errors=told,
        make_world=lambda _, budget, tell: replace(shell.lab.world(budget), tell=tell),
    )
    assert len(told.writes) == 4
    assert all(one.endswith("\n") and one.count("\n") == 1 for one in told.writes)


class Writes(StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_only_on_a_terminal_that_wants_them(shell: Shell, environ: dict[str, str], coloured: bool) -> None:
    assert "\x1b[" not in shell("status", **environ)[1]
    out = Screenful()
    main(
        ["status"],
        environ={**ENVIRONMENT, **environ},
        root=shell.root,
        out=out,
        errors=StringIO(),
        make_world=lambda known, budget, tell: shell.lab.world(budget),
    )
    assert ("\x1b[" in out.getvalue()) is coloured


def test_what_is_well_and_still_needs_a_person_is_told_in_full(shell: Shell) -> None:
    shell.lab.items = [item(adopt=True)]
    shell.lab.vault.seed("build-pat", "made by hand, long ago")
    code, out, _ = shell("run")
    assert code == 0
    assert "was left alive" in " ".join(out.split())


def test_names_and_commands_are_not_broken_at_their_hyphens(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    shell("run")
    for command in ("status", "plan", "run"):
        assert f"{AGENTS}`" in shell(command)[1]


def test_scopes_are_searched_by_words(shell: Shell) -> None:
    code, out, _ = shell("scopes", "push", "packages")
    assert code == 0
    assert "vso.packaging_write" in out
    assert "vso.wiki" not in out


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"KEY_VAULT_URL": ""}, "KEY_VAULT_URL is missing"),
        ({"KEY_VAULT_URL": "http://x.vault.azure.net"}, "https://"),
        ({"PATS_FILE": "nowhere.yaml"}, "cannot be read"),
        ({"RUN_BUDGET": "soon"}, "RUN_BUDGET"),
    ],
)
def test_bad_settings_are_told_in_words_with_exit_code_2(shell: Shell, environ: dict[str, str], says: str) -> None:
    code, _, errors = shell("run", **environ)
    assert code == 2
    assert says in errors
    assert "Traceback" not in errors
    assert shell.lab.cloud.calls() == []


def test_an_unexpected_failure_is_told_without_its_text(shell: Shell) -> None:
    def broken(known: Settings, budget: timedelta, tell: Events) -> World:
        raise RuntimeError("a secret stands here")

    (shell.root / "pats.yaml").write_text(shell.lab.pats_yaml(), encoding="utf-8")
    errors = StringIO()
    code = main(["run"], environ=ENVIRONMENT, root=shell.root, out=StringIO(), errors=errors, make_world=broken)
    assert code == 1
    assert "RuntimeError" in errors.getvalue()
    assert "a secret stands here" not in errors.getvalue()
    out = StringIO()
    main(["run", "--json"], environ=ENVIRONMENT, root=shell.root, out=out, errors=StringIO(), make_world=broken)
    assert json.loads(out.getvalue())["error"]["code"] == "unexpected"


def test_ctrl_c_in_process_says_that_it_is_safe(shell: Shell) -> None:
    def stopped(known: Settings, budget: timedelta, tell: Events) -> World:
        raise KeyboardInterrupt

    (shell.root / "pats.yaml").write_text(shell.lab.pats_yaml(), encoding="utf-8")
    errors = StringIO()
    code = main(["run"], environ=ENVIRONMENT, root=shell.root, out=StringIO(), errors=errors, make_world=stopped)
    assert (code, "That is safe" in errors.getvalue()) == (130, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "a cluster"])
def test_promise_3_a_run_that_is_told_to_stop_ends_at_once_and_the_next_run_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    extra = {"PATS_FILE": str(inventory)}
    with start(demo_estate()) as cloud:
        cloud.client.add_fault("pats.list", "hang", seconds=25)
        with cloud.start_product(["-m", "shared", "run"], extra=extra) as child:
            give_up = time.monotonic() + 30
            while not cloud.client.log("pats.list") and time.monotonic() < give_up:
                time.sleep(0.05)
            asked = time.monotonic()
            child.send_signal(number)
            _, errors = child.communicate(timeout=60)
            assert (child.returncode, "That is safe" in errors) == (code, True), errors
            assert time.monotonic() - asked < 10
        cloud.client.clear_faults()
        assert cloud.run_product(["-m", "shared", "run"], extra=extra).returncode == 0


def test_a_reader_that_is_gone_is_no_defect() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "shared", "scopes"],
            check=False,
            cwd=ROOT,
            stdout=gone,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, b""), "nobody reads, and nothing failed"


def test_names_outside_ascii_survive_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "pats.yaml").write_text(demo_pats_yaml(), encoding="utf-8")
    # An unknown user is refused before anything is reached.
    arguments = ["pats", "list", "--user", "jürgen@contoso.com", "--json"]
    environ = {
        **kept_environment(),
        **ENVIRONMENT,
        "PATS_FILE": str(tmp_path / "pats.yaml"),
        "PYTHONIOENCODING": "ascii",
    }
    done = subprocess.run(
        [sys.executable, "-m", "shared", *arguments],
        check=False,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        timeout=60,
    )
    assert b"Traceback" not in done.stderr
    assert b"patrol: pats.yaml has no user j\\xfcrgen@contoso.com." in done.stderr
    assert "jürgen" in json.loads(done.stdout)["error"]["message"]


def test_broken_settings_and_a_broken_file_are_told_together(shell: Shell) -> None:
    (shell.root / "other.yaml").write_text("users: []\nsurprise: 1\n", encoding="utf-8")
    code, out, _ = shell("check", KEY_VAULT_URL="nonsense", RUN_BUDGET="soon", PATS_FILE="other.yaml")
    assert code == 2
    assert all(word in out for word in ("KEY_VAULT_URL", "RUN_BUDGET", "sign_in"))
    assert re.search(r"^other\.yaml:2: a key here is not known", out, re.MULTILINE)


@pytest.mark.parametrize("command", ["check", "run", "status", "plan"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("password_secret_name: svc-agents-password", "password: !Tr0ub4dor&3"),
        ("password_secret_name: svc-agents-password", "Tr0ub4dor&3: x\n  Tr0ub4dor&3: y"),
        ("password_secret_name: svc-agents-password", "password_secret_name: *Tr0ub4dor"),
        (AGENTS, "Tr0ub4dor&3"),
        ("contoso.onmicrosoft.com", "Tr0ub4dor&3"),
        ("vso.code", "Tr0ub4dor&3"),
        ("secret: build-pat", "secret: Tr0ub4dor&3"),
        ("organization: contoso", "organization: Tr0ub4dor&3"),
        ("lifetime: 30d", "lifetime: Tr0ub4dor&3"),
    ],
    ids=["tag", "key twice", "alias", "username", "tenant", "scope", "secret", "organization", "duration"],
)
def test_promise_7_no_text_of_pats_yaml_is_repeated_at_this_door(
    shell: Shell, command: str, old: str, new: str
) -> None:
    """Line and kind, never the text: neither printed, nor in the document, nor in an event."""
    text = yaml.safe_dump(yaml.safe_load(shell.lab.pats_yaml()), sort_keys=False)
    assert old in text
    (shell.root / "pats.yaml").write_text(text.replace(old, new), encoding="utf-8")
    shell.writes = False
    for more in ((), ("--json",)):
        code, out, errors = shell(command, *more)
        assert code, (out, errors)
        assert "Tr0ub4dor" not in out + errors + repr(shell.lab.events)


def test_unreadable_yaml_is_told_with_its_line(shell: Shell) -> None:
    (shell.root / "other.yaml").write_text("users:\n  - [\n", encoding="utf-8")
    code, out, _ = shell("check", PATS_FILE="other.yaml")
    assert code == 2
    assert re.match(r"other\.yaml:\d+: \S", out)


def test_the_real_process_against_the_sandbox(tmp_path: Path) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    extra = {"PATS_FILE": str(inventory)}
    with start(demo_estate()) as cloud:
        checked = cloud.run_product(["-m", "shared", "check", "--online"], extra=extra)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        ran = cloud.run_product(["-m", "shared", "run", "--json"], extra=extra)
        assert ran.returncode == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert report["outcome"] == "succeeded"
        seen = json.loads(cloud.run_product(["-m", "shared", "status", "--json"], extra=extra).stdout)
        assert {pat["state"] for pat in seen["pats"]} == {"healthy"}
        nowhere = {**extra, "KEY_VAULT_URL": "https://nowhere.vault.azure.net"}
        # The other vault answers, so that its items are told one by one, and nothing of either is done.
        broken = cloud.run_product(["-m", "shared", "run"], extra=nowhere)
        assert broken.returncode == 1
        assert "nowhere.vault.azure.net" in broken.stdout
        assert "Failed: " in broken.stdout
        inventory.write_text(demo_pats_yaml().replace(f"vault: https://{WEB_VAULT}", ""), encoding="utf-8")
        alone = cloud.run_product(["-m", "shared", "run"], extra=nowhere)
        assert alone.returncode == 2
        assert "nowhere.vault.azure.net" in alone.stderr
        assert "Traceback" not in broken.stderr + alone.stderr


def test_the_demo_inventory_passes_check(tmp_path: Path) -> None:
    (tmp_path / "pats.yaml").write_text(demo_pats_yaml(), encoding="utf-8")
    assert yaml.safe_load(demo_pats_yaml())["users"]
    out = StringIO()
    assert main(["check"], environ=ENVIRONMENT, root=tmp_path, out=out) == 0


@pytest.mark.parametrize(
    ("write", "says"),
    [
        ("", "pats.yaml: it must hold the keys sign_in and users\n"),
        (
            None,
            (
                "{root}/pats.yaml cannot be read (No such file or directory). Copy pats.example.yaml to pats.yaml, "
                "write your names in it, and deploy it with the code; or set PATS_FILE to the inventory's path.\n"
            ),
        ),
    ],
)
def test_check_names_the_file_once(shell: Shell, write: str | None, says: str) -> None:
    shell.writes = False
    if write is not None:
        (shell.root / "pats.yaml").write_text(write)
    code, out, _ = shell("check")
    assert (code, out) == (2, says.format(root=shell.root))
