"""`status`: what a monitor reads off its exit code, and what a person reads of one secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from tests.lab import token_estates
from tests.lab.lab import Lab, days, hours, item
from tests.lab.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Two published items."""
    shell = Shell(Lab([item(), item("other-pat")]), tmp_path)
    assert shell("run")[0] == 0
    return shell


def in_one_line(text: str) -> str:
    return " ".join(text.split())


# --- the exit code ---------------------------------------------------------------------------------------------------


def test_a_monitor_is_told_nothing_while_work_is_due(shell: Shell) -> None:
    assert shell("status")[0] == 0
    shell.lab.wait(days(23.5))
    code, document = shell.json("status")
    assert (code, {pat["state"] for pat in document["pats"]}) == (0, {"due"})


def test_what_is_due_is_due_now_and_the_rest_at_its_time(shell: Shell) -> None:
    assert "rotate in 23 days near-expiry" in in_one_line(shell("status", COLUMNS="200")[1])
    shell.lab.wait(days(23.5))
    assert in_one_line(shell("status", COLUMNS="200")[1]).count("rotate now near-expiry") == 2


def test_overdue_is_alarming_before_a_consumer_breaks(shell: Shell) -> None:
    """The margin is 7 days: at 3 and a half, half of the time to act is gone."""
    shell.lab.wait(days(26.4))
    assert shell("status")[0] == 0
    shell.lab.wait(hours(3))
    code, out, _ = shell("status")
    assert code == 1
    assert "2 items: half of the time to replace it is gone, and no run did." in in_one_line(out)


def edited(shell: Shell) -> None:
    shell.lab.wait(hours(1))
    shell.lab.vault.seed("build-pat", "pasted by a person")


def disabled(shell: Shell) -> None:
    shell.lab.current("build-pat").enabled = False


def invalid(shell: Shell) -> None:
    shell.lab.items[0]["scopes"] = ["vso.nonsense"]


def missing(shell: Shell) -> None:
    shell.lab.items.append(item("new-pat"))


def expired(shell: Shell) -> None:
    shell.lab.wait(days(31))


def paused(shell: Shell) -> None:
    expired(shell)
    for row in shell.lab.items:
        row["paused"] = True


def decommissioned(shell: Shell) -> None:
    shell.lab.items[0]["decommission"] = True
    assert shell("run")[0] == 0


def foreign(shell: Shell) -> None:
    tags = {"managed-by": "patrol/other-123456", "authorization-id": "a0000000-0000-4000-8000-000000000099"}
    shell.lab.vault.seed("build-pat", "theirs", tags=tags)


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (edited, 1, "build-pat: Somebody wrote the secret"),
        (disabled, 1, "build-pat: Somebody disabled the current version"),
        (invalid, 1, "is not a known scope; `patrol scopes` lists the known ones"),
        (missing, 1, "new-pat: no value is published: the next run makes one"),
        (expired, 1, "2 items: its value has expired, and no run has replaced it."),
        (foreign, 0, "belongs to another patrol deployment, patrol/other-123456"),
        (paused, 0, ""),
        (decommissioned, 0, ""),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_promise_8_what_a_person_must_look_at_is_the_exit_code_and_a_sentence(
    shell: Shell, change: Any, code: int, says: str
) -> None:
    change(shell)
    found, out, _ = shell("status")
    assert found == code, out
    assert says in in_one_line(out)


def test_a_blocked_user_beats_an_expired_pat(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    expired(shell)
    shell("run")
    assert shell("status")[0] == 3
    assert shell("status", "build-pat")[0] == 3


# --- names and states ------------------------------------------------------------------------------------------------


def test_named_ones_alone_are_shown_and_judged(shell: Shell) -> None:
    missing(shell)
    assert shell.json("status", "build-pat", "OTHER-pat")[0] == 0
    code, document = shell.json("status", "new-pat", "build-pat")
    assert (code, [pat["secret"] for pat in document["pats"]]) == (1, ["build-pat", "new-pat"])


def test_another_user_s_block_is_no_news_of_a_named_secret(tmp_path: Path) -> None:
    users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item()]},
        {
            "username": SONAR,
            "password_secret_name": "svc-sonar-password",
            "pats": [item("sonar-pat", organization="fabrikam")],
        },
    ]
    shell = Shell(Lab(estate=demo_estate(), users=users), tmp_path)
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell("run")[0] == 3
    assert shell("status")[0] == 3
    assert shell("status", "sonar-pat")[0] == 0
    assert shell("status", "build-pat")[0] == 3


def test_a_state_is_what_is_shown_and_the_exit_code_is_of_all(shell: Shell) -> None:
    missing(shell)
    code, document = shell.json("status", "--state", "healthy")
    assert (code, [pat["secret"] for pat in document["pats"]]) == (1, ["build-pat", "other-pat"])
    code, document = shell.json("status", "--state", "missing", "--state", "expired")
    assert (code, [pat["secret"] for pat in document["pats"]]) == (1, ["new-pat"])
    assert "new-pat" not in shell("status", "--state", "due")[1]


