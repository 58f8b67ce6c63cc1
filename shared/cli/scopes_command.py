"""`scopes`: the known scopes, and what they let a PAT do."""

from __future__ import annotations

from shared.cli.command import WELL, Terminal
from shared.inventory import scopes as known_scopes


def scopes(terminal: Terminal) -> int:
    """Gives the exit code."""
    words = terminal.options.words
    found = known_scopes.search(words)
    if terminal.options.json:
        rows = [{"scope": scope.name, "area": scope.area, "meaning": scope.meaning} for scope in found]
        terminal.screen.json({"scopes": rows})
    elif found:
        rows_shown = [(scope.name, scope.area, scope.meaning) for scope in found]
        terminal.screen.table(("scope", "area", "lets it"), rows_shown, spare=("area",))
    else:
        near = known_scopes.nearest(" ".join(words))
        terminal.screen.say(f"No known scope has all of these words{f'; did you mean {near}?' if near else '.'}")
    return WELL
