"""`Prefer: respond-async` and the reports of earlier runs, over HTTP: 202, where to look, and the same words there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.fan_out import queue_message
from shared.fan_out.rotate_user import TryAgain
from shared.functions import http_routes, queue_trigger, rotation_timer
from shared.functions.http_answers import POLL_AFTER, Answer
from shared.model import run_ids
from shared.model.errors import Code, Denied, NotDone
from shared.report.kept_run import KeptRun
from shared.report.order import Order
from shared.report.report import Report
from tests.lab.fakes import FakeHistory
from tests.lab.http_calls import app, call, principal
from tests.lab.lab import START, Lab, days, hours, item

ASYNC = {"prefer": "respond-async"}
STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


@dataclass
class Deployed:
    """An app with storage: its doors, its queue, and whoever works it off."""

    lab: Lab
    folder: Path
    queue: list[str] = field(default_factory=list)
    poison: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = FakeHistory(self.lab.clock)
        self.lab.runs = self.runs

    def app(self) -> http_routes.App:
        return app(self.lab, self.folder, **{"environ": STORAGE, "send": self.queue.extend, **self.more})

    def ask(self, body: Any = b"", **more: Any) -> Answer:
        return call("rotate", self.app(), body, **{"headers": ASYNC, **more})

    def look(self, run_id: str | None = None, **more: Any) -> Answer:
        return call("runs", self.app(), run_id=run_id, **more)

    def poll(self, answer: Answer) -> Answer:
        return self.look(answer.headers["Location"].removeprefix("/api/runs/"))

    def deliver(self, text: str, delivery: int = 1) -> None:
        """One message to the queue function."""
        queue_trigger.rotate_user(
            text.encode(),
            delivery,
            self.poison.append,
            environ=dict(self.app().environ),
            root=self.folder,
            make_world=lambda _, budget, __: self.lab.world(budget),
        )

    def order(self, number: int = 0) -> Order:
        """What a message of the queue points to."""
        message = queue_message.read(self.queue[number].encode())
        order = self.runs.order(message.run_id, message.part)
        assert order is not None
        return order

    def work_off(self) -> None:
        """Every message, as often as the host delivers it."""
        for text in self.queue:
            for delivery in range(1, queue_message.MOST_DELIVERIES + 1):
                try:
                    self.deliver(text, delivery)
                except TryAgain:
                    continue
                break
        self.queue.clear()


def deployed(folder: Path, *more: dict[str, Any], run: bool = True, **changes: Any) -> Deployed:
    """`build-pat` was published two days ago, unless `run` is false."""
    made = Deployed(Lab([item(**changes), *more]), folder)
    if run:
        made.lab.run()
        made.lab.wait(days(2))
        made.runs.heads.clear()
    return made


def two_users(folder: Path) -> Deployed:
    """Each with one PAT to mint."""
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": [item()]},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": [item("sonar-pat")]},
    ]
    return Deployed(Lab(users=users, estate=estate), folder)


def rows(answer: Answer) -> list[str]:
    told: Any = answer.body["items"]
    return [f"{row['secret']} {row['step']} {row['outcome']} {row['because']}" for row in told]


# --- asked for, and polled -------------------------------------------------------------------------------------------


def test_respond_async_answers_202_with_where_and_when_to_look(tmp_path: Path) -> None:
    made = deployed(tmp_path, run=False)
    answer = made.ask()
    assert answer.status == 202
    run_id = str(answer.body["run_id"])
    assert answer.headers == {
        "Location": f"/api/runs/{run_id}",
        "Retry-After": str(POLL_AFTER),
        "Preference-Applied": "respond-async",
    }
    assert (answer.body["outcome"], answer.body["status"]) == ("running", None)
    assert rows(answer) == ["build-pat hold left queued"]
    assert made.lab.live() == [], "whoever gets the message does the work"
    (message,) = [queue_message.read(text.encode()) for text in made.queue]
    assert (message.run_id, message.part, message.of) == (run_id, 1, 1)
    assert made.order().username == AGENTS


def test_the_report_shows_progress_and_then_what_a_request_that_waited_is_answered(tmp_path: Path) -> None:
    made = two_users(tmp_path)
    asked = made.ask()
    assert len(made.queue) == 2
    before = made.poll(asked)
    assert (before.status, before.body["progress"]) == (200, {"messages": 2, "finished": 0})
    assert before.headers["Retry-After"] == str(POLL_AFTER)

    made.deliver(made.queue[1])
    half = made.poll(asked)
    assert half.body["progress"] == {"messages": 2, "finished": 1}
    assert (half.body["outcome"], half.body["status"], half.body["finished_at"]) == ("running", None, None)
    assert rows(half) == ["build-pat hold left queued", "sonar-pat rotate done nothing-published"]

    made.deliver(made.queue[0])
    done = made.poll(asked)
    assert (done.body["outcome"], done.body["status"], done.headers) == ("succeeded", 200, {})
    assert rows(done) == ["build-pat rotate done nothing-published", "sonar-pat rotate done nothing-published"]
    assert made.lab.works("build-pat")
    assert [told["run_id"] for told in made.lab.told("run.completed")] == [done.body["run_id"]]


def test_promise_7_neither_message_nor_report_carries_a_pat(tmp_path: Path) -> None:
    made = deployed(tmp_path, item("other-pat"))
    asked = made.ask({"secrets": ["build-pat", "other-pat"], "force": True})
    sent = [*made.queue]
    made.work_off()
    told = json.dumps([sent, made.poll(asked).body, made.look().body, *made.runs.heads.values(), made.runs.parts])
    for name in ("build-pat", "other-pat"):
        assert made.lab.current(name).value not in told


@pytest.mark.parametrize(
    ("broken", "status", "expected"),
    [
        (lambda lab: None, 200, "build-pat rotate done near-expiry"),
        (lambda lab: lab.cloud.directory.set_password(AGENTS, "another"), 502, "build-pat hold blocked blocked"),
        (lambda lab: lab.cloud.directory.apps.clear(), 500, "build-pat hold failed user-failed"),
        (lambda lab: lab.cloud.add_fault("pats.list", "status", call=None, status=503), 502, "organization-failed"),
    ],
    ids=["well", "blocked user", "no client", "no Azure DevOps"],
)
def test_the_same_statuses_show_in_the_report(broken: Any, status: int, expected: str, tmp_path: Path) -> None:
    """Once over the queue, once waited for: two equal estates, one verdict."""
    verdicts = []
    for name in ("queued", "waited"):
        folder = tmp_path / name
        folder.mkdir()
        made = deployed(folder)
        made.lab.wait(days(22))
        broken(made.lab)
        if name == "queued":
            asked = made.ask()
            made.work_off()
            done = made.poll(asked)
            verdicts.append((done.body["status"], rows(done)))
        else:
            answer = made.ask(headers={})
            report: Any = answer.body.get("report", answer.body)
            verdicts.append((int(answer.status), rows(Answer(answer.status, report))))
    assert verdicts[0] == verdicts[1]
    assert verdicts[0][0] == status
    assert any(expected in row for row in verdicts[0][1]), verdicts


def test_what_a_passing_failure_stopped_is_done_by_a_later_delivery(tmp_path: Path) -> None:
    made = deployed(tmp_path, run=False)
    asked = made.ask()
    made.lab.cloud.add_fault("pats.list", "status", call=None, status=503)
    with pytest.raises(TryAgain):
        made.deliver(made.queue[0])
    assert made.poll(asked).body["outcome"] == "running"
    made.lab.cloud.faults.clear()
    made.deliver(made.queue[0], 2)
    assert (made.poll(asked).body["status"], made.lab.works("build-pat")) == (200, True)


def test_nothing_due_is_over_at_once_and_nothing_is_queued(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.ask()
    made.work_off()  # the day's full look
    made.lab.wait(hours(1))
    asked = made.ask()
    assert (asked.status, asked.body["status"], asked.headers["Retry-After"]) == (202, 200, "1")
    assert (rows(asked), made.queue) == (["build-pat hold held fresh"], [])
    assert made.poll(asked).body == asked.body


def test_a_dry_run_over_the_queue_plans_and_changes_nothing(tmp_path: Path) -> None:
    made = deployed(tmp_path, run=False)
    asked = made.ask({"dry_run": True})
    made.work_off()
    done = made.poll(asked)
    assert (done.body["status"], done.body["dry_run"]) == (200, True)
    assert rows(done) == ["build-pat rotate planned nothing-published"]
    assert made.lab.cloud.pats.all() == []
    assert made.runs.looks() == {}, "a dry run is not the day's full look"


# --- by name ---------------------------------------------------------------------------------------------------------


def test_named_secrets_go_to_their_users_and_nothing_else_is_touched(tmp_path: Path) -> None:
    made = two_users(tmp_path)
    asked = made.ask({"secrets": ["SONAR-pat"]})
    order = made.order()
    assert (order.username, order.names, order.force) == (SONAR, ("sonar-pat",), False)
    assert order.published_before is None
    made.work_off()
    assert rows(made.poll(asked)) == ["sonar-pat rotate done nothing-published"]


def test_rule_8_force_carries_when_it_was_asked_for_so_a_redelivered_message_changes_nothing_more(
    tmp_path: Path,
) -> None:
    made = deployed(tmp_path, overlap="0d")
    asked = made.ask({"secrets": ["build-pat"], "force": True})
    (text,) = made.queue
    assert (made.order().force, made.order().published_before) == (True, START + days(2))
    made.lab.wait(timedelta(seconds=30))
    made.deliver(text)
    minted = made.lab.current("build-pat").tags["authorization-id"]
    made.lab.wait(hours(1))
    made.deliver(text, 2)
    assert made.lab.current("build-pat").tags["authorization-id"] == minted
    done = made.poll(asked)
    assert "build-pat rotate done forced" in rows(done)
    assert done.body["status"] == 200


@pytest.mark.parametrize("skew", [timedelta(minutes=3), timedelta(minutes=-3)], ids=["ahead", "behind"])
def test_rule_8_a_message_carries_the_arrival_in_the_vault_s_time(skew: timedelta, tmp_path: Path) -> None:
    """Else a machine whose clock is ahead would have a value that was published since count as older."""
    made = deployed(tmp_path, overlap="0d")
    made.lab.skew = skew
    made.more = {"now": lambda: made.lab.clock.now() + skew}
    made.ask({"secrets": ["build-pat"], "force": True})
    (text,) = made.queue
    at = made.order().published_before
    assert at is not None
    assert abs(at - made.lab.clock.now()) <= timedelta(seconds=1)
    made.lab.wait(timedelta(seconds=30))
    made.deliver(text)
    minted = made.lab.current("build-pat").tags["authorization-id"]
    made.deliver(text, 2)
    assert made.lab.current("build-pat").tags["authorization-id"] == minted


def test_published_before_of_the_caller_goes_along(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.ask({"secrets": ["build-pat"], "force": True, "published_before": "2026-03-02T12:00:00Z"})
    assert made.order().published_before == START + days(1)


def test_rule_7_force_within_the_overlap_shows_409(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.ask({"secrets": ["build-pat"], "force": True})
    made.work_off()
    made.lab.wait(hours(1))
    asked = made.ask({"secrets": ["build-pat"], "force": True})
    made.work_off()
    done = made.poll(asked)
    assert (done.body["status"], rows(done)) == (409, ["build-pat rotate busy in-overlap"])


def test_promise_5_an_item_that_is_wrong_in_pats_yaml_fails_and_the_others_are_queued(tmp_path: Path) -> None:
    made = deployed(tmp_path, item("wrong-pat", lifetime="long"), run=False)
    for body in ({"secrets": ["build-pat", "wrong-pat"]}, {}):
        asked = made.ask(body)
        assert rows(asked) == ["wrong-pat hold failed invalid", "build-pat hold left queued"]
        made.work_off()
        done = made.poll(asked)
        assert (done.body["status"], done.body["outcome"]) == (502, "partial")
    alone = made.ask({"secrets": ["wrong-pat"]})
    assert (alone.status, alone.body["status"], made.queue) == (202, 502, [])


def test_a_secret_that_left_pats_yaml_while_it_waited_is_never_told_as_done(tmp_path: Path) -> None:
    made = deployed(tmp_path, item("other-pat"))
    asked = made.ask({"secrets": ["build-pat"], "force": True})
    made.lab.items = [item("other-pat")]
    made.work_off()
    done = made.poll(asked)
    assert (done.body["status"], rows(done)) == (503, ["build-pat hold left queued"])


def test_a_user_that_left_pats_yaml_while_it_waited_is_logged_and_dropped(tmp_path: Path) -> None:
    made = two_users(tmp_path)
    asked = made.ask({"secrets": ["sonar-pat"]})
    del made.lab.users[1]
    made.work_off()
    assert [told["username"] for told in made.lab.told("message.dropped")] == [SONAR]
    assert made.poll(asked).body["status"] == 503


def test_long_lists_are_split(tmp_path: Path) -> None:
    names = [f"pat-{number}" for number in range(250)]
    made = Deployed(Lab([item(name) for name in names]), tmp_path)
    asked = made.ask({"secrets": names})
    found = [queue_message.read(text.encode()) for text in made.queue]
    assert [len(made.order(number).names or ()) for number in range(3)] == [100, 100, 50]
    assert [(one.part, one.of) for one in found] == [(1, 3), (2, 3), (3, 3)]
    assert len(rows(asked)) == 250


# --- what is refused, and then nothing is queued ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"secrets": ["build-pat", "no-such-pat"]}, 404, "secret-unknown"),
        ({"secret": ["build-pat"]}, 400, "body-invalid"),
        ({"force": True}, 400, "body-invalid"),
        (b"{", 400, "body-invalid"),
    ],
)
def test_a_request_that_is_wrong_queues_nothing_and_keeps_nothing(
    body: Any, status: int, code: str, tmp_path: Path
) -> None:
    made = deployed(tmp_path)
    made.lab.cloud.log.clear()
    answer = made.ask(body)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert (made.queue, made.runs.heads, made.lab.operations()) == ([], {}, [])


def test_a_vault_that_cannot_be_read_is_500_and_nothing_is_queued(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.lab.vault.denied.update({"list", "get"})
    for body in ({}, {"secrets": ["build-pat"], "force": True}):
        answer = made.ask(body)
        assert (answer.status, answer.body["code"], made.queue) == (500, "vault-forbidden", [])


def test_a_clock_that_is_wrong_queues_nothing(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.lab.skew = hours(2)
    answer = made.ask({"secrets": ["build-pat"], "force": True})
    assert (answer.status, answer.body["code"], made.queue) == (500, "clock-skew", [])


def test_a_report_that_cannot_be_kept_leaves_nothing_to_poll_so_nothing_is_queued(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.runs.down = True
    for body in ({}, {"secrets": ["build-pat"]}):
        answer = made.ask(body)
        assert (answer.status, answer.body["code"], made.queue) == (503, "report-unreadable", [])
        assert int(answer.headers["Retry-After"]) > 0
        assert "without `Prefer: respond-async`" in str(answer.body["remedy"])
    told = [made.lab.told(name)[-1]["queued"] for name in ("run.finished", "run.queued")]
    assert told == [0, 0], "no alert waits for what was never sent"


@pytest.mark.parametrize(
    "environ",
    [{}, {"AzureWebJobsStorage__blobServiceUri": "https://contoso.blob.core.windows.net"}],
    ids=["no storage", "no address of a queue"],
)
def test_without_a_queue_the_preference_is_not_followed(environ: dict[str, str], tmp_path: Path) -> None:
    """RFC 7240: a preference; the answer to a request that waited carries no Preference-Applied."""
    made = deployed(tmp_path, run=False)
    made.more = {"environ": environ}
    answer = made.ask()
    assert (answer.status, answer.headers, made.queue) == (200, {}, [])
    assert rows(answer) == ["build-pat rotate done nothing-published"]


@pytest.mark.parametrize(
    ("preference", "queued"),
    [
        ("respond-async", True),
        ("Respond-Async", True),
        ("respond-async, wait=10", True),
        ('return=minimal, respond-async;foo="a b"', True),
        ("wait=10", False),
        ("respond-asynchronously", False),
        ('foo="respond-async"', False),
        ("", False),
    ],
)
def test_the_preference_is_read_as_rfc_7240_writes_it(preference: str, queued: bool, tmp_path: Path) -> None:
    made = deployed(tmp_path, run=False)
    answer = made.ask(headers={"prefer": preference})
    assert (answer.status == 202) == queued
    assert ("Preference-Applied" in answer.headers) == queued


def test_an_emergency_does_not_wait_in_a_queue(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    answer = call("emergency", made.app(), {"secrets": ["build-pat"]}, headers=ASYNC)
    assert (answer.status, made.queue) == (200, [])


# --- earlier runs ----------------------------------------------------------------------------------------------------


def test_every_run_from_whichever_door_keeps_its_report(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.lab.run()  # the command line's
    environ = dict(made.app().environ)
    make_world = lambda _, budget, __: made.lab.world(budget)  # noqa: E731
    made.lab.wait(timedelta(seconds=1))
    rotation_timer.rotate_due(environ=environ, root=tmp_path, make_world=make_world)
    made.lab.wait(timedelta(seconds=1))
    waited = made.ask({"dry_run": True}, headers={})
    emergency = call("emergency", made.app(), {"secrets": ["build-pat"]})
    listed = made.look()
    told: Any = listed.body["runs"]
    assert {one["door"] for one in told} == {"timer", "http", "command-line"}
    assert len(told) == 4
    for answer in (waited, emergency):
        one = made.look(str(answer.body["run_id"]))
        assert {name: one.body[name] for name in answer.body} == dict(answer.body)
        assert one.body["status"] == answer.status


def test_runs_are_listed_latest_first_and_fifty_at_most(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    for number in range(60):
        begun = START + hours(number)
        made.runs.keep(KeptRun(Report(run_ids.new(begun), begun, begun, ()), "timer"))
    told: Any = made.look().body["runs"]
    assert len(told) == 50
    assert told == sorted(told, key=lambda one: one["started_at"], reverse=True)
    assert told[0]["outcome"] == "succeeded"


def test_a_run_that_could_not_begin_is_kept_with_its_cause(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.lab.vault.denied.add("list")
    refused = made.ask(headers={})
    told: Any = made.look().body["runs"]
    one = made.look(told[0]["run_id"])
    assert (refused.status, one.body["status"], one.body["outcome"]) == (500, 500, "failed")
    error: Any = one.body["error"]
    assert error["code"] == refused.body["code"] == "vault-forbidden"


@pytest.mark.parametrize("headers", [{}, ASYNC], ids=["waited for", "over the queue"])
def test_promise_7_a_run_that_a_defect_ended_is_kept_without_the_text_of_it(
    headers: dict[str, str], tmp_path: Path
) -> None:
    made = deployed(tmp_path, run=False)

    def broken(met: Any) -> None:
        raise RuntimeError("a token stands here")

    made.lab.cloud.before_effect = lambda met: broken(met) if met.name == "vault.list" else None
    refused = made.ask(headers=headers)
    told: Any = made.look().body["runs"]
    one = made.look(told[0]["run_id"])
    assert (refused.status, one.body["status"], made.queue) == (500, 500, [])
    error: Any = one.body["error"]
    assert error["code"] == "unexpected"
    assert "RuntimeError at " in error["message"]
    assert "a token" not in json.dumps(one.body)


@pytest.mark.parametrize(
    "run_id",
    ["f" * 32, "0" * 31, "0" * 33, "x" * 32, "", "..", "%2e%2e", "01a2-0000", "patrol/looks", "0" * 5000],
)
def test_an_id_of_no_run_is_404_and_nobody_is_asked(run_id: str, tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.runs.down = True
    answer = made.look(run_id)
    assert (answer.status, answer.body["code"]) == (404, "run-unknown")
    assert run_id[:40] not in json.dumps(answer.body) or not run_id


def test_a_run_that_was_never_kept_is_404(tmp_path: Path) -> None:
    answer = deployed(tmp_path).look(run_ids.new(START))
    assert (answer.status, answer.body["code"]) == (404, "run-unknown")
    assert "30 days" in str(answer.body["detail"])


def test_ids_are_the_same_in_upper_case(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    run_id = str(made.ask(headers={}).body["run_id"])
    assert made.look(run_id.upper()).body["run_id"] == run_id


class Refusing(FakeHistory):
    """A storage that says no."""

    def read(self, run_id: str) -> KeptRun | None:
        raise Denied(Code.REPORT_UNREADABLE, "refused", "-")


class Garbled(FakeHistory):
    def read(self, run_id: str) -> KeptRun | None:
        raise NotDone(Code.REPORT_UNREADABLE, "not readable", "-")


@pytest.mark.parametrize("kind", [Refusing, Garbled])
def test_reports_that_nobody_may_or_can_read_are_500(kind: type[FakeHistory], tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.lab.runs = kind(made.lab.clock)
    answer = made.look(run_ids.new(START))
    assert (answer.status, answer.body["code"]) == (500, "report-unreadable")


def test_a_storage_that_does_not_answer_is_503_and_may_be_asked_again(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.runs.down = True
    for run_id in (None, run_ids.new(START)):
        answer = made.look(run_id)
        assert (answer.status, answer.body["code"]) == (503, "report-unreadable")
        assert int(answer.headers["Retry-After"]) > 0


def test_without_a_storage_there_are_no_reports_and_that_is_said(tmp_path: Path) -> None:
    lab = Lab([item()])
    answer = call("runs", app(lab, tmp_path))
    assert (answer.status, answer.body["code"]) == (500, "settings-invalid")
    assert "AzureWebJobsStorage" in str(answer.body["remedy"])


def test_reports_are_read_with_the_role_of_reading(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.more = {"environ": {**STORAGE, "HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"}}
    assert made.look().status == 401
    assert made.look(headers=principal("Pats.Rotate", "Pats.Emergency")).status == 403
    assert made.look(headers=principal("Pats.Read")).status == 200
    assert made.look("f" * 32, headers=principal("Pats.Rotate")).status == 403, "nor whether there is one"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_reports_are_only_read(method: str, tmp_path: Path) -> None:
    answer = deployed(tmp_path).look("f" * 32, method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


# --- bad input of the queue ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00 not text",
        b"\xff" * 49_000,
        b"[1, 2]",
        b'"patrol-rotation-1"',
        b'{"kind": "somebody-else-s"}',
        b'{"kind": "patrol-rotation-1"}',
        b"[" * 40_000,
        b'{"n": ' + b"9" * 30_000 + b"}",
    ],
    ids=lambda body: str(body[:20]),
)
def test_a_foreign_message_is_set_aside_at_its_first_delivery(
    body: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside: list[str] = []
    with caplog.at_level("INFO"):
        queue_trigger.rotate_user(body, 1, aside.append, environ={}, root=tmp_path)
    (text,) = aside
    assert len(text.encode()) <= 48 * 1024, "it fits into a message again"
    lines = [one.getMessage() for one in caplog.records if one.getMessage().startswith("message.refused ")]
    assert len(lines) == 1
    assert "was set aside" in lines[0]
    shown = body.decode("latin-1")
    assert len(shown) < 8 or shown[:40] not in lines[0], "whatever it was, it may be secret"


def test_a_message_of_ours_is_taken_as_it_was_written(tmp_path: Path) -> None:
    made = deployed(tmp_path)
    made.ask({"secrets": ["build-pat"], "force": True})
    (text,) = made.queue
    message = queue_message.read(text.encode())
    assert queue_message.read(queue_message.write(message).encode()) == message
    changed = json.loads(text)
    for key, value in [
        ("run_id", "f" * 32),
        ("part", 2),
        ("part", True),
        ("secrets", ["build-pat"]),
        ("username", "a b"),
        ("deadline", "soon"),
        ("force", True),
        ("published_before", "2026-03-01T12:00:00Z"),
        ("more", 1),
    ]:
        aside: list[str] = []
        queue_trigger.rotate_user(
            json.dumps({**changed, key: value}).encode(), 1, aside.append, environ={}, root=tmp_path
        )
        assert len(aside) == 1, (key, value)


def test_a_head_that_is_gone_loses_no_work_that_is_due(tmp_path: Path) -> None:
    """Somebody deleted the reports: the message is done all the same."""
    made = deployed(tmp_path, run=False)
    made.ask()
    made.runs.heads.clear()
    made.runs.orders.clear()
    made.work_off()
    assert made.lab.works("build-pat")


def test_progress_of_a_run_that_is_kept_is_not_lost_when_the_same_part_is_told_late(tmp_path: Path) -> None:
    made = deployed(tmp_path, run=False)
    asked = made.ask()
    (text,) = made.queue
    made.deliver(text)
    done = made.poll(asked)
    made.deliver(text, 2)
    assert replace(made.poll(asked)) == done
