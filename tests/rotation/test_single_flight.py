"""Single flight in the engine: one runner at a time works on an item, and nobody repeats what another just did.

The lease itself is tested against a real storage service in tests/test_leases.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.model.clock import Deadline
from shared.model.errors import Code
from shared.model.single_flight import SingleFlight, Turn
from shared.report.report import Outcome
from tests.lab.fakes import FakeFlight, Storage
from tests.lab.http_calls import app, call
from tests.lab.lab import Lab, days, hours, item, row

SECRET = "build-pat"


@dataclass
class Interrupted:
    """A flight before whose first turns something else happens, such as another runner's whole run."""

    inner: SingleFlight
    before: list[Callable[[], object]] = field(default_factory=list)

    def take(self, secret: str, until: Deadline) -> AbstractContextManager[Turn]:
        if self.before:
            self.before.pop(0)()
        return self.inner.take(secret, until)


def minted(lab: Lab) -> int:
    return lab.operations().count("pats.create")


def published_lab(**more: str) -> tuple[Lab, Storage]:
    """An item that was published an hour ago, and the storage that all runners share."""
    lab, storage = Lab([item(**more)]), Storage()
    lab.flight = FakeFlight(storage, lab.clock, "instance-a")
    lab.run()
    lab.wait(hours(1))
    return lab, storage


def other(lab: Lab, storage: Storage, *names: str, **asks: Any) -> Callable[[], object]:
    """Another runner's whole run, at the moment it is called."""

    def run() -> object:
        mine, lab.flight = lab.flight, FakeFlight(storage, lab.clock, "instance-b")
        try:
            return lab.run(*names, **asks)
        finally:
            lab.flight = mine

    return run


def test_rule_8_what_another_published_after_the_request_arrived_is_what_was_asked_for() -> None:
    lab, storage = published_lab()
    lab.wait(timedelta(seconds=1))
    arrived = lab.clock.now()
    lab.wait(timedelta(seconds=5))
    lab.flight = Interrupted(lab.flight, [other(lab, storage, SECRET, force=True)])
    before = minted(lab)
    report = lab.run(SECRET, force=True, published_before=arrived)
    assert minted(lab) == before + 1
    assert (row(report).outcome, row(report).because) == (Outcome.HELD, "already-replaced")
    assert report.outcome == "succeeded"


def test_a_due_item_that_another_rotated_meanwhile_is_not_rotated_again() -> None:
    lab, storage = published_lab()
    lab.wait(days(24))
    lab.flight = Interrupted(lab.flight, [other(lab, storage)])
    before = minted(lab)
    report = lab.run()
    assert minted(lab) == before + 1
    assert row(report).outcome is Outcome.HELD
    assert len(lab.live(SECRET)) == 2, "the current one and its predecessor in overlap"


def test_a_new_item_that_another_published_meanwhile_is_not_published_again() -> None:
    lab, storage = Lab([item()]), Storage()
    lab.flight = Interrupted(FakeFlight(storage, lab.clock), [other(lab, storage)])
    report = lab.run()
    assert minted(lab) == 1
    assert row(report).outcome is Outcome.HELD


def test_an_item_that_another_decommissioned_meanwhile_is_left_as_it_is() -> None:
    lab, storage = published_lab()
    lab.items = [item(decommission=True)]
    lab.flight = Interrupted(lab.flight, [other(lab, storage)])
    report = lab.run()
    assert (row(report).outcome, row(report).because) == (Outcome.HELD, "decommissioned")
    assert not lab.current(SECRET).enabled
    assert lab.live(SECRET) == []


def test_a_secret_that_was_deleted_while_its_turn_came_is_not_written() -> None:
    lab, _ = published_lab()
    lab.wait(days(24))
    # Another's work a moment ago makes this runner look again, and what it then finds counts.
    storage = Storage()
    flight = FakeFlight(storage, lab.clock)

    def deleted_by_a_person() -> None:
        with flight.held(SECRET) as turn:
            turn.worked()
        lab.vault.delete(SECRET)

    lab.flight = Interrupted(flight, [deleted_by_a_person])
    report = lab.run()
    error = row(report).error
    assert error is not None
    assert error.code is Code.SECRET_DELETED


def test_nobody_looks_twice_when_nobody_else_worked_on_the_item() -> None:
    lab, _ = published_lab()
    lab.wait(days(24))
    before = len(lab.operations())
    lab.run()
    assert lab.operations()[before:].count("vault.get") == 2, "the password and the client secret alone"


def test_an_item_that_another_holds_is_worked_on_last_and_the_others_do_not_wait() -> None:
    lab, storage = Lab([item("first-pat"), item("second-pat")]), Storage()
    holder = FakeFlight(storage, lab.clock, "instance-b")
    lab.flight = FakeFlight(storage, lab.clock, "instance-a")
    began = lab.clock.now()
    with hold(holder, "first-pat"):
        holder.crash()
        report = lab.run()
    assert [one.outcome for one in report.items] == [Outcome.DONE, Outcome.DONE]
    published = {name: lab.current(name).created - began.timestamp() for name in ("first-pat", "second-pat")}
    assert published["second-pat"] < 5
    assert published["first-pat"] >= 60, "the crashed holder's lease ended before"


