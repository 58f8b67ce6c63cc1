"""Tokens at every door: their timer, the command line, the HTTP API and the status."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import demo_estate, demo_pats_yaml
from sandbox.process.running import ROOT, start
from shared.functions import token_timer
from shared.model.errors import Code
from shared.model.ports import Events
from shared.model.tags import BLOCKED_PREFIX
from shared.rotation.world import World
from shared.settings import Settings
from tests.lab.http_calls import app, call
from tests.lab.lab import ENVIRONMENT, Lab, item
from tests.lab.shell import Shell
from tests.lab.token_estates import APP, APP_SECRET, OTHER_APP, SECRET, lab, left, minutes, principal, published

TREE = f"""\
service_principals:
  - client_id: {APP}
    client_secret_name: app-secret
    entra_token:
      secret: {SECRET}
"""


def fire(made: Lab, folder: Path, text: str | None = None, **environ: str) -> None:
    """The timer function, as function_app.py calls it."""
    (folder / "pats.yaml").write_text(made.pats_yaml() if text is None else text, encoding="utf-8")

    def make_world(_: Settings, budget: timedelta, tell: Events) -> World:
        return made.world(budget)

    token_timer.refresh_tokens(environ={**ENVIRONMENT, **environ}, root=folder, make_world=make_world)


# --- the timer -------------------------------------------------------------------------------------------------------


def test_the_timer_refreshes_what_is_due_and_no_pat(tmp_path: Path) -> None:
    made = lab(items=[item()])
    fire(made, tmp_path)
    assert left(made) == minutes(60)
    assert "pats.create" not in made.operations()


@pytest.mark.parametrize("text", ["", "# service_principals: []\n", "service_principals: []\n"])
def test_without_service_principals_it_calls_nothing(text: str, tmp_path: Path) -> None:
    made = Lab([item()])
    fire(made, tmp_path, made.pats_yaml() + text)
    assert made.operations() == []


def test_a_folder_is_looked_through_for_service_principals(tmp_path: Path) -> None:
    made = lab(items=[item()])
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "platform.yaml").write_text(Lab([item()]).pats_yaml(), encoding="utf-8")
    fire(made, tmp_path, PATS_FILE="inventory")
    assert made.operations() == []
    (folder / "tokens.yaml").write_text(TREE, encoding="utf-8")
    fire(made, tmp_path, PATS_FILE="inventory")
    assert left(made) == minutes(60)


def test_without_service_principals_nothing_is_loaded_nor_asked_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "pats.yaml").write_text(Lab([item()]).pats_yaml(), encoding="utf-8")
    code = (
        "import sys, pathlib; from shared.functions import token_timer; "
        "token_timer.refresh_tokens(environ={}, root=pathlib.Path(sys.argv[1])); "
        "print([m for m in sys.modules if m.split('.')[0] in ('pydantic', 'yaml', 'msal', 'requests', 'azure')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == "[]", ran.stderr


@pytest.mark.parametrize(
    ("environ", "text", "code"),
    [
        ({}, "service_principals: [", Code.INVENTORY_UNREADABLE),
        ({"PATS_FILE": "none.yaml"}, None, Code.INVENTORY_UNREADABLE),
        ({"KEY_VAULT_URL": ""}, None, Code.SETTINGS_INVALID),
    ],
)
def test_promise_8_what_cannot_begin_fails_the_invocation_and_tells_the_heartbeat(
    environ: dict[str, str], text: str | None, code: Code, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(token_timer.RefreshFailed) as caught:
        fire(lab(), tmp_path, text, **environ)
    assert code.value in str(caught.value)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("refresh.finished ")]
    assert len(told) == 1
    assert code.value in told[0]


def test_promise_5_a_failed_token_fails_the_invocation_after_the_others_are_done(tmp_path: Path) -> None:
    made = lab(principal("other-token", OTHER_APP, "other-app-secret"), principal())
    with pytest.raises(token_timer.RefreshFailed) as caught:
        fire(made, tmp_path)
    assert "verify-failed" in str(caught.value)
    assert left(made) == minutes(60)


def test_promise_7_an_unexpected_failure_is_told_without_its_text(tmp_path: Path) -> None:
    def broken(*_: Any) -> World:
        raise RuntimeError(APP_SECRET)

    (tmp_path / "pats.yaml").write_text(lab().pats_yaml(), encoding="utf-8")
    with pytest.raises(token_timer.RefreshFailed) as caught:
        token_timer.refresh_tokens(environ=ENVIRONMENT, root=tmp_path, make_world=broken)
    assert APP_SECRET not in str(caught.value)
    assert "RuntimeError" in str(caught.value)


def test_the_heartbeat_of_the_pats_is_not_a_refresh_s(tmp_path: Path) -> None:
    made = lab()
    fire(made, tmp_path)
    assert made.told("refresh.finished")
    assert not made.told("run.finished")


def written(made: Lab) -> list[str]:
    """What the vault holds besides the notes without which no password goes out (rule 12)."""
    return [one.name for one in made.vault.secrets() if not one.name.startswith(BLOCKED_PREFIX)]


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(lab(items=[item()], quick=False), tmp_path)


def test_run_does_the_pats_and_refresh_the_tokens(shell: Shell) -> None:
    code, report = shell.json("run")
    assert (code, [row["secret"] for row in report["items"]]) == (0, ["build-pat"])
    code, report = shell.json("refresh")
    assert (code, [row["secret"] for row in report["items"]]) == (0, [SECRET])
    assert report["items"][0]["username"] == APP
    code, out, _ = shell("refresh")
    assert code == 0
    assert "fresh" in out


def test_plan_shows_both_and_changes_nothing(shell: Shell) -> None:
    code, report = shell.json("plan")
    assert code == 0
    assert {(row["secret"], row["outcome"]) for row in report["items"]} == {
        ("build-pat", "planned"),
        (SECRET, "planned"),
    }
    assert written(shell.lab) == []


def test_rotate_and_emergency_take_both_kinds_by_name(shell: Shell) -> None:
    code, report = shell.json("rotate", SECRET, "build-pat")
    assert code == 0
    assert {row["secret"] for row in report["items"]} == {SECRET, "build-pat"}
    shell.lab.wait(minutes(5))
    code, report = shell.json("rotate", SECRET.upper(), "--force")
    assert (code, report["items"][0]["because"]) == (0, "forced")
    code, report = shell.json("emergency", SECRET, "build-pat")
    assert code == 1
    outcomes = {row["secret"]: row["outcome"] for row in report["items"]}
    assert outcomes == {SECRET: "failed", "build-pat": "done"}
    code, report = shell.json("rotate", "no-such-secret", SECRET)
    assert (code, report["error"]["code"]) == (2, "secret-unknown")


def test_status_shows_a_token_as_it_stands(shell: Shell) -> None:
    def token() -> dict[str, Any]:
        _, document = shell.json("status")
        return next(one for one in document["pats"] if one["secret"] == SECRET)

    now = shell.lab.clock.now
    assert token()["state"] == "missing"
    assert token()["next"]["because"] == "nothing-published"
    shell("refresh")
    seen = token()
    assert (seen["state"], seen["username"], seen["days_left"]) == ("healthy", APP, 0)
    assert seen["next"] == {
        "step": "rotate",
        "because": "near-expiry",
        "at": (now() + minutes(25)).isoformat().replace("+00:00", "Z"),
    }
    shell.lab.wait(minutes(25))
    assert token()["state"] == "due"
    shell.lab.wait(minutes(35))
    assert token()["state"] == "expired"
    shell.lab.vault.set_secret(SECRET, "pasted by a person")
    assert (token()["state"], token()["next"]["because"]) == ("edited", "edited")
    shell.lab.vault.update(SECRET, "", {"attributes": {"enabled": False}})
    shell.lab.principals = [principal(paused=True)]
    assert token()["state"] == "paused"
    shell.lab.principals = [principal(refresh_below="200%")]
    assert token()["next"]["because"] == "invalid"


def test_check_online_gets_and_proves_a_token_and_publishes_none(shell: Shell) -> None:
    code, out, _ = shell("check", "--online")
    assert code == 0
    assert f"ok     get a token for the service principal {APP}" in out
    assert "ok     use it in contoso" in out
    assert written(shell.lab) == []
    shell.lab.cloud.pats.organization("contoso").members.discard(APP)
    code, out, _ = shell("check", "--online")
    assert code == 1
    assert "FAILED use it in contoso" in out
    shell.lab.cloud.directory.apps[APP].secrets.clear()
    code, document = shell.json("check", "--online")
    assert code == 1
    assert "principal-refused" in [one["code"] for one in document["online"]]


# --- the HTTP API ----------------------------------------------------------------------------------------------------


def asked(made: Lab, folder: Path, door: str, body: Any = b"") -> tuple[int, Any]:
    answer = call(door, app(made, folder), body)
    return int(answer.status), answer.body


def test_a_named_token_is_rotated_over_http(tmp_path: Path) -> None:
    made = published(quick=False)
    made.wait(minutes(5))
    status, body = asked(made, tmp_path, "rotate", {"secrets": [SECRET], "force": True})
    assert (status, body["items"][0]["because"]) == (200, "forced")
    status, body = asked(made, tmp_path, "emergency", {"secrets": [SECRET]})
    assert (status, body["report"]["items"][0]["error"]["code"]) == (502, "token-lives")
    _, body = asked(made, tmp_path, "pats")
    assert [one["secret"] for one in body["pats"]] == [SECRET]


def test_a_whole_rotation_over_http_leaves_tokens_to_their_timer(tmp_path: Path) -> None:
    made = lab(items=[item()], quick=False)
    _, body = asked(made, tmp_path, "rotate")
    assert [row["secret"] for row in body["items"]] == ["build-pat"]
    _, body = asked(made, tmp_path, "rotate", {"dry_run": True})
    assert {row["secret"] for row in body["items"]} == {"build-pat", SECRET}


def test_a_token_asked_for_with_respond_async_is_done_at_once(tmp_path: Path) -> None:
    made = published(quick=False)
    made.wait(minutes(30))
    sent: list[list[str]] = []
    using = app(made, tmp_path, send=sent.append, environ={"AzureWebJobsStorage__accountName": "storage"})
    answer = call("rotate", using, {"secrets": [SECRET]}, headers={"prefer": "respond-async"})
    assert (answer.status, sent) == (200, [])
    assert left(made) == minutes(60)


# --- end to end ------------------------------------------------------------------------------------------------------


def test_end_to_end_over_tls_with_the_real_sdks(tmp_path: Path) -> None:
    estate = demo_estate()
    estate["clients"].append({"client_id": APP, "secrets": [APP_SECRET]})
    estate["organizations"][0]["members"].append(APP)
    estate["vaults"][1]["secrets"].append({"name": "app-secret", "value": APP_SECRET, "created": "-90d"})
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml() + TREE, encoding="utf-8")
    extra = {"PATS_FILE": str(inventory)}
    with start(estate) as cloud:
        fired = cloud.run_product(("-m", "sandbox.functions_host.fire_timer", "refresh_tokens"), cwd=ROOT, extra=extra)
        assert fired.returncode == 0, fired.stderr
        assert '"outcome": "succeeded"' in fired.stderr
        cloud.client.move_clock(timedelta(minutes=26))
        again = cloud.run_product(("-m", "shared", "refresh", "--json"), cwd=ROOT, extra=extra)
        (row,) = json.loads(again.stdout)["items"]
        assert (row["outcome"], row["because"]) == ("done", "near-expiry")
        vault = cloud.client.estate(reveal=True)["vaults"][0]
        (token,) = [secret for secret in vault["secrets"] if secret["name"] == SECRET]
        assert len(token["versions"]) == 2
        told = f"{fired.stdout}{fired.stderr}{again.stdout}{again.stderr}"
        assert not [secret for secret in cloud.client.secrets() if len(secret) > 8 and secret in told]
