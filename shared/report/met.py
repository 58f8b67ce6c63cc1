"""A run as notices see it: what is in the way, each cause with all that it holds up, and what it is known by. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.model.errors import Code
from shared.model.items import Owners
from shared.model.notices import Event
from shared.model.steps import Because
from shared.report.causes import OF_A_USER, OF_AN_ORGANIZATION, Cause, Trouble, grouped, of_row, without
from shared.report.report import Outcome, Report, Row

PAT_EXPIRING = "pat-expiring"
"""The code of the warning that a published PAT ends soon; the others are codes and reasons of the report."""

OF_THE_DEPLOYMENT = frozenset(
    {
        *(Code.SETTINGS_INVALID, Code.IDENTITY_UNAVAILABLE, Code.VAULT_FORBIDDEN, Code.VAULT_UNREACHABLE),
        *(Code.CLOCK_SKEW, Code.TENANT_UNKNOWN, Code.CLIENT_REFUSED, Code.CLIENT_SECRET_UNREADABLE),
        Code.CLIENT_CERTIFICATE_UNUSABLE,
    }
)
_OF_THE_CALLER = frozenset({Code.SECRET_UNKNOWN, Code.SECRET_AMBIGUOUS})
# What a service in doubt says differs from one run to the next, and is one cause all the same.
_WITHOUT_WORDS = re.compile(r".*-(unclear|unavailable|unreachable)")
WARNINGS = frozenset(
    {
        Because.CREDENTIAL_NEAR_EXPIRY,
        Because.ENROLLMENT_NEAR_END,
        Because.HELD_FOR_READERS,
        Because.STILL_READ,
    }
)
"""Reasons of rows that warn, and fail nothing."""
_NUMBERS = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d+")


@dataclass(frozen=True, slots=True)
class Happened:
    """A run as it ended. `kind`: over PATs, or a refresh of tokens; `whole`: over all of them, and it changed things.

    `ends`: when the published values stop working, by casefolded secret. `soon`: PATs of which less than half of the
    time to replace them is left, as (secret, username, organization, vault). `managed`: casefolded names of pats.yaml;
    None where a file of it cannot be read. Names are as rows have them. `home`: the host of KEY_VAULT_URL. `owners`:
    whom things belong to.
    """

    report: Report
    kind: str
    whole: bool
    emergency: bool = False
    ends: Mapping[str, datetime] = field(default_factory=dict)
    soon: tuple[tuple[str, str, str, str], ...] = ()
    managed: frozenset[str] | None = frozenset()
    owners: Owners = field(default_factory=Owners)
    home: str = ""


def met(happened: Happened) -> dict[str, tuple[Event, Cause]]:
    """By key, what is in the way: equal causes together, with everything that they hold up."""
    troubles: dict[Event, list[Trouble]] = {event: [] for event in (Event.FAILED, Event.BLOCKED, Event.WARNING)}
    since = happened.report.started_at
    for row in happened.report.items:
        trouble = of_row(row, ends=ends_of(row, happened), since=since)
        if trouble is not None:
            troubles[Event.BLOCKED if row.outcome is Outcome.BLOCKED else Event.FAILED].append(trouble)
        elif row.because in WARNINGS:
            troubles[Event.WARNING].append(_ending(row, since))
    error = happened.report.misconfigured
    if error is not None and error.code not in _OF_THE_CALLER:
        troubles[Event.FAILED].append(Trouble(error.code.value, error.message, error.remedy, since=since))
    troubles[Event.WARNING] += [_expiring(*names, happened) for names in happened.soon]
    found: dict[str, tuple[Event, Cause]] = {}
    for event, mine in troubles.items():
        for cause in grouped(mine):
            key = _key(event, cause, happened.home)
            before = found.get(key)
            found[key] = (event, cause if before is None else _joined(before[1], cause))
    return found


def _key(event: Event, cause: Cause, home: str) -> str:
    """What a cause is known by from one run to the next: nothing in it counts, times, or names an item."""
    first = cause.items[0]
    if event is Event.BLOCKED:
        return f"{event} {first.username.casefold()}"
    if cause.code in OF_A_USER:
        return f"{event} {cause.code} {first.username.casefold()}"
    if cause.code in OF_AN_ORGANIZATION:
        return f"{event} {cause.code} {first.organization.casefold()}"
    if cause.code in OF_THE_DEPLOYMENT and first.vault not in ("", home):
        return f"{event} {cause.code} {first.vault}"  # one vault of several
    if cause.code in OF_THE_DEPLOYMENT or cause.code == PAT_EXPIRING or _WITHOUT_WORDS.fullmatch(cause.code):
        return f"{event} {cause.code}"
    if event is Event.WARNING:
        return f"{event} {cause.code} {first.secret.casefold()}"
    words = _NUMBERS.sub("#", without(first.secret, first.cause))
    return f"{event} {cause.code} {digest(words)}"


def _joined(one: Cause, other: Cause) -> Cause:
    subject = one.subject if one.subject == other.subject else ""
    return Cause(one.code, one.cause, one.remedy, subject, (*one.items, *other.items))


def ends_of(row: Row, happened: Happened) -> datetime | None:
    return row.expires_on or happened.ends.get(row.name.casefold())


def _ending(row: Row, since: datetime) -> Trouble:
    says = row.says.removeprefix(f"{row.name}: ")
    cause, who = f"{says[:1].upper()}{says[1:]}", (row.name, row.username, row.organization)
    return Trouble(row.because.value, cause, "", *who, row.expires_on, since, row.vault)


def _expiring(secret: str, username: str, organization: str, vault: str, happened: Happened) -> Trouble:
    return Trouble(
        PAT_EXPIRING,
        "Less than half of the time to replace the published PAT is left, and no run has replaced it: what uses it "
        "loses access when it ends.",
        f"`patrol status {secret}` says what is in the way.",
        secret,
        username,
        organization,
        happened.ends.get(secret.casefold()),
        happened.report.started_at,
        vault,
    )


def digest(text: str) -> str:
    """32 hex of SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