def test_an_unknown_secret_is_told_with_the_nearest_one(shell: Shell) -> None:
    code, document = shell.json("status", "biuld-pat")
    assert (code, document["error"]["code"]) == (2, "secret-unknown")
    assert document["error"]["remedy"].startswith("Did you mean build-pat? ")


# --- one alone -------------------------------------------------------------------------------------------------------


def test_one_secret_is_explained(shell: Shell) -> None:
    shell.lab.items[0] |= {"rotate_before": "25%", "strategy": "renew"}
    old = shell.lab.current("build-pat").tags["authorization-id"]
    shell.lab.wait(days(1))
    assert shell("rotate", "build-pat", "--force")[0] == 0
    new = shell.lab.current("build-pat").tags["authorization-id"]
    code, out, _ = shell("status", "build-pat")
    assert code == 0
    told = in_one_line(out)
    for says in (
        "build-pat: healthy",
        f"user {AGENTS}",
        "organization contoso",
        "published 2026-03-02 12:00 UTC (now)",
        "works until 2026-04-01 12:00 UTC (in 30 days)",
        f"its PAT {new}",
        f"predecessor {old}, works on until 2026-03-03 12:00 UTC (in 24 h)",
        "scopes vso.code",
        "lifetime 30d",
        "rotate_before 180h",
        "overlap 1d",
        "strategy renew",
        "max_age 365d",
        "Nothing before 2026-03-03 12:00 UTC; then a run retires its predecessor",
    ):
        assert says in told, out


def test_what_is_due_or_over_by_now_is_the_next_run_s_work(shell: Shell) -> None:
    shell("run")
    shell.lab.wait(hours(1))
    shell("rotate", "build-pat", "--force")
    shell.lab.wait(days(2))
    told = in_one_line(shell("status", "build-pat")[1])
    assert "The next run retires its predecessor, because its overlap is over." in told
    shell("run")
    shell.lab.wait(days(22))
    told = in_one_line(shell("status", "build-pat")[1])
    assert "The next run rotates it, because the PAT is near expiry." in told


def test_rule_18_an_old_pat_that_readers_may_hold_is_not_said_to_end(shell: Shell) -> None:
    shell.lab.items[0]["hold_for_readers"] = "7d"
    shell("run")
    shell.lab.wait(hours(1))
    shell("rotate", "build-pat", "--force")
    told = in_one_line(shell("status", "build-pat")[1])
    assert "works on at least until 2026-03-02 13:00 UTC" in told
    held = "unless readers hold it until 2026-03-09 13:00 UTC at most (hold_for_readers)."
    assert f"then a run retires its predecessor, because its overlap is over then, {held}" in told
    shell.lab.wait(days(2))
    told = in_one_line(shell("status", "build-pat")[1])
    assert f"The next run retires its predecessor, because its overlap is over, {held}" in told
    assert "ends now or later" in in_one_line(shell("status")[1])
    shell.lab.wait(days(6))
    told = in_one_line(shell("status", "build-pat")[1])
    assert "The next run retires its predecessor, because its overlap is over." in told
    assert "at least" not in told


