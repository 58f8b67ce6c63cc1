"""What the queue function `rotate_user` does with one message."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from shared import wiring
from shared.fan_out import queue_message
from shared.fan_out.queue_message import Message, NotAMessage
from shared.fan_out.rotate_user import TryAgain, do_message, not_attempted
from shared.model.errors import PatrolError, defect
from shared.rotation.threads import Threads
from shared.settings import ROOT
from shared.settings import read as read_settings
from shared.telemetry import event, quieten, with_run_id
from shared.wiring import MakeWorld

MOST_SHOWN = 16_000
"""Each of its characters takes three bytes at most."""

SIDE_BY_SIDE = 4
"""Items of the one user of a message that are worked on at once: an instance has several messages in hand."""


def rotate_user(
    body: bytes,
    delivery: int,
    set_aside: Callable[[str], None],
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
    make_world: MakeWorld | None = None,
    enter: Callable[[], None] = lambda: None,
) -> None:
    """One message of the queue; `delivery` counts from 1. Raises TryAgain when it is worth another delivery.

    What is no message of ours is handed to `set_aside` at its first delivery. A lasting failure is told and not raised:
    the next run finds what is due.
    """
    quieten()
    try:
        message = queue_message.read(body)
    except NotAMessage as wrong:
        _refuse(wrong, body, set_aside)
        return
    try:
        settings = read_settings(environ, root)
        make_world = make_world or wiring.one_of(wiring.sharers(settings, message.of))
        world = make_world(settings, settings.run_budget, with_run_id(event, message.run_id))
        try:
            inventory = wiring.inventory_of(settings)
        except PatrolError as failure:
            not_attempted(message, delivery, world, failure)
            return
        threads = Threads(min(settings.parallel_users, SIDE_BY_SIDE), enter)
        do_message(message, delivery, inventory, world, settings.mark, threads)
    except NotAMessage as wrong:
        _refuse(wrong, body, set_aside)
    except TryAgain as again:
        raise TryAgain(str(again)) from None
    except Exception as failure:  # noqa: BLE001  # the host would log the text, which may carry a secret
        _not_worked_on(message, delivery, failure if isinstance(failure, PatrolError) else defect(failure))


def _refuse(wrong: NotAMessage, body: bytes, set_aside: Callable[[str], None]) -> None:
    event("message.refused", says=f"A message of the queue was not believed, and was set aside: {wrong}.")
    set_aside(_as_text(body))


def _not_worked_on(message: Message, delivery: int, failure: PatrolError) -> None:
    """Tell the end of a message, as `do_message` does where it gets to work."""
    event(
        "user.finished",
        run_id=message.run_id,
        username=message.due.username if message.due else None,
        part=message.part,
        delivery=delivery,
        outcome="failed",
        code=failure.code,
        says=str(failure),
    )


def _as_text(body: bytes) -> str:
    """A message as it stood; of one that is no text what can be shown of it, within the 48 KB that a message holds."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace")[:MOST_SHOWN]
