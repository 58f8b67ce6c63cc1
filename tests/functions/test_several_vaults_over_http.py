"""Several vaults at the doors: names, rows, states, metrics, the page, the command line and the queue (rule 17)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.fan_out.queue_message import read, write
from shared.functions.http_answers import Answer
from shared.model.errors import Code, Denied
from shared.report.report import Outcome
from tests.lab.fakes import FakeTold, Trouble
from tests.lab.http_calls import app, call, text_call
from tests.lab.lab import days, hours, item
from tests.lab.queue_lab import QueueLab
from tests.lab.several_vaults import AGENTS_VAULT, BESIDE, HOME, SeveralVaults, outcomes, two
from tests.lab.shell import Shell


def published() -> SeveralVaults:
    lab = two()
    lab.run()
    lab.wait(days(2))
    lab.quick = False
    return lab


def only_row(answer: Answer) -> dict[str, Any]:
    rows: Any = answer.body["items"]
    (row,) = rows
    return dict(row)


@pytest.mark.parametrize("door", ["rotate", "emergency"])
def test_a_name_that_two_vaults_have_is_a_400_that_lists_the_choices(door: str, tmp_path: Path) -> None:
    lab = published()
    before = len(lab.cloud.live_pats())
    answer = call(door, app(lab, tmp_path), {"secrets": ["build-pat"]})
    assert (answer.status, answer.body["code"]) == (400, "secret-ambiguous")
    assert "kv-agents/build-pat" in str(answer.body["detail"])
    assert "patrol-demo-pats/build-pat" in str(answer.body["detail"])
    assert len(lab.cloud.live_pats()) == before


def test_the_label_says_which_and_the_other_one_stays(tmp_path: Path) -> None:
    lab = published()
    here, there = lab.current("build-pat").id, lab.published("build-pat").id
    answer = call("rotate", app(lab, tmp_path), {"secrets": ["kv-agents/build-pat"], "force": True})
    assert answer.status == 200
    row = only_row(answer)
    assert (row["secret"], row["vault"], row["called"]) == ("build-pat", AGENTS_VAULT, "kv-agents/build-pat")
    assert row["says"].startswith("kv-agents/build-pat: rotated")
    assert lab.current("build-pat").id == here
    assert lab.published("build-pat").id != there
    answer = call("emergency", app(lab, tmp_path), {"secrets": ["patrol-demo-pats/build-pat"]})
    assert answer.status == 200
    assert lab.current("build-pat").id != here


def test_a_name_of_one_vault_reads_as_ever(tmp_path: Path) -> None:
    lab = published()
    answer = call("rotate", app(lab, tmp_path), {"secrets": ["feeds-pat"], "force": True})
    row = only_row(answer)
    assert (row["vault"], "called" in row) == (HOME, False)
    assert call("rotate", app(lab, tmp_path), {"secrets": ["kv-web/feeds-pat"]}).status == 404


@pytest.mark.parametrize("name", ["a b/build-pat", "kv/", "/build-pat", "kv/a/build-pat"])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    answer = call("rotate", app(published(), tmp_path), {"secrets": [name]})
    assert (answer.status, answer.body["code"]) == (400, "body-invalid")


def test_states_metrics_and_the_page_tell_both(tmp_path: Path) -> None:
    lab = published()
    rows = call("pats", app(lab, tmp_path)).body["pats"]
    found = {(row["secret"], row["vault"]): row.get("called") for row in rows}  # type: ignore[attr-defined]
    assert found == {
        ("build-pat", HOME): "patrol-demo-pats/build-pat",
        ("build-pat", AGENTS_VAULT): "kv-agents/build-pat",
        ("feeds-pat", HOME): None,
    }
    metrics = text_call("metrics", app(lab, tmp_path)).text
    for vault in (HOME, AGENTS_VAULT):
        assert f'patrol_pat_overdue{{organization="contoso",secret="build-pat",vault="{vault}"}}' in metrics
    page = text_call("page", app(lab, tmp_path)).text
    assert "kv-agents/build-pat" in page
    one = text_call("page", app(lab, tmp_path), {"secret": "kv-agents/build-pat"})
    assert one.status == 200
    assert "kv-agents/build-pat" in one.text
    assert text_call("page", app(lab, tmp_path), {"secret": "build-pat"}).status == 400


def test_promise_5_states_of_a_vault_that_cannot_be_listed_say_so_and_the_others_are_known(tmp_path: Path) -> None:
    lab = published()
    lab.beside().denied.add("list")
    rows = call("pats", app(lab, tmp_path)).body["pats"]
    states = {(row["secret"], row["vault"]): row["state"] for row in rows}  # type: ignore[attr-defined]
    assert states["build-pat", AGENTS_VAULT] == "unknown"
    assert states["build-pat", HOME] == states["feeds-pat", HOME] == "healthy"
    (unknown,) = [row for row in rows if row["state"] == "unknown"]  # type: ignore[attr-defined]
    assert unknown["last_failure"]["code"] == "vault-forbidden"
    assert unknown["last_failure"]["remedy"]


@pytest.mark.parametrize("unseen", [HOME, AGENTS_VAULT])
def test_a_monitor_is_told_of_a_vault_that_cannot_be_listed(tmp_path: Path, unseen: str) -> None:
    lab = published()
    shell = Shell(lab, tmp_path)
    assert shell("status")[0] == 0
    lab.beside(unseen).denied.add("list")
    assert shell("status")[0] == 1


def test_the_command_line_lists_the_choices_and_takes_the_label(tmp_path: Path) -> None:
    lab = published()
    shell = Shell(lab, tmp_path)
    code, _, errors = shell("rotate", "build-pat", "--force")
    assert code == 2
    assert "kv-agents/build-pat" in errors
    code, out, _ = shell("status")
    assert code == 0
    assert "kv-agents/build-pat" in out
    assert "patrol-demo-pats/build-pat" in out
    assert "demo-pats/feeds-pat" not in out
    code, out, _ = shell("status", "kv-agents/build-pat")
    assert code == 0
    assert AGENTS_VAULT in out
    before = lab.published("build-pat").id
    code, out, _ = shell("emergency", "kv-agents/build-pat")
    assert code == 0, out
    assert lab.published("build-pat").id != before
    assert "kv-agents/build-pat" in out


def test_check_tells_an_address_of_another_cloud_and_online_tries_each_vault(tmp_path: Path) -> None:
    lab = published()
    shell = Shell(lab, tmp_path)
    code, out, _ = shell("check", "--online")
    assert code == 0, out
    for says in ("list {}: 1 secret", "read secrets of {}", "change secrets of {}"):
        assert says.format(AGENTS_VAULT) in out
    lab.beside().denied |= {"list", "update"}
    code, out, _ = shell("check", "--online")
    assert code == 2
    assert f"FAILED list {AGENTS_VAULT}" in out
    assert f"ok     list {HOME}" in out
    lab.items = [item(vault="https://kv-agents.vault.azure.cn")]
    code, out, _ = shell("check")
    assert code == 2
    assert "pats.yaml:" in out
    assert "must end with .vault.azure.net" in out


def test_without_key_vault_url_check_tells_the_first_item_that_has_no_vault(tmp_path: Path) -> None:
    code, out, _ = Shell(two(), tmp_path)("check", KEY_VAULT_URL="")
    assert code == 2
    assert "KEY_VAULT_URL is missing" in out
    assert "users[0].pats[0] has no vault" in out.replace("\n", " ")


# --- over the queue ---------------------------------------------------------------------------------------------------


def test_over_the_queue_each_vault_s_items_are_worked_on_and_told() -> None:
    lab = two()
    report = QueueLab(lab).work_off()
    assert set(outcomes(report).values()) == {Outcome.DONE}
    assert {(row.secret, row.vault) for row in report.items} == {
        ("build-pat", HOME),
        ("build-pat", AGENTS_VAULT),
        ("feeds-pat", HOME),
    }


def test_over_the_queue_an_order_names_the_vault() -> None:
    lab = two()
    queue = QueueLab(lab)
    queue.work_off()
    here = lab.current("build-pat").id
    lab.wait(hours(30))
    done = queue.dispatch("kv-agents/build-pat", "feeds-pat", force=True)
    (message,) = done.messages
    assert set(done.orders[0].names or ()) == {"kv-agents/build-pat", "feeds-pat"}
    report = queue.deliver(read(write(message).encode()))
    assert outcomes(report) == {("build-pat", AGENTS_VAULT): Outcome.DONE, ("feeds-pat", HOME): Outcome.DONE}
    assert lab.current("build-pat").id == here


def test_promise_5_over_the_queue_a_vault_that_fails_stops_its_items_alone() -> None:
    lab = two()
    queue = QueueLab(lab)
    queue.work_off()
    lab.wait(days(24))
    lab.beside().denied.add("list")
    lab.trouble_at[AGENTS_VAULT] = Trouble(before=lambda _: Denied(Code.VAULT_FORBIDDEN, "no", "-"))
    found = outcomes(queue.work_off())
    assert found == {
        ("build-pat", HOME): Outcome.DONE,
        ("feeds-pat", HOME): Outcome.DONE,
        ("build-pat", AGENTS_VAULT): Outcome.FAILED,
    }


def test_rule_17_an_item_that_moves_ends_its_old_pat_over_the_queue_too() -> None:
    lab = SeveralVaults([item()])
    queue = QueueLab(lab)
    queue.work_off()
    old = lab.current("build-pat")
    lab.wait(days(3))
    lab.items = [item(vault=BESIDE)]
    queue.work_off()
    assert lab.lives(lab.published("build-pat"))
    assert lab.lives(old)
    for _ in range(5):
        lab.wait(hours(6))
        queue.work_off()
    assert not lab.lives(old)
    assert lab.lives(lab.published("build-pat"))


# --- notices ----------------------------------------------------------------------------------------------------------


def test_rule_19_a_vault_that_cannot_be_listed_is_told_as_that_vault_s_and_recovers_alone() -> None:
    lab = two(told_before=FakeTold())
    to = lab.recipient()
    lab.run()
    lab.beside().denied.add("list")
    lab.later(hours(6))
    (notice,) = to.received
    assert notice["subject"] == AGENTS_VAULT
    assert [(one["vault"], one["secret"]) for one in notice["data"]["items"]] == [(AGENTS_VAULT, "build-pat")]
    lab.beside().denied.clear()
    lab.later(hours(6))
    *_, last = to.received
    assert last["type"] == "patrol.recovered"
    assert last["subject"] == AGENTS_VAULT
