"""One suite for reports in the host's storage and their fake: blobs in Azurite, and memory. They cannot drift."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.storage.blob import BlobServiceClient, ContainerClient
from requests.adapters import HTTPAdapter

from sandbox.cloud.clock import ManualClock
from sandbox.functions_host.azurite import KEY, Azurite, azurite, free_port
from shared.model import run_ids
from shared.model.clock import Deadline, SystemClock
from shared.model.errors import Code, Denied, NotDone, Unclear
from shared.model.items import User
from shared.model.secret_text import SecretText
from shared.model.steps import Because
from shared.report.history import History
from shared.report.kept_run import GIVEN_UP, KeptRun, MessageDone, MessageOpen
from shared.report.order import Order
from shared.report.report import Outcome, Report, Row, Verb
from shared.services.blob_reports import CONTAINER, MESSAGES_IN_A_BLOB, ORDERS_IN_A_BLOB, BlobReports
from shared.services.host_storage import ByConnectionString
from tests.lab.fakes import FakeHistory
from tests.lab.lab import LabClock

NOW = datetime.now(UTC).replace(microsecond=0)
FOLDER = "patrol/tests-abc123"
USER = User("svc-agents@contoso.com", "svc-agents-password")


class NoIdentity:
    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        raise AssertionError("a connection string needs no identity")


def row(secret: str, outcome: Outcome = Outcome.DONE, step: Verb = Verb.ROTATE) -> Row:
    return Row(secret, USER.username, "contoso", step, outcome, Because.NEAR_EXPIRY, f"{secret}: told.")


def a_run(outcome: Outcome = Outcome.DONE, *, begun: datetime = NOW, **more: Any) -> KeptRun:
    items = (row("build-pat", outcome),)
    return KeptRun(Report(run_ids.new(begun), begun, begun + timedelta(minutes=1), items), "timer", **more)


def a_head(messages: int, begun: datetime = NOW) -> KeptRun:
    """A run that waits for as many messages, each with one item."""
    waiting = tuple(MessageOpen(f"svc-{n}@contoso.com", ((f"pat-{n}", "contoso"),)) for n in range(1, messages + 1))
    report = Report(run_ids.new(begun), begun, begun, ())
    deadline = begun + timedelta(hours=4)
    return KeptRun(report, "timer", running=True, waiting=waiting, deadline=deadline, messages=messages)


def part(number: int, **more: Any) -> MessageDone:
    facts: dict[str, Any] = {"delivery": 1, "final": True, "items": (row(f"pat-{number}"),), **more}
    return MessageDone(number, finished_at=NOW + timedelta(seconds=number), **facts)


@pytest.fixture(scope="module")
def storage(npm: None) -> Iterator[Azurite]:
    with azurite() as running:
        yield running


@dataclass
class Blobs:
    """A container of Azurite as one app sees it, in a folder of the test's own."""

    connection_string: str
    folder: str = FOLDER
    session: requests.Session = field(default_factory=requests.Session)
    clock: LabClock = field(default_factory=lambda: LabClock(ManualClock(NOW)))
    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    budget: timedelta = timedelta(minutes=1)
    messages_in_a_blob: int = MESSAGES_IN_A_BLOB

    def runs(self) -> BlobReports:
        return BlobReports(
            ByConnectionString(SecretText(self.connection_string)),
            NoIdentity(),
            self.session,
            self.clock,
            Deadline.after(SystemClock(), self.budget, timedelta(0)),
            self.tell,
            folder=self.folder,
            messages_in_a_blob=self.messages_in_a_blob,
        )

    def tell(self, name: str, /, **fields: object) -> None:
        self.told.append((name, fields))

    @property
    def container(self) -> ContainerClient:
        return BlobServiceClient.from_connection_string(self.connection_string).get_container_client(CONTAINER)

    def names(self) -> list[str]:
        return sorted(blob.name for blob in self.container.list_blobs(name_starts_with=f"{self.folder}/"))


@pytest.fixture
def blobs(storage: Azurite) -> Blobs:
    return Blobs(storage.connection_string, f"{FOLDER}-{token_hex(4)}")


@pytest.fixture(params=["fake", pytest.param("blobs", marks=pytest.mark.exhaustive)])
def runs(request: pytest.FixtureRequest) -> History:
    if request.param == "fake":
        return FakeHistory(LabClock(ManualClock(NOW)))
    made: Blobs = request.getfixturevalue("blobs")
    return made.runs()


# --- what both promise -----------------------------------------------------------------------------------------------


def test_a_report_that_is_kept_is_read_as_it_was(runs: History) -> None:
    run = a_run()
    assert runs.keep(run)
    assert runs.read(run.run_id) == run
    items = (row("build-pat"), row("other-pat", Outcome.FAILED))
    better = replace(run, report=replace(run.report, items=items))
    assert runs.keep(better)
    assert runs.read(run.run_id) == better


