"""Two runs on one secret, each stopped and resumed between two calls, judged after every call (tests/lab/judge.py).

Each runner has a thread of its own and only one of them ever runs, so that every order of calls can be made to happen.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.fan_out.dispatch import dispatch, dispatch_named
from shared.fan_out.rotate_user import TryAgain, do_message
from shared.model.errors import PatrolError
from shared.model.request import Request
from shared.report.report import Outcome, Report
from shared.rotation.run import run
from shared.rotation.threads import Threads
from tests.lab.consumers import Kind as Consumer
from tests.lab.copies import copies
from tests.lab.fakes import FakeFlight, FakeHistory, Storage, Trouble
from tests.lab.invariants import Watch
from tests.lab.judge import Judge
from tests.lab.lab import MADE, Lab, days, hours, item
from tests.lab.moments import DECOMMISSION, MOVED, SECRET, Kind, Moment

OVERLAP = days(1)
GAPS = (timedelta(0), timedelta(seconds=5), timedelta(minutes=6), timedelta(minutes=150))


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


class Runner:
    """One run in a thread of its own, stopped before its call `stop` and, where it is `doomed`, never resumed."""

    def __init__(self, estate: Meeting, kind: Kind, stop: int | None, flight: FakeFlight | None) -> None:
        self.estate, self.kind, self.stop, self.flight = estate, kind, stop, flight
        self.calls = 0
        self.doomed = False
        self.waits = False
        self.report: Report | None = None
        self.failure: BaseException | None = None
        self.finished = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = False

    def resume(self) -> None:
        """Until it stops, waits for a turn or ends. Raises what it failed with."""
        if self._started:
            self._go.release()
        else:
            self._started = True
            self._thread.start()
        self._stopped.acquire()
        if self.failure is not None:
            raise self.failure

    def kill(self) -> None:
        """It makes no further call."""
        if not self.finished:
            self.doomed = True
            with suppress(Killed):
                self.resume()

    def wait(self, duration: timedelta) -> None:
        """Somebody else has the turn: let them go on before asking again."""
        if not self.waits:
            self.waits = True
            self._stop()
            self.waits = False
        self.estate.lab.clock.sleep(duration)

    def _run(self) -> None:
        try:
            self.report = self.estate.work(self)
        except PatrolError:
            pass  # a run that could not be attempted did nothing
        except BaseException as failure:  # noqa: BLE001  # raised in the thread that judges
            self.failure = failure
        self.finished = True
        self._stopped.release()

    def _stop(self) -> None:
        self._stopped.release()
        self._go.acquire()
        if self.doomed:
            if self.flight is not None:
                self.flight.crash()
            raise Killed

    def before(self, _: str) -> PatrolError | None:
        if self.doomed:
            raise Killed
        self.calls += 1
        if self.calls == self.stop:
            self._stop()
        return None

    def after(self, _: str) -> PatrolError | None:
        self.estate.judge.look()
        return None


@dataclass(frozen=True, slots=True)
class WaitingClock:
    """The clock of a runner that waits for a turn."""

    runner: Runner

    def now(self) -> datetime:
        return self.runner.estate.lab.clock.now()

    def elapsed(self) -> timedelta:
        return self.runner.estate.lab.clock.elapsed()

    def sleep(self, duration: timedelta) -> None:
        self.runner.wait(duration)


class Meeting:
    """Two kinds of runs at one moment."""

    def __init__(self, moment: Moment, first: Kind, second: Kind, *, leases: bool) -> None:
        self.kinds, self.then = (first, second), moment.then
        moved = first.moved or second.moved
        self.lab = lab = Lab(estate=_estate() if moved else None, quick=True, enrolled=moment.enrolled)
        MADE.remove(lab)  # its invariants are looked at below, and thousands of labs are not kept for what leaks
        self._write(lab)
        for consumer in moment.then:
            consumer.prepare(lab)
        lab.sign_everybody_in()
        moment.make(lab)
        self.judge = Judge(lab, SECRET, OVERLAP)
        self.takes_again = moment.refuses.refuse(lab) if moment.refuses is not None else lambda: None
        self.storage = Storage() if leases else None
        self.runs = FakeHistory(lab.clock)

    def runner(self, kind: Kind, stop: int | None = None) -> Runner:
        made = Runner(self, kind, stop, None)
        if self.storage is not None:
            made.flight = FakeFlight(self.storage, WaitingClock(made), kind.name)
        return made

    def _write(self, lab: Lab, *, moved: bool = False, then: tuple[Consumer, ...] = (), **keys: Any) -> None:
        """pats.yaml: the newest that either runner has, so a decommissioning is of where the item is by then."""
        named = [one.then for one in then or self.then]
        if named:
            keys["then"] = named if len(named) > 1 else named[0]
        mine = [item(SECRET, **keys)]
        if not any(kind.moved for kind in self.kinds):
            lab.items = mine
            return
        passwords = {AGENTS: "svc-agents-password", SONAR: "svc-sonar-password"}
        lab.users = [
            {"username": name, "password_secret_name": password, "pats": mine if (name == SONAR) == moved else []}
            for name, password in passwords.items()
        ]

    def write_newest(self) -> None:
        """What both will find in the end."""
        ends: dict[str, Any] = {"decommission": True} if DECOMMISSION in self.kinds else {}
        self._write(self.lab, moved=any(kind.moved for kind in self.kinds), **ends)

    def work(self, runner: Runner) -> Report | None:
        """What the runner does, in its thread."""
        lab, kind = self.lab, runner.kind
        arrived = lab.clock.now()
        moved = kind.moved or (kind is DECOMMISSION and MOVED in self.kinds)
        self._write(lab, moved=moved, then=kind.then, **kind.keys)
        inventory = lab.inventory()
        self.write_newest()  # what invariants are judged by
        leaked = self.judge.readable()
        self.judge.decommissioned = self.judge.decommissioned or kind is DECOMMISSION
        if kind.asks.get("emergency"):
            self.judge.emergency(arrived, revoke_first=bool(kind.asks.get("revoke_first")))
        trouble = Trouble(runner.before, runner.after)
        kept, lab.trouble, lab.runs = lab.trouble, trouble, self.runs
        watch, lab.watch = lab.watch, self._watch(kind)
        world = lab.quick_world()
        lab.trouble, lab.watch = kept, watch
        if runner.flight is not None:
            world = replace(world, flight=runner.flight)
        names = (SECRET,) if kind.asks else None
        request = Request(names=names, arrived_at=arrived, **kind.asks)
        if kind.queued:
            named = dispatch_named(inventory, world, lab.settings.mark, request, names) if names else None
            sent = named or dispatch(inventory, world, lab.settings.mark, request)
            for message in sent.messages:
                with suppress(TryAgain):
                    do_message(message, 1, inventory, world, lab.settings.mark, Threads(1))
            return None
        report = run(inventory, world, lab.settings.mark, request, Threads(1))
        blocked = [row.says for row in report.items if row.outcome is Outcome.BLOCKED]
        assert blocked == [], "nobody refused a sign-in"
        if kind.asks.get("emergency") and report.exit_code() == 0:
            self.judge.has_ended_all(leaked)
        return report

    def _watch(self, kind: Kind) -> Watch:
        mine, lab = self.lab.watch, self.lab
        made = Watch(lab.cloud, mine.host, mine.mark, mine.items, broken=mine.broken, refused=mine.refused)
        made.emergency, made.revoke_first = (bool(kind.asks.get(name)) for name in ("emergency", "revoke_first"))
        return made

    def converge(self) -> None:
        """What the next runs make of it, with nobody disturbing them."""
        lab = self.lab
        self.takes_again()
        self.write_newest()
        report = None
        for pause in (hours(3), hours(25), hours(3)):
            report = lab.later(pause)
            self.judge.look()
        assert [*lab.watch.broken, *self.judge.broken] == []
        self.judge_rest(report)

    def judge_rest(self, report: Report | None) -> None:
        lab, versions = self.lab, self.judge.versions()
        assert report is not None
        # The first, one of each run that found it over a week old, and one of the runs since.
        assert not lab.enrolled or len(lab.kept()) <= 4, "each run keeps a new refresh token at most once (rule 16)"
        if any(row.because == "edited" for row in report.items):
            assert not any(one.tags for one in versions[-1:]), "only what a person wrote is `edited`"
            return
        if DECOMMISSION in self.kinds and any(row.because == "user-changed" for row in report.items):
            return  # it was not moved before it was to end: a person is told to put it back
        assert report.exit_code() == 0, report.to_json()
        live = [pat.value for pat in lab.live(SECRET)]
        if DECOMMISSION in self.kinds:
            if versions and not versions[-1].tags:
                return  # a person wrote it: nothing of it ends (rule 10)
            assert live == [], "promise 2"
            assert not any(one.enabled for one in versions[-1:] if one.tags)
            return
        assert live == [versions[-1].value], "promises 2 and 3"
        assert lab.works(SECRET)
        assert "predecessors" not in versions[-1].tags
        assert set(copies(lab.cloud)) <= {versions[-1].value}


def _estate() -> dict[str, Any]:
    """Two users, and an empty vault."""
    demo = demo_estate()
    vaults = [{"host": demo["vaults"][0]["host"], "secrets": []}, demo["vaults"][1]]
    return {**demo, "pats": [], "vaults": vaults}


def finish(one: Runner, other: Runner) -> None:
    """Run it to its end; where it waits for the other's turn, that one goes on first, and ends."""
    while not one.finished:
        one.resume()
        if one.waits and not other.finished and not other.doomed and not other.waits:
            finish(other, one)


