"""Both ends of the queue on one lab: the dispatcher, the messages as text, and one delivery at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from sandbox.cloud.large_estate import Size, estate, inventory_text
from shared.fan_out import queue_message
from shared.fan_out.dispatch import Dispatched, dispatch, dispatch_named
from shared.fan_out.rotate_user import TryAgain, do_message
from shared.inventory import pats_yaml
from shared.model.request import Request
from shared.report.report import Report
from shared.rotation.threads import Threads
from shared.rotation.world import World
from tests.lab.fakes import FakeHistory
from tests.lab.lab import Lab


@dataclass
class QueueLab:
    """Every message goes through its text, every report through its own, and both are searched for secrets."""

    lab: Lab
    runs: FakeHistory = field(init=False)

    def __post_init__(self) -> None:
        self.lab.runs = self.runs = FakeHistory(self.lab.clock)

    def world(self, budget: timedelta = timedelta(minutes=20)) -> World:
        return self.lab.quick_world(budget) if self.lab.quick else self.lab.world(budget)

    def dispatch(self, *names: str, **asks: object) -> Dispatched:
        request = Request(names=names or None, door="timer", run_id=self.lab.next_run_id(), **asks)  # type: ignore[arg-type]
        if names:
            done = dispatch_named(self.lab.inventory(), self.world(), self.lab.settings.mark, request, names)
        else:
            done = dispatch(self.lab.inventory(), self.world(), self.lab.settings.mark, request)
        self.lab.failures += [queue_message.write(one) for one in done.messages]
        return done

    def deliver(
        self,
        message: queue_message.Message,
        number: int = 1,
        budget: timedelta = timedelta(minutes=20),
    ) -> Report:
        """One delivery that is not worth another; gives the run's report so far."""
        sent = queue_message.read(queue_message.write(message).encode())
        try:
            world = self.world(budget)
            do_message(sent, number, self.lab.inventory(), world, self.lab.settings.mark, Threads(1))
        except TryAgain as again:
            self.lab.failures.append(str(again))
            raise
        finally:
            report = self.report(message.run_id)
        return report

    def report(self, run_id: str) -> Report:
        run = self.runs.read(run_id)
        assert run is not None
        self.lab.reports.append(run.report)
        return run.report

    def work_off(self) -> Report:
        """The dispatcher, and each of its messages once."""
        done = self.dispatch()
        for message in done.messages:
            self.deliver(message)
        return self.report(done.run.run_id)

    def changes(self) -> int:
        """How many calls changed something in a vault or of a PAT so far."""
        return sum(row.effect and row.operation.startswith(("pats.", "vault.")) for row in self.lab.cloud.calls())


def many(size: Size, *, quick: bool = True) -> QueueLab:
    """An estate of many technical users, each with PATs of its own."""
    lab = Lab(estate=estate(size), quick=quick)
    lab.large = pats_yaml.load(inventory_text(size))
    return QueueLab(lab)
