"""`notify` of pats.yaml: who is told (rule 19). A recipient that is wrong is told nothing, and stops nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.inventory import texts
from shared.inventory.mistakes import Found, sentence, shown, validate
from shared.inventory.schema import RecipientPart
from shared.inventory.yaml_text import Place
from shared.model.notices import Event, InvalidRecipient, Kind, Recipient


@dataclass(slots=True)
class Recipients:
    """What was found."""

    valid: list[Recipient] = field(default_factory=list)
    invalid: list[InvalidRecipient] = field(default_factory=list)
    problems: list[Found] = field(default_factory=list)


def read(raw: Any) -> Recipients:
    """Read the list as it is written; None: there is none."""
    found = Recipients()
    if raw is None:
        return found
    if not isinstance(raw, list):
        found.problems.append(Found(("notify",), "must be a list of recipients"))
        found.invalid.append(InvalidRecipient("notify", "notify must be a list of recipients."))
        return found
    named: dict[str, Place] = {}
    for number, entry in enumerate(raw):
        path: Place = ("notify", number)
        part, problems = validate(RecipientPart, entry, path)
        given = entry if isinstance(entry, dict) else {}
        name = texts.if_it_is(texts.secret_name, given.get("url_secret_name"))
        first = named.setdefault(name.casefold(), path) if name else path
        if first is not path:
            says = f"is the address of {shown(first)} too: give each recipient its own, with all of its events in `on`"
            problems.append(Found((*path, "url_secret_name"), says))
        found.problems += problems
        if isinstance(part, RecipientPart) and not problems:
            found.valid.append(_recipient(part))
        else:
            found.invalid.append(InvalidRecipient(name or shown(path), sentence(problems)))
    return found


def secrets(raw: Any) -> Iterator[Any]:
    """The secrets that recipients name, as written: no PAT is published there."""
    for entry in raw if isinstance(raw, list) else []:
        if isinstance(entry, dict):
            yield from (entry.get("url_secret_name"), entry.get("signing_secret_name"))


def _recipient(part: RecipientPart) -> Recipient:
    on = frozenset(Event(event) for event in part.on)
    owners = frozenset(owner.casefold() for owner in part.owners or ())
    signing = part.signing_secret_name or ""
    return Recipient(Kind(part.kind), part.url_secret_name, on, signing, part.allow_private, owners)
