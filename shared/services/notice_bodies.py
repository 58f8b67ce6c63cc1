"""A notice as each kind of recipient understands it, under 20 KB however many items it is about.

Names and causes are shown as text and never as markup: a card's text runs and Slack's `plain_text` have none. Sources:
Adaptive Cards 1.4 schema; Teams counts 28 KB after wrapping (MicrosoftDocs/msteams-docs#11274); Slack, Block Kit
reference; CloudEvents 1.0.2; Standard Webhooks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.model.clock import instant
from shared.model.notices import Event, Kind, Notice, NoticeItem
from shared.model.secret_text import SecretText, printable

LARGEST = 20_000
"""Bytes."""
FEWER = (50, 20, 10, 5, 1, 0)
"""How many items are named, the first that fits."""
LONGEST_SLACK = 2900
CARD = "application/vnd.microsoft.card.adaptive"

_TITLES: Mapping[Event, str] = {
    Event.FAILED: "Failed",
    Event.BLOCKED: "Sign-in blocked",
    Event.WARNING: "Ends soon",
    Event.EMERGENCY: "Emergency",
    Event.RECOVERED: "Well again",
    Event.DONE: "Done",
    Event.TEST: "Test",
    Event.PUBLISHED: "New value",
}
# Teams knows these words and no other colour.
_COLOURS: Mapping[Event, str] = {
    Event.FAILED: "attention",
    Event.BLOCKED: "attention",
    Event.WARNING: "warning",
    Event.EMERGENCY: "attention",
    Event.RECOVERED: "good",
    Event.DONE: "good",
    Event.TEST: "accent",
    Event.PUBLISHED: "accent",
}
_SLACK_COLOURS: Mapping[str, str] = {
    "attention": "danger",
    "warning": "warning",
    "good": "good",
    "accent": "#5c6bc0",
}


class NoKey(Exception):
    """What a webhook's notices are to be signed with is no key of Standard Webhooks."""


def body(kind: Kind, notice: Notice) -> bytes:
    """JSON in UTF-8, of at most `LARGEST` bytes."""
    made = b""
    for most in FEWER:
        made = json.dumps(_SHAPES[kind](notice, notice.items[:most]), ensure_ascii=False).encode("utf-8", "replace")
        if len(made) <= LARGEST:
            return made
    return made


def headers(kind: Kind, notice: Notice, sent: bytes, signing: SecretText | None, now: datetime) -> dict[str, str]:
    """What travels beside the body. Raises NoKey."""
    if kind is not Kind.WEBHOOK:
        return {"Content-Type": "application/json"}
    given = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    if signing is None:
        return given
    seconds = str(int(now.timestamp()))
    signatures = [_signature(key, notice.id, seconds, sent) for key in check_key(signing)]
    return {
        **given,
        "webhook-id": notice.id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(signatures),
    }


def check_key(signing: SecretText) -> list[bytes]:
    """The keys in it: one, or two while one takes the other's place. Raises NoKey."""
    found = [_key(text) for text in signing.reveal().split()]
    if not found:
        raise NoKey
    return found


def _key(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise NoKey from None
    if not text.startswith("whsec_") or not 24 <= len(raw) <= 64:
        raise NoKey
    return raw


def _signature(key: bytes, id_: str, seconds: str, sent: bytes) -> str:
    """Of Standard Webhooks, version 1: HMAC-SHA256 of `id.timestamp.body`."""
    signed = hmac.new(key, f"{id_}.{seconds}.".encode() + sent, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


# --- the four kinds ---------------------------------------------------------------------------------------------------


def _envelope(notice: Notice, items: tuple[NoticeItem, ...]) -> dict[str, Any]:
    """What the stock flow of Teams loops over: anything else fails inside the flow, after its 202."""
    return {
        "type": "message",
        "attachments": [{"contentType": CARD, "contentUrl": None, "content": _card(notice, items)}],
    }


def _card(notice: Notice, items: tuple[NoticeItem, ...]) -> dict[str, Any]:
    head = [_run(_title(notice), size="large", weight="bolder", color=_COLOURS[notice.event])]
    facts = [[_run(f"{name}: ", weight="bolder"), _run(text)] for name, text in _facts(notice)]
    lines = [[_run(line)] for line in _lines(notice, items)]
    texts = [[_run(text)] for text in (notice.cause, notice.remedy) if text]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "RichTextBlock", "inlines": runs} for runs in (head, *texts, *facts, *lines)],
        "fallbackText": printable(_title(notice)),
        "msteams": {"width": "full"},
    }