def calls_alone(moment: Moment, kind: Kind, beside: Kind, *, leases: bool) -> int:
    """How many calls a run of this kind makes that nothing disturbs."""
    alone = Meeting(moment, kind, beside, leases=leases)
    runner = alone.runner(kind)
    runner.resume()
    return runner.calls


@dataclass(frozen=True, slots=True)
class Schedule:
    """The first runs to its call `at`, then the second to its call `until` (None: to its end), then the first to its
    end, then the second. `gap` passes at each change. `killed`: who never goes on after that.
    """

    at: int
    until: int | None
    gap: timedelta
    leases: bool
    killed: str = ""


def play(moment: Moment, first: Kind, second: Kind, schedule: Schedule) -> None:
    meeting = Meeting(moment, first, second, leases=schedule.leases)
    wait = meeting.lab.wait
    one, other = meeting.runner(first, schedule.at), meeting.runner(second, schedule.until)
    one.resume()
    wait(schedule.gap)
    if schedule.killed == "first":
        one.kill()
    if schedule.until is None:
        finish(other, one)
    elif not other.finished:
        other.resume()
        if other.waits and not one.finished:
            finish(one, other)
    wait(schedule.gap)
    if schedule.killed == "second":
        other.kill()
    if not one.doomed:
        finish(one, other)
    wait(schedule.gap)
    if not other.doomed:
        finish(other, one)
    meeting.converge()
