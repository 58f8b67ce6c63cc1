"""`readers`: who reads each secret, when last and which version, and what Azure DevOps saw of their PATs."""

from __future__ import annotations

from shared.cli.command import WELL, Terminal
from shared.cli.names import check_secrets
from shared.cli.terminal import Cell, Screen
from shared.model.clock import instant
from shared.model.readers import Verdict
from shared.rotation.who_reads import Readers, who_reads
from shared.views.moments import distance, when

_TONES = {Verdict.CURRENT: "good", Verdict.BEHIND: "bad", Verdict.PINNED: "bad", Verdict.UNSEEN: "warning"}
_KNOWN = {True: Cell("known", "good"), False: Cell("unknown", "bad"), None: Cell("")}
_SAYS = {
    Verdict.CURRENT: "it read the value that is published now",
    Verdict.BEHIND: "it was at the vault since the rotation, and last read an earlier value",
    Verdict.PINNED: "it asks for one version by its id, and gets no other one after a rotation",
    Verdict.UNSEEN: "it was not at the vault since the rotation",
}


def readers(terminal: Terminal) -> int:
    """Gives the exit code: 0 when the log could be read, whoever reads.

    Raises Misconfigured (an unknown secret, no log that is named), and PatrolError for a log that cannot be read.
    """
    patrol, options = terminal.open(), terminal.options
    check_secrets(patrol.inventory, options.secrets)
    found = who_reads(patrol.inventory, patrol.world, patrol.settings.mark, options.secrets)
    if options.json:
        terminal.screen.json(found.to_json())
    else:
        _show(terminal.screen, found)
    return WELL


def _show(screen: Screen, found: Readers) -> None:
    now = found.as_of
    if found.everybody:
        told = any(one.known is not None for _, one in found.everybody)
        rows: list[tuple[Cell | str, ...]] = [
            (
                secret,
                one.reader.name or one.reader.object_id,
                Cell(one.verdict.value, _TONES[one.verdict]),
                *([_KNOWN[one.known]] if told else []),
                distance(one.last_read, now),
                when(one.first_read, now),
                one.last_version,
                one.reader.app_id,
            )
            for secret, one in found.everybody
        ]
        known = ("known",) if told else ()
        head = ("secret", "reader", "verdict", *known, "last read", "first read", "version", "app")
        screen.table(head, rows, spare=("app", "version", "first read", "last read"))
        for verdict in dict.fromkeys(one.verdict for _, one in found.everybody):
            screen.sentence(f"{verdict.value}: {_SAYS[verdict]}.", "faint")
        if found.unknown:
            screen.sentence("unknown: KNOWN_READERS does not name it among those who read by right.", "warning")
    else:
        screen.sentence("The log shows no reader.")
    until = "shows nothing yet" if found.logs_until is None else f"reaches to {instant(found.logs_until)}"
    screen.sentence(f"The vault's log {until}; rows come some minutes late.", "faint")
    _show_uses(screen, found)
    for note in found.notes:
        screen.sentence(note, "warning")


def _show_uses(screen: Screen, found: Readers) -> None:
    if found.uses:
        rows = [
            (
                one.secret,
                one.use.action,
                distance(one.use.at, found.as_of),
                one.use.ip_address,
                one.use.authorization_id,
                one.use.user_agent,
            )
            for one in found.uses
        ]
        head = ("secret", "did", "when", "from", "authorization id", "user agent")
        screen.table(head, rows, spare=("user agent", "authorization id", "when"))
    says = "Uses are what Azure DevOps audits: one that is shown proves use, and none that is shown proves nothing."
    screen.sentence(says, "faint")