def orders(many: int) -> tuple[Order, ...]:
    deadline = NOW + timedelta(hours=4)
    return tuple(
        Order(
            f"svc-{number}@contoso.com",
            deadline,
            many,
            ("build-pat",) if number % 2 else None,
            force=bool(number % 2),
            published_before=NOW + timedelta(microseconds=7) if number % 2 else None,
            organizations=("fabrikam",),
        )
        for number in range(1, many + 1)
    )


def test_rule_8_an_order_that_is_kept_is_read_as_it_was_to_the_microsecond(runs: History) -> None:
    run, many = a_head(3), orders(3)
    assert runs.keep(run, many) is True
    assert [runs.order(run.run_id, part) for part in (1, 2, 3, 4)] == [*many, None]
    assert runs.order(run_ids.new(), 1) is None


def test_the_report_as_a_whole_takes_no_order_away(runs: History) -> None:
    """A message that is delivered again after its run is over still does what was asked for, and nothing else."""
    run, many = a_head(1), orders(1)
    runs.keep(run, many)
    runs.keep(replace(run, running=False, waiting=()))
    assert runs.order(run.run_id, 1) == many[0]


def test_nothing_is_read_under_an_id_that_was_never_used(runs: History) -> None:
    assert runs.read(run_ids.new(NOW)) is None


def test_a_run_is_running_until_its_last_message_ended(runs: History) -> None:
    head = a_head(3)
    runs.keep(head)
    first = runs.read(head.run_id)
    assert first is not None
    assert (first.outcome, first.messages, first.messages_done) == ("running", 3, 0)
    assert [(one.secret, one.outcome) for one in first.report.items] == [(f"pat-{n}", Outcome.LEFT) for n in (1, 2, 3)]

    assert not runs.add(head.run_id, part(2), 3)
    assert not runs.add(head.run_id, part(3, final=False, items=(row("pat-3", Outcome.FAILED),)), 3)
    then = runs.read(head.run_id)
    assert then is not None
    assert (then.outcome, then.messages_done) == ("running", 1)

    assert not runs.add(head.run_id, part(1), 3)
    assert runs.add(head.run_id, replace(part(3), delivery=2, finished_at=NOW + timedelta(seconds=9)), 3)
    done = runs.read(head.run_id)
    assert done is not None
    assert (done.outcome, done.messages_done) == ("succeeded", 3)
    assert done.finished_at == NOW + timedelta(seconds=9)
    assert [one.secret for one in done.report.items] == ["pat-1", "pat-2", "pat-3"]


def test_twenty_that_end_at_one_moment_lose_nothing_and_one_is_told_that_it_was_the_last(runs: History) -> None:
    head = a_head(20)
    runs.keep(head)
    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda number: runs.add(head.run_id, part(number), 20), range(1, 21)))
    # Azurite counts the blocks before it takes one (`committedBlockCount + 1` of its AppendBlobHandler), so of two that
    # come at once both may be told 19. The service counts what it took.
    assert told.count(True) <= 1
    if isinstance(runs, FakeHistory):
        assert told.count(True) == 1
    done = runs.read(head.run_id)
    assert done is not None
    assert (done.outcome, done.messages_done) == ("succeeded", 20)
    assert {one.secret for one in done.report.items} == {f"pat-{number}" for number in range(1, 21)}
    # Whoever comes when all are in is told, whichever way it was counted.
    assert runs.add(head.run_id, replace(part(20), delivery=2), 20)


def test_the_same_part_twice_is_one(runs: History) -> None:
    head = a_head(2)
    runs.keep(head)
    runs.add(head.run_id, part(1), 2)
    runs.add(head.run_id, part(1), 2)
    half = runs.read(head.run_id)
    assert half is not None
    assert (half.outcome, half.messages_done) == ("running", 1), "the other one is still to come"
    runs.add(head.run_id, part(2), 2)
    done = runs.read(head.run_id)
    assert done is not None
    assert [one.secret for one in done.report.items] == ["pat-1", "pat-2"]


def test_the_latest_runs_come_first_with_how_they_stand(runs: History) -> None:
    old, new = a_run(begun=NOW - timedelta(days=2)), a_run(Outcome.FAILED)
    plan = a_run(begun=NOW - timedelta(hours=30), dry_run=True)
    waits = a_head(1, NOW - timedelta(days=29))
    for run in (new, waits, old, plan):
        runs.keep(run)
    listed = runs.latest(10)
    assert [one.run_id for one in listed] == [new.run_id, plan.run_id, old.run_id, waits.run_id]
    assert [(one.outcome, one.dry_run, one.items, one.not_well) for one in listed[:2]] == [
        ("failed", False, 1, 1),
        ("succeeded", True, 1, 0),
    ]
    # Its deadline has long passed, so it is over; as its head alone tells, it waits.
    assert (listed[3].finished_at, listed[3].outcome) == (waits.deadline, "failed")
    assert [one.outcome for one in runs.latest(10, settled=False)][3] == "running"
    assert [one.run_id for one in runs.latest(2)] == [new.run_id, plan.run_id]