def test_a_crashed_holder_frees_the_item_and_what_it_had_published_is_not_replaced() -> None:
    lab, storage = published_lab()
    lab.wait(days(24))
    crashing = FakeFlight(storage, lab.clock, "instance-b")

    def rotates_and_dies() -> None:
        lab.flight = Dying(crashing)
        lab.run()
        crashing.crash()
        lab.flight = surviving

    surviving = FakeFlight(storage, lab.clock, "instance-a")
    lab.flight = Interrupted(surviving, [rotates_and_dies])
    before = minted(lab)
    report = lab.run()
    assert minted(lab) == before + 1
    assert row(report).outcome is Outcome.HELD


def test_who_holds_an_item_and_since_when_is_named_when_it_is_still_held_at_the_end() -> None:
    lab, storage = published_lab()
    lab.wait(days(24))
    with hold(FakeFlight(storage, lab.clock, "instance-b"), SECRET):
        since = lab.clock.now()
        report = lab.run(budget=timedelta(seconds=45))
    told = row(report)
    assert (told.outcome, told.because, told.step) == (Outcome.BUSY, "rotated-elsewhere", "rotate")
    assert told.error is not None
    assert told.error.code is Code.ROTATED_ELSEWHERE
    assert f"instance-b since {since.strftime('%Y-%m-%dT%H:%M:%SZ')}" in told.error.message
    assert report.outcome == "failed"
    waited = lab.clock.now() - since
    assert timedelta(seconds=45) <= waited < timedelta(seconds=50)


def test_a_long_run_does_not_wait_for_ever_for_an_item_that_another_keeps() -> None:
    lab, storage = Lab([item(f"pat-{number}") for number in range(5)]), Storage()
    holder = FakeFlight(storage, lab.clock, "instance-b")
    lab.flight = FakeFlight(storage, lab.clock, "instance-a")
    began = lab.clock.now()
    with hold(holder, "pat-0"), hold(holder, "pat-1"), hold(holder, "pat-2"), hold(holder, "pat-3"):
        report = lab.run()
    assert [one.outcome for one in report.items].count(Outcome.BUSY) == 4
    assert lab.clock.now() - began < timedelta(minutes=3)


def test_a_turn_that_comes_when_the_time_is_over_begins_nothing() -> None:
    lab, storage = published_lab()
    lab.wait(days(24))
    holder = FakeFlight(storage, lab.clock, "instance-b")
    before = minted(lab)
    with hold(holder, SECRET):
        holder.crash()
        report = lab.run(budget=timedelta(seconds=60))
    assert row(report).outcome is Outcome.LEFT
    assert minted(lab) == before


def test_promise_5_a_storage_that_gives_no_answer_stops_no_rotation() -> None:
    lab, storage = published_lab()
    storage.down = True
    lab.wait(days(24))
    assert row(lab.run()).outcome is Outcome.DONE
    assert lab.works(SECRET)


def test_a_dry_run_takes_no_turn() -> None:
    lab, storage = published_lab()
    lab.wait(days(24))
    with hold(FakeFlight(storage, lab.clock), SECRET):
        assert row(lab.run(dry_run=True)).outcome is Outcome.PLANNED


def test_an_emergency_waits_its_turn_and_then_ends_what_the_other_published() -> None:
    lab, storage = published_lab()
    lab.flight = Interrupted(lab.flight, [other(lab, storage, SECRET, force=True)])
    leaked = {pat.authorization_id for pat in lab.live(SECRET)}
    report = lab.run(SECRET, emergency=True, published_before=lab.clock.now() + timedelta(minutes=1))
    assert report.outcome == "succeeded"
    live = {pat.authorization_id for pat in lab.live(SECRET)}
    assert len(live) == 1
    assert not live & leaked


def test_409_names_the_holder_and_says_when_to_ask_again(tmp_path: Path) -> None:
    lab, storage = published_lab()
    with hold(FakeFlight(storage, lab.clock, "instance-b"), SECRET):
        since = lab.clock.now()
        answer = call("rotate", app(lab, tmp_path), {"secrets": [SECRET], "force": True})
    assert answer.status == 409
    assert answer.headers["Retry-After"] == "30"
    body: Any = answer.body
    assert body["code"] == "rotated-elsewhere"
    assert f"instance-b since {since.strftime('%Y-%m-%dT%H:%M:%SZ')}" in body["detail"]
    assert body["report"]["items"][0]["outcome"] == "busy"


@contextmanager
def hold(flight: FakeFlight, secret: str) -> Iterator[None]:
    with flight.held(secret):
        yield


@dataclass
class Dying:
    """Its runner dies after its work, before it says so or gives the turn back."""

    inner: FakeFlight
    kept: list[AbstractContextManager[Turn]] = field(default_factory=list)

    @contextmanager
    def take(self, secret: str, until: Deadline) -> Iterator[Turn]:
        self.kept.append(self.inner.take(secret, until))
        yield Silent(self.kept[-1].__enter__())


@dataclass
class Silent:
    turn: Turn

    def idle(self) -> timedelta | None:
        return self.turn.idle()

    def worked(self) -> None:
        """It died before."""


def test_rule_8_force_counts_from_the_arrival_of_the_request_not_from_its_first_step() -> None:
    lab, _ = published_lab()
    arrived = lab.clock.now()
    lab.wait(timedelta(seconds=5))
    lab.run(SECRET, force=True)
    lab.wait(timedelta(seconds=5))
    report = lab.run(SECRET, force=True, arrived_at=arrived)
    assert (row(report).outcome, row(report).because) == (Outcome.HELD, "already-replaced")
