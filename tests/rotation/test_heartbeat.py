"""The frame around a run: told and kept whatever comes out, with its door, and the run's id in every event."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.fan_out import queue_message
from shared.functions import http_routes, queue_trigger, rotation_timer, token_timer
from shared.functions.http_call import Call
from shared.model import run_ids
from shared.model.errors import Code, Misconfigured, PatrolError
from tests.lab.fakes import FakeHistory
from tests.lab.http_calls import app, call
from tests.lab.lab import ENVIRONMENT, THEN, Lab, days, item
from tests.lab.queue_lab import QueueLab
from tests.lab.token_estates import lab as with_tokens

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def sent(_: list[str]) -> None:
    """The host takes the messages."""


def timer(lab: Lab, folder: Path, **environ: str) -> None:
    (folder / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    rotation_timer.rotate_due(
        environ={**ENVIRONMENT, **environ}, root=folder, make_world=lambda _, budget, __: lab.world(budget), send=sent
    )


def queued_timer(lab: Lab, folder: Path) -> None:
    lab.runs = FakeHistory(lab.clock)
    timer(lab, folder, FAN_OUT_ABOVE="0", **STORAGE)


def http(lab: Lab, folder: Path) -> None:
    call("rotate", app(lab, folder), {"secrets": ["build-pat"]})


def queued_http(lab: Lab, folder: Path) -> None:
    lab.runs = FakeHistory(lab.clock)
    call("rotate", app(lab, folder, environ=STORAGE, send=sent), headers={"prefer": "respond-async"})


def command(lab: Lab, _: Path) -> None:
    lab.run()


@pytest.mark.parametrize(
    ("door", "word"),
    [
        (timer, "timer"),
        (queued_timer, "timer"),
        (http, "http"),
        (queued_http, "http"),
        (command, "command-line"),
    ],
    ids=["timer", "timer that only plans", "http", "http over the queue", "command line"],
)
def test_promise_8_the_heartbeat_names_its_door_so_that_no_other_hides_a_dead_timer(
    door: Callable[[Lab, Path], None], word: str, tmp_path: Path
) -> None:
    lab = Lab([item()])
    door(lab, tmp_path)
    assert [fields["door"] for fields in lab.told("run.finished")] == [word]
    assert [fields["door"] for fields in lab.told("run.started")] == [word]


def test_a_request_by_name_is_silent_about_what_only_whole_runs_judge(tmp_path: Path) -> None:
    lab = Lab([item(), item("other-pat", paused=True)])
    lab.run("build-pat")
    lab.wait(days(28))
    lab.cloud.pats.organization("contoso").policies.creation_restricted = True
    http(lab, tmp_path)
    assert lab.told("pat.expiring") == []
    lab.run()
    assert [fields["secret"] for fields in lab.told("pat.expiring")] == ["build-pat"]


def no_vault(lab: Lab) -> type[Exception]:
    lab.vault.denied.add("list")
    return Misconfigured


def a_defect(lab: Lab) -> type[Exception]:
    def broken(_: str) -> PatrolError | None:
        raise RuntimeError("a token stands here")

    lab.trouble.before = broken
    return RuntimeError


@pytest.mark.parametrize("happens", [no_vault, a_defect])
def test_whatever_ends_a_run_it_is_told_once_and_kept_and_promise_7_without_its_text(
    happens: Callable[[Lab], type[Exception]],
) -> None:
    lab = Lab([item()], quick=True)
    history = FakeHistory(lab.clock)
    lab.runs = history
    with pytest.raises(happens(lab)):
        lab.run()
    (told,) = lab.told("run.finished")
    assert (told["outcome"], told["code"] in (Code.VAULT_FORBIDDEN, Code.UNEXPECTED)) == ("failed", True)
    (brief,) = history.latest(9)
    assert (brief.run_id, brief.outcome, brief.door) == (told["run_id"], "failed", "command-line")
    assert "a token" not in str([lab.events, history.heads])


def test_a_refresh_keeps_no_report() -> None:
    lab = with_tokens()
    history = FakeHistory(lab.clock)
    lab.runs = history
    lab.refresh()
    assert lab.told("refresh.finished")
    assert history.heads == {}


def busy_lab() -> Lab:
    """Much happens in one run: due, renewed, retired, pushed, edited, invalid, and a user whose sign-in is refused."""
    users = [
        {
            "username": AGENTS,
            "password_secret_name": "svc-agents-password",
            "pats": [item(), item("edited-pat"), item("pushed-pat", then=THEN), item("wrong-pat", lifetime="soon")],
        },
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": [item("sonar-pat")]},
    ]
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    lab = Lab(users=users, estate=estate)
    lab.sonarqube()
    lab.run()
    lab.wait(days(25))
    lab.vault.set_secret("edited-pat", "pasted by hand")
    lab.cloud.directory.set_password(SONAR, "another")
    lab.events.clear()
    return lab


def test_every_event_of_a_run_names_it() -> None:
    lab = busy_lab()
    lab.run()
    lab.wait(days(2))
    lab.run()
    first, second = lab.reports[-2:]
    assert {fields.get("run_id") for _, fields in lab.events} == {first.run_id, second.run_id}
    assert {"pat.minted", "pat.published", "pat.revoked", "user.blocked", "item.failed"} <= {
        name for name, _ in lab.events
    }


def test_every_event_of_a_message_and_of_a_refresh_names_its_run() -> None:
    lab = busy_lab()
    sign_ins = QueueLab(lab)
    done = sign_ins.dispatch()
    for message in done.messages:
        sign_ins.deliver(message)
    assert {fields.get("run_id") for _, fields in lab.events} == {done.run.run_id}
    assert {"run.finished", "pat.published", "user.finished", "run.completed"} <= {name for name, _ in lab.events}

    tokens = with_tokens()
    report = tokens.refresh()
    assert tokens.events
    assert {fields.get("run_id") for _, fields in tokens.events} == {report.run_id}


# --- what the doors tell when nothing can begin, and what the adapters tell -------------------------------------------


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    texts = [record.getMessage() for record in caplog.records]
    return [json.loads(text.partition(" ")[2]) for text in texts if text.startswith(f"{name} ")]


def test_a_run_and_a_refresh_that_cannot_begin_are_told_with_door_and_id(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.INFO):
        with pytest.raises(rotation_timer.RunFailed):
            rotation_timer.rotate_due(environ={}, root=tmp_path)
        with pytest.raises(token_timer.RefreshFailed):
            token_timer.refresh_tokens(environ={}, root=tmp_path)
    for name in ("run.finished", "refresh.finished"):
        (told,) = lines(caplog, name)
        assert (told["door"], told["outcome"]) == ("timer", "failed")
        assert run_ids.is_id(told["run_id"])


class Kept(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


def test_what_adapters_tell_names_the_run_too(tmp_path: Path) -> None:
    """The doors hand the run's own way of telling to whoever makes the world."""
    lab = Lab([item()])
    lab.runs = FakeHistory(lab.clock)
    (tmp_path / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    handed: list[Any] = []

    def make_world(_: Any, budget: Any, tell: Any) -> Any:
        handed.append(tell)
        return lab.world(budget)

    records: list[logging.LogRecord] = []
    handler = Kept(records)
    logger = logging.getLogger("patrol")
    logger.addHandler(handler)
    try:
        rotation_timer.rotate_due(environ=ENVIRONMENT, root=tmp_path, make_world=make_world)
        http_routes.rotate(Call("POST"), app(lab, tmp_path, make_world=make_world))
        (message,) = QueueLab(lab).dispatch("build-pat").messages
        body = queue_message.write(message).encode()
        queue_trigger.rotate_user(body, 1, pytest.fail, environ=ENVIRONMENT, root=tmp_path, make_world=make_world)
        for tell in handed:
            tell("lease.unavailable", says="no storage", run_id=None)
    finally:
        logger.removeHandler(handler)
    told = [
        json.loads(one.getMessage().partition(" ")[2]) for one in records if "lease.unavailable" in one.getMessage()
    ]
    runs = [fields["run_id"] for fields in lab.told("run.started")]
    assert [one["run_id"] for one in told] == [*runs, message.run_id]