def test_nobody_s_runs_and_looks_are_none(runs: History) -> None:
    assert runs.latest(10) == ()
    assert runs.looks() == {}


def test_a_full_look_is_remembered_by_the_user_s_digest(runs: History) -> None:
    runs.looked(USER)
    runs.looked(USER)
    (at,) = runs.looks().values()
    assert set(runs.looks()) == {USER.digest}
    # The fake's is the test's time, the storage's the machine's, which goes on while other tests run.
    assert abs(at - NOW) < timedelta(hours=3)
    assert runs.latest(10) == (), "no run"


# --- blobs alone -----------------------------------------------------------------------------------------------------


def test_the_container_is_made_by_whoever_comes_first(storage: Azurite) -> None:
    with azurite() as empty:
        blobs = Blobs(empty.connection_string)
        assert blobs.runs().latest(5) == ()
        assert blobs.runs().looks() == {}
        assert blobs.runs().read(run_ids.new(NOW)) is None
        head = a_head(2)
        # A part may even come before everything else: the dispatcher's own write may have been refused.
        assert not blobs.runs().add(head.run_id, part(1), 2)
        assert blobs.runs().keep(head)
        assert blobs.runs().add(head.run_id, part(2), 2)
        done = blobs.runs().read(head.run_id)
        assert done is not None
        assert done.messages_done == 2
    assert blobs.told == []


def test_blobs_lie_by_deployment_and_day(blobs: Blobs) -> None:
    head = a_head(1)
    blobs.runs().keep(head, orders(1))
    blobs.runs().add(head.run_id, part(1, final=False), 1)
    blobs.runs().add(head.run_id, part(1), 1)
    blobs.runs().looked(USER)
    day = NOW.strftime("%Y-%m-%d")
    assert blobs.names() == [
        *(f"{blobs.folder}/{day}/{head.run_id}.{kind}" for kind in ("0.orders", "0.parts", "0.tries", "json")),
        f"{blobs.folder}/looks/{USER.digest}",
    ]
    other = replace(blobs, folder=f"{blobs.folder}-other")
    assert (other.runs().latest(5), other.runs().looks(), other.runs().read(head.run_id)) == ((), {}, None)


def test_many_messages_have_more_than_one_blob(blobs: Blobs) -> None:
    """An append blob holds 50,000 blocks; here two messages fill one."""
    blobs.messages_in_a_blob = 2
    head = a_head(5)
    runs = blobs.runs()
    runs.keep(head)
    told = [runs.add(head.run_id, part(number), 5) for number in (5, 2, 3, 1, 4)]
    assert told == [True, False, False, True, True], "each blob's last one looks"
    assert len([name for name in blobs.names() if name.endswith(".parts")]) == 3
    done = runs.read(head.run_id)
    assert done is not None
    assert (done.outcome, done.messages_done) == ("succeeded", 5)