def test_a_state_that_no_item_is_in_is_said_to_have_none(shell: Shell) -> None:
    shell("run")
    assert "No item to show." in shell("status", "--state", "expired")[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (edited, "`patrol rotate build-pat --force --adopt`"),
        (invalid, "is not a known scope"),
        (expired, "Its value has expired"),
        (paused, "Nothing: it is paused in pats.yaml."),
        (decommissioned, "Nothing: it is decommissioned."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_run_would_do_is_a_sentence(shell: Shell, change: Any, says: str) -> None:
    change(shell)
    assert says in in_one_line(shell("status", "build-pat")[1])


def test_a_blocked_one_says_why_and_what_releases_it(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    shell("run")
    told = in_one_line(shell("status", "build-pat")[1])
    assert "Nothing until somebody has acted: Entra ID refused to sign" in told
    assert "`patrol unblock svc-agents@contoso.com`" in told
    shell.lab.cloud.directory.set_password(AGENTS, "changed again")


def test_one_whose_user_nobody_has_enrolled_is_told_to_enroll_it(tmp_path: Path) -> None:
    shell = Shell(Lab(users=[{"username": AGENTS, "enrolled": True, "pats": [item()]}]), tmp_path)
    for command in (("status",), ("status", "build-pat")):
        code, out, _ = shell(*command)
        assert (code, f"`patrol enroll {AGENTS}`" in out) == (3, True), out
        assert "unblock" not in out
    [row] = shell.json("status")[1]["pats"]
    assert (row["state"], row["last_failure"]["code"]) == ("blocked", "enrollment-needed")
    assert f"Enrolled: {AGENTS}, nobody has enrolled it yet" in shell("status")[1]


def test_what_will_be_near_its_end_is_told_without_words_of_the_engine(shell: Shell) -> None:
    told = in_one_line(shell("status", "build-pat")[1])
    assert "then a run rotates it, because the PAT is near expiry then." in told


def test_who_names_what_is_not_due_hears_when_it_is_and_how_to_force_it(shell: Shell) -> None:
    told = in_one_line(shell("rotate", "build-pat", "other-pat")[1])
    assert "works until 2026-03-31 12:00 UTC; next due at 2026-03-24 12:00 UTC." in told
    again = "`patrol rotate build-pat other-pat --force` replaces them all the same"
    assert told.endswith(f"Not due yet. {again}, but not while a predecessor works on.")
    shell.lab.wait(hours(1))
    assert "Not due yet" not in shell("rotate", "build-pat", "--force")[1]
    assert "Not due yet" not in shell("run")[1]


def test_a_plan_is_a_plan_with_nothing_to_do_as_well(shell: Shell) -> None:
    assert "Plan: 2 untouched." in shell("plan")[1]


def test_an_entra_token_is_explained_too(tmp_path: Path) -> None:
    shell = Shell(token_estates.lab(quick=False), tmp_path)
    assert shell("refresh")[0] == 0
    code, out, _ = shell("status", token_estates.SECRET)
    assert code == 0
    assert f"client_id {token_estates.APP}" in in_one_line(out)
    assert "refresh_below 50%" in in_one_line(out)


def test_one_secret_as_json_is_the_same_document(shell: Shell) -> None:
    whole = shell.json("status")[1]
    alone = shell.json("status", "build-pat")[1]
    assert list(alone) == list(whole)
    assert alone["pats"] == [pat for pat in whole["pats"] if pat["secret"] == "build-pat"]


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_table_fits_the_terminal_and_says_what_it_left_out(shell: Shell, columns: int) -> None:
    shell.terminal = True
    _, out, _ = shell("status", COLUMNS=str(columns), NO_COLOR="1")
    table = out.split("Too narrow for:")[0] if columns < 120 else out.split("Seen in the vault")[0]
    assert all(len(line) <= columns for line in table.splitlines())
    assert "build-pat" in table
    assert "healthy" in table
    assert ("Too narrow for: " in out) is (columns < 120)


def test_nothing_is_left_out_where_a_program_reads(shell: Shell) -> None:
    _, out, _ = shell("status", COLUMNS="40")
    assert "Too narrow" not in out
    assert len(out.splitlines()[1]) > 80


def test_one_cause_is_told_once_with_its_items(tmp_path: Path) -> None:
    names = [f"pat-{number:02}" for number in range(14)]
    shell = Shell(Lab([item(name) for name in names]), tmp_path)
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    code, out, _ = shell("run")
    assert code == 3
    told = in_one_line(out)
    assert told.count("AADSTS50126") == 1
    assert "14 items: " in told
    assert "pat-00, pat-01" in told
    assert "pat-09 and 4 more" in told


def test_one_cause_that_names_its_item_is_told_once_too_and_its_command_names_all(shell: Shell) -> None:
    shell.lab.wait(hours(1))
    for name in ("build-pat", "other-pat"):
        shell.lab.vault.seed(name, f"pasted into {name}")
    for command in ("status", "run"):
        told = in_one_line(shell(command)[1])
        assert told.count("Somebody wrote the secret") == 1
        assert "2 items: " in told
        assert "`patrol rotate SECRET --force --adopt`" in told
        assert "build-pat, other-pat `patrol rotate build-pat other-pat --force --adopt`" in told


def test_what_was_done_is_told_in_sentences_too(shell: Shell) -> None:
    shell.lab.wait(days(24))
    assert "would be rotated, because the PAT is near expiry." in in_one_line(shell("plan")[1])
    _, out, _ = shell("run")
    assert "2 items: rotated, because the PAT was near expiry" in in_one_line(out)


def test_a_run_over_service_principals_alone_says_whose_work_they_are(tmp_path: Path) -> None:
    shell = Shell(token_estates.lab(quick=False), tmp_path)
    code, out, _ = shell("run")
    assert code == 0
    assert "0 of 0" not in out
    assert "its Entra token is the work of `patrol refresh`" in out
    assert "Plan: 1 to replace." in shell("plan")[1]
    assert "Succeeded: 1 replaced." in shell("refresh")[1]


def test_a_run_over_pats_says_whose_work_the_tokens_beside_them_are(tmp_path: Path) -> None:
    lab = Lab([item()], principals=[token_estates.principal()], estate=token_estates.estate())
    shell = Shell(lab, tmp_path)
    code, out, _ = shell("run")
    says = "Not looked at: its Entra token is the work of `patrol refresh`, which has a timer of its own."
    assert (code, out.splitlines()[-1]) == (0, says)
    assert "Not looked at" not in shell("plan")[1], "which looks at both"
    assert "Not looked at" not in shell("rotate", "build-pat")[1]
    assert shell.json("run")[0] == 0


def test_a_refresh_without_service_principals_says_so(shell: Shell) -> None:
    code, out, _ = shell("refresh")
    assert (code, out) == (0, "pats.yaml has no service principals, so there is no Entra token to keep fresh.\n")