def _run(text: str, **look: str) -> dict[str, str]:
    return {"type": "TextRun", "text": printable(text), **look}


def _slack(notice: Notice, items: tuple[NoticeItem, ...]) -> dict[str, Any]:
    texts = [text for text in (notice.cause, notice.remedy) if text]
    facts = "\n".join(f"{name}: {text}" for name, text in _facts(notice))
    lines = "\n".join(_lines(notice, items))
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(_title(notice), 150)}]
    blocks += [{"type": "section", "text": _plain(text, LONGEST_SLACK)} for text in (*texts, facts, lines) if text]
    colour = _SLACK_COLOURS[_COLOURS[notice.event]]
    # The text stands in notifications, where Slack reads `<!channel>` and the like.
    escaped = printable(_title(notice)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "attachments": [{"color": colour, "blocks": blocks}]}


def _plain(text: str, longest: int) -> dict[str, Any]:
    shown = "\n".join(printable(line) for line in text.split("\n"))
    return {
        "type": "plain_text",
        "text": shown if len(shown) <= longest else f"{shown[: longest - 1]}…",
        "emoji": False,
    }


def _event(notice: Notice, items: tuple[NoticeItem, ...]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": notice.id,
        "source": f"patrol/{notice.deployment}",
        "type": f"patrol.{notice.event}",
        "time": instant(notice.at),
        # CloudEvents takes no empty subject.
        **({"subject": notice.subject} if notice.subject else {}),
        "datacontenttype": "application/json",
        "data": {
            "deployment": notice.deployment,
            "code": notice.code,
            "cause": notice.cause,
            "remedy": notice.remedy,
            "reminder": notice.reminder,
            "since": instant(notice.since),
            "serious_at": instant(notice.serious_at),
            "run_id": notice.run_id,
            "items": [_item(notice, item) for item in items],
            "items_in_all": notice.items_in_all,
        },
    }


def _item(notice: Notice, item: NoticeItem) -> dict[str, Any]:
    return {
        "vault": item.vault or notice.vault,
        "secret": item.secret.rpartition("/")[2],
        "username": item.username,
        "organization": item.organization,
        "expires_on": instant(item.expires_on),
        "version": item.version or None,
        "owner": item.owner or None,
    }


_SHAPES = {Kind.TEAMS: _envelope, Kind.TEAMS_CARD: _card, Kind.SLACK: _slack, Kind.WEBHOOK: _event}


# --- in words ---------------------------------------------------------------------------------------------------------


def _title(notice: Notice) -> str:
    many = f"{notice.items_in_all} secrets" if notice.items_in_all != 1 else notice.items[0].secret
    about = notice.subject or (many if notice.items_in_all else "")
    still = "Still: " if notice.reminder else ""
    return f"patrol {notice.deployment} · {still}{_TITLES[notice.event]}{f': {about}' if about else ''}"


def _facts(notice: Notice) -> list[tuple[str, str]]:
    facts = [
        ("Becomes serious", f"{instant(notice.serious_at)}, when the first of these stops working"),
        ("Known since", instant(notice.since)),
        ("Vault", notice.vault),
        ("Code", notice.code),
        ("Run", notice.run_id),
    ]
    return [(name, text) for name, text in facts if text and not text.startswith("None")]


def _lines(notice: Notice, items: tuple[NoticeItem, ...]) -> list[str]:
    """The items one by one, and how many more there are."""
    lines = [_line(notice, item) for item in items]
    more = notice.items_in_all - len(items)
    return [*lines, f"and {more} more"] if more else lines


def _line(notice: Notice, item: NoticeItem) -> str:
    elsewhere = item.vault if item.vault != notice.vault else ""
    until = f"works until {instant(item.expires_on)}" if item.expires_on else ""
    version = f"version {item.version}" if item.version else ""
    told = (item.secret, elsewhere, item.username, item.organization, item.owner, until, version)
    return " · ".join(filter(None, told))