class LosesAnswers(HTTPAdapter):
    """The storage did it, and nobody hears."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(request, *args, **kwargs)
        if request.method == "PUT" and answer.ok and "comp=appendblock" in (request.url or "") and self.times:
            self.times -= 1
            raise requests.exceptions.ConnectionError("cut after the effect")
        return answer


def test_each_message_reads_a_blob_of_few_orders(blobs: Blobs) -> None:
    run, many = a_head(ORDERS_IN_A_BLOB + 1), orders(ORDERS_IN_A_BLOB + 1)
    runs = blobs.runs()
    assert runs.keep(run, many)
    for part in (1, ORDERS_IN_A_BLOB, ORDERS_IN_A_BLOB + 1):
        assert runs.order(run.run_id, part) == many[part - 1]
    assert len([name for name in blobs.names() if name.endswith(".orders")]) == 2


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b"null", b'{"username": "a"}'])
def test_an_order_that_cannot_be_understood_is_told_and_never_followed(blobs: Blobs, body: bytes) -> None:
    run = a_head(1)
    runs = blobs.runs()
    runs.keep(run, orders(1))
    (name,) = [name for name in blobs.names() if name.endswith(".orders")]
    blobs.container.upload_blob(name, body, overwrite=True)
    with pytest.raises(NotDone) as refused:
        runs.order(run.run_id, 1)
    assert refused.value.code is Code.REPORT_UNREADABLE


def test_a_lost_answer_to_an_append_does_not_corrupt_the_report(blobs: Blobs) -> None:
    head = a_head(2)
    blobs.runs().keep(head)
    losing = LosesAnswers(1)
    blobs.session.mount("http://", losing)
    runs = blobs.runs()
    runs.add(head.run_id, part(1), 2)
    assert losing.times == 0
    lines = blobs.container.download_blob(f"{blobs.folder}/{NOW:%Y-%m-%d}/{head.run_id}.0.parts").readall()
    assert len(lines.splitlines()) == 2, "it was written twice"
    assert runs.add(head.run_id, part(2), 2)
    done = runs.read(head.run_id)
    assert done is not None
    assert [one.secret for one in done.report.items] == ["pat-1", "pat-2"]
    assert blobs.told == []


def test_a_run_whose_message_never_ended_is_over_some_time_after_its_deadline(blobs: Blobs) -> None:
    head = a_head(2)
    blobs.runs().keep(head)
    blobs.runs().add(head.run_id, part(1), 2)
    assert head.deadline is not None
    blobs.clock.manual.move(head.deadline + GIVEN_UP - NOW - timedelta(seconds=1))
    before = blobs.runs().read(head.run_id)
    blobs.clock.manual.move(timedelta(seconds=1))
    after = blobs.runs().read(head.run_id)
    assert before is not None
    assert after is not None
    assert (before.outcome, after.outcome, after.finished_at) == ("running", "partial", head.deadline)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"run_id": "x"}', b"\xff"])
def test_a_report_that_cannot_be_understood_is_told_and_hides_no_other(blobs: Blobs, body: bytes) -> None:
    good, bad = a_run(), a_run(begun=NOW - timedelta(hours=1))
    runs = blobs.runs()
    runs.keep(good)
    name = f"{blobs.folder}/{run_ids.day_of(bad.run_id)}/{bad.run_id}.json"
    runs.keep(replace(bad, running=True))
    metadata = blobs.container.get_blob_client(name).get_blob_properties().metadata
    blobs.container.upload_blob(name, body, overwrite=True, metadata=metadata)
    with pytest.raises(NotDone, match="is not readable") as raised:
        runs.read(bad.run_id)
    assert raised.value.code is Code.REPORT_UNREADABLE
    assert [one.run_id for one in runs.latest(5)] == [good.run_id, bad.run_id]


def test_blobs_of_somebody_else_are_no_runs(blobs: Blobs) -> None:
    run = a_run()
    blobs.runs().keep(run)
    day = f"{blobs.folder}/{NOW:%Y-%m-%d}"
    for name in ("notes.json", f"{run_ids.new(NOW)}.json", f"{'f' * 32}.json", f"{run_ids.new(NOW)}.txt"):
        blobs.container.upload_blob(f"{day}/{name}", b"theirs", metadata={"outcome": "theirs"})
    blobs.container.upload_blob(f"{blobs.folder}/readme.txt", b"theirs")
    blobs.container.upload_blob(f"{blobs.folder}/archive/{run.run_id}.json", b"theirs")
    assert [one.run_id for one in blobs.runs().latest(10)] == [run.run_id]


def test_promise_5_without_a_storage_nothing_is_kept_and_reading_says_so() -> None:
    nowhere = Blobs(Azurite(free_port(), free_port()).connection_string)
    runs = nowhere.runs()
    run = a_run()
    assert not runs.keep(run)
    assert not runs.add(run.run_id, part(1), 1)
    runs.looked(USER)
    assert runs.looks() == {}
    assert [name for name, _ in nowhere.told] == ["report.failed"] * 4
    assert "no answer" in str(nowhere.told[0][1]["says"])
    for read in (lambda: runs.read(run.run_id), lambda: runs.order(run.run_id, 1), lambda: runs.latest(1)):
        with pytest.raises(Unclear) as raised:
            read()
        assert raised.value.code is Code.REPORT_UNREADABLE


def test_rule_14_a_storage_that_hangs_holds_nobody_longer_than_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stuck = Blobs(Azurite(silent.getsockname()[1], free_port()).connection_string, budget=timedelta(seconds=2))
        began = SystemClock().now()
        with pytest.raises(Unclear):
            stuck.runs().latest(1)
        assert not stuck.runs().keep(a_run())
    assert SystemClock().now() - began < timedelta(seconds=10)


def test_promise_7_a_wrong_key_is_told_with_its_remedy_and_without_itself(storage: Azurite) -> None:
    wrong = Blobs(storage.connection_string.replace(KEY, "d3JvbmcgYnV0IHdlbGwtZm9ybWVkIGtleQ=="))
    runs = wrong.runs()
    assert not runs.keep(a_run())
    with pytest.raises(Denied) as raised:
        runs.latest(1)
    told = f"{raised.value} {json.dumps(wrong.told, default=str)}"
    assert "HTTP 403" in told
    assert "Correct the key or signature in AzureWebJobsStorage" in told
    assert "d3JvbmcgYnV0" not in told
