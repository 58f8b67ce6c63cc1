"""`notify --test`: one test of each event to every recipient, and what its answers prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.cli.command import MISCONFIGURED, NOT_DONE, WELL, Terminal
from shared.model import run_ids
from shared.model.clock import Deadline
from shared.model.errors import Code, PatrolError
from shared.model.notices import EVENTS, Audience, Event, Kind, Notice, NoticeItem, Recipient
from shared.report.report import Failure, failure_json
from shared.rotation import notices
from shared.rotation.world import World
from shared.wiring import Deployment

_FLOW = (
    "The flow's trigger took it. Whether a card was posted only the channel shows: a flow answers so for the wrong "
    "kind too, and after its owner left."
)
PROVES: Mapping[Kind, str] = {
    Kind.TEAMS: _FLOW,
    Kind.TEAMS_CARD: _FLOW,
    Kind.SLACK: "Slack says ok when it has posted a message: into the channel that the address was made for.",
    Kind.WEBHOOK: "The receiver took it. Whether it checked the signature, and what it does with it, only the receiver "
    "knows.",
}


@dataclass(frozen=True, slots=True)
class Tested:
    """What one recipient answered to one event; `answer` is "" where there is an error."""

    recipient: str
    kind: str
    event: Event
    answer: str
    error: Failure | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "recipient": self.recipient,
            "kind": self.kind,
            "event": self.event.value,
            "answer": self.answer or None,
            "error": failure_json(self.error),
        }


def notify(terminal: Terminal) -> int:
    """Gives the exit code."""
    patrol = terminal.open()
    to = notices.audience(patrol.inventory, patrol.settings.mark, patrol.world)
    tested = list(_test(terminal, patrol, to))
    wrong = [Failure(Code.RECIPIENT_INVALID, one.problem, "Correct `notify` in pats.yaml.") for one in to.invalid]
    kinds = [recipient.kind for recipient in to.recipients]
    if terminal.options.json:
        proves = {kind.value: PROVES[kind] for kind in Kind if kind in kinds}
        rows = [one.to_json() for one in tested]
        terminal.screen.json({"tests": rows, "proves": proves, "invalid": [failure_json(one) for one in wrong]})
    else:
        _show(terminal, to, tested, wrong)
    if wrong:
        return MISCONFIGURED
    return NOT_DONE if any(one.error for one in tested) else WELL


def _test(terminal: Terminal, patrol: Deployment, to: Audience) -> Iterator[Tested]:
    run_id = run_ids.new(patrol.world.clock.now())
    for recipient in to.recipients:
        for event in EVENTS:
            answered = _tell(patrol.world, recipient, test_notice(event, to, patrol, run_id))
            yield Tested(recipient.url_secret_name, recipient.kind.value, event, *answered)
            terminal.errors.flush()
            if answered[1] is not None:
                break  # the others would fail alike


def _tell(world: World, recipient: Recipient, notice: Notice) -> tuple[str, Failure | None]:
    deadline = Deadline.after(world.clock, notices.AT_LEAST, timedelta(0))
    try:
        url, signing = notices.keys_of(world, recipient)
        return world.recipients.tell(recipient, url, signing, notice, deadline), None
    except PatrolError as failure:
        return "", Failure.of(failure)


def test_notice(event: Event, to: Audience, patrol: Deployment, run_id: str) -> Notice:
    """What a notice of the event looks like, and that it is none: its type is `test`, its code the event."""
    items = patrol.inventory.items()
    shown = (NoticeItem(items[0].secret, items[0].username, items[0].organization),) if items else ()
    return Notice(
        id=f"{run_id}-{event}",
        event=Event.TEST,
        code=event.value,
        subject=f"a notice of `{event}`",
        cause=f"This is a test of `patrol notify --test`: a notice of `{event}` looks like this. Nothing happened.",
        remedy="Nothing to do, if this is where such notices belong.",
        at=patrol.world.clock.now(),
        deployment=to.deployment,
        vault=to.vault,
        run_id=run_id,
        items=shown,
        items_in_all=len(shown),
    )


def _show(terminal: Terminal, to: Audience, tested: list[Tested], wrong: list[Failure]) -> None:
    screen = terminal.screen
    for failure in wrong:
        screen.say(f"FAILED {failure.message} {failure.remedy}", "bad")
    for recipient in to.recipients:
        mine = [one for one in tested if one.recipient == recipient.url_secret_name]
        failed = next((one for one in mine if one.error is not None), None)
        took = [one for one in mine if one.error is None]
        if took:
            events = ", ".join(one.event.value for one in took)
            screen.say(f"ok     {recipient.url_secret_name} ({recipient.kind}): {took[0].answer} for {events}")
            screen.paragraph(PROVES[recipient.kind], "       ")
        if failed is not None and failed.error is not None:
            screen.say(f"FAILED {recipient.url_secret_name} ({recipient.kind}): {failed.event}", "bad")
            screen.paragraph(f"{failed.error.message} {failed.error.remedy}", "       ")
    if not to:
        screen.say("pats.yaml names nobody to tell: `notify` is missing or empty.", "warning")
